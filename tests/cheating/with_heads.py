"""Heads that are old, doubled, unsigned or of another ledger."""

from cheating.cheat import cheat
from cheating.folders import WITNESSED
from cheating.keys import STRANGER
from cheating.places import METRICS, RESERVES, SETTLES
from cheating.run import CHECKPOINT, FIGURES, PREVIOUS, Run
from covey.ledger.checkpoint import Checkpoint, sign_checkpoint
from covey.ledger.history import History
from covey.ledger.note import Ed25519Signer

KEPT = ("--previous", PREVIOUS)


@cheat("ledger-rolled-back", RESERVES[3])
def ledger_shorter_than_the_witness_saw(run: Run) -> None:
    """The operator hands over an older copy of the ledger: entries and head as they were before the
    validation was opened, each signature true. Only the witness can say that there was more.
    """
    size = RESERVES[3] + 1
    run.files[CHECKPOINT] = run.cosigned(size)  # as the witness did at that time: the same signature again
    run.hide(run.digest(RESERVES[3]))
    del run.lines[size:]
    run.remove(FIGURES)
    run.summarise()


@cheat("ledger-rolled-back", RESERVES[3] + 1, also=("entries-uncovered",))
def checkpoint_rolled_back(run: Run) -> None:
    """All entries are there, under the head of before the validation was opened. What came after it could
    still be exchanged, and the operator would like to keep that open.
    """
    run.files[CHECKPOINT] = run.cosigned(RESERVES[3] + 1)


@cheat("ledger-forked", audit=KEPT)
def log_forked(run: Run) -> None:
    """The reviewers' ledger has another result of round 3 than the devices'; both have one size, and a
    witness that had forgotten what it had seen cosigned both. A device's owner kept the head that was shown
    to the device.
    """
    run.files[PREVIOUS] = run.files[WITNESSED]
    run.put(SETTLES[2], sum="5" * 64)
    run.publish()


@cheat("ledger-rolled-back", METRICS - 1, audit=KEPT)
def shorter_than_last_time(run: Run) -> None:
    """After an audit, the operator cut the releases off and had what is left cosigned by a witness that was
    set up anew. The reviewer has the head of the last audit.
    """
    run.files[PREVIOUS] = run.files[WITNESSED]
    del run.lines[METRICS:]
    run.remove(FIGURES)
    run.publish()


@cheat("checkpoint-uncosigned")
def witness_not_asked(run: Run) -> None:
    """The operator leaves the witness's signature off the head. It was not convenient to wait for the
    witness, and the reviewers might not notice.
    """
    run.sign_alone()


@cheat("checkpoint-untrusted")
def checkpoint_by_another_key(run: Run) -> None:
    """The head is signed by another key under the log's name. Whoever can write to the operator's disk, but
    does not have the log's key, can do no better.
    """
    run.files[CHECKPOINT] = run.head(by=Ed25519Signer(run.log.name, STRANGER))


@cheat("second-ledger", audit=KEPT)
def second_ledger(run: Run) -> None:
    """The operator keeps a second ledger of the same fleet with the same key, for what the reviewers are not
    to see. A device's owner kept a head of it.
    """
    history = History.of([*run.lines[:2], *run.lines[4:6]])
    checkpoint = Checkpoint(f"{run.log.name}/second", history.size, history.root())
    run.files[PREVIOUS] = sign_checkpoint(checkpoint, run.log)
