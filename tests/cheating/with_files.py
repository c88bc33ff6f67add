"""What was released, and what a run's files say beside its ledger."""

from hashlib import sha256

from cheating.cheat import cheat
from cheating.places import METRICS, MODEL, RESERVES
from cheating.run import Run

PACKAGE = "demo.covey"


@cheat("summary-differs", RESERVES[3])
def smaller_epsilon_in_the_summary(run: Run) -> None:
    """The summary states half the epsilon that the ledger's sums give. It is the file that people read."""
    said = run.privacy["epsilon_server"]
    statement = run.privacy["statement"].replace(f"ε = {said} ", f"ε = {said / 2} ")
    run.claim(epsilon_server=said / 2, statement=statement)


@cheat("summary-differs", RESERVES[3])
def smaller_epsilon_in_its_words(run: Run) -> None:
    """The summary's figures are right, and its statement, which is quoted, says half of them. Scripts find
    nothing wrong.
    """
    said = run.privacy["epsilon_server"]
    run.claim(statement=run.privacy["statement"].replace(f"ε = {said} ", f"ε = {said / 2} "))


@cheat("summary-differs", RESERVES[3])
def larger_delta_in_the_summary(run: Run) -> None:
    """The summary states the right epsilon for a delta that is a thousand times the policy's. The figure is
    smaller, and few look at the other one.
    """
    run.summarise(delta=0.01)


@cheat("release-differs", METRICS)
def figures_exchanged(run: Run) -> None:
    """After their release, the figures were exchanged for better ones. The ledger has the first hash."""
    run.prettier_figures()


@cheat("release-unlogged", severity="warning")
def figures_not_entered(run: Run) -> None:
    """The figures were given away, and no entry says so. Who was told how good the model is need not be
    answered then.
    """
    del run.lines[METRICS]
    run.publish()


@cheat("release-differs", MODEL)
def package_exchanged(run: Run) -> None:
    """Another package stands in the folder than the one that was released, one that was trained on without
    noise. It has the same name.
    """
    run.files[PACKAGE] = b"A package of another model.\n"


@cheat("release-unpaid", MODEL)
def release_of_another_runs_model(run: Run) -> None:
    """A model that was trained elsewhere, without noise, was released as this run's. This run's budget is to
    pay for it.
    """
    other = sha256(b"a model of another run").hexdigest()
    run.put(MODEL, model=other)
    run.summarise(model_sha256=other)
    run.publish()


@cheat("release-unpaid", MODEL)
def release_on_another_runs_budget(run: Run) -> None:
    """The release names a run that no sum in this ledger is of. Its cost seems to have been counted there."""
    run.put(MODEL, run="0123456789abcdef")
    run.publish()


@cheat("release-under-other-policy", MODEL)
def release_under_another_policy(run: Run) -> None:
    """The release names a policy with a larger purpose than the one that its run was under. The model was
    trained under the narrow one.
    """
    run.put(MODEL, policy=sha256(b"another policy").hexdigest())
    run.publish()
