"""What a device checks of a release's account of its own making, and each way in which it may be false."""

import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import made_ledger
from covey import plan as plans
from covey.errors import InputError, PackageError
from covey.gate import GateLimits, counts_of, decide
from covey.ledger import entries
from covey.ledger.entries import Reserve, Settle
from covey.package.contents import read
from covey.package.provenance import Record, check_provenance, decode, encode, provenance_of, read_provenance
from covey.package.provenance_making import paid
from covey.package.provenance_record import Parent
from covey.package.provenance_sums import AskedSums, asked, grouped
from covey.plan import Compare, Health, Noise
from covey.policy.terms import Budget
from covey.spending import Asked
from made_ledger import RUN, honest, model
from made_provenance import DELTA, package, policy, record, trust
from packages_fixture import unsigned

replace = msgspec.structs.replace
PARENT = Parent(name="motion", version="0.9.0", sha256="a" * 64)


def check(of: Record, **changes: object) -> None:
    check_provenance(*package(of), policy(**changes), trust())


def test_an_honest_release_holds() -> None:
    check(record())
    check(record(parent=PARENT))
    check_provenance(*package(), None, trust())


def test_what_stands_in_it() -> None:
    found = record()
    budget, carried = entries.decode(found.budget.line.encode()), entries.decode(found.carried.line.encode())
    assert isinstance(budget, Reserve)
    assert budget == carried  # the run ends with a validation of the model that is released
    assert found.settle is not None
    settle = entries.decode(found.settle.line.encode())
    assert isinstance(settle, Settle)
    assert (found.participants, settle.members.survivors) == (12, 12)
    assert found.claim.epsilon_server == "1.491"
    assert [len(each.at) for each in found.sums] == [4, 1]


