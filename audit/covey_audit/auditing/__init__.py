"""A ledger against everything that can be checked of it offline: pure functions over bytes.

    material   what is audited, and what the reader trusts
    structure  lines into entries
    policies   whose policies were in force, when, and in which order
    head       the checkpoint, and checkpoints from elsewhere
    rosters    which devices there were
    reserves   what was asked for
    rules      whether that kept to the policy
    counts     how often, and how fast
    ends       how sums ended
    members    who was in them, by evidence
    counters   what devices count themselves
    releases   what left the operator's hands
    mechanism  what one plan's cost follows from
    composing  many of them to one ε
    burning    ε after each sum
    recomputing  the same by other libraries
    budget     what everything cost, and whether policies were kept
    waivers    what the reviewers accepted
    closing    what all of it rests on
    whole      all of it in order

Each gives what it read and what it found. Nothing stops at a first fault: a reviewer wants the whole list.
"""

from covey_audit.auditing.material import Anchors, Material
from covey_audit.auditing.whole import audit

__all__ = ["Anchors", "Material", "audit"]
