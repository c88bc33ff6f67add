from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from covey.errors import DataError, InputError
from covey.examples import Examples, LocalData
from covey_simulations.data.arrays import from_arrays, from_devices
from covey_simulations.data.devices import LazyDevices
from covey_simulations.data.federated import FederatedData

COUNT = 120
X = np.arange(COUNT * 2, dtype=np.float64).reshape(COUNT, 2)
Y = np.arange(COUNT) % 3
OWNERS = [f"person {number % 4}" for number in range(COUNT)]


def firsts(examples: Examples) -> list[int]:
    """Which rows of X these are."""
    return [int(value / 2) for value in examples.x[:, 0].tolist()]


def test_a_pool_is_dealt() -> None:
    data = from_arrays(X, Y, devices=6, alpha=1.0, name="mine")
    assert (data.name, data.input_shape, data.labels) == ("mine", (2,), ("0", "1", "2"))
    assert (data.training_examples, data.held_out_examples, len(data.devices)) == (90, 30, 6)
    assert isinstance(data.devices, LazyDevices)
    assert data.all_train().x.dtype == np.float32
    rows = firsts(data.all_train()) + firsts(data.all_held_out())
    assert sorted(rows) == list(range(COUNT))
    assert data.notes[0] == "The devices are made: pooled examples dealt to 6 by dirichlet with alpha 1."


def test_so_many_of_each_class_are_held_out_at_random() -> None:
    data = from_arrays(X, Y, devices=2, partition="iid", held_out=0.1)
    assert np.bincount(data.all_held_out().y).tolist() == [4, 4, 4]
    assert firsts(data.all_held_out()) != firsts(
        from_arrays(X, Y, devices=2, held_out=0.1, seed=1).all_held_out()
    )
    assert sorted(firsts(data.all_held_out())) == sorted(
        firsts(from_arrays(X, Y, devices=3, held_out=0.1).all_held_out())
    )


def test_owners_keep_their_examples_and_hold_out_the_last() -> None:
    data = from_arrays(X, Y, groups=OWNERS, held_out=0.2, labels=["a", "b", "c"])
    assert list(data.devices) == ["person 0", "person 1", "person 2", "person 3"]
    local = data.devices["person 1"]
    assert firsts(local.train) == list(range(1, 97, 4))
    assert firsts(local.held_out) == list(range(97, 120, 4))
    assert data.labels == ("a", "b", "c")
    assert data.notes == ("Devices as given: 4.",)


def test_owners_may_be_numbers() -> None:
    assert list(from_arrays(X, Y, groups=np.arange(COUNT) % 2).devices) == ["0", "1"]


def test_a_mask_says_what_is_held_out() -> None:
    mask = np.arange(COUNT) >= 100
    for data in (
        from_arrays(X, Y, groups=OWNERS, held_out=mask),
        from_arrays(X, Y, held_out=mask, devices=5),
    ):
        assert sorted(firsts(data.all_held_out())) == list(range(100, 120))
        assert data.training_examples == 100


def test_a_test_part_of_its_own_is_dealt_too() -> None:
    data = from_arrays(X, Y, held_out=(X[:10], Y[:10]), devices=5, partition="time")
    assert (data.training_examples, data.held_out_examples) == (120, 10)


def test_nothing_need_be_held_out() -> None:
    assert from_arrays(X, Y, groups=OWNERS, held_out=0).held_out_examples == 0
    assert from_arrays(X, Y, held_out=0, devices=5).held_out_examples == 0


def test_devices_without_end() -> None:
    data = from_arrays(X, Y, partition="resampled", devices=1000, examples_per_device=(2, 3), name="mine")
    assert (data.name, data.synthetic, len(data.devices)) == ("synthetic-mine", True, 1000)
    assert len(data.devices["device-0007"].train) in {2, 3}


def test_images_in_whole_numbers_become_floats() -> None:
    data = from_arrays(np.full((10, 1, 2, 2), 7, np.uint8), np.arange(10) % 2, devices=2, held_out=0.2)
    assert data.input_shape == (1, 2, 2)
    assert data.all_train().x.max() == 7


def test_devices_as_given() -> None:
    pairs = {"b": (X[:8], Y[:8]), "a": (X[8:12].tolist(), Y[8:12].tolist())}
    data = from_devices(pairs, groups={"a": "ann", "b": "bob"}, name="mine")
    assert list(data.devices) == ["a", "b"]
    assert data.groups == {"a": "ann", "b": "bob"}
    assert firsts(data.devices["b"].train) == list(range(6))
    assert firsts(data.devices["b"].held_out) == [6, 7]


def test_local_data_says_itself_what_is_held_out() -> None:
    part = Examples(X[:4].astype(np.float32), Y[:4])
    data = from_devices({"a": LocalData(part, part.first(1)), "b": (X, Y)})
    assert (len(data.devices["a"].train), len(data.devices["a"].held_out)) == (4, 1)


