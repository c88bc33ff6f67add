"""A federation of a pilot in this process, over its agents' sockets, and what is found afterwards."""

import subprocess
import sys
from pathlib import Path

from flwr.app import Context, RecordDict
from flwr.serverapp import Grid

from covey.ledger.entries import AnyEntry, Reserve
from covey_server import app
from covey_server.run_folder import RunFolder
from covey_server.sum_rows import read_entries
from pilot import Fault, Pilot, SocketGrid


def run(fleet: Pilot, before: Fault | None = None, after: Fault | None = None) -> RunFolder:
    """One federation, as `flwr run` does it."""
    return serve(fleet, SocketGrid(fleet.devices, before, after))


def serve(fleet: Pilot, grid: Grid) -> RunFolder:
    """The same over any grid.

    Raises:
        CoveyError: What ended it.
    """
    app.main(grid, context_of(fleet.folder))
    return RunFolder.open(fleet.folder / "runs/pilot")


def context_of(folder: Path, **more: str) -> Context:
    """What `flwr run` gives the ServerApp of a pilot's folder."""
    config: dict[str, bool | float | int | str] = {
        "federation": str(folder / "federation.toml"),
        "runs": str(folder / "runs"),
        "operator": str(folder / "keys/operator"),
        **more,
    }
    return Context(1, 1, {}, RecordDict(), config)


def entries(fleet: Pilot) -> list[AnyEntry]:
    """Of the ledger."""
    return read_entries(RunFolder.open(fleet.folder / "runs/pilot").ledger)


def settled(fleet: Pilot) -> list[int]:
    """How many devices were in each sum that was opened."""
    rows = RunFolder.open(fleet.folder / "runs/pilot").sum_rows()
    return [row["devices"] for row in rows if row["event"] == "settle"]


def audited(fleet: Pilot, run: Path | None = None, *more: str) -> "subprocess.CompletedProcess[str]":
    """What a reviewer is told.

    Args:
        fleet: Whose keys the reviewer has.
        run: The run's folder; None for where `serve` puts it.
        more: Options.
    """
    covey = Path(sys.executable).with_name("covey")
    keys = fleet.folder / "keys"
    return subprocess.run(
        [
            *(str(covey), "audit", str(run or fleet.folder / "runs/pilot"), *more),
            *("--reviewer", keys / "reviewer/reviewer.vkey"),
            *("--enrolment", keys / "operator/enrolment.pub", "--witnessed", keys / "witness"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def check_audit(fleet: Pilot, *, warnings: int = 0) -> None:
    """What a reviewer finds: nothing, or so many warnings."""
    done = audited(fleet)
    assert done.returncode == min(warnings, 1), done.stdout + done.stderr
    assert not warnings or f"Certified, with {warnings} warning" in done.stdout


def check_paid(fleet: Pilot) -> None:
    """No budget is spent twice, and none that the ledger does not know of."""
    asked = {each.plan: each for each in entries(fleet) if isinstance(each, Reserve)}
    for device in fleet.devices.values():
        budget = device.budget
        assert not budget.locked
        sums = [(each.asked.run, each.asked.sum) for each in budget.reserved.values()]
        assert len(set(sums)) == len(sums)
        assert len(sums) <= len(asked)
