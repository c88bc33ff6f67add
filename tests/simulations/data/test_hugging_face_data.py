from typing import Any

import numpy as np
import pytest

from covey.errors import DataError, InputError
from covey_simulations.data.hugging_face import from_dataset

COUNT = 60
X = np.arange(COUNT * 4, dtype=np.float32).reshape(COUNT, 4)
LABELS = np.arange(COUNT) % 3
WHO = [f"speaker {number % 5}" for number in range(COUNT)]


@pytest.fixture(scope="module")
def hub() -> Any:
    """The package; without it these tests are skipped (pip install 'covey[datasets]')."""
    return pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def partitioners(hub: Any) -> Any:
    assert hub
    return pytest.importorskip("flwr_datasets.partitioner")


def made(hub: Any, **columns: Any) -> Any:
    return hub.Dataset.from_dict({"x": X.tolist(), "label": LABELS.tolist(), "who": WHO} | columns)


def test_rows_are_dealt(hub: Any) -> None:
    data = from_dataset(made(hub), x="x", devices=4, partition="iid", name="mine")
    assert (data.name, data.input_shape, data.labels) == ("mine", (4,), ("0", "1", "2"))
    assert (data.training_examples, data.held_out_examples, len(data.devices)) == (45, 15, 4)
    rows = np.concatenate([data.all_train().x, data.all_held_out().x])
    assert np.array_equal(rows[np.argsort(rows[:, 0])], X)


def test_a_column_says_whose_a_row_is(hub: Any) -> None:
    data = from_dataset(made(hub), x="x", by="who", held_out=0.5)
    assert list(data.devices) == sorted(set(WHO))
    local = data.devices["speaker 2"]
    assert np.array_equal(local.train.x, X[2:30:5])
    assert np.array_equal(local.held_out.y, LABELS[32::5])


@pytest.mark.parametrize("by", [None, "who"])
def test_a_test_split_is_held_out(hub: Any, by: str | None) -> None:
    data = from_dataset(made(hub), x="x", by=by, test=made(hub).select(range(7)), devices=3)
    assert (data.training_examples, data.held_out_examples) == (60, 7)
    assert np.array_equal(np.sort(data.all_held_out().x[:, 0]), X[:7, 0])


def test_names_of_classes_are_kept(hub: Any) -> None:
    named = made(hub).cast_column("label", hub.ClassLabel(names=["no", "yes", "maybe", "never"]))
    assert from_dataset(named, x="x", devices=2).labels == ("no", "yes", "maybe", "never")


def test_classes_may_be_texts(hub: Any) -> None:
    words = made(hub, label=[("b", "a", "c")[number] for number in LABELS])
    data = from_dataset(words, x="x", by="who", held_out=0)
    assert data.labels == ("a", "b", "c")
    assert data.devices["speaker 0"].train.y.tolist()[:3] == [1, 2, 0]


@pytest.mark.parametrize(("mode", "shape"), [("L", (1, 3, 2)), ("RGB", (3, 3, 2)), ("1", (1, 3, 2))])
def test_images_become_channels_first_in_0_to_1(hub: Any, mode: str, shape: tuple[int, ...]) -> None:
    image: Any = pytest.importorskip("PIL.Image")
    black, white = (image.new("L", (2, 3), grey).convert(mode) for grey in (0, 255))
    images = hub.Dataset.from_dict({"image": [black, white] * 10, "label": [0, 1] * 10})
    data = from_dataset(images.cast_column("image", hub.Image()), devices=2, partition="iid")
    assert data.input_shape == shape
    held = data.all_train()
    assert np.array_equal(held.x.reshape(len(held), -1).max(1), held.y.astype(np.float32))
    assert np.array_equal(held.x.reshape(len(held), -1).min(1), held.y.astype(np.float32))


def test_a_transform_makes_inputs_alike(hub: Any) -> None:
    ragged = made(hub, x=[list(range(1 + number % 3)) for number in range(COUNT)])
    with pytest.raises(DataError, match=r"column 'x': row 1 has the shape \(2,\), and row 0 \(1,\)"):
        from_dataset(ragged, x="x")
    data = from_dataset(ragged, x="x", transform=lambda values: [len(values), sum(values)], devices=2)
    assert data.input_shape == (2,)


def test_a_partitioner_by_owners(hub: Any, partitioners: Any) -> None:
    data = from_dataset(made(hub), x="x", by=partitioners.NaturalIdPartitioner("who"), held_out=0.25)
    assert list(data.devices) == sorted(set(WHO))
    assert np.array_equal(data.devices["speaker 3"].train.x, X[3::5][:9])


def test_a_partitioner_with_skew(hub: Any, partitioners: Any) -> None:
    by = partitioners.DirichletPartitioner(
        num_partitions=3, partition_by="label", alpha=0.5, min_partition_size=1, seed=1
    )
    data = from_dataset(made(hub), x="x", by=by, held_out=0)
    assert list(data.devices) == ["device-1", "device-2", "device-3"]
    rows = np.sort(data.all_train().x[:, 0])
    assert np.array_equal(rows, X[:, 0])
    with pytest.raises(InputError, match="has a data set already"):
        from_dataset(made(hub), x="x", by=by)


def test_a_partitioner_of_columns_is_refused(hub: Any, partitioners: Any) -> None:
    by = partitioners.VerticalEvenPartitioner(num_partitions=2)
    with pytest.raises(InputError, match="divides columns"):
        from_dataset(made(hub), x="x", by=by)


def test_a_partitioner_leaves_no_test_split(hub: Any, partitioners: Any) -> None:
    with pytest.raises(InputError, match=r"^test: "):
        from_dataset(made(hub), x="x", by=partitioners.IidPartitioner(2), test=made(hub))


def test_what_is_wrong_is_named(hub: Any) -> None:
    with pytest.raises(DataError, match=r"no column 'image' .*columns: x, label, who"):
        from_dataset(made(hub))
    with pytest.raises(DataError, match=r"not DatasetDict .*one of its splits"):
        from_dataset(hub.DatasetDict({"train": made(hub)}), x="x")
    gap = X.copy()
    gap[3] = np.nan
    with pytest.raises(DataError, match=r"^x: 1 of 60 rows hold NaN or infinite numbers, row 3 first"):
        from_dataset(made(hub, x=gap.tolist()), x="x")
    with pytest.raises(DataError, match=r"^y: labels from -1"):
        from_dataset(made(hub, label=(LABELS - 1).tolist()), x="x")
    with pytest.raises(DataError, match=r"^column 'x': inputs of shape \(4,\) and \(2,\)"):
        from_dataset(made(hub), x="x", test=made(hub, x=X[:, :2].tolist()))


def test_without_the_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covey_simulations.data.hugging_face.find_spec", lambda _: None)
    with pytest.raises(DataError, match="not list") as refused:
        from_dataset([1, 2])
    assert refused.value.hint == "pip install 'covey[datasets]'"
