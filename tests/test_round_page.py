"""The state diagrams on docs/round.md are drawn from the tables that the machines obey."""

from pathlib import Path

import pytest

from covey.secagg import device, stages
from covey.secagg.diagram import mermaid

PAGE = (Path(__file__).parents[1] / "docs/round.md").read_text("utf-8")


@pytest.mark.parametrize(
    "drawn", [mermaid(device.TRANSITIONS), mermaid(stages.TRANSITIONS)], ids=["device", "server"]
)
def test_a_diagram_is_the_machine_s_own(drawn: str) -> None:
    assert f"```mermaid\n{drawn}```" in PAGE
