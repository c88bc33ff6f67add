import hashlib
import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey import plan as plans
from covey.accounting.norms import rounded_norms
from covey.encode import Part, Shape, finest, laid_out, squared_sensitivity
from covey.errors import ProtocolError
from covey.examples import Standardise
from covey.noise.removal import LARGEST_TOLERANCE, components
from covey.noise.table import LARGEST_VARIANCE
from covey.plan import (
    MAX_PLAN_BYTES,
    MOST_PARTS,
    CentralNoise,
    Gradient,
    Noise,
    Plan,
    PolicyReference,
    RosterReference,
    Statistics,
    Suite,
    Task,
    Train,
    Validate,
    noise_shares,
)
from covey.secagg.graph import quorum

TRAIN = Train(
    epochs=1,
    batch_size=16,
    learning_rate=0.05,
    momentum=0.9,
    gradient_clip=0.0,
    proximal_mu=0.0,
    weighting="examples",
    examples_cap=512,
    update_clip=10.0,
)
GRADIENT = Gradient(
    sampling_rate=0.1,
    augmentations=4,
    gradient_clip=1.0,
    learning_rate=0.5,
    expected_batch=100.0,
    examples_cap=50,
)
SHAPES = {"update": Shape(3818, 10.0), "loss": Shape(1, 20.0, 0.01), "weight": Shape(1, 1.0, 0.05)}
SUITE = Suite(profile="malicious-server", cipher="chacha20", bits=24)
NOISE = Noise(mechanism="skellam", variance=1_000_000, removal=True, seeded=False)
CLEAR = Plan(
    run="0123456789abcdef",
    sum=7,
    round=3,
    model="digits",
    model_sha256="ab" * 32,
    preprocessing=Standardise((0.5,), (0.25,)),
    task=TRAIN,
    parts=laid_out(SHAPES, finest(3820, 20)),
    unit="device",
    norm=finest(3820, 20),
    cohort=20,
    minimum=2,
    masks="none",
)
PLAN = msgspec.structs.replace(
    CLEAR,
    parts=laid_out(SHAPES, 1024),
    norm=1024,
    minimum=14,
    masks="on",
    suite=SUITE,
    noise=NOISE,
    roster=RosterReference(sha256="cd" * 32, serial=4),
)
"""Everything in it: masked and noisy."""

SENT = plans.to_bytes(PLAN)

Tree = dict[str, Any]
Change = Callable[[Tree], object]


def tree() -> Tree:
    """The plan as plain tables."""
    plain: Tree = msgspec.msgpack.decode(SENT)
    return plain


def pack(plain: Tree) -> bytes:
    return msgspec.msgpack.encode(plain)


def changed(change: Change) -> bytes:
    plain = tree()
    change(plain)
    return pack(plain)


def put(*path_and_value: Any) -> Change:
    """Sets one place of a tree: put("task", "epochs", 0)."""
    *path, key, value = path_and_value

    def change(plain: Any) -> None:
        for step in path:
            plain = plain[step]
        plain[key] = value

    return change


