"""What `covey demo` does: a federation without noise, the private one beside it, its rollouts, an audit."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from covey.errors import InputError
from covey_io import settings
from covey_server import summary
from covey_server.run_folder import RunFolder
from covey_simulations import beside
from covey_simulations.closing import closing_lines
from covey_simulations.rollout.stage import is_over, roll_out
from covey_simulations.runs import CONFIG
from covey_simulations.self_audit import audit_lines
from covey_simulations.settings import SimulationFile
from covey_simulations.terminal import Job, Stopped, begun, carry_out, resumed, say

BARE, PRIVATE = "demo-without-noise", "demo"


@dataclass(frozen=True)
class Demo:
    """Two federations on the same data.

    Attributes:
        bare: TOML file of the one without noise.
        private: TOML file of the private one.
        runs: Folder for runs.
    """

    bare: Path
    private: Path
    runs: Path

    def run(self, changes: Sequence[str], *, resuming: bool) -> None:
        """Both to their ends, and what they came to.

        Args:
            changes: KEY=VALUE, to both files.
            resuming: Go on with what was stopped, be it the one or the other.

        Raises:
            CoveyError: What went wrong, and the next step.
        """
        console = Console()
        first, second = self._unfinished(changes) if resuming else self._whole(changes)
        if first is not None:
            say(console, f"first of two: without noise, to compare with ({first.path})")
            carry_out(first, console, None, self._again)
        compared, private = beside.read(self.runs / BARE), self.runs / PRIVATE
        if second is not None:
            say(console, f"second of two: private, masked and noised ({second.path})")
            carry_out(second, console, compared, self._again)
        found = summary.read(private / "summary.json")
        say(console, "rollout")
        rolled = self._rolled_out(console)
        say(console, "audit")
        audited = audit_lines(private)
        say(console, *closing_lines(found, RunFolder(private), compared, rolled, audited))

    def _rolled_out(self, console: Console) -> tuple[str, ...]:
        try:
            return roll_out(RunFolder.open(self.runs / PRIVATE), lambda line: say(console, f"  {line}"))
        except KeyboardInterrupt:
            raise Stopped("stopped", hint=self._again) from None

    def _whole(self, changes: Sequence[str]) -> tuple[Job, Job]:
        return begun(self.bare, changes, self.runs), begun(self.private, changes, self.runs)

    def _unfinished(self, changes: Sequence[str]) -> tuple[Job | None, Job | None]:
        """What is left to do. The seed, and where noise comes from, stay as the first run has them.

        Raises:
            InputError: There is nothing to go on with, or something is to be changed half-way.
        """
        bare, private = self.runs / BARE, self.runs / PRIVATE
        if not (bare / "run.json").is_file():
            missing = bare if (private / "run.json").is_file() else private
            raise InputError(f"{missing} is not a run", hint="begin anew: covey demo")
        if changes or not (bare / "summary.json").is_file():
            return resumed(bare, changes), begun(self.private, _kept(bare), self.runs)
        if _is_older(private, bare):
            return None, begun(self.private, _kept(bare), self.runs)
        if (private / "summary.json").is_file() and not is_over(private):
            return None, None
        return None, resumed(private, [])

    @property
    def _again(self) -> str:
        runs = "" if self.runs == Path("runs") else f" --runs {shlex.quote(str(self.runs))}"
        return f"covey demo --resume{runs}"


def _kept(run: Path) -> list[str]:
    file = settings.load(run / CONFIG, SimulationFile)
    return [f"seed={file.seed}", f"private_noise={str(file.private_noise).lower()}"]


def _is_older(run: Path, other: Path) -> bool:
    """Whether a run is of an earlier demo than the other, or was never begun; run.json is written once."""
    marks = run / "run.json"
    return not marks.is_file() or marks.stat().st_mtime_ns < (other / "run.json").stat().st_mtime_ns
