from typing import Any

import msgspec
import pytest

from covey.errors import InputError
from covey_simulations.data.settings import DataSettings, check


def settings(**values: Any) -> DataSettings:
    """As read from a file: checked by type and range."""
    return msgspec.convert({"source": "wrist"} | values, DataSettings)


def test_the_defaults_fit_the_wrist_data() -> None:
    chosen = settings()
    check(chosen)
    assert (chosen.partition, chosen.devices, chosen.split) == ("natural", 20, "last-quarter")


@pytest.mark.parametrize(
    "values",
    [
        {"source": "mnist"},
        {"devices": 1},
        {"devices": 10_000_001},
        {"partition": "resampled", "examples_per_device": [0, 5]},
        {"alpha": 0},
        {"examples": 0},
        {"held_out_subjects": [0]},
        {"held_out_subjects": [61]},
        {"split": "random"},
        {"partitions": "iid"},
    ],
)
def test_values_out_of_range_and_unknown_keys_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        settings(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": "folder"}, r"^data\.path: empty"),
        ({"source": "digits", "partition": "iid", "path": "x"}, r"^data\.path"),
        ({"source": "digits"}, r"^data\.partition: .*choose one of: iid, dirichlet, time, resampled"),
        ({"source": "fashion-mnist"}, r"^data\.partition: .*choose one of: iid, dirichlet, time"),
        ({"source": "python"}, r'^data\.file: empty, and data\.source is "python"'),
        ({"file": "x.py"}, r'^data\.file: x\.py, and data\.source is "wrist"'),
        ({"source": "synthetic-digits", "path": "x"}, r"^data\.path"),
        ({"source": "synthetic-digits", "partition": "iid"}, r'^data\.partition: "iid" deals'),
        ({"source": "synthetic-digits", "examples": 9}, r"^data\.examples: .*examples_per_device"),
        ({"partition": "resampled", "examples": 9}, r"^data\.examples: .*examples_per_device"),
        (
            {"partition": "resampled", "examples_per_device": [5, 4]},
            r"^data\.examples_per_device: from 5 to 4",
        ),
        ({"examples_per_device": [5, 9]}, r"^data\.examples_per_device: not used .*natural"),
        ({"source": "folder", "path": "x", "split": "leave-subjects-out"}, r"^data\.split"),
        ({"held_out_subjects": [1]}, r"^data\.held_out_subjects: not used"),
        ({"source": "breast-cancer", "partition": "iid", "path": "x"}, r"^data\.path"),
        ({"source": "shuttle"}, r"^data\.partition: .*choose one of: iid, dirichlet, time, resampled"),
        (
            {"split": "leave-subjects-out", "held_out_subjects": [11]},
            r"^data\.held_out_subjects: 1 subjects held out of 10, numbered from 1",
        ),
        ({"split": "leave-subjects-out"}, r"^data\.held_out_subjects: 0 subjects"),
        (
            {"split": "leave-subjects-out", "held_out_subjects": list(range(1, 11))},
            r"^data\.held_out_subjects: 10 subjects held out of 10",
        ),
    ],
)
def test_values_that_do_not_fit_together_are_refused_by_key(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        check(settings(**values))
    assert refused.value.hint


@pytest.mark.parametrize(
    "values",
    [
        {"source": "digits", "partition": "iid"},
        {"source": "fashion-mnist", "partition": "dirichlet", "alpha": 0.1},
        {"source": "folder", "path": "x"},
        {"source": "python", "file": "x.py", "path": "x", "partition": "iid"},
        {"split": "leave-subjects-out", "held_out_subjects": [1, 2]},
        {"partition": "time", "devices": 5},
        {"source": "synthetic-keywords", "split": "leave-subjects-out", "held_out_subjects": [11, 60]},
        {"source": "synthetic-keywords", "path": "x"},
        {"source": "shuttle", "partition": "time", "path": "x"},
        {"source": "synthetic-digits", "devices": 10_000_000, "examples_per_device": [1, 1]},
        {
            "source": "wrist",
            "partition": "resampled",
            "split": "leave-subjects-out",
            "held_out_subjects": [1],
        },
    ],
)
def test_values_that_fit_pass(values: dict[str, Any]) -> None:
    check(settings(**values))