def refused(data: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        plans.from_bytes(data)
    assert caught.value.blame == "server"
    return caught.value.message


def test_the_tree_can_be_sent_as_it_is() -> None:
    assert pack(tree()) == SENT


def test_digest_known_answer() -> None:
    assert plans.digest(b"plan") == hashlib.sha256(b"covey/v1/plan\x00plan").hexdigest()
    assert plans.digest(b"plan") == "28d7ff2653f95d16402eef38c6afcb6d6e4b8c064cc7bb162cbf328b307ac08e"


def test_the_bytes_of_a_plan_do_not_drift() -> None:
    small = msgspec.structs.replace(
        PLAN, preprocessing=None, task=Statistics(9), parts=(Part("first", 2, 1.5, 7.0),)
    )
    assert hashlib.sha256(plans.to_bytes(small)).hexdigest() == DRIFT
    assert plans.from_bytes(plans.to_bytes(small)) == small


DRIFT = "e5a1590915768976605475fe9d634c76bf227a8f334c88e073e8f8f603efa02d"
"""SHA-256 of a plan's bytes: what devices of this version expect."""

device_tasks: st.SearchStrategy[Task] = st.one_of(
    st.builds(Validate, st.integers(1, 1 << 31)),
    st.builds(Statistics, st.integers(1, 1 << 31)),
    st.builds(
        Train,
        epochs=st.integers(1, 1000),
        batch_size=st.integers(1, 1 << 16),
        learning_rate=st.floats(0, 1e9, exclude_min=True),
        momentum=st.floats(0, 1, exclude_max=True),
        gradient_clip=st.floats(0, 1e9),
        proximal_mu=st.floats(0, 1e9),
        weighting=st.sampled_from(["devices", "examples"]),
        examples_cap=st.integers(1, 1 << 31),
        update_clip=st.floats(0, 1e9, exclude_min=True),
        personal=st.lists(st.text(min_size=1, max_size=9), max_size=3, unique=True).map(tuple),
        within=st.booleans(),
    ),
)
example_tasks: st.SearchStrategy[Task] = st.one_of(
    st.builds(Validate, st.integers(1, 100)),
    st.builds(Statistics, st.integers(1, 100)),
    st.builds(
        Gradient,
        sampling_rate=st.floats(0, 1, exclude_min=True),
        augmentations=st.integers(0, 256),
        gradient_clip=st.floats(1e-9, 1e9),
        learning_rate=st.floats(0, 1e9, exclude_min=True),
        expected_batch=st.floats(0, 1e9, exclude_min=True),
        examples_cap=st.integers(1, 100),
    ),
)
suites = st.builds(
    Suite,
    profile=st.just("malicious-server"),
    cipher=st.sampled_from(["chacha20", "aes-256-ctr"]),
    bits=st.just(32),
)
references = st.builds(
    RosterReference,
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    serial=st.integers(0, 1 << 62),
)
channel = st.tuples(st.floats(-1e30, 1e30), st.floats(1e-30, 1e30))
scalings = st.lists(channel, min_size=1, max_size=6).map(
    lambda channels: Standardise(tuple(m for m, _ in channels), tuple(d for _, d in channels))
)


@st.composite
def any_plan(draw: st.DrawFn) -> Plan:
    """A sound plan of any kind: masked or not, with noise or without."""
    unit, on, noisy = draw(st.sampled_from(["device", "example"])), draw(st.booleans()), draw(st.booleans())
    task = draw(device_tasks if unit == "device" else example_tasks)
    cohort = draw(st.integers(10, 500) if on else st.integers(2, 1000))
    corrupt = draw(st.integers(1, max(1, min(3, cohort // 4))))
    least = max(quorum(cohort, corrupt), corrupt + 2) if on else min(corrupt + 1, cohort)
    names = draw(st.lists(st.text(max_size=9), min_size=1, max_size=4, unique=True))
    shapes = {
        name: Shape(draw(st.integers(1, 1000)), draw(st.floats(1e-3, 1e5)), draw(st.floats(0.1, 1)))
        for name in names
    }
    length = sum(shape.length for shape in shapes.values())
    rows = cohort * (1 if unit == "device" else task.examples_cap)
    norm = draw(st.integers(64, 1024)) if noisy else max(finest(length, rows), 1)
    noise = Noise(mechanism="skellam", variance=draw(st.integers(1, 10**7)), removal=False, seeded=on)
    return Plan(
        run=draw(st.text(min_size=1, max_size=128)),
        sum=draw(st.integers(1, 1 << 40)),
        round=draw(st.integers(0, 999_999)),
        model=draw(st.text(min_size=1, max_size=128)),
        model_sha256=draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
        preprocessing=draw(st.none() | scalings),
        task=task,
        parts=laid_out(shapes, norm),
        unit=unit,  # type: ignore[arg-type]
        norm=norm,
        cohort=cohort,
        cohorts=3,
        cohort_number=draw(st.integers(0, 2)),
        minimum=draw(st.integers(max(least, 2), cohort)),
        corrupt=corrupt,
        masks="on" if on else draw(st.sampled_from(["elided", "none"])),
        suite=draw(suites) if on else None,
        noise=noise if noisy else None,
        roster=draw(references) if on else None,
        deadline=draw(st.integers(0, 1 << 40)),
    )


@given(any_plan())
def test_round_trip(plan: Plan) -> None:
    sent = plans.to_bytes(plan)
    assert plans.from_bytes(sent) == plan
    assert plans.to_bytes(plans.from_bytes(sent)) == sent


def test_length_adds_up_the_parts() -> None:
    assert PLAN.length == 3820


def test_every_truncation_is_refused() -> None:
    for end in range(len(SENT)):
        refused(SENT[:end])


def test_tens_of_thousands_of_parts_are_refused_before_they_are_added_up() -> None:
    """Exact sums of the smallest floats there are: a megabyte of them took a device seconds, each time."""
    parts = tuple(Part(f"{number:x}", 1, 5e-324, 5e-324) for number in range(42_000))
    assert refused(plans.to_bytes(msgspec.structs.replace(PLAN, parts=parts))).startswith("a malformed plan")
    many = laid_out({f"{number}": Shape(1, 1.0) for number in range(MOST_PARTS)}, 1024)
    assert plans.from_bytes(plans.to_bytes(msgspec.structs.replace(PLAN, parts=many))).parts == many


@pytest.mark.parametrize(
    "part", [Part("endless", 1 << 30, 1e-9, 1e-9), Part("heavy", 1, 1e18, float(1 << 40))]
)
def test_numbers_that_no_formula_takes_are_the_servers_fault(part: Part) -> None:
    plan = msgspec.structs.replace(PLAN, parts=(*PLAN.parts, part), noise=None)
    assert "not" in refused(plans.to_bytes(plan))


def assert_checked(plan: Plan) -> None:
    """What every later line of code relies on, written a second time."""
    assert plan.version == 2
    assert 2 <= plan.minimum <= plan.cohort
    assert 0 <= plan.cohort_number < plan.cohorts
    assert len({part.name for part in plan.parts}) == len(plan.parts) > 0
    assert all(
        part.length > 0 and 0 < part.scale < math.inf and 0 < part.clip < math.inf for part in plan.parts
    )
    assert (plan.suite is not None) == (plan.roster is not None) == (plan.masks == "on")
    if plan.unit == "device":
        assert not isinstance(plan.task, Gradient)
    else:
        assert not isinstance(plan.task, Train)
    if plan.suite is not None:
        assert plan.corrupt >= 1
        assert plan.minimum >= plan.corrupt + 2
        assert plan.cohort >= 10
    if plan.suite is not None and plan.suite.profile == "malicious-server":
        assert 2 * plan.minimum > plan.cohort + plan.corrupt
        assert plan.cohort <= 500
    assert_fits(plan)
    numbers = [value for value in msgspec.structs.astuple(plan.task) if isinstance(value, float)]
    assert all(0 <= number < math.inf for number in numbers)
    if plan.preprocessing is not None:
        scaling = plan.preprocessing
        assert len(scaling.mean) == len(scaling.deviation) > 0
        assert all(map(math.isfinite, scaling.mean))
        assert all(0 < deviation < math.inf for deviation in scaling.deviation)


def assert_fits(plan: Plan) -> None:
    """Rows, each of at most D2, and fourteen deviations of the noise stay below half the modulus."""
    joint = math.sqrt(squared_sensitivity(plan.parts))
    shares = noise_shares(plan, plan.cohort)
    if plan.noise is not None:
        assert plan.minimum > plan.corrupt
        assert joint <= plan.norm
        assert max(shares) <= LARGEST_VARIANCE
    tail = 14 * math.sqrt(plan.cohort * sum(shares))
    assert plan.rows * rounded_norms(joint, plan.length).l2 + tail < 2 ** (plan.bits - 1)


def survives(data: bytes) -> None:
    """Refused as a ProtocolError, or a plan that passes the checks; no other exception."""
    try:
        plan = plans.from_bytes(data)
    except ProtocolError:
        return
    assert_checked(plan)


@pytest.mark.parametrize("flip", [0x01, 0x10, 0x7F, 0x80, 0xFF])
def test_every_byte_changed(flip: int) -> None:
    for place in range(len(SENT)):
        mutated = bytearray(SENT)
        mutated[place] ^= flip
        survives(bytes(mutated))


@given(
    st.lists(
        st.tuples(st.integers(0, len(SENT)), st.integers(0, 12), st.binary(max_size=12)),
        min_size=1,
        max_size=4,
    )
)
def test_pieces_cut_out_and_put_in(edits: list[tuple[int, int, bytes]]) -> None:
    data = SENT
    for place, removed, inserted in edits:
        data = data[:place] + inserted + data[place + removed :]
    survives(data)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    survives(data)


plain_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
places: st.SearchStrategy[tuple[Any, ...]] = st.sampled_from(
    [
        *((key,) for key in tree()),
        *((table, key) for table in ("task", "suite", "noise", "roster") for key in tree()[table]),
        *(("parts", 0, index) for index in range(4)),
        ("preprocessing", "mean"),
        ("preprocessing", "deviation"),
        ("preprocessing", "mean", 0),
        ("preprocessing", "deviation", 0),
    ]
)


@given(places, plain_values)
def test_any_value_in_any_place(place: tuple[Any, ...], value: Any) -> None:
    survives(changed(put(*place, value)))


@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    refused(b"\x91" * depth)
    refused(b"\x81\xa3run" + b"\x91" * depth)
    refused(b"\x81\xa4more" + b"\x91" * depth)


def test_a_name_that_is_no_text_is_refused() -> None:
    assert "malformed plan" in refused(SENT.replace(b"\xa6digits", b"\xa6\xff\xffgits"))
    assert "malformed plan" in refused(SENT.replace(b"\xa5round", b"\xa5\xffound"))


def test_oversize_is_refused_before_it_is_read() -> None:
    assert refused(bytes(MAX_PLAN_BYTES + 1)) == "a plan of 1048577 bytes, at most 1048576"
    assert "malformed" in refused(bytes(MAX_PLAN_BYTES))


def test_more_after_the_plan_is_refused() -> None:
    refused(SENT + b"\xc0")
    refused(SENT + SENT)


@pytest.mark.parametrize(
    "change",
    [
        put("version", 1),
        put("version", 3),
        put("sum", 0),
        put("sum", (1 << 40) + 1),
        put("unit", "patient"),
        put("norm", 0),
        put("norm", (1 << 31) + 1),
        put("cohorts", 0),
        put("cohort_number", -1),
        put("corrupt", -1),
        put("deadline", -1),
        put("suite", "bits", 15),
        put("suite", "bits", 33),
        put("suite", "cipher", "rot13"),
        put("suite", "profile", "honest-server"),
        put("suite", "secret", "x"),
        put("noise", "mechanism", "laplace"),
        put("noise", "variance", 0),
        put("noise", "variance", (1 << 52) + 1),
        put("noise", "secret", "x"),
        put("roster", "sha256", "CD" * 32),
        put("roster", "serial", -1),
        put("policy", {}),
        put("policy", {"sha256": "ab" * 32, "serial": 0}),
        put("run", ""),
        put("run", "x" * 129),
        put("round", -1),
        put("model_sha256", "AB" * 32),
        put("model_sha256", "ab" * 31),
        put("model_sha256", "ab" * 32 + "\n"),
        put("masks", "pairwise"),
        put("noise", "gaussian"),
        put("cohort", 0),
        put("minimum", 0),
        put("parts", 0, ["update", 0, 10.0, 1]),
        put("parts", 0, ["update", 1, 0.0, 1]),
        put("parts", 0, ["update", 1, 10.0, 0]),
        put("parts", 0, ["update", 1, 10.0]),
        put("parts", 0, ["update", 1, 10.0, 1, 1]),
        put("parts", 0, ["update", 1, 10.0, float(1 << 41)]),
        put("task", "type", "harvest"),
        put("task", "epochs", 0),
        put("task", "learning_rate", 0.0),
        put("task", "momentum", -0.1),
        put("task", "momentum", 1.0),
        put("task", "epochs", 1001),
        put("task", "batch_size", (1 << 16) + 1),
        put("round", 1_000_000),
        put("task", "weighting", "loss"),
        put("task", "examples_cap", 0),
        put("secret", "x"),
        put("task", "secret", "x"),
        put("preprocessing", "secret", "x"),
        put("preprocessing", "type", "normalise"),
        lambda plain: plain.pop("task"),
        lambda plain: plain.pop("minimum"),
        lambda plain: plain["task"].pop("type"),
    ],
)
def test_what_is_out_of_range_unknown_or_missing_is_refused(change: Change) -> None:
    assert refused(changed(change)).startswith("a malformed plan: ")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("key", ["learning_rate", "momentum", "gradient_clip", "proximal_mu", "update_clip"])
def test_no_number_of_a_task_is_without_end(key: str, number: float) -> None:
    assert f"$.task.{key}" in refused(changed(put("task", key, number)))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_clip_norm_is_without_end(number: float) -> None:
    refused(changed(put("parts", 0, ["update", 1, number, 1])))
    refused(changed(put("parts", 0, ["update", 1, 1.0, number])))


@pytest.mark.parametrize(
    ("mean", "deviation"),
    [
        ([math.nan], [1.0]),
        ([math.inf], [1.0]),
        ([0.0], [math.nan]),
        ([0.0], [math.inf]),
        ([0.0], [0.0]),
        ([0.0], [-1.0]),
        ([0.0], []),
        ([0.0], [1.0, 1.0]),
        ([], []),
    ],
)
def test_a_scaling_that_cannot_scale_is_refused(mean: list[float], deviation: list[float]) -> None:
    change = put("preprocessing", {"type": "standardise", "mean": mean, "deviation": deviation})
    assert "preprocessing" in refused(changed(change))


def test_a_plan_without_parts_is_refused() -> None:
    assert "without parts" in refused(changed(put("parts", [])))


def test_two_parts_of_one_name_are_refused() -> None:
    assert "two of one name" in refused(changed(put("parts", 1, ["update", 1, 20.0, 1])))


def sent(plan: Plan, **changes: Any) -> bytes:
    return plans.to_bytes(msgspec.structs.replace(plan, **changes))


def test_a_sum_over_one_device_is_refused() -> None:
    """It would be that device's answer."""
    assert refused(sent(CLEAR, minimum=1)) == "a plan with a minimum of 1 in a cohort of 20"
    assert refused(sent(CLEAR, cohort=1, minimum=1)) == "a plan with a minimum of 1 in a cohort of 1"


def test_a_minimum_above_the_cohort_is_refused() -> None:
    assert plans.from_bytes(sent(CLEAR, minimum=20)).minimum == 20
    assert refused(sent(CLEAR, minimum=21)) == "a plan with a minimum of 21 in a cohort of 20"


def test_a_cohort_that_is_none_of_the_sums_is_refused() -> None:
    assert plans.from_bytes(sent(CLEAR, cohorts=2, cohort_number=1)).cohort_number == 1
    assert refused(sent(CLEAR, cohorts=2, cohort_number=2)) == "a plan for cohort 2 of 2"


@pytest.mark.parametrize(("task", "unit"), [(TRAIN, "example"), (GRADIENT, "device")])
def test_a_task_of_the_other_unit_is_refused(task: Task, unit: str) -> None:
    message = f"a plan that asks for {plans.kind(msgspec.structs.replace(CLEAR, task=task))} with unit {unit}"
    assert refused(sent(CLEAR, task=task, unit=unit)) == message


@pytest.mark.parametrize("task", [Validate(10), Statistics(10)])
@pytest.mark.parametrize("unit", ["device", "example"])
def test_looking_can_be_of_either_unit(task: Task, unit: str) -> None:
    parts = laid_out(SHAPES, 1024)
    assert plans.from_bytes(sent(CLEAR, task=task, unit=unit, parts=parts, norm=1024)).unit == unit


def test_a_sum_that_could_wrap_is_refused() -> None:
    """Exactly where the rows' longest norms add up to half the modulus."""

    def one_part(norm: int) -> bytes:
        return sent(CLEAR, parts=(Part("update", 1, 1.0, float(norm)),), norm=norm)

    most = max(norm for norm in range(finest(1, 20), (1 << 31) // 20 + 1) if bounded(norm))
    assert plans.from_bytes(one_part(most)).norm == most
    assert "wrap around 2^32" in refused(one_part(most + 1))


def bounded(norm: int) -> bool:
    return 20 * rounded_norms(float(norm), 1).l2 < 1 << 31


def test_longer_parts_than_the_norm_cannot_hide_a_wrap() -> None:
    huge = (Part("update", 1, 1.0, 2.0**30),)
    assert "wrap around" in refused(sent(CLEAR, parts=huge, norm=1))
    assert refused(sent(PLAN, parts=huge)) == "a plan whose parts are longer than its norm of 1024"


def test_examples_count_as_rows() -> None:
    example = msgspec.structs.replace(CLEAR, task=GRADIENT, unit="example")
    assert (CLEAR.rows, example.rows) == (20, 20 * 50)
    assert "wrap around" in refused(plans.to_bytes(example))
    fits = finest(3820, example.rows)
    assert plans.from_bytes(sent(example, norm=fits, parts=laid_out(SHAPES, fits))).rows == 1000


# -- masks


SPARSE = Suite(profile="semi-honest-server", cipher="aes-256-ctr", bits=32, neighbours=10, threshold=6)


def test_a_masked_plan_without_noise_is_sound() -> None:
    assert plans.from_bytes(sent(PLAN, noise=None, suite=SPARSE)).bits == 32
    assert (PLAN.bits, CLEAR.bits) == (24, 32)


@pytest.mark.parametrize(
    "changes",
    [
        {"suite": None},
        {"roster": None},
        {"masks": "none"},
        {"masks": "elided"},
        {"masks": "none", "suite": None},
        {"masks": "elided", "roster": None},
    ],
    ids=str,
)
def test_masks_suite_and_roster_go_together(changes: dict[str, Any]) -> None:
    assert refused(sent(PLAN, **changes)) == "a plan whose masks, suite and roster do not go together"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"corrupt": 0}, "that assumes no corrupt device"),
        ({"minimum": 10}, "whose minimum of 10 is below the quorum 11"),
        ({"minimum": 20, "corrupt": 19}, "whose minimum of 20 may leave one honest device with 19 corrupt"),
        ({"cohort": 9, "minimum": 9}, "for a cohort of 9, allowed are 10 to 500"),
        ({"cohort": 501, "minimum": 501}, "for a cohort of 501, allowed are 10 to 500"),
        ({"suite": msgspec.structs.replace(SPARSE, profile="malicious-server")}, "that sets the graph"),
        ({"suite": Suite(profile="malicious-server", cipher="chacha20", bits=32, threshold=11)}, "that sets"),
    ],
)
def test_a_quorum_is_not_for_the_server_to_lower(changes: dict[str, Any], told: str) -> None:
    assert refused(sent(PLAN, **({"noise": None} | changes))).startswith(f"a plan {told}")


@pytest.mark.parametrize(
    ("neighbours", "threshold"),
    [(0, 6), (9, 6), (14, 8), (10, 0), (10, 5), (10, 11)],
    ids=["none", "odd", "all of a sum", "no threshold", "half", "more than there are"],
)
def test_a_sparse_graph_that_a_minority_opens_is_refused(neighbours: int, threshold: int) -> None:
    suite = msgspec.structs.replace(SPARSE, neighbours=neighbours, threshold=threshold)
    told = f"a plan with {neighbours} neighbours and a threshold of {threshold}"
    assert refused(sent(PLAN, noise=None, suite=suite)) == told


def test_a_sparse_graph_may_be_large() -> None:
    wide = {"cohort": 10_000, "minimum": 5000, "suite": SPARSE, "norm": 1024}
    assert plans.from_bytes(sent(PLAN, **wide, noise=None)).cohort == 10_000
    assert "allowed are 10 to 10000" in refused(sent(PLAN, **(wide | {"cohort": 10_001}), noise=None))


# -- noise


def test_without_removal_the_honest_devices_share_the_variance() -> None:
    noise = Noise(mechanism="skellam", variance=1_000_000, removal=False, seeded=False)
    plan = msgspec.structs.replace(PLAN, noise=noise)
    assert PLAN.honest == 13
    assert noise_shares(plan, 20) == noise_shares(plan, 14) == (76_924,)  # the 13th of a million, rounded up
    assert noise_shares(CLEAR, 20) == ()


def test_with_removal_each_tolerated_drop_out_has_its_component() -> None:
    assert noise_shares(PLAN, 20) == components(1_000_000, 20, 1, 14)
    assert len(noise_shares(PLAN, 20)) == 7
    assert len(noise_shares(PLAN, 14)) == 1


def noisy(**changes: Any) -> Noise:
    return msgspec.structs.replace(NOISE, **changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"noise": noisy(mechanism="discrete-gaussian")}, "that removes noise of a law that cannot be"),
        ({"cohort": 47, "minimum": 14}, "whose minimum of 14 is below the quorum"),
        ({"noise": noisy(variance=1 << 52)}, "that asks a device for noise of a variance above"),
        ({"suite": msgspec.structs.replace(SUITE, bits=16)}, "whose noisy sum over 20 devices could wrap"),
        ({"norm": 1023}, "whose parts are longer than its norm of 1023"),
    ],
)
def test_noise_that_would_not_do_is_refused(changes: dict[str, Any], told: str) -> None:
    assert refused(sent(PLAN, **changes)).startswith(f"a plan {told}")


