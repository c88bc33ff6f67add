"""A sweep's folder on disk: `runs/<name>/`.

sweep.json           its runs, with case, seed and what varies
<run>/               a run's folder each, named by case, seed and a digest of its configuration
failures/<run>.json  why a run failed
workers.log          what the processes printed
results.csv          a row a run; results.parquet is the same
rounds.csv           a row a round of a run; rounds.parquet is the same
configurations.json  the resolved configuration of every run
compare.html         written by `covey compare` and `covey report`
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from covey.errors import InputError, StateError
from covey_io import durable
from covey_io.lock import held
from covey_server.run_folder import is_finished
from covey_simulations.experiments import records, tables
from covey_simulations.experiments.cases import Planned
from covey_simulations.experiments.jobs import Failed
from covey_simulations.experiments.records import Record, configuration, row_of
from covey_simulations.settings import SimulationFile

NAME: Final = "sweep.json"
State = Literal["finished", "failed", "unfinished"]
_NEW: Final = re.compile(r"\A(failures|workers\.log|\..*)\Z")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a sweep.

    Attributes:
        run: Name of its folder.
        case: What a reader calls its variant.
        seed: Of everything random in it.
        changes: To the sweep's base, by dotted key.
    """

    run: str
    case: str
    seed: int
    changes: dict[str, Any]


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """`sweep.json`.

    Attributes:
        name: Of the sweep.
        target: Accuracy that rounds are counted up to.
        runs: In the order in which they are carried out.
    """

    format: str = "covey-sweep/1"
    name: str
    target: float | None
    runs: tuple[Member, ...]


@dataclass(frozen=True)
class SweepFolder:
    """One sweep's folder."""

    path: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the sweep's name: a second process that wants it is refused.

        Raises:
            InputError: Another process holds it.
        """
        refusal = InputError(f"{self.path} is in use by another process", hint="wait for it, or stop it")
        durable.make_folder(self.path.parent)
        with held(self.path.with_name(f".{self.path.name}.lock"), refusal):
            yield

    def begin(self, name: str, target: float | None, runs: Sequence[Planned]) -> None:
        """Write down which runs there are; those that were there before and are no more stay on disk.

        Raises:
            InputError: What is there is no sweep.
        """
        if self.path.exists() and not is_sweep(self.path) and any(map(_is_somebodys, self.path.iterdir())):
            raise InputError(
                f"{self.path} is there and is not a sweep", hint="move it away, or choose --runs"
            )
        members = [
            Member(run=run.name, case=run.case.label, seed=run.seed, changes=dict(run.case.changes))
            for run in runs
        ]
        listing = Listing(name=name, target=target, runs=tuple(members))
        durable.make_folder(self.path / "failures")
        durable.replace(self.path / NAME, msgspec.json.format(msgspec.json.encode(listing), indent=2) + b"\n")

    def listing(self) -> Listing:
        """Which runs there are.

        Raises:
            InputError: No sweep is there.
            StateError: It is damaged.
        """
        path = self.path / NAME
        try:
            return msgspec.json.decode(path.read_bytes(), type=Listing)
        except FileNotFoundError:
            raise InputError(
                f"{self.path} is not a sweep", hint="name a sweep's folder under runs/"
            ) from None
        except msgspec.MsgspecError as error:
            raise StateError(f"{path} is damaged: {error}", hint="run the same covey sweep again") from error

    def run(self, name: str) -> Path:
        """Where a run is."""
        return self.path / name

    def state(self, name: str) -> State:
        """How far a run is."""
        if is_finished(self.run(name)):
            return "finished"
        return "failed" if self._failure(name).exists() else "unfinished"

    def failure(self, name: str) -> Failed | None:
        """Why a run failed."""
        path = self._failure(name)
        return msgspec.json.decode(path.read_bytes(), type=Failed) if path.exists() else None

    def failed(self, name: str, why: Failed) -> None:
        """Write down why a run failed."""
        durable.replace(self._failure(name), msgspec.json.encode(why) + b"\n")

    def forgive(self, name: str) -> None:
        """Forget that a run failed."""
        self._failure(name).unlink(missing_ok=True)

    def records(self) -> dict[str, Record]:
        """Of all finished runs, by name.

        Raises:
            StateError: A file of one is damaged.
        """
        names = [each.run for each in self.listing().runs]
        return {name: records.read(self.run(name)) for name in names if self.state(name) == "finished"}

    def write_results(self, files: Mapping[str, SimulationFile]) -> bool:
        """Write what is known so far.

        Args:
            files: The resolved configuration of every run.

        Returns:
            Whether there are Parquet files.
        """
        configurations = {name: configuration(file) for name, file in files.items()}
        text = msgspec.json.format(msgspec.json.encode(configurations), indent=1)
        durable.replace(self.path / "configurations.json", text + b"\n")
        found = self.records()
        tables.write(self.rounds(found), self.path / "rounds")
        return tables.write(self.results(found), self.path / "results")

    def rounds(self, known: Mapping[str, Record]) -> list[dict[str, Any]]:
        """A row a round of a finished run."""
        return [
            {"run": each.run, "case": each.case, "seed": each.seed, **row}
            for each in self.listing().runs
            if each.run in known
            for row in known[each.run].rounds
        ]

    def results(self, known: Mapping[str, Record]) -> list[dict[str, Any]]:
        """A row a run, also of those that are not finished."""
        listing = self.listing()
        varied = dict.fromkeys(key for each in listing.runs for key in each.changes)
        return [
            {
                "run": each.run,
                "case": each.case,
                "seed": each.seed,
                "state": self.state(each.run),
                **{key: _varying(each, key, known.get(each.run)) for key in varied},
                **(row_of(known[each.run], listing.target) if each.run in known else {}),
                "error": why.message if (why := self.failure(each.run)) else "",
            }
            for each in listing.runs
        ]

    def _failure(self, name: str) -> Path:
        return self.path / "failures" / f"{name}.json"


def is_sweep(path: Path) -> bool:
    """Whether a folder is a sweep's."""
    return (path / NAME).is_file()


def _is_somebodys(path: Path) -> bool:
    return not _NEW.match(path.name)


def _varying(member: Member, key: str, record: Record | None) -> Any:
    """A key that varies within the sweep; where a case leaves it alone, what the base says."""
    if key in member.changes or record is None:
        return member.changes.get(key)
    value: Any = configuration(record.file)
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
