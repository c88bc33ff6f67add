"""A package with provenance over the honest ledger of `made_ledger`, to be bent by tests."""

import hashlib
from dataclasses import replace
from functools import cache

import msgspec

import made_ledger
import packages_fixture
from covey.ledger.checkpoint import LogTrust
from covey.package import provenance
from covey.package.contents import MODELS, Contents, Draft, Golden, Variant, assemble, read
from covey.package.names import PROVENANCE
from covey.package.provenance import Provenance, Record
from covey.package.provenance_making import paid
from covey.package.provenance_record import Code, Figures, Missed, Quantisation
from covey.policy import reading
from covey.policy.terms import Policy
from made_ledger import RUN, Made, honest, model

DELTA = 1e-5


@cache
def policy(**changes: object) -> Policy:
    """The policy of the honest ledger."""
    text = made_ledger.policy_note().decode().rpartition("\n\n")[0] + "\n"
    found = reading.parse(text, "policy")
    return msgspec.structs.replace(found, **changes)


def trust() -> LogTrust:
    """Whose checkpoints count."""
    return policy().log_trust()


def record(made: Made | None = None, version: str = "1.0.0", **changes: object) -> Record:
    """What a publisher who is honest writes of a run."""
    made = honest() if made is None else made
    assert made.checkpoint is not None
    shown = paid(made.lines, made.checkpoint, RUN, model(3), DELTA)
    int8 = Figures(variant="int8", words="public test set", accuracy="0.91", examples=1000, latency_us=80)
    found = Record(
        name="motion",
        version=version,
        parent=None,
        run=RUN,
        first_round=1,
        last_round=3,
        model=model(3),
        policy=shown.policy,
        code=Code(version="0.1.0", commit="0" * 40),
        participants=shown.participants,
        claim=shown.claim,
        sums=shown.sums,
        budget=shown.budget,
        settle=shown.settle,
        carried=shown.carried,
        checkpoint=shown.checkpoint,
        quantisation=Quantisation(method="static", calibration="Public inputs.", fp32_bytes=1, int8_bytes=1),
        figures=(
            Figures(
                variant="fp32",
                words="public test set",
                accuracy="0.92",
                examples=1000,
                missed=(Missed(label="falling", share="0.125"), Missed(label="resting", share=None)),
                latency_us=120,
            ),
            int8,
        ),
    )
    return msgspec.structs.replace(found, **changes)


def drafted(version: str = "1.0.0", *, int8: bool = True) -> Draft:
    """The package without provenance."""
    models: dict[Variant, bytes] = {"fp32": packages_fixture.model()}
    if int8:
        models["int8"] = packages_fixture.model(step=0.05)
    x = packages_fixture.inputs()
    outputs = {variant: packages_fixture.logits(content, x) for variant, content in models.items()}
    return Draft(
        name="motion",
        version=version,
        model="tiny",
        labels=packages_fixture.LABELS,
        preprocessing=packages_fixture.SCALE,
        models=models,
        golden=Golden(x, outputs),
        card=packages_fixture.CARD,
    )


def digests(draft: Draft) -> dict[str, str]:
    """SHA-256 of each model, by file name."""
    return {MODELS[variant]: hashlib.sha256(data).hexdigest() for variant, data in draft.models.items()}


def files(of: Record, *, int8: bool = True) -> dict[str, bytes]:
    """An unsigned package with provenance."""
    draft = drafted(of.version, int8=int8)
    data = provenance.encode(provenance.provenance_of(digests(draft), of))
    return assemble(replace(draft, extra={PROVENANCE: data}))


def package(of: Record | None = None) -> tuple[Contents, Provenance]:
    """A package, and its provenance as decoded."""
    contents = read(files(record() if of is None else of))
    found = provenance.read_provenance(contents)
    assert found is not None
    return contents, found
