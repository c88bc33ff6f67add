from pathlib import Path

import pytest

from covey.errors import InputError
from covey_models.registry import find, from_file, names

GOOD = '''
from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from covey_models.model import Model


@dataclass
class Sizes:
    """Dataclasses with postponed annotations look their module up by name."""

    classes: int = 3


MODEL = Model(
    name="mine",
    summary="s",
    input_shape=(2, 4),
    input_units="V",
    input_bound=1.0,
    labels=("a", "b", "c"),
    build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(8, Sizes().classes)),
    licence="MIT",
    source="none",
)
'''
BATCH_STATISTICS = (
    "nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False), nn.Flatten(), nn.Linear(8, 3))"
)


def test_the_zoo_is_found() -> None:
    assert set(names()) >= {"wrist-motion", "digits", "image-cnn", "keywords"}
    assert all(find(name).name == name for name in names())


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no model 'wrist' .*digits, .*wrist-motion"):
        find("wrist")


def test_a_users_file_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    assert from_file(path).classes == 3


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model file"):
        from_file(tmp_path / "absent.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "defines no MODEL"),
        ("MODEL = 'wrist-motion'", "defines MODEL of type str"),
        ("import nothing_of_that_name", "failed: ModuleNotFoundError: No module named"),
        ("def (", "failed: SyntaxError"),
        (GOOD.replace('"mine"', '"Mine!"'), "its name is not made of"),
        (GOOD.replace('"a", "b", "c"', '"a", "b", "b"'), "all different"),
        (GOOD.replace('"a", "b", "c"', '"a", "b"'), r"it gives \(3, 3\) for a batch of 3, not \(n, 2\)"),
        (GOOD.replace("input_bound=1.0", "input_bound=0.0"), "input_bound must be above 0"),
        (GOOD.replace("Linear(8", "Linear(7"), r"it failed on shape \(3, 2, 4\): RuntimeError"),
        (GOOD.replace("nn.Flatten(),", "nn.Flatten(), nn.BatchNorm1d(8),"), "it has buffers .1.running_mean"),
        (
            GOOD.replace("nn.Sequential(nn.Flatten(), nn.Linear(8, Sizes().classes))", BATCH_STATISTICS),
            "of its batch",
        ),
        (
            GOOD.replace("nn.Sequential(nn.Flatten(), nn.Linear(8, Sizes().classes))", "nn.Flatten()"),
            "no parameters",
        ),
        (
            GOOD.replace("nn.Sequential(nn.Flatten(), nn.Linear(8, Sizes().classes))", "3"),
            "gave int, not a torch",
        ),
        (GOOD.replace("Sizes().classes)", "Sizes().classes).double()"), "float64, not float32"),
        (GOOD.replace("Sizes()", "Size()"), r"build\(\) failed: NameError"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        from_file(path)
    assert "\n" not in str(caught.value)
