from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from covey.errors import DataError, InputError
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.federation import load
from covey_simulations.data.settings import DataSettings

GOOD = """
import numpy as np

from covey_simulations.data.arrays import from_arrays


def load(settings):
    x = np.arange(400.0).reshape(200, 2) % int(settings.path or 7)
    return from_arrays(x, np.arange(200) % 2, groups=np.arange(200) % 25, name="mine")
"""


def loaded(file: Path, text: str, **values: Any) -> FederatedData:
    file.write_text(text, encoding="utf-8")
    chosen: dict[str, Any] = {"source": "python", "file": str(file)}
    return load(msgspec.convert(chosen | values, DataSettings), np.random.default_rng(1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "my_data.py"


def test_a_file_of_yours_gives_the_data(path: Path) -> None:
    data = loaded(path, GOOD)
    assert (data.name, len(data.devices), data.training_examples) == ("mine", 25, 150)
    assert data.notes == ("Devices as given: 25.", "Held out: the test part.")


def test_it_reads_what_it_likes_of_the_settings(path: Path) -> None:
    assert loaded(path, GOOD, path="3").all_train().x.max() == 2


def test_what_it_gives_can_be_dealt_thinned_and_tuned_on(path: Path) -> None:
    assert len(loaded(path, GOOD, partition="iid", devices=4).devices) == 4
    assert loaded(path, GOOD, examples=50).training_examples == 50
    assert loaded(path, GOOD, split="tuning").training_examples == 100
    assert loaded(path, GOOD, partition="resampled", devices=30).name == "synthetic-mine"


def test_devices_made_on_demand_are_taken_as_they_are(path: Path) -> None:
    text = GOOD.replace("groups=np.arange(200) % 25", "partition='resampled', devices=999")
    assert len(loaded(path, text).devices) == 999
    with pytest.raises(InputError, match="on demand"):
        loaded(path, text, split="tuning")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "defines no load"),
        ("load = 3", "defines no load"),
        ("import nothing_of_that_name", "failed: ModuleNotFoundError"),
        ("def load(settings): return 1 / 0", "load failed: ZeroDivisionError"),
        ("def load(): return 1", "load failed: TypeError"),
        ("def load(settings): return {}", "load returned dict"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        loaded(path, text)
    assert "\n" not in str(refused.value)


def test_what_is_wrong_with_its_arrays_is_said_as_it_is(path: Path) -> None:
    with pytest.raises(DataError, match=r"^x: 200 of 200 rows hold NaN"):
        loaded(path, GOOD.replace("% int(settings.path or 7)", "* np.nan"))


def test_no_file(tmp_path: Path) -> None:
    chosen = DataSettings(source="python", file=str(tmp_path / "absent.py"))
    with pytest.raises(InputError, match=r"data\.file: no file .*absent\.py"):
        load(chosen, np.random.default_rng(0))
