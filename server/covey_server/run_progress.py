"""How far a run has come, from its folder and its order: what people and scripts are shown."""

from pathlib import Path
from typing import Any, Final

import msgspec

from covey_io import settings
from covey_server.orders import Order, State
from covey_server.run_folder import RunFolder, came_to
from covey_server.server_file import ServerFile
from covey_server.sum_rows import Row

REFUSED: Final = "covey: not counted: "


class Delta(msgspec.Struct, frozen=True):
    """What of a federation's [privacy] says at which δ ε is told."""

    delta: float = 1e-5


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A run as people and scripts are shown it.

    Attributes:
        name: The run's.
        state: Where it stands.
        number: Its place in the queue.
        round: The last that is done, 0 before the first.
        rounds: In the whole run; 0 for one that only asks how a rollout goes.
        devices: In the last training sum; null before.
        loss: Of the last round; null before.
        accuracy: On held-out examples, the last that is known; null before.
        epsilon: Against the server, so far; null without noise.
        sums: Private sums that were asked for so far; each counts, also if it was not opened.
        starts: How often it was started.
        reason: Why it was started again last, or has failed.
        summary: Path of what it came to; null before.
    """

    name: str
    state: State
    number: int
    round: int
    rounds: int
    devices: int | None
    loss: float | None
    accuracy: float | None
    epsilon: float | None
    sums: int
    starts: int
    reason: str
    summary: str | None


def told(file: ServerFile, order: Order) -> Told:
    """How far a run has come.

    Args:
        file: The server's configuration.
        order: The run's.
    """
    path = file.folder.runs / order.name
    rows = rows_of(path)
    last = rows[-1] if rows else {}
    known = [row["accuracy"] for row in rows if row["accuracy"] is not None]
    sums, epsilon = cost(path, delta_of(order))
    summary = path / came_to(path)
    return Told(
        name=order.name,
        state=order.progress.state,
        number=order.entered.number,
        round=last.get("round", 0),
        rounds=rounds_of(order),
        devices=last.get("devices"),
        loss=last.get("loss"),
        accuracy=known[-1] if known else None,
        epsilon=epsilon,
        sums=sums,
        starts=order.progress.starts,
        reason=order.progress.reason,
        summary=str(summary) if summary.exists() else None,
    )


def rows_of(path: Path) -> list[Row]:
    """A run's rounds so far.

    Args:
        path: Its folder.
    """
    return RunFolder(path).rows()


def cost(path: Path, delta: float) -> tuple[int, float | None]:
    """How many sums a run has asked for, and ε against the server so far; None without noise.

    Args:
        path: Its folder.
        delta: δ of the whole run.
    """
    if not (path / "run.json").exists():
        return 0, None
    rows = RunFolder(path).sum_rows()
    reserves = sum(row["event"] == "reserve" for row in rows)
    if not reserves:
        return 0, None
    from covey_server.summary import privacy_of  # noqa: PLC0415 - a second, where there is something to tell

    return reserves, privacy_of(rows, delta).epsilon_server


def rounds_of(order: Order) -> int:
    """Rounds of the whole run; 0 for one that only asks how a rollout goes, and trains nothing."""
    return 0 if _table(order, "health") else int(_table(order, "federation").get("rounds", 0))


def delta_of(order: Order) -> float:
    """δ of the whole run."""
    return msgspec.convert(_table(order, "privacy"), Delta).delta


def _table(order: Order, name: str) -> dict[str, Any]:
    table = settings.read(order.federation).get(name, {})
    return table if isinstance(table, dict) else {}
