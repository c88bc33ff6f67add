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
    releases   what left the operator's hands
    budget     what everything cost
    waivers    what the reviewers accepted
    whole      all of it in order

Each gives what it read and what it found. Nothing stops at a first fault: a reviewer wants the whole list.
"""

from covey_audit.auditing.material import Anchors, Material
from covey_audit.auditing.whole import audit

__all__ = ["Anchors", "Material", "audit"]
