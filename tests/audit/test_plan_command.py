"""`covey plan`: what a tired operator reads."""

import json

import pytest
import typer
from typer.testing import CliRunner

from covey.errors import InputError
from covey_audit.planning import plan

BASE = ["--devices", "20", "--length", "4423", "--rounds", "200"]
EXAMPLE = ["--unit", "example", "--sampling-rate", "0.1", "--examples", "500"]
WIDTH = 80


def run(*arguments: str, width: int = WIDTH) -> str:
    """Run `covey plan` at 80 columns on a dumb terminal; an error of ours passes through."""
    app = typer.Typer()
    app.command()(plan)
    environment = {"TERM": "dumb", "COLUMNS": str(width), "NO_COLOR": "1"}
    result = CliRunner().invoke(app, [*arguments], env=environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def values(text: str) -> dict[str, str]:
    """The table's value by label."""
    rows = [line.split("  ") for line in text.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows if not row[0].startswith(" ")]
    return {row[0]: row[1] for row in cells if len(row) > 1}


def test_a_target_gives_every_number_of_the_run() -> None:
    found = values(run(*BASE, "--epsilon", "4"))
    assert (found["epsilon, server"], found["epsilon, release"]) == ("4.000", "3.889")
    assert (found["minimum"], found["honest"], found["threshold"]) == ("14", "13", "11")
    assert found["removal"] == "on"
    assert found["z, training"].startswith("16.3")
    assert found["sent"].endswith("kB")


def test_a_multiplier_gives_the_promise_rounded_up() -> None:
    found = values(run(*BASE, "--noise-multiplier", "20"))
    told = json.loads(run(*BASE, "--noise-multiplier", "20", "--json"))
    assert float(found["epsilon, server"]) >= told["epsilon"]["server"]
    assert float(found["epsilon, server"]) - told["epsilon"]["server"] < 0.001


def test_examples_are_sampled_and_kinds_of_sums_are_listed() -> None:
    text = run(*BASE, *EXAMPLE, "--epsilon", "4", "--validations", "20", "--statistics", "1")
    found = values(text)
    assert found["statistics sums"] == "1"
    assert found["validation sums"] == "20"
    assert "chance 0.1, by secret coins" in " ".join(text.split())
    assert "Promise for one example" in text


@pytest.mark.parametrize("more", [[], EXAMPLE, ["--no-removal"], ["--statistics", "1", "--validations", "9"]])
def test_it_prints_plain_ascii_in_eighty_columns(more: list[str]) -> None:
    text = run(*BASE, "--epsilon", "4", *more)
    assert text.isascii()
    assert "\x1b" not in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= WIDTH


def test_every_line_says_what_it_means() -> None:
    text = run(*BASE, "--epsilon", "4", width=200)
    rows = [line for line in text.splitlines() if "  " in line]
    assert len(rows) >= 15
    assert all(len([cell for cell in row.split("  ") if cell.strip()]) == 3 for row in rows)


def test_other_libraries_recompute_the_promise() -> None:
    arguments = [*BASE, *EXAMPLE, "--epsilon", "4", "--validations", "20", "--check", "--json"]
    told = json.loads(run(*arguments))
    assert told["recomputed"]["dp-accounting"] == pytest.approx(told["epsilon"]["server"], abs=1e-5)
    assert "dp-accounting" in run(*BASE, "--epsilon", "4", "--check")


def test_a_promise_that_tables_cannot_keep_is_not_hidden() -> None:
    assert "NOT KEPT" in run(*BASE, "--noise-multiplier", "0.1")


def test_a_semi_honest_server_is_named() -> None:
    large = ["--devices", "1000", "--corrupt", "20", "--dropouts", "0.2", "--profile", "semi-honest-server"]
    found = values(run(*large, "--length", "4423", "--rounds", "50", "--epsilon", "8"))
    assert found["server"] == "semi-honest"
    assert found["removal"] == "off"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either a target or noise multipliers"),
        (["--epsilon", "nan"], "epsilon is nan"),
        (["--epsilon", "-1"], "epsilon is -1"),
        (["--epsilon", "1"], "lower sensitivity to 512"),
        (["--epsilon", "4", "--noise-multiplier", "3"], "give one of the two"),
        (["--noise-multiplier", "inf"], "noise_multiplier is inf"),
        (["--epsilon", "4", "--delta", "1"], "delta is 1"),
        (["--epsilon", "4", "--rounds", "0"], "rounds is 0"),
        (["--epsilon", "4", "--rounds", "-1"], "rounds is -1"),
        (["--epsilon", "4", "--length", "0"], "length is 0"),
        (["--epsilon", "4", "--devices", "9"], "ask at least 10 devices"),
        (["--epsilon", "4", "--devices", "600"], "at most 500 devices"),
        (["--epsilon", "4", "--corrupt", "0"], "corrupt is 0"),
        (["--epsilon", "4", "--dropouts", "0.6"], "lower dropouts to 0.45"),
        (["--epsilon", "4", "--minimum", "10"], "minimum = 11"),
        (["--epsilon", "4", "--validations", "-2"], "sums is -2"),
        (["--epsilon", "4", "--unit", "example"], "add --examples"),
        (["--epsilon", "4", "--examples", "5"], "a device counts once"),
        (["--epsilon", "4", "--sampling-rate", "0.5"], "do not sample a device"),
        (["--epsilon", "4", "--devices", "200", "--removal"], "turn removal off"),
    ],
)
def test_what_does_not_go_together_names_the_number_to_change(arguments: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        run(*BASE, *arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert caught.value.exit_status == 2
