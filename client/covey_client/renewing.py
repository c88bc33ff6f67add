"""Fetching a device's newest admission: a process that asks the fleet's server once, and ends.

`python -m covey_client.renewing STATE`, which the agent starts now and then, so that it need not load HTTP
and TLS itself. What the server shows is taken if this fleet signed it for these keys, later than what the
device has, and if its certificate holds now and no shorter: so a device is never worse off than before.
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from covey.enrolment import Admitted
from covey.errors import CoveyError, StateError
from covey_client import enrolling
from covey_client.enrolling import Endpoint, Waits
from covey_client.owner_log import to_log
from covey_client.renewal import FAILED, NOTHING_NEWER, RENEWED
from covey_io import device_enrolment


def renew(keys: Path, now: float) -> bool:
    """Ask once, and take what is better.

    Args:
        keys: The folder of an enrolled device's keys.
        now: Unix time, seconds.

    Returns:
        Whether the device has another admission now; if so, it is on the disk.

    Raises:
        CoveyError: No answer, or one that this fleet did not sign for this device.
    """
    before, asked = device_enrolment.own_admission(keys), device_enrolment.own_request(keys)
    if before is None or asked is None or not before.admission.server:
        return False
    endpoint = Endpoint(before.admission.server, enrolling.own_anchors(keys))
    found = enrolling.ask(endpoint, asked, None)
    if isinstance(found, Waits):
        raise StateError(found.why, hint="it is asked again later")
    if not is_better(found, before, now):
        return False
    device_enrolment.accept(keys, found)
    return True


def is_better(found: Admitted, before: Admitted, now: float) -> bool:
    """Whether an admission takes the place of another.

    Args:
        found: Verified, of the same fleet.
        before: What the device has.
        now: Unix time, seconds.
    """
    new, old = map(_certificate, (found, before))
    holds = new.not_valid_before_utc <= datetime.fromtimestamp(now, UTC) < new.not_valid_after_utc
    later = new.not_valid_before_utc > old.not_valid_before_utc
    return holds and later and new.not_valid_after_utc >= old.not_valid_after_utc


def _certificate(admitted: Admitted) -> x509.Certificate:
    return x509.load_der_x509_certificate(admitted.admission.certificate)


def main() -> int:
    """Of the process; its status says what became of it."""
    try:
        if not renew(Path(sys.argv[1]), time.time()):
            return NOTHING_NEWER
    except (CoveyError, OSError) as error:
        to_log(f"the newest admission cannot be fetched: {error}")
        return FAILED
    to_log("a newer admission was fetched")
    return RENEWED


if __name__ == "__main__":
    sys.exit(main())
