"""Make the folders of the cheats anew: tests/audit/cheats, from its honest run. By hand:

PYTHONPATH=tests python tests/audit/make_cheats.py          the cheats
PYTHONPATH=tests python tests/audit/make_cheats.py RUN      a new honest run first, from the folder of

    covey simulate simulations/covey_simulations/demo.toml \\
        --set federation.rounds=3 --set federation.validate_every=3

The same honest run and keys give the same bytes: `test_cheats.py` makes everything again and compares.
"""

import shutil
import sys
from pathlib import Path

from cheating.every import EVERY
from cheating.folders import ENROLMENT, FOLDER, HONEST, PAGE, POLICY, REVIEWER, WITNESSED, read, write
from cheating.keys import FILE, text_of
from cheating.page import page

ALONE = ("run.json", "summary.json", "metrics.csv", POLICY, REVIEWER, ENROLMENT)


def take(run: Path) -> None:
    """A run as the honest one, and its keys."""
    files = {name: (run / name).read_bytes() for name in ALONE}
    files |= {
        f"ledger/{path}": data for path, data in read(run / "ledger").items() if not path.startswith(".")
    }
    (files[WITNESSED],) = (path.read_bytes() for path in (run / "witness/latest").iterdir())
    shutil.rmtree(FOLDER / HONEST, ignore_errors=True)
    write(FOLDER / HONEST, files)
    secret, witness = (
        (run / path).read_text("ascii").strip() for path in ("keys/simulation.key", "witness/witness.key")
    )
    FILE.write_text(text_of(secret, witness, (run / "roster").read_bytes()), "utf-8")


def main() -> None:
    """Everything."""
    for run in sys.argv[1:]:
        take(Path(run))
    for path in FOLDER.iterdir():
        if path.is_dir() and path.name != HONEST:
            shutil.rmtree(path)
    for name, each in EVERY.items():
        write(FOLDER / name, each.folder())
    (FOLDER / PAGE).write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