def test_tools_that_know_slsa_can_read_it() -> None:
    _, found = package(record(parent=PARENT))
    seen = json.loads(encode(found))
    assert seen["_type"] == "https://in-toto.io/Statement/v1"
    assert seen["predicateType"] == "https://slsa.dev/provenance/v1"
    assert [each["name"] for each in seen["subject"]] == ["model.fp32.onnx", "model.int8.onnx"]
    built = seen["predicate"]["buildDefinition"]
    assert {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"} == set(built)
    assert [each["digest"] for each in built["resolvedDependencies"]] == [
        {"sha256": "a" * 64},
        {"sha256": record().policy},
        {"gitCommit": "0" * 40},
    ]
    assert set(seen["predicate"]["runDetails"]) == {"builder", "metadata"}


def test_a_package_without_it_stays_readable() -> None:
    assert read_provenance(read(unsigned())) is None


def test_models_of_another_package_are_told() -> None:
    contents, found = package()
    other = provenance_of({"model.fp32.onnx": "0" * 64, "model.int8.onnx": "1" * 64}, found.record)
    with pytest.raises(PackageError, match="subjects are not the models"):
        check_provenance(contents, other, policy(), trust())
    only = provenance_of({"model.fp32.onnx": found.subjects["model.fp32.onnx"]}, found.record)
    with pytest.raises(PackageError, match="subjects are not the models"):
        check_provenance(contents, only, policy(), trust())
    with pytest.raises(PackageError, match=r"of motion 2\.0\.0, not motion 1\.0\.0"):
        check_provenance(contents, provenance_of(found.subjects, record(version="2.0.0")), None, trust())


def without_last_sum(found: Record) -> dict[str, object]:
    return {"sums": found.sums[:-1]}


def without_second_sum(found: Record) -> dict[str, object]:
    first, *rest = found.sums
    at = tuple(place for place in first.at if place != (2, 0))
    return {"sums": (replace(first, at=at), *rest)}


def with_a_sum_twice(found: Record) -> dict[str, object]:
    return {"sums": (*found.sums, found.sums[0])}


def with_less_noise(found: Record) -> dict[str, object]:
    first, *rest = found.sums
    noise = Noise(mechanism="skellam", variance=1_000_000, removal=False, seeded=False)
    return {"sums": (replace(first, noise=noise), *rest)}


def with_less_epsilon(found: Record) -> dict[str, object]:
    return {"claim": replace(found.claim, epsilon_server="1.4")}


def with_other_masks(found: Record) -> dict[str, object]:
    return {"claim": replace(found.claim, masks="none")}


def with_no_epsilon(found: Record) -> dict[str, object]:
    return {"claim": replace(found.claim, epsilon_server=None)}


def with_another_entry(found: Record) -> dict[str, object]:
    return {"budget": replace(found.budget, index=found.budget.index - 1)}


def with_a_changed_entry(found: Record) -> dict[str, object]:
    return {"budget": replace(found.budget, line=found.budget.line.replace('"time":1', '"time":2'))}


def with_a_settle_as_budget(found: Record) -> dict[str, object]:
    assert found.settle is not None
    return {"budget": found.settle}


def with_fewer_devices(found: Record) -> dict[str, object]:
    return {"participants": found.participants - 1}


@pytest.mark.parametrize(
    ("bent", "words"),
    [
        (without_last_sum, "last sum is not listed"),
        (without_second_sum, "lists no sum 2"),
        (with_a_sum_twice, "a sum twice"),
        (with_less_noise, r"states ε = 1\.491, its sums cost"),
        (with_less_epsilon, r"states ε = 1\.4, its sums cost 1\.491"),
        (with_other_masks, "protected otherwise"),
        (with_no_epsilon, "none where there is one"),
        (with_another_entry, "is not in the ledger"),
        (with_a_changed_entry, "is not in the ledger"),
        (with_a_settle_as_budget, "reserves nothing"),
        (with_fewer_devices, "12 devices were in its last sum"),
        (lambda _: {"run": "run-b"}, "of run 'run-a', not of 'run-b'"),
        (lambda _: {"policy": "0" * 64}, "appeals to another policy"),
        (lambda _: {"model": "0" * 64}, "carried another model"),
        (lambda _: {"last_round": 2}, "of a later sum than its last"),
    ],
)
def test_an_account_that_is_false_is_refused(bent: Callable[[Record], dict[str, object]], words: str) -> None:
    found = record()
    with pytest.raises(PackageError, match=words) as caught:
        check(replace(found, **bent(found)))
    assert caught.value.message.startswith("provenance.json: ")


def test_an_earlier_sum_cannot_pass_for_the_last() -> None:
    """A publisher who hides the last sum has to leave out its entry as well: then the model is of no plan."""
    made = honest()
    assert made.checkpoint is not None
    earlier = made_ledger.head_over(made.lines[:11])
    with pytest.raises(InputError, match="no whole run"):
        paid(made.lines, earlier, RUN, model(3), DELTA)
    with pytest.raises(InputError, match="carried these parameters"):
        paid(made.lines[:11], earlier, RUN, model(3), DELTA)
    shown = paid(made.lines[:11], earlier, RUN, model(2), DELTA)
    hidden = record(
        sums=shown.sums,
        budget=shown.budget,
        settle=shown.settle,
        checkpoint=shown.checkpoint,
        claim=shown.claim,
    )
    with pytest.raises(PackageError, match="is not in the ledger"):
        check(hidden)


def test_a_last_sum_of_any_number_takes_no_memory() -> None:
    """2^40 serial numbers in a set would take a device down; the first that are missing say enough."""
    made = honest()
    last = max(place for place, entry in enumerate(made.entries) if isinstance(entry, Reserve))
    far = made.replanned(last, sum=1 << 40)
    assert far.checkpoint is not None
    shown = paid(far.lines, far.checkpoint, RUN, model(3), DELTA)
    names = ("claim", "sums", "budget", "settle", "carried", "checkpoint")
    with pytest.raises(PackageError, match="lists no sum 5, 6, 7, 8, 9 "):
        check(record(honest(), "1.0.0", **{name: getattr(shown, name) for name in names}))


def shown_of(made: made_ledger.Made, carried: str) -> dict[str, object]:
    """What an honest publisher shows of a run whose parameters another plan than the last carried."""
    assert made.checkpoint is not None
    shown = paid(made.lines, made.checkpoint, RUN, carried, DELTA)
    return {"model": carried, **{name: getattr(shown, name) for name in ("claim", "sums", "carried")}}


def test_the_sum_that_carried_the_model_cannot_be_listed_with_more_noise() -> None:
    """Its entry is in the package: its figures are no longer the publisher's word alone."""
    found = record(honest(), "1.0.0", **shown_of(honest(), model(2)))
    check(found)
    train, *rest = found.sums
    assert train.noise is not None
    quiet = replace(train, noise=replace(train.noise, variance=train.noise.variance * 100))
    with pytest.raises(PackageError, match="model's sum is not listed as it stands"):
        check(replace(found, sums=(quiet, *rest)))


@pytest.mark.parametrize("task", [Compare(64), Health("motion-1", "ab" * 32, 2)])
def test_a_plan_that_carried_no_parameters_is_no_proof_of_a_model(task: Compare | Health) -> None:
    made = honest()
    last = max(place for place, entry in enumerate(made.entries) if isinstance(entry, Reserve))
    files = "f" * 64
    made = made.replanned(last, task=task, model_sha256=files)
    assert made.checkpoint is not None
    shown = paid(made.lines, made.checkpoint, RUN, files, DELTA)
    names = ("claim", "sums", "budget", "settle", "carried", "checkpoint")
    with pytest.raises(PackageError, match="carried no parameters: it asks for"):
        check(record(model=files, **{name: getattr(shown, name) for name in names}))


def test_a_checkpoint_must_be_signed_and_witnessed_as_trusted() -> None:
    made = honest()
    stranger = made_ledger.head_over(made.lines, log=made_ledger.STRANGER)
    with pytest.raises(PackageError, match="did not sign"):
        check(record(checkpoint=stranger.decode()))
    assert made.checkpoint is not None
    text, _, signatures = made.checkpoint.decode().partition("\n\n")
    alone = f"{text}\n\n{signatures.splitlines()[0]}\n"
    with pytest.raises(PackageError, match="0 of 1 cosignatures"):
        check(record(checkpoint=alone))


def test_more_than_the_policy_allows_is_refused() -> None:
    budget = policy().budget
    with pytest.raises(PackageError, match=r"cost ε = 1\.491 at δ = 1e-5, the policy allows 1\.49\b"):
        check(record(), budget=replace(budget, epsilon="1.49"))
    check(record(), budget=replace(budget, epsilon="1.4911"))
    with pytest.raises(PackageError, match="protect one device, the policy promises it for one example"):
        check(record(), budget=Budget(unit="example", epsilon="8", delta="1e-5", answers=10))


def test_epsilon_is_computed_at_the_policys_delta_not_at_the_stated_one() -> None:
    made = honest()
    assert made.checkpoint is not None
    loose = paid(made.lines, made.checkpoint, RUN, model(3), 0.01)
    assert float(loose.claim.epsilon_server or "9") < 1.2
    budget = replace(policy().budget, epsilon="1.2")
    with pytest.raises(PackageError, match=r"cost ε = 1\.491"):
        check(record(claim=loose.claim), budget=budget)


def test_an_older_policy_than_the_runs_is_refused() -> None:
    made = honest()
    for index, entry in enumerate(made.entries):
        if isinstance(entry, Reserve):
            reference = replace(plans.from_bytes(entry.plan).policy, serial=2)  # type: ignore[type-var]
            made = made.replanned(index, policy=reference)
    with pytest.raises(PackageError, match="under policy 2, the one at hand is 1"):
        check(record(made))


def test_noise_from_a_seed_protects_nobody_outside_a_simulation() -> None:
    made = honest()
    for index, entry in enumerate(made.entries):
        if isinstance(entry, Reserve):
            noise = plans.from_bytes(entry.plan).noise
            assert noise is not None
            made = made.replanned(index, noise=replace(noise, seeded=True))
    with pytest.raises(PackageError, match="came from a seed"):
        check(record(made))
    check(record(made), simulation=True)


def test_a_release_whose_gate_did_not_pass_is_refused() -> None:
    cells = [10_000, 9_500, 9_480, 60, 40, 9_000, 300, 315, 1_000, 20, 21]
    passed = decide(counts_of(cells, ("a", "b"), (), 0), GateLimits())
    check(record(gate=passed))
    failed = decide(counts_of([*cells[:2], 9_000, 540, 40, *cells[5:]], ("a", "b"), (), 0), GateLimits())
    with pytest.raises(PackageError, match="not to be published: the gate failed; accuracy drop"):
        check(record(gate=failed))
    with pytest.raises(PackageError, match="not to be published"):
        check(record(gate=replace(failed, verdict="passed")))


def test_there_is_one_spelling() -> None:
    _, found = package(record(parent=PARENT))
    data = encode(found)
    assert decode(data) == found
    for other in (
        data + b"\n",
        json.dumps(json.loads(data)).encode(),
        data.replace(b'"run":"run-a"', b'"run":"run-b"', 1),
        data.replace(b'"version":"0.1.0"', b'"version":"0.2.0"', 1),
        data.replace(b'{"_type"', b'{"_more":1,"_type"'),
        b"{}",
        b"\xff",
        b"[" * 100_000,
        bytes((4 << 20) + 1),
    ):
        with pytest.raises(PackageError, match=r"provenance\.json"):
            decode(other)


def test_nothing_that_cannot_be_read_is_written() -> None:
    with pytest.raises(PackageError, match="matching regex"):
        encode(provenance_of({"model.fp32.onnx": "0" * 64}, record(model="none")))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_byte_changed_is_refused_or_means_another_thing(data: st.DataObject) -> None:
    _, found = package()
    spelled = bytearray(encode(found))
    place = data.draw(st.integers(0, len(spelled) - 1))
    spelled[place] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(spelled))
    except PackageError:
        return
    assert other != found


counts = st.integers(1, 1 << 20)
noises = st.none() | st.builds(
    Noise,
    mechanism=st.just("skellam"),
    variance=st.integers(1, 1 << 40),
    removal=st.booleans(),
    seeded=st.booleans(),
)


@given(
    st.lists(
        st.builds(
            Asked,
            run=st.just("r"),
            sum=counts,
            cohort_number=st.integers(0, 3),
            kind=st.sampled_from(["train", "validate"]),
            unit=st.just("device"),
            cohort=st.sampled_from([10, 20]),
            minimum=st.just(8),
            corrupt=st.just(1),
            length=st.just(5),
            norm=st.just(9),
            sampling_rate=st.floats(1e-12, 1),
            masks=st.just("on"),
            noise=noises,
        ),
        min_size=1,
        max_size=8,
        unique_by=lambda each: (each.sum, each.cohort_number),
    )
)
@settings(deadline=None)
def test_sums_are_grouped_without_loss(sums: list[Asked]) -> None:
    sent = msgspec.json.encode(grouped(sums))
    back = msgspec.json.decode(sent, type=tuple[AskedSums, ...])
    assert asked(back, "r") == sorted(sums, key=lambda each: (each.sum, each.cohort_number))
