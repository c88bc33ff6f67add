"""A finished run to compare another with."""

from pathlib import Path

from covey.errors import InputError, StateError
from covey_server import summary
from covey_server.run_folder import RunFolder
from covey_server.sum_rows import Row
from covey_simulations.report.facts import Beside, Round
from covey_simulations.sent import sent


def read(path: Path) -> Beside:
    """What the comparison shows of a finished run.

    Args:
        path: Its folder.

    Raises:
        InputError: No run is there, or it is not finished.
        StateError: Its files are damaged, or of another version of covey.
    """
    folder = RunFolder.open(path)
    if not (path / "summary.json").is_file():
        raise InputError(f"{path} is not finished", hint=f"covey simulate --resume {path}")
    try:
        found = summary.read(path / "summary.json")
    except ValueError as error:
        raise StateError(f"{path / 'summary.json'} is not a summary", hint="run it again") from error
    bytes_sent = sum(kind.bytes_per_device for kind in sent(folder.sum_rows()))
    return Beside(found, tuple(map(round_of, folder.rows())), bytes_sent, str(path))


def round_of(row: Row) -> Round:
    """A round as the report has it."""
    return Round(row["round"], row["loss"], row["accuracy"], row["devices"], row["seconds"], row.get("hours"))
