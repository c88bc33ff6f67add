"""Which commit of Covey's source makes a release, where that can be told."""

import re
import shutil
import subprocess
from pathlib import Path

import covey

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def commit(folder: Path | None = None) -> str | None:
    """The commit that the source at hand is of; None for an installed package or a source that was changed.

    Args:
        folder: Where the source is; None for the package `covey` that is imported.
    """
    place = Path(covey.__file__).parent if folder is None else folder
    # A virtual environment may lie in somebody else's repository: ours has this very file.
    if _git(place, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    if _git(place, "status", "--porcelain", "--untracked-files=no") != "":
        return None
    found = _git(place, "rev-parse", "HEAD")
    return found if found is not None and _COMMIT.fullmatch(found) else None


def _git(place: Path, *arguments: str) -> str | None:
    """What git says, without the last newline; None if it fails or is not there."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program with fixed words, no shell
            [git, *arguments], cwd=place, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
