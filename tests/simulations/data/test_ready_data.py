"""The federations that come with the data sources run, and the page about data says what is true."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from covey_models.registry import names
from covey_simulations.api import simulate
from covey_simulations.data import keywords
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.federation import load
from covey_simulations.data.keywords import Made
from covey_simulations.data.settings import DataSettings

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/data.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SHORT = {
    "federation.rounds": 1,
    "federation.devices_per_round": 3,
    "federation.minimum_devices": 2,
    "privacy.masks": "elided",
}


def noise(voices: Sequence[str]) -> Made:
    """In place of espeak-ng."""
    shape = (len(voices), 4, 12, 49, 10)
    return Made(np.random.default_rng(0).normal(size=shape).astype(np.float32), "1.51")


@pytest.mark.parametrize("name", ["breast-cancer", "keywords", "shuttle", "synthetic-digits"])
def test_a_ready_federation_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keywords, "make", noise)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = simulate(
        ROOT / f"simulations/{name}.toml", SHORT, stages="training", runs=tmp_path, progress=False
    )
    assert done.summary.rounds == 1
    assert 0 <= done.summary.accuracy_federated <= 1


def test_the_page_has_every_source_and_partition() -> None:
    hints = get_type_hints(DataSettings)
    listed = [*get_args(hints["source"]), *get_args(hints["partition"]), *get_args(hints["split"])]
    assert not [each for each in listed if f'"{each}"' not in PAGE]


def test_the_page_has_every_federation_with_its_model() -> None:
    table = re.findall(r"^\| `simulations/(.*?)` \| `(.*?)`", PAGE, re.MULTILINE)
    assert len(table) >= 5
    for file, model in table:
        assert tomllib.loads((ROOT / "simulations" / file).read_text("utf-8"))["model"]["name"] == model
        assert model in names()


def test_the_pages_python_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done: dict[str, Any] = {}
    for block in BLOCKS:
        if "# needs covey[datasets]" not in block and "# my_data.py" not in block:
            exec(block, done)  # noqa: S102 - the project's own page
    assert [len(done[each].devices) for each in ("dealt", "owned", "lazy", "given")] == [20, 12, 1_000_000, 3]
    assert done["run"].summary.rounds == 3


def test_the_pages_data_sets_do_what_it_says() -> None:
    pytest.importorskip("flwr_datasets")
    done: dict[str, Any] = {}
    for block in BLOCKS[:2]:
        exec(block, done)  # noqa: S102 - the project's own page
    assert [len(done[each].devices) for each in ("speakers", "skewed")] == [30, 8]


def test_the_pages_file_gives_data(tmp_path: Path) -> None:
    (text,) = (block for block in BLOCKS if block.startswith("# my_data.py"))
    (tmp_path / "my_data.py").write_text(text, "utf-8")
    settings = DataSettings(source="python", file=str(tmp_path / "my_data.py"))
    data: FederatedData = load(settings, np.random.default_rng(0))
    assert (data.name, len(data.devices)) == ("mine", 12)
