"""Sums that were asked for otherwise than was allowed, or ended otherwise than is said."""

import msgspec

from cheating.cheat import cheat
from cheating.keys import STRANGER
from cheating.places import RESERVES, SETTLES
from cheating.run import Run
from covey.identity import sign
from covey.ledger.entries import Abort, Reserve
from covey.plan import Gradient, Plan, Validate

ROUND, END = RESERVES[2], SETTLES[2]
"""The third round, in which most of these are done."""


def _quartered(plan: Plan) -> Plan:
    """With a quarter of the variance."""
    assert plan.noise is not None
    noise = msgspec.structs.replace(plan.noise, variance=plan.noise.variance // 4)
    return msgspec.structs.replace(plan, noise=noise)


@cheat("plan-outside-policy", ROUND, also=("budget-exceeded",))
def noise_below_policy(run: Run) -> None:
    """The third round was asked for with half the noise, since the model did not become good enough. Devices
    that check refuse such a plan; the operator had set them up not to check.
    """
    run.ask(ROUND, noise=_quartered(run.plan(ROUND)).noise)
    run.summarise()
    run.publish()


@cheat("no-noise", ROUND, also=("plan-outside-policy", "summary-differs"))
def noise_left_out(run: Run) -> None:
    """The third round was asked for without any noise, of devices that were set up not to check. The summary
    states the epsilon of what had been planned.
    """
    run.ask(ROUND, noise=None)
    run.publish()


@cheat("plan-outside-policy", ROUND)
def clip_beyond_policy(run: Run) -> None:
    """In the third round each example's gradient may be twice as long as the policy allows. Noise and norm
    are as before, so that the privacy cost seems to be the same.
    """
    plan = run.plan(ROUND)
    gradient, *others = plan.parts
    assert isinstance(plan.task, Gradient)
    task = msgspec.structs.replace(plan.task, gradient_clip=2 * plan.task.gradient_clip)
    longer = msgspec.structs.replace(gradient, clip=2 * gradient.clip, scale=gradient.scale / 2)
    run.ask(ROUND, task=task, parts=(longer, *others))
    run.publish()


@cheat(
    "plan-unreadable",
    ROUND,
    also=("counter-gap", "end-without-reserve", "evidence-orphaned", "summary-differs"),
)
def clip_understated(run: Run) -> None:
    """The parts of the answer are twice as long as the norm for which the noise was computed. The cost is
    half of the truth, to whoever reads only norm and noise.
    """
    gradient, *others = run.plan(ROUND).parts
    run.ask(ROUND, parts=(msgspec.structs.replace(gradient, clip=2 * gradient.clip), *others))
    run.publish()


@cheat("answers-exceeded", RESERVES[3] + 2, also=("budget-exceeded",))
def more_rounds_than_allowed(run: Run) -> None:
    """A fourth round was asked for when the policy allows three, and is said to have been given up. The
    operator thinks that what was not opened does not count.
    """
    plan = msgspec.structs.replace(run.plan(ROUND), sum=5, round=4, model_sha256=run.summary["model_sha256"])
    reserve = run.reserve(plan, run.last)
    run.insert(SETTLES[3] + 1, reserve)
    ended = Abort(time=run.last, plan=run.digest(SETTLES[3] + 1), reason="too few devices")
    run.insert(SETTLES[3] + 2, ended)
    run.summarise()
    run.publish()


@cheat("plan-unsigned", ROUND)
def plan_signed_by_a_stranger(run: Run) -> None:
    """The plan of the third round is signed by a key that the policy does not name. The operator lent the
    server to somebody who is not to appear.
    """
    plan = run.entry(ROUND, Reserve).plan
    run.put(ROUND, signature=sign(STRANGER, "plan", plan))
    run.publish()


@cheat("plan-twice", SETTLES[3] + 1, also=("counter-repeated", "device-twice", "sum-not-rising"))
def plan_reserved_twice(run: Run) -> None:
    """The third round's plan stands in the ledger again at the end. Two answers to one plan have the same
    masks, and their difference shows who came and went.
    """
    run.lines.insert(SETTLES[3] + 1, run.lines[ROUND])
    run.summarise()
    run.publish()


@cheat("cohort-twice", SETTLES[3] + 1, also=("cohorts-differ", "summary-differs"))
def sum_asked_again(run: Run) -> None:
    """The validation's sum was asked for again under its old number, of half the examples. Counted by
    numbers, it is one answer of each device.
    """
    again = msgspec.structs.replace(run.plan(RESERVES[3]), task=Validate(128), sum=4)
    run.insert(SETTLES[3] + 1, run.reserve(again, run.last))
    run.summarise()
    run.publish()


@cheat("end-without-reserve", RESERVES[1], also=("counter-gap",))
def settle_without_reserve(run: Run) -> None:
    """The second round's reserve is missing, its settle is there. What was never reserved is not counted."""
    run.hide(run.digest(RESERVES[1]))
    del run.lines[RESERVES[1]]
    run.summarise()
    run.publish()


@cheat("counter-gap", RESERVES[1], severity="warning")
def sum_left_out(run: Run) -> None:
    """The second round is missing altogether from the ledger that the reviewers get, and so is its evidence;
    a witness on the operator's side cosigned both ledgers. The devices have counted it.
    """
    run.hide(run.digest(RESERVES[1]))
    del run.lines[RESERVES[1] : SETTLES[1] + 1]
    run.summarise()
    run.publish()


@cheat("evidence-orphaned", also=("counter-gap",))
def sum_left_out_and_its_evidence_forgotten(run: Run) -> None:
    """As sum-left-out; but the operator forgot to take the evidence of the sum out of the folder."""
    del run.lines[RESERVES[1] : SETTLES[1] + 1]
    run.summarise()
    run.publish()


@cheat("counter-gap", RESERVES[3], severity="warning")
def devices_answered_elsewhere(run: Run) -> None:
    """Between training and validation the devices answered three plans that stand in another ledger. What
    they spent there is missing in this one's cost.
    """
    run.answer(RESERVES[3], ahead=3)
    run.publish()


@cheat("end-twice", SETTLES[3] + 1)
def aborted_and_opened(run: Run) -> None:
    """The validation was given up, says one entry; the next one says that it was opened. The operator opened
    it later all the same, from the answers that had been kept.
    """
    ended = Abort(time=run.last, plan=run.digest(RESERVES[3]), reason="too few devices")
    run.insert(SETTLES[3], ended)
    run.publish()


@cheat("evidence-of-aborted", SETTLES[3], severity="warning")
def opened_and_called_aborted(run: Run) -> None:
    """The validation was opened, and the ledger says that it was given up. The operator did not like the
    result, and forgot the evidence in the folder.
    """
    plan = run.digest(RESERVES[3])
    run.remove(f"ledger/participants/{plan}.txt")
    del run.lines[SETTLES[3]]
    run.insert(SETTLES[3], Abort(time=run.last, plan=plan, reason="too few devices"))
    run.summarise()
    run.publish()
