"""docs/research.md, followed literally."""

from pathlib import Path

import pytest

from covey_simulations.engines.settings import EngineSettings
from named_blocks import follow

PAGE = Path(__file__).parents[2] / "docs/research.md"


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_page_is_followed(tmp_path: Path) -> None:
    said = follow(PAGE, tmp_path)
    for words in ("engine: batched, matrix products by hand", "engine: batched, vmap"):
        assert words in said, f"nobody said {words!r}:\n{said}"
    for name in ("first", "mine", "million"):
        assert (tmp_path / "runs" / name / "summary.json").is_file(), name


def test_the_page_names_every_engine() -> None:
    page = PAGE.read_text("utf-8")
    engines = EngineSettings.__annotations__["engine"].__args__
    assert not [engine for engine in engines if f"`{engine}`" not in page and engine != "auto"]
