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
from covey.encode import Part, fits, scaled
from covey.errors import ProtocolError
from covey.examples import Standardise
from covey.plan import MAX_PLAN_BYTES, Plan, Statistics, Task, Train, Validate

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
PLAN = Plan(
    run="0123456789abcdef",
    round=3,
    model="digits",
    model_sha256="ab" * 32,
    preprocessing=Standardise((0.5,), (0.25,)),
    task=TRAIN,
    parts=scaled({"update": (3818, 10.0), "loss": (1, 20.0), "weight": (1, 1.0)}, 5),
    cohort=5,
    minimum=2,
)
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
        PLAN, preprocessing=None, task=Statistics(9), parts=(Part("first", 2, 1.5, 7),), cohort=3
    )
    assert plans.to_bytes(small) == bytes.fromhex(
        "8ca776657273696f6e01a372756eb030313233343536373839616263646566a5726f756e6403a56d6f64656ca6"
        "646967697473ac6d6f64656c5f736861323536d940616261626162616261626162616261626162616261626162"
        "61626162616261626162616261626162616261626162616261626162616261626162616261626162ad70726570"
        "726f63657373696e67c0a47461736b82a474797065aa73746174697374696373ac6578616d706c65735f636170"
        "09a570617274739194a5666972737402cb3ff800000000000007a6636f686f727403a76d696e696d756d02a56d"
        "61736b73a46e6f6e65a56e6f697365a46e6f6e65"
    )


tasks: st.SearchStrategy[Task] = st.one_of(
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
    ),
)
channel = st.tuples(st.floats(-1e30, 1e30), st.floats(1e-30, 1e30))
scalings = st.lists(channel, min_size=1, max_size=6).map(
    lambda channels: Standardise(tuple(m for m, _ in channels), tuple(d for _, d in channels))
)


@st.composite
def any_plan(draw: st.DrawFn) -> Plan:
    cohort = draw(st.integers(2, 1000))
    names = draw(st.lists(st.text(max_size=9), min_size=1, max_size=4, unique=True))
    wanted = {name: (draw(st.integers(1, 1 << 30)), draw(st.floats(1e-9, 1e5))) for name in names}
    return Plan(
        run=draw(st.text(min_size=1, max_size=128)),
        round=draw(st.integers(0, 999_999)),
        model=draw(st.text(min_size=1, max_size=128)),
        model_sha256=draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
        preprocessing=draw(st.none() | scalings),
        task=draw(tasks),
        parts=scaled(wanted, cohort),
        cohort=cohort,
        minimum=draw(st.integers(2, cohort)),
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


def assert_checked(plan: Plan) -> None:
    """What every later line of code relies on."""
    assert plan.version == 1
    assert (plan.masks, plan.noise) == ("none", "none")
    assert 2 <= plan.minimum <= plan.cohort
    assert len({part.name for part in plan.parts}) == len(plan.parts) > 0
    assert all(part.length > 0 and part.scale > 0 and 0 < part.clip < math.inf for part in plan.parts)
    assert fits(plan.parts, plan.cohort)
    numbers = [value for value in msgspec.structs.astuple(plan.task) if isinstance(value, float)]
    assert all(0 <= number < math.inf for number in numbers)
    if plan.preprocessing is not None:
        scaling = plan.preprocessing
        assert len(scaling.mean) == len(scaling.deviation) > 0
        assert all(map(math.isfinite, scaling.mean))
        assert all(0 < deviation < math.inf for deviation in scaling.deviation)


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
        *(("task", key) for key in tree()["task"]),
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
        put("version", 2),
        put("version", 0),
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


def test_a_sum_over_one_device_is_refused() -> None:
    """It would be that device's answer."""
    assert refused(changed(put("minimum", 1))) == "a minimum of 1 in a cohort of 5"


def test_a_minimum_above_the_cohort_is_refused() -> None:
    assert plans.from_bytes(changed(put("minimum", 5))).minimum == 5
    assert refused(changed(put("minimum", 6))) == "a minimum of 6 in a cohort of 5"


def test_a_sum_that_could_wrap_is_refused() -> None:
    def one_part(scale: int) -> bytes:
        return changed(put("parts", [["update", 1, 1.0, scale]]))

    most = ((1 << 31) - 1) // 5
    assert plans.from_bytes(one_part(most)).parts[0].scale == most
    assert "wrap around" in refused(one_part(most + 1))


def test_a_digest_depends_on_every_byte() -> None:
    digests = {plans.digest(SENT[:place] + b"\x00" + SENT[place + 1 :]) for place in range(len(SENT))}
    assert len(digests) == len(SENT) - SENT.count(b"\x00") + (1 if b"\x00" in SENT else 0)


def test_scaling_by_hand() -> None:
    x = np.array([[[1.0, 3.0], [10.0, 30.0]]], np.float32)
    found = Standardise((1.0, 10.0), (2.0, 5.0)).apply(x)
    assert found.dtype == np.float32
    assert found.tolist() == [[[0.0, 1.0], [0.0, 4.0]]]
