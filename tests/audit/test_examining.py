"""What a person named, as the command that makes the same report again."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from covey_audit.anchor_files import Given
from covey_audit.audit_commands import audit
from covey_audit.examining import command_line
from made_ledger import honest

PATH, REPORT = Path("runs/a pilot"), Path("report.html")


@pytest.mark.parametrize(
    ("given", "self_check", "line"),
    [
        (Given(), False, "covey audit 'runs/a pilot' --report report.html"),
        (Given(), True, "covey audit 'runs/a pilot' --report report.html --self-check"),
        (
            Given(Path("p.signed"), ("a.vkey", "b+1"), 2, "ab" * 32, "http://w", Path("old")),
            False,
            (
                "covey audit 'runs/a pilot' --policy p.signed --reviewer a.vkey --reviewer b+1 --threshold 2"
                f" --enrolment {'ab' * 32} --witnessed http://w --previous old --report report.html"
            ),
        ),
        (
            Given(witnessed="$(x)"),
            False,
            "covey audit 'runs/a pilot' --witnessed '$(x)' --report report.html",
        ),
    ],
)
def test_the_command_names_all_that_was_given(given: Given, self_check: bool, line: str) -> None:
    assert command_line(PATH, given, REPORT, self_check=self_check) == line


def test_a_report_names_the_command_that_it_came_of(tmp_path: Path) -> None:
    folder, report = honest().write(tmp_path / "ledger"), tmp_path / "report.html"
    CliRunner().invoke(audit, [str(folder), "--report", str(report)], catch_exceptions=False)
    text = report.read_text("utf-8")
    assert "This report was made by:" in text
    assert f"covey audit {folder} --report {report}" in text
