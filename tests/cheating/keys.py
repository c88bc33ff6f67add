"""Private keys of the simulation whose run is the honest one, so that cheats are signed as they would be."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from cheating.folders import FOLDER
from covey.identity import claimed_roster, public_of
from covey.ledger.note import Ed25519Signer
from covey.ledger.witness import WitnessKey
from covey.policy.terms import Policy
from covey_simulations.roles import RunKeys

FILE: Final = FOLDER / "KEYS-OF-A-SIMULATION.toml"
WITNESS: Final = "covey/simulation/witness"
REVIEWER: Final = "covey/simulation/reviewer"
STRANGER: Final = bytes(range(32))
"""A private key that has no part in the fleet."""

HEAD: Final = """\
# Private keys of the simulated fleet whose run is in honest/. They protect nobody: the fleet was a
# simulation, its run is over, and everybody who reads this has them. They are here so that make_cheats.py can
# sign as a cheating operator would.
"""


@dataclass(frozen=True)
class Keys:
    """Everybody's keys.

    Attributes:
        run: Of all roles but the witness, which follow from one secret.
        witness: The witness's.
        devices: By the name in the roster, the name by which the device's key follows from the secret.
    """

    run: RunKeys
    witness: WitnessKey
    devices: dict[str, str] = field(repr=False)

    @property
    def operator(self) -> bytes:
        """Signs plans; held by who cheats."""
        return self.run.of("operator")

    @property
    def enrolment(self) -> bytes:
        """Certifies devices; the fleet's owner has it."""
        return self.run.of("enrolment")

    @property
    def reviewer(self) -> Ed25519Signer:
        """Signs policies."""
        return Ed25519Signer(REVIEWER, self.run.of("reviewer"))

    def log(self, policy: Policy) -> Ed25519Signer:
        """Signs heads; held by who cheats."""
        return Ed25519Signer(policy.ledger.origin, self.run.of("log"))

    def identity(self, device: str) -> bytes:
        """A device's own key."""
        return self.run.of("identity", self.devices[device])


@cache
def keys() -> Keys:
    """As kept."""
    table = tomllib.loads(FILE.read_text("utf-8"))
    witness = WitnessKey(WITNESS, bytes.fromhex(table["witness"]))
    return Keys(RunKeys(bytes.fromhex(table["secret"])), witness, table["devices"])


def text_of(secret: str, witness: str, roster: bytes) -> str:
    """The file, for a run.

    Args:
        secret: Of the simulation, hexadecimal.
        witness: The witness's private key, hexadecimal.
        roster: As signed.

    Raises:
        ValueError: These are not the keys of the roster's devices.
    """
    run = RunKeys(bytes.fromhex(secret))
    known = {
        public_of(run.of("identity", name)): name
        for name in (f"s{subject:02d}-{side}" for subject in range(1, 11) for side in ("left", "right"))
    }
    certificates = claimed_roster(roster).certificates
    if any(each.key not in known for each in certificates):
        raise ValueError("a roster of other devices than the demo's")
    devices = "".join(f'{each.device} = "{known[each.key]}"\n' for each in certificates)
    return f'{HEAD}secret = "{secret}"\nwitness = "{witness}"\n\n[devices]\n{devices}'
