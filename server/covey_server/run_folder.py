"""A run's folder on disk: `runs/<name>/`.

config.toml        the resolved configuration; `covey simulate` accepts it
run.json           the run's identifier and the digest of config.toml
checkpoints/       round-000010.ckpt, …: the last two
metrics.jsonl      a line a round; metrics.csv is the same, written when the run ends
ledger/            every private sum, also of rounds that a crash made be asked again; a fleet's runs share
one devices/           what each simulated device told its own log
package, report.html, summary.json, keys/, device/: see `covey_simulations.run`
"""

import csv
import hashlib
import io
import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from covey.errors import InputError, StateError
from covey_io import durable
from covey_io.ledger_files import LedgerFiles
from covey_io.lock import held
from covey_server import checkpoint as checkpoints
from covey_server.checkpoint import Checkpoint
from covey_server.sum_rows import Row, read_entries, rows_of

OWN_LEDGER = "ledger"
SUMMARY, HEALTH = "summary.json", "health.json"
"""What a run came to; health.json of one that asked how a rollout goes, and trained nothing."""
SHARED_LEDGER = "../ledger"
CALIBRATION, GATE = "calibration.json", "gate.json"
"""What devices said after the last round, of ranges and of the release before."""
_KEPT = 2
_SLACK = 1 << 20  # bytes, for metrics and for how a file system counts
_CHECKPOINT = re.compile(r"^round-(\d{6})\.ckpt$")


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """`run.json`: what tells a run apart.

    Attributes:
        run: The run's identifier.
        config_sha256: Digest of config.toml.
        ledger: Where its ledger is, from the run's folder.
    """

    format: str = "covey-run/1"
    run: str
    config_sha256: str
    ledger: str = OWN_LEDGER


def is_finished(path: Path) -> bool:
    """Whether a run's folder has what it came to, which is written last."""
    return any((path / name).exists() for name in (SUMMARY, HEALTH))


def came_to(path: Path) -> str:
    """Which of the two files a run has, or will have."""
    return HEALTH if (path / HEALTH).exists() else SUMMARY


class RunFolder:
    """One run's folder. Every write is durable before it returns.

    Args:
        path: The folder; see `create` and `open`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"
        self._size = 0

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], ledger: str = OWN_LEDGER) -> "RunFolder":
        """Start a run.

        Args:
            path: Must not exist, or must hold only what a crash left before the run began.
            config: The resolved configuration as plain tables. TOML has no null: a key that is None is left
                out, and read back as its default, None.
            ledger: Where its ledger is, from the run's folder.

        Raises:
            InputError: Another run is there.
        """
        if (path / "run.json").exists():
            raise InputError(f"{path} holds a run already", hint=f"go on with it: --resume {path}")
        durable.make_folder(path / "checkpoints")
        text = msgspec.toml.encode(_without_nulls(config))
        durable.replace(path / "config.toml", text)
        marks = Marks(run=secrets.token_hex(8), config_sha256=_sha256(text), ledger=ledger)
        durable.replace(path / "run.json", msgspec.json.encode(marks) + b"\n")
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Go on with a run.

        Raises:
            InputError: No run is there.
            StateError: Its configuration is not the one it was started with, or is gone.
        """
        folder = cls(path)
        if not (path / "run.json").is_file():
            raise InputError(f"{path} is not a run", hint="name a folder under runs/")
        config = path / "config.toml"
        if not config.is_file() or _sha256(config.read_bytes()) != folder.config:
            raise StateError(
                f"{config} was changed or removed since the run began",
                hint="start a new run from it, or put the original back",
            )
        return folder

    @property
    def run(self) -> str:
        """The run's identifier."""
        return self._marks().run

    @property
    def config(self) -> str:
        """Digest of the configuration."""
        return self._marks().config_sha256

    @property
    def ledger(self) -> LedgerFiles:
        """The ledger that its sums stand in."""
        return LedgerFiles(self.path / self._marks().ledger)

    def _marks(self) -> Marks:
        path = self.path / "run.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Marks)
        except ValueError as error:
            raise StateError(f"{path} is damaged", hint="start a new run") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run's name: a second process that wants it is refused.

        The lock lies beside the folder, so that it can be held while an earlier run is moved aside and this
        one is made.

        Raises:
            InputError: Another process holds it.
        """
        refusal = InputError(f"{self.path} is in use by another process", hint="wait for it, or stop it")
        durable.make_folder(self.path.parent)
        with held(self.path.with_name(f".{self.path.name}.lock"), refusal):
            yield

    def save(self, state: Checkpoint) -> None:
        """Write a checkpoint, then drop all but the last two."""
        data = checkpoints.to_bytes(state)
        durable.replace(self._path_of(state), data)
        self._size = len(data)
        self._drop_old()

    def check_room(self) -> None:
        """Before a round is asked that ends with a checkpoint as large as the last one.

        Raises:
            OSError: The disk has no room for it.
        """
        durable.check_room(self.checkpoints, self._size + _SLACK)

    def _path_of(self, state: Checkpoint) -> Path:
        return self.checkpoints / f"round-{state.round:06d}.ckpt"

    def latest(self) -> Checkpoint | None:
        """The last checkpoint; None before the first.

        Raises:
            StateError: It is damaged or belongs to another configuration.
        """
        saved = self._saved()
        if not saved:
            return None
        data = saved[-1].read_bytes()
        self._size = len(data)
        state = checkpoints.from_bytes(data, str(saved[-1]))
        if state.config != self.config:
            raise StateError(f"{saved[-1]} belongs to another configuration", hint="start a new run")
        return state

    def _drop_old(self) -> None:
        for old in self._saved()[:-_KEPT]:
            old.unlink()

    def _saved(self) -> list[Path]:
        return sorted(path for path in self.checkpoints.glob("*.ckpt") if _CHECKPOINT.match(path.name))

    def log_metrics(self, rows: Iterable[Row]) -> None:
        """Append rounds' rows."""
        durable.append(self.metrics, b"".join(map(_line, rows)))

    def rewind(self, last_round: int) -> None:
        """Undo what a crash left half done after `last_round`, the last with a checkpoint, or 0.

        Rows of rounds after it go, torn lines go, and so do checkpoints before the last two.
        """
        self._drop_old()
        kept = [row for row in self.rows() if row["round"] <= last_round]
        durable.replace(self.metrics, b"".join(map(_line, kept)))

    def rows(self) -> list[Row]:
        """All metrics rows."""
        return _rows(self.metrics)

    def sum_rows(self) -> list[Row]:
        """All private sums of the run, from its ledger.

        Raises:
            StateError: The ledger is damaged.
        """
        files = self.ledger
        if not files.is_there:
            return []
        return rows_of(read_entries(files), self.run)

    def write_csv(self) -> None:
        """Write metrics.csv from metrics.jsonl."""
        rows = self.rows()
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["round"])
        writer.writeheader()
        writer.writerows(rows)
        durable.replace(self.path / "metrics.csv", text.getvalue().encode())


def _without_nulls(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_nulls(value) if isinstance(value, Mapping) else value
        for key, value in tables.items()
        if value is not None
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _line(row: Row) -> bytes:
    return (json.dumps(row) + "\n").encode()


def _rows(path: Path) -> list[Row]:
    """Complete lines; a torn last one (a crash while appending) is not a row.

    Raises:
        StateError: A complete line is no row.
    """
    if not path.exists():
        return []
    try:
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    except ValueError as error:
        raise StateError(
            f"{path} is damaged: {error}", hint="start a new run; this one is left as it is"
        ) from error
