"""Entries changed, removed, put in, moved and cut off after their head was cosigned; and false dates."""

from hashlib import sha256

from cheating.cheat import cheat
from cheating.places import METRICS, MODEL, RESERVES, SETTLES
from cheating.run import DAY, FIGURES, PREVIOUS, Run
from covey.ledger.entries import AuditResult, TuningRun


@cheat("ledger-changed", also=("ledger-forked",))
def entry_changed(run: Run) -> None:
    """After the figures were released, the operator wrote a better accuracy into them, and the new file's
    hash into the entry. Whoever compares file and entry finds that they agree; the head was signed over
    others.
    """
    run.put(METRICS, sha256=run.prettier_figures())


@cheat("ledger-forked", also=("checkpoint-uncosigned",))
def entry_changed_and_signed(run: Run) -> None:
    """As entry-changed, and the operator signed a new head with the log's key, which the operator has. The
    witness does not cosign it, for it is no continuation of what it has seen.
    """
    run.put(METRICS, sha256=run.prettier_figures())
    run.sign_alone()


@cheat("ledger-shorter", METRICS, also=("ledger-rolled-back",))
def entry_removed(run: Run) -> None:
    """The operator took the release of the figures out of the ledger, and the figures out of the folder.
    Nobody is to ask to whom they were given.
    """
    del run.lines[METRICS]
    run.remove(FIGURES)


def _tuning(run: Run) -> TuningRun:
    words = "none: settings are from public data"
    return TuningRun(time=run.last, run=run.name, words=words, epsilon="0", delta="0")


@cheat("ledger-changed", also=("entries-uncovered", "ledger-forked"))
def entry_inserted(run: Run) -> None:
    """The reviewers asked how the settings were chosen, and the operator put the answer in afterwards, before
    the first sum. In truth they were tried out on the same people's data.
    """
    run.insert(RESERVES[0], _tuning(run))


@cheat("ledger-forked", also=("checkpoint-uncosigned",))
def entry_inserted_and_signed(run: Run) -> None:
    """As entry-inserted, under a new head that the log's key signed. The first entries are now others than
    those that the witness has seen.
    """
    run.insert(RESERVES[0], _tuning(run))
    run.sign_alone()


@cheat("ledger-changed", also=("ledger-forked",))
def entries_reordered(run: Run) -> None:
    """The operator moved the model's release before that of the figures. It is to look as if nobody had known
    how good the model was when it was given away.
    """
    run.lines[METRICS], run.lines[MODEL] = run.lines[MODEL], run.lines[METRICS]


def _cut(run: Run) -> None:
    run.hide(run.digest(RESERVES[3]))
    del run.lines[RESERVES[3] :]
    run.remove(FIGURES)
    run.summarise()


@cheat("ledger-shorter", SETTLES[2], also=("ledger-rolled-back",))
def ledger_truncated(run: Run) -> None:
    """The operator cut off the validation and what was released after it, with its evidence, and wrote the
    summary anew. The run is to look as if it had asked for less.
    """
    _cut(run)


@cheat("ledger-rolled-back", SETTLES[2], also=("checkpoint-uncosigned",))
def ledger_truncated_and_signed(run: Run) -> None:
    """As ledger-truncated, and the log's key signed a head over what is left. It fits; but the witness has
    cosigned a larger one.
    """
    _cut(run)
    run.sign_alone()


@cheat("end-without-reserve", RESERVES[1], also=("evidence-of-aborted",))
def reserved_after_it_was_opened(run: Run) -> None:
    """The operator asked for a sum first and entered it when the result was good enough to be kept. The
    witness saw the entries in this order, and cosigned.
    """
    first, second = RESERVES[1], SETTLES[1]
    run.lines[first], run.lines[second] = run.lines[second], run.lines[first]
    run.summarise()
    run.publish()


@cheat("entry-malformed", RESERVES[0])
def float_in_an_entry(run: Run) -> None:
    """What trying out settings has cost stands in the ledger as a binary float, where a decimal string
    belongs. Two readers may round it to two numbers, and the smaller one is quoted.
    """
    time = run.last
    line = b'{"delta":"0.00001","epsilon":0.1,"kind":"tuning.run","run":"%s","time":%d,"words":"grid search"}'
    run.lines.insert(RESERVES[0], line % (run.name.encode(), time))
    run.publish(time)


@cheat("time-untrue", RESERVES[3], severity="warning")
def entries_dated_ahead(run: Run) -> None:
    """The operator dated everything from the validation on a day later than it was. With such dates, any rate
    limit is kept.
    """
    time = run.last
    for index in range(RESERVES[3], len(run.lines)):
        run.put(index, time=time + DAY)
    run.now = time + 2 * DAY
    run.publish(time)


@cheat("time-untrue", RESERVES[3], severity="warning", audit=("--previous", PREVIOUS))
def entries_dated_back(run: Run) -> None:
    """The validation was asked for two days after the training, and is dated as if it had been the same hour.
    By then the reviewer had audited the training, and kept the head that the witness had cosigned a day
    later.
    """
    time = run.last
    run.files[PREVIOUS] = run.cosigned(RESERVES[3], time + DAY)
    run.now = time + 3 * DAY
    run.publish(time + 2 * DAY)


@cheat("audit-of-another-ledger", MODEL + 1)
def audit_of_another_ledger(run: Run) -> None:
    """The operator entered an audit without findings. It is the audit of another ledger, in which the same
    run looked better.
    """
    other, report = sha256(b"another ledger").hexdigest(), sha256(b"its report").hexdigest()
    size = len(run.lines)
    audit = AuditResult(time=run.last, size=size, root=other, findings=0, report=report, words="all is well")
    run.insert(size, audit)
    run.publish()