def test_noise_is_not_removed_for_more_drop_outs_than_can_be() -> None:
    clear = {"masks": "none", "suite": None, "roster": None, "cohort": 60}
    assert LARGEST_TOLERANCE == 32
    assert plans.from_bytes(sent(PLAN, **clear, minimum=28)).minimum == 28
    assert (
        refused(sent(PLAN, **clear, minimum=27)) == "a plan that removes noise for 33 drop-outs, at most 32"
    )


def test_noise_of_no_honest_device_is_refused() -> None:
    clear = {"masks": "none", "suite": None, "roster": None}
    told = "a plan whose minimum of 2 leaves no honest device beside 2 corrupt ones"
    assert refused(sent(PLAN, **clear, minimum=2, corrupt=2)) == told


def test_the_noisy_sum_fits_with_fourteen_deviations_to_spare() -> None:
    """At the boundary, and one bit below it."""
    needed = 20 * rounded_norms(1024.0, 3820).l2 + 14 * math.sqrt(20 * sum(noise_shares(PLAN, 20)))
    least = math.floor(math.log2(needed)) + 2
    suite = msgspec.structs.replace(SUITE, bits=least)
    assert plans.from_bytes(sent(PLAN, suite=suite)).bits == least
    short = msgspec.structs.replace(SUITE, bits=least - 1)
    assert f"wrap around 2^{least - 1}" in refused(sent(PLAN, suite=short))


