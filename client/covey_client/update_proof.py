"""Whether a release shows that its fleet's ledger paid for it, within the policy that this device goes by.

STATE/policy    the newest policy that the agent took up, as its reviewers signed it; or put there by hand

The reviewers' signatures are checked again, by the keys in the same folder as the agent's.
"""

from pathlib import Path
from typing import Final

from covey.errors import InputError, PackageError, ProtocolError
from covey.package.provenance import check_provenance, read_provenance
from covey.package.verify import Package
from covey.policy.signed import Opened, open_policy
from covey_client.own_policy import POLICY
from covey_io.device_keys import read_reviewers

HINT: Final = 'take part in a sum, copy the signed policy there, or set [update] provenance = "off"'


def check_proof(state: Path, package: Package) -> None:
    """Refuse a release that does not show it.

    Args:
        state: The agent's state folder.
        package: Verified.

    Raises:
        PackageError: It shows nothing, or something else.
        InputError: This device knows no reviewers or no policy: nothing can be shown to it.
    """
    policy = _policy(state).policy
    found = read_provenance(package)
    if found is None:
        raise PackageError("it does not say what paid for it", hint="covey release build makes it say so")
    check_provenance(package, found, policy, policy.log_trust())


def _policy(state: Path) -> Opened:
    reviewers = read_reviewers(state / "reviewers.json")
    if reviewers is None:
        raise InputError(f"{state / 'reviewers.json'} is missing", hint="the fleet's owner has it")
    try:
        return open_policy((state / POLICY).read_bytes(), reviewers, blame="local")
    except FileNotFoundError as error:
        raise InputError(f"{state / POLICY}: this device knows no policy yet", hint=HINT) from error
    except ProtocolError as error:
        raise InputError(f"{state / POLICY}: {error.message}", hint=HINT) from error
