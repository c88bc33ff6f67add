"""The ServerApp of a pilot in a process of its own, in whatever network it is started: FOLDER ADDRESS."""

import sys
from pathlib import Path

from flwr.app import Context, RecordDict

from covey_server import app
from covey_simulations.grid import InProcessGrid


def main(folder: Path, address: str) -> None:
    """As `flwr run` does it; Flower's own grid is nobody's."""
    config: dict[str, bool | float | int | str] = {
        "federation": str(folder / "federation.toml"),
        "runs": str(folder / "runs"),
        "operator": str(folder / "keys/operator"),
        "sessions": address,
    }
    nobody = InProcessGrid(lambda message, _: message, [2])  # type: ignore[arg-type] # names the run
    app.main(nobody, Context(1, 1, {}, RecordDict(), config))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