def test_a_policy_can_be_named() -> None:
    named = PolicyReference(sha256="ef" * 32, serial=1)
    assert plans.from_bytes(sent(PLAN, policy=named)).policy == named


def test_a_digest_depends_on_every_byte() -> None:
    digests = {plans.digest(SENT[:place] + b"\x00" + SENT[place + 1 :]) for place in range(len(SENT))}
    assert len(digests) == len(SENT) - SENT.count(b"\x00") + (1 if b"\x00" in SENT else 0)


def test_scaling_by_hand() -> None:
    x = np.array([[[1.0, 3.0], [10.0, 30.0]]], np.float32)
    found = Standardise((1.0, 10.0), (2.0, 5.0)).apply(x)
    assert found.dtype == np.float32
    assert found.tolist() == [[[0.0, 1.0], [0.0, 4.0]]]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"personal": ("head", "head")}, "a plan that names a personal parameter twice"),
        (
            {"control_clip": 1.0, "personal": ("head",)},
            "a plan with control variates and personal parameters",
        ),
        ({"control_clip": 1.0, "momentum": 0.1}, "a plan with control variates beside momentum"),
        ({"control_clip": 1.0, "proximal_mu": 0.1}, "a plan with control variates beside momentum"),
        ({"control_clip": 1.0, "weighting": "examples"}, "a plan with control variates beside momentum"),
    ],
)
def test_training_that_no_device_could_do_is_refused(changes: dict[str, Any], told: str) -> None:
    plain = {"momentum": 0.0, "weighting": "devices"}
    sound = msgspec.structs.replace(TRAIN, **plain, control_clip=1.0)
    assert plans.from_bytes(plans.to_bytes(msgspec.structs.replace(PLAN, task=sound))).task == sound
    task = msgspec.structs.replace(TRAIN, **(plain | changes))
    assert refused(plans.to_bytes(msgspec.structs.replace(PLAN, task=task))).startswith(told)


CENTRAL = CentralNoise(variance=10**9, bands=4, separation=5, seeded=True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"noise": msgspec.structs.replace(NOISE, removal=False)}, "noise of the server's beside"),
        ({"central": msgspec.structs.replace(CENTRAL, bands=6)}, "every 5 rounds, with noise over 6"),
        ({"norm": 1000}, "parts are longer than its norm"),
    ],
)
def test_noise_of_the_servers_stands_alone_and_covers_the_parts(changes: dict[str, Any], told: str) -> None:
    plan = msgspec.structs.replace(CLEAR, parts=laid_out(SHAPES, 1024), norm=1024, central=CENTRAL)
    assert plans.from_bytes(plans.to_bytes(plan)) == plan
    assert told in refused(plans.to_bytes(msgspec.structs.replace(plan, **changes)))
    assert "beside masks" in refused(
        plans.to_bytes(msgspec.structs.replace(PLAN, noise=None, central=CENTRAL))
    )
