"""What is said to have changed between two releases."""

from dataclasses import replace

import msgspec
import pytest

from covey.examples import Standardise
from covey.package.comparing import Row, compare
from covey.package.contents import Contents, assemble, read
from made_provenance import drafted, files, record
from packages_fixture import unsigned


def rows(old: Contents, new: Contents) -> dict[str, Row]:
    return {f"{row.topic}: {row.name}": row for row in compare(old, new)}


def test_a_release_is_the_same_as_itself() -> None:
    package = read(files(record()))
    found = compare(package, package)
    assert all(row.is_same for row in found)
    assert {row.topic for row in found} == {
        "package", "size", "accuracy", "missed", "latency", "budget", "labels", "preprocessing",
    }  # fmt: skip


def test_numbers_are_told_with_what_they_changed_by() -> None:
    before, after = record(), record(version="2.0.0")
    worse = tuple(msgspec.structs.replace(each, accuracy="0.9", latency_us=60) for each in after.figures)
    claim = msgspec.structs.replace(after.claim, epsilon_server="2.000")
    other = msgspec.structs.replace(after, figures=worse, claim=claim, participants=20)
    found = rows(read(files(before)), read(files(other)))
    assert found["package: version"].new == "2.0.0"
    accuracy = found["accuracy: fp32, per cent"]
    assert (accuracy.old, accuracy.new, accuracy.change) == ("92.00", "90.00", "-2.00")
    assert found["latency: fp32, median, microseconds"].change == "-60 (-50.0 %)"
    assert found["budget: epsilon against the server"].change == "+0.509"
    assert found["budget: devices in the largest sum"].change == "+8"
    assert found["missed: fp32, of falling, per cent"].old == "12.50"


def test_a_variant_that_went_away_is_told() -> None:
    found = rows(read(unsigned()), read(unsigned(int8=False)))
    row = found["size: int8 model, bytes"]
    assert (row.new, row.is_same) == ("none", False)
    assert found["budget: claim"].old == "not recorded"


@pytest.mark.parametrize(
    ("labels", "change"),
    [
        (("walking", "resting", "falling"), "another order: old decisions mean other classes"),
        (("resting", "walking", "lying"), "without 'falling'; with 'lying'"),
    ],
)
def test_labels_and_preprocessing(labels: tuple[str, ...], change: str) -> None:
    scale = Standardise(mean=(0.0, -0.5), deviation=(2.0, 4.0))
    found = rows(read(unsigned()), read(assemble(replace(drafted(), labels=labels, preprocessing=scale))))
    assert found["labels: classes"].change == change
    assert not found["labels: classes"].is_same
    assert not found["preprocessing: means"].is_same
    assert found["preprocessing: deviations"].is_same
