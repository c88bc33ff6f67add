"""The newest policy that this device took up, as its reviewers signed it: for the updater, and its owner."""

from pathlib import Path
from typing import Final

from covey_io import durable

POLICY: Final = "policy"
"""In the state folder."""


def remember_policy(state: Path, note: bytes) -> None:
    """Keep a policy that the agent takes up, unless it is there."""
    path = state / POLICY
    if not path.exists() or path.read_bytes() != note:
        durable.replace(path, note)
