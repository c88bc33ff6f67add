"""Policies that are another's, of another day, or signed by nobody who may."""

import msgspec

from cheating.cheat import cheat
from cheating.folders import POLICY as OWN
from cheating.keys import REVIEWER, STRANGER
from cheating.places import MODEL, POLICY, RESERVES
from cheating.run import DAY, Run
from cheating.with_sums import noise_below_policy
from covey.identity import Certificate, claimed_roster
from covey.ledger.entries import RunPolicy, Waiver
from covey.ledger.note import Ed25519Signer, signed
from covey.ledger.waiver import Accepted
from covey.policy.signed import digest

WEAKER = {'epsilon = "4"': 'epsilon = "8"', 'dropouts = "0.3"': 'dropouts = "0.5"'}


@cheat("policy-not-yours", POLICY)
def policy_swapped(run: Run) -> None:
    """The ledger holds another policy than the one that was agreed on, with twice the budget. The reviewers
    had signed it too, for a trial, so that devices follow it.
    """
    run.govern(run.policy_note(WEAKER))
    run.summarise()
    run.publish()


@cheat("policy-unsigned", POLICY, also=("policy-not-yours",))
def policy_signed_by_the_wrong_key(run: Run) -> None:
    """The operator signed a policy with twice the budget under the reviewer's name, with a key that was made
    for it. The devices had been given that key as the reviewer's.
    """
    run.govern(run.policy_note(WEAKER, Ed25519Signer(REVIEWER, STRANGER)))
    run.summarise()
    run.publish()


@cheat("policy-expired", RESERVES[3] + 1)
def policy_expired(run: Run) -> None:
    """The validation was asked for on the day after the policy's last one, of devices that are still
    enrolled. To renew the policy would have meant to ask the reviewers.
    """
    time = run.policy.valid_until.seconds + DAY + DAY // 2
    old = claimed_roster(run.roster)
    until = time + 365 * DAY
    certificates = tuple(Certificate(each.device, each.key, until) for each in old.certificates)
    renewed = msgspec.structs.replace(old, serial=2, expires=until, certificates=certificates)
    reference = run.enrol(RESERVES[3], renewed, time)
    for index in range(RESERVES[3], len(run.lines)):
        run.put(index, time=time)
    run.ask(RESERVES[3] + 1, roster=reference)
    run.now = time + DAY
    run.publish()


@cheat("policy-replayed", RESERVES[3] + 1)
def policy_replayed(run: Run) -> None:
    """The reviewers stopped the run with a newer policy, which allows nothing any more; the operator entered
    the old one again and asked for the validation under it. The old one is truly signed.
    """
    old = run.files[OWN]
    text = run.policy_text
    head, _, _ = text.partition("[queries.train]")
    successor = f'previous = "{digest(text)}"'
    newer = head.replace('previous = ""', successor).replace("serial = 1\n", "serial = 2\n")
    note = signed(newer, run.keys.reviewer)
    time = run.last
    run.files[OWN] = note
    run.insert(
        RESERVES[3],
        RunPolicy(time=time, run=run.name, policy=note.decode()),
        RunPolicy(time=time, run=run.name, policy=old.decode()),
    )
    run.publish()


@cheat(
    "policy-unreadable",
    POLICY,
    also=("policy-missing", "policy-not-yours", "policy-unknown", "release-under-other-policy"),
)
def float_in_a_policy(run: Run) -> None:
    """The policy in the ledger has its epsilon as a binary float, where a decimal string belongs. No
    reviewer's tool signs such a text; the operator did.
    """
    run.govern(run.policy_note({'epsilon = "4"': "epsilon = 4.0"}, Ed25519Signer(REVIEWER, STRANGER)))
    run.publish()


@cheat("waiver-unsigned", MODEL + 1, severity="warning", also=("budget-exceeded", "plan-outside-policy"))
def waiver_by_the_operator(run: Run) -> None:
    """As noise-below-policy, and the operator entered a waiver that accepts it, signed under the reviewer's
    name with the operator's own key. With a reviewer's signature it would have become a note.
    """
    noise_below_policy(run)
    accepted = _accepted(run, run.log.name)
    _waive(run, signed(accepted.text, Ed25519Signer(REVIEWER, run.keys.operator)))


@cheat("waiver-unsigned", MODEL + 1, severity="warning", also=("budget-exceeded", "plan-outside-policy"))
def waiver_of_another_ledger(run: Run) -> None:
    """As noise-below-policy, and the operator entered a waiver that the reviewer had truly signed, of a
    finding in another ledger. There the noise had been lower by a hair.
    """
    noise_below_policy(run)
    accepted = _accepted(run, f"{run.log.name}/other")
    _waive(run, signed(accepted.text, run.keys.reviewer))


def _accepted(run: Run, origin: str) -> Accepted:
    words = "The model had to become better."
    return Accepted.of(origin, "plan-outside-policy", RESERVES[2], run.lines, words)


def _waive(run: Run, note: bytes) -> None:
    run.insert(len(run.lines), Waiver(time=run.last, note=note.decode()))
    run.publish()
