from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from covey_server.coordinator import RoundEnded
from covey_simulations.progress import Estimate, LiveProgress, PlainProgress, progress, round_text


def ended(
    number: int, *, accuracy: float | None = 0.5, seconds: float = 2.0, refused: tuple[str, ...] = ()
) -> RoundEnded:
    return RoundEnded(number, 10, 1.25, accuracy, 20, refused, seconds)


def terminal(width: int = 160) -> Console:
    return Console(
        force_terminal=True,
        file=StringIO(),
        width=width,
        color_system=None,
        legacy_windows=False,
        _environ={"TERM": "xterm-256color"},  # whatever terminal the tests run in
    )


def log(width: int = 80) -> Console:
    return Console(file=StringIO(), width=width)


def written(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def rendered(console: Console) -> list[str]:
    """Lines as they stood, one redrawn bar after another, without what moves the cursor."""
    text = written(console)
    for code in ("\x1b[2K", "\x1b[1A", "\x1b[?25l", "\x1b[?25h", "\r"):
        text = text.replace(code, "\n")
    assert "\x1b" not in text
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_time_left_is_the_mean_round_times_the_rounds_left() -> None:
    estimate = Estimate()
    assert estimate.add(ended(1, seconds=1)) == 9
    assert estimate.add(ended(2, seconds=3)) == 16
    assert estimate.add(ended(10, seconds=2)) == 0


def test_time_left_after_a_resume_comes_from_this_processs_rounds() -> None:
    assert Estimate().add(ended(8, seconds=3)) == 6


def test_a_rounds_figures() -> None:
    text = round_text(ended(3), 0.5, 14.4)
    assert text == "loss  1.250  accuracy  50.0%   14 s left"


@pytest.mark.parametrize("accuracy", [None, 0.0, 0.051, 1.0])
def test_a_rounds_figures_stand_in_the_same_columns(accuracy: float | None) -> None:
    assert len(round_text(ended(1), accuracy, 3)) == len(round_text(ended(1), 0.5, 123))


class TestLive:
    def test_a_round_shows_round_loss_accuracy_and_time_left(self) -> None:
        console = terminal()
        with LiveProgress(console) as display:
            display.stage("training")
            display.round_ended(ended(4))
            shown = self._last(console, display)
        assert shown.startswith("training")
        for figure in ("4/10", "loss  1.250", "accuracy  50.0%", "12 s left"):
            assert figure in shown

    def test_the_last_known_accuracy_stays_through_rounds_without_validation(self) -> None:
        console = terminal()
        with LiveProgress(console) as display:
            display.stage("training")
            display.round_ended(ended(1, accuracy=None))
            assert "accuracy      …" in self._last(console, display)
            display.round_ended(ended(2, accuracy=0.625))
            display.round_ended(ended(3, accuracy=None))
            shown = self._last(console, display)
        assert "3/10" in shown
        assert "accuracy  62.5%" in shown

    def test_a_finished_stage_stays_above_the_next(self) -> None:
        console = terminal()
        with LiveProgress(console) as display:
            for name in ("data", "training"):
                display.stage(name)
            display.round_ended(ended(10))
            display.stage("report")
        final = rendered(console)[-3:]
        assert [line.split()[0] for line in final] == ["data", "training", "report"]
        assert "1/1" in final[0]
        assert "10/10" in final[1]
        assert "loss  1.250" in final[1]
        assert "1/1" in final[2]

    def test_an_interrupted_stage_is_not_shown_as_finished(self) -> None:
        console = terminal()
        self._broken(LiveProgress(console), KeyboardInterrupt())
        last = rendered(console)[-1]
        assert "4/10" in last
        assert "10/10" not in last

    def test_the_cursor_is_shown_again_also_after_an_error(self) -> None:
        console = terminal()
        self._broken(LiveProgress(console), RuntimeError())
        assert written(console).rindex("\x1b[?25h") > written(console).rindex("\x1b[?25l")

    def test_an_answer_that_was_not_counted_is_told_above_the_bar(self) -> None:
        console = terminal()
        with LiveProgress(console) as display:
            display.stage("training")
            display.round_ended(ended(4, refused=("node 7: [red]no[/red]",)))
        assert "round 4: not counted: node 7: [red]no[/red]" in rendered(console)

    @pytest.mark.parametrize("number", [7, 140])
    def test_everything_fits_a_terminal_of_80_columns(self, number: int) -> None:
        console = terminal(width=80)
        with LiveProgress(console) as display:
            display.stage("central baseline")
            display.stage("training")
            display.round_ended(replace(ended(number), rounds=150, seconds=1.0))
            shown = self._last(console, display)
        for figure in (
            f"{number}/150",
            "loss  1.250",
            "accuracy  50.0%",
            f"{150 - number} s left",
            "0:00:00",
        ):
            assert figure in shown
        assert "…" not in "".join(rendered(console))

    @staticmethod
    def _broken(display: LiveProgress, error: BaseException) -> None:
        with suppress(type(error)), display:
            display.stage("training")
            display.round_ended(ended(4))
            raise error

    @staticmethod
    def _last(console: Console, display: LiveProgress) -> str:
        display._bar.refresh()
        return rendered(console)[-1]


class TestPlain:
    def _lines(self, tell: Callable[[PlainProgress], None], width: int = 80) -> list[str]:
        console = log(width)
        with PlainProgress(console) as display:
            tell(display)
        return written(console).splitlines()

    def test_a_stage_is_a_line(self) -> None:
        assert self._lines(lambda display: display.stage("central baseline")) == ["central baseline"]

    def test_a_validated_round_is_a_line(self) -> None:
        assert self._lines(lambda display: display.round_ended(ended(4))) == [
            "  round    4/10  loss  1.250  accuracy  50.0%   12 s left  20 devices"
        ]

    def test_a_round_without_validation_is_none_but_counts_for_the_time_left(self) -> None:
        def tell(display: PlainProgress) -> None:
            display.round_ended(ended(1, accuracy=None, seconds=1))
            display.round_ended(ended(2, seconds=3))

        lines = self._lines(tell)
        assert len(lines) == 1
        assert "  16 s left" in lines[0]

    def test_every_answer_that_was_not_counted_is_a_line_also_without_validation(self) -> None:
        refused = ("node 7: [red]no[/red]", "node 9: late")
        assert self._lines(lambda d: d.round_ended(ended(4, accuracy=None, refused=refused))) == [
            "  round 4: not counted: node 7: [red]no[/red]",
            "  round 4: not counted: node 9: late",
        ]

    def test_a_long_line_is_not_broken(self) -> None:
        lines = self._lines(lambda d: d.round_ended(ended(4, refused=("word " * 40 + "end",))), width=40)
        assert len(lines) == 2
        assert lines[0].endswith("word end")

    def test_it_leaves_errors_alone(self) -> None:
        with pytest.raises(RuntimeError), PlainProgress(log()):
            raise RuntimeError


def test_a_terminal_gets_the_live_display_and_a_file_the_plain_one() -> None:
    assert isinstance(progress(terminal()), LiveProgress)
    assert isinstance(progress(log()), PlainProgress)
