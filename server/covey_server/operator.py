"""The operator's key and the fleet's roster on the server's disk.

operator.key      Ed25519 private key that signs plans, hexadecimal; for the server only
enrolment.pub     public key that certifies devices; its private key is kept elsewhere
roster            the fleet's devices, as the enrolment key signed them
"""

import time
from pathlib import Path

from covey.errors import InputError
from covey.identity import public_of, read_roster
from covey_strategies.protection import Operator

HINT = "name the folder with operator.key, enrolment.pub and roster, or set [privacy] masks = false"


def read_operator(folder: Path) -> Operator:
    """What a folder holds.

    Raises:
        InputError: A file is missing or is not what it should be.
        ProtocolError: The roster is expired, or not signed by the enrolment key.
    """
    try:
        private = bytes.fromhex((folder / "operator.key").read_text("ascii").strip())
        public_of(private)  # only to see that it is a key
        enrolment = bytes.fromhex((folder / "enrolment.pub").read_text("ascii").strip())
        sent = (folder / "roster").read_bytes()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} holds no operator's key and roster: {type(error).__name__}", hint=HINT
        ) from error
    return Operator(private, read_roster(sent, enrolment, now=int(time.time()), least_serial=0), sent)
