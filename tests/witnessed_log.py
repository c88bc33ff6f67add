"""A log and its fork, with everything that a witness is asked."""

import hashlib

from covey.ledger.checkpoint import Checkpoint, sign_checkpoint
from covey.ledger.history import History
from covey.ledger.note import Ed25519Signer
from covey.ledger.witness import request_of

ORIGIN = "example.com/fleet"
LOG = Ed25519Signer(ORIGIN, hashlib.sha256(b"log").digest())
SIZE = 50
SHARED = 9
"""Entries that the log and its fork have in common."""

HISTORY = History.of([b"entry %d" % number for number in range(SIZE)])
FORK = History.of([b"%s %d" % (b"entry" if number < SHARED else b"other", number) for number in range(SIZE)])


def signed(size: int, history: History = HISTORY) -> bytes:
    """The log's checkpoint at a size."""
    return sign_checkpoint(Checkpoint(ORIGIN, size, history.root(size)), LOG)


def asked(old: int, new: int, history: History = HISTORY) -> bytes:
    """The request to cosign a checkpoint, after an older one."""
    return request_of(old, history.consistency(old, new), signed(new, history))
