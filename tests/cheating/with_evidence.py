"""Who was in a sum: overstated, hidden or made up."""

import msgspec

from cheating.answers import answered
from cheating.cheat import cheat
from cheating.places import RESERVES, SETTLES
from cheating.run import Run
from covey.identity import claimed_roster, sign
from covey.ledger.entries import Reserve, Settle
from covey.secagg import evidence as proofs
from covey.secagg.messages import InputProof
from covey.secagg.terms import Terms, input_statement, set_digest

ROUND, END = RESERVES[2], SETTLES[2]
DROPPED = (3, 7, 11, 15)


@cheat("evidence-forged", END)
def survivors_overstated(run: Run) -> None:
    """Sixteen devices were in the third round, its settle says twenty. The more devices, the more noise is
    counted for whoever sees only what is released.
    """
    honest = run.entry(END, Settle).members
    run.answer(ROUND, dropped=DROPPED)
    run.put(END, members=honest)
    run.publish()


@cheat("members-impossible", END, also=("evidence-forged",))
def opened_below_the_minimum(run: Run) -> None:
    """Thirteen devices answered in the third round, the plan's minimum is fourteen, and the operator opened
    the sum all the same. A round's work was not to be lost for one device.
    """
    run.answer(ROUND, dropped=range(7))
    run.summarise()
    run.publish()


@cheat("evidence-missing", END, severity="warning")
def evidence_missing(run: Run) -> None:
    """The third round's evidence is not in the folder. It would show that devices were asked which should not
    have been, the operator fears.
    """
    run.remove(f"ledger/evidence/{run.digest(ROUND)}.msgpack")


@cheat("evidence-changed", END)
def evidence_changed(run: Run) -> None:
    """The third round's evidence was exchanged for that of fewer devices after the sum was settled. One of
    them is not to be seen to have been in it.
    """
    sent = run.entry(ROUND, Reserve).plan
    terms = Terms.of(sent)
    fewer = answered(run.evidence(sent), terms, run.keys.identity, dropped=DROPPED[:1])
    run.files[f"ledger/evidence/{terms.digest.hex()}.msgpack"] = proofs.to_bytes(fewer)


@cheat("evidence-forged", END)
def evidence_forged(run: Run) -> None:
    """One device's signature on its answer to the third round was made with another device's key, the only
    one that the operator has. The sum was to seem to have had one device more.
    """
    sent = run.entry(ROUND, Reserve).plan
    terms, honest = Terms.of(sent), run.evidence(sent)
    first, missing, *others = honest.inputs
    own = claimed_roster(run.roster).certificates[first.position].device
    shown = proofs.shown_by_server(honest, terms)
    statement = input_statement(terms, shown.u1, set_digest(shown.u1, honest.u2), missing.vector)
    made_up = sign(run.keys.identity(own), "mi", statement)
    forged = InputProof(missing.position, missing.vector, made_up)
    run.show(END, msgspec.structs.replace(honest, inputs=(first, forged, *others)), terms)
    run.publish()


@cheat("participants-changed", END)
def participants_changed(run: Run) -> None:
    """A device's owner wants proof that the device was in the third round, and the operator took its leaf out
    of the public list. The settle commits to the whole list.
    """
    path = f"ledger/participants/{run.digest(ROUND)}.txt"
    run.files[path] = b"".join(run.files[path].splitlines(keepends=True)[1:])