def test_a_device_may_hold_nothing_or_one_class_and_that_is_noted() -> None:
    nothing = np.zeros((0, 2)), np.zeros(0, int)
    data = from_devices({"a": (X, Y), "b": ([], []), "c": nothing, "d": (X[:9], np.zeros(9, int))})
    assert data.devices["b"].train.x.shape == (0, 2)
    assert data.training_devices == 2
    assert data.notes == (
        "Devices as given: 4.",
        "2 of 4 devices have nothing to train on: b, c.",
        "1 of 4 devices train on one class only: d.",
    )


@pytest.mark.parametrize("devices", [8, 15, 90])
def test_one_class_is_noted_of_dealt_devices_too(devices: int) -> None:
    data = from_arrays(X, np.sort(Y), partition="time", devices=devices)
    single = [name for name, local in data.devices.items() if len(np.unique(local.train.y)) == 1]
    assert data.notes[-1] == (
        f"{len(single)} of {devices} devices train on one class only: {', '.join(single[:3])}"
        f" and {len(single) - 3} more."
    )


def bad(row: int, value: float) -> np.ndarray[Any, Any]:
    x = X.copy()
    x[row:, 1] = value
    return x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: from_arrays(bad(100, np.nan), Y),
            "^x: 20 of 120 rows hold NaN or infinite numbers, row 100 first",
        ),
        (lambda: from_arrays(bad(119, np.inf), Y), "^x: 1 of 120 rows .*, row 119 first"),
        (lambda: from_arrays(bad(0, 1e300), Y), "^x: 120 of 120 rows .*, row 0 first"),
        (lambda: from_arrays(X[:, 0], Y), r"^x: shape \(120,\), expected .*reshape\(-1, 1\)"),
        (lambda: from_arrays(X.astype(str), Y), "^x: <U.* expected numbers"),
        (lambda: from_arrays([[1, 2], [3]], [0, 1]), "^x: its rows differ in shape"),
        (lambda: from_arrays(X[1:], Y), "^119 inputs in x and 120 labels in y"),
        (lambda: from_arrays(X, Y / 2), "^y: float64 .*numpy.unique"),
        (lambda: from_arrays(X, Y[:, None]), r"^y: int64 of shape \(120, 1\)"),
        (lambda: from_arrays(X, Y - 1), "^y: labels from -1"),
        (
            lambda: from_arrays(X, np.full(COUNT, 2**64 - 1, np.uint64)),
            "^y: labels up to 18446744073709551615",
        ),
        (lambda: from_arrays(X, Y + 1), "^y: labels 1, 2, 3, expected all of 0 to 3 .*numpy.unique"),
        (lambda: from_arrays(X, Y * 9), "^y: labels 0, 9, 18, expected all of 0 to 18"),
        (lambda: from_arrays(X, Y, labels=["a", "b"]), "^y: labels up to 2, but 2 names in labels"),
        (
            lambda: from_arrays(X, Y, labels=["a", "b", "a"]),
            "^labels: a, b, a: expected two or more, all different",
        ),
        (lambda: from_arrays(X, Y * 0), "^labels: 0: expected two or more"),
        (lambda: from_arrays(X, Y, groups=OWNERS[1:]), r"^groups: shape \(119,\), expected \(120,\)"),
        (lambda: from_arrays(X, Y, held_out=(bad(5, np.nan), Y)), "^held_out: x: 115 of 120 rows"),
        (lambda: from_arrays(X, Y, held_out=(X[:, :1], Y)), r"inputs of shape \(1,\), but \(2,\)"),
        (
            lambda: from_arrays(X, Y, held_out=(Y > 0)[1:]),
            r"^held_out: bool of shape \(119,\), expected bool of shape \(120,\)",
        ),
        (lambda: from_devices({"a": (X, Y), "b": (bad(7, np.nan), Y)}), "^b: x: 113 of 120 rows"),
        (lambda: from_devices({"a": (X, Y), "b": (X, Y[1:])}), "^b: 120 inputs in x and 119 labels in y"),
        (
            lambda: from_devices({"a": (X, Y), "b": (X[:, :1], Y)}),
            r"^b: inputs of shape \(1,\), but \(2,\) in a",
        ),
        (lambda: from_devices({"a": ([], []), "b": ([], [])}), "^no device holds an example"),
    ],
)
def test_what_a_federation_cannot_work_with_is_said(make: Callable[[], FederatedData], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: from_arrays(X, Y, devices=121, partition="iid"),
            "90 examples cannot be dealt to 121 devices",
        ),
        (lambda: from_arrays(X, Y, devices=1), "^data: devices: "),
        (lambda: from_arrays(X, Y, alpha=-1.0), "^data: alpha: "),
        (lambda: from_arrays(X, Y, held_out=1.0), "^held_out: 1.0, expected a share"),
        (lambda: from_arrays(X, Y, held_out=float("nan")), "^held_out: nan"),
        (lambda: from_arrays(X, Y, groups=OWNERS, held_out=(X, Y)), "^held_out: with groups"),
        (lambda: from_devices({"../a": (X, Y)}), "^device '../a': not a name that a file may have"),
        (lambda: from_devices({"a": (X, Y)}, groups={"b": "b"}), "^groups: "),
    ],
)
def test_values_that_do_not_fit_are_refused(make: Callable[[], FederatedData], message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        make()
    assert refused.value.hint or "expected" in refused.value.message
