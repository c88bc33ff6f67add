"""Virtual environments of peers: none of them is a dependency of Covey's."""

import re
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

from simulation_contestants import MADE

REQUIREMENTS = {
    "pfl": ("pfl==0.6.0",),
    "flower": ("flwr[simulation]==1.41.0", "ray==2.55.1"),
    "blazefl": ("blazefl==3.0.0", "tqdm"),
}
OWN_PYTHON = {"blazefl": "python3.14"}
"""Which Python a peer says that it needs, where it is not Covey's."""

GENERIC = re.compile(r"^def (\w+)\[T\]\(", re.MULTILINE)


def make(folder: Path) -> None:
    """Make those that are missing.

    Raises:
        CalledProcessError: pip or venv failed; both say why.
    """
    for name in REQUIREMENTS:
        path = folder / name
        if not (path / MADE).exists():
            print(f"{name}: {path}", file=sys.stderr)
            _make(name, path)
            (path / MADE).touch()


def _make(name: str, path: Path) -> None:
    own = shutil.which(OWN_PYTHON.get(name, ""))
    if own:
        subprocess.run([own, "-m", "venv", "--clear", str(path)], check=True)
    else:
        venv.create(path, clear=True, with_pip=True)
    torch = metadata.version("torch").partition("+")[0]
    _install(path, f"torch=={torch}", "numpy")
    if name in OWN_PYTHON and not own:
        _install_on_older_python(name, path)
    else:
        _install(path, *REQUIREMENTS[name])


def _install(path: Path, *what: str) -> None:
    pip = [str(path / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *what], check=True)


def _install_on_older_python(name: str, path: Path) -> None:
    """As it is, but for the notation of types that the older Python does not know.

    BlazeFL 3.0 asks for Python 3.14. On 3.11 its code runs once two generic functions lose their type
    parameters and annotations are left unevaluated; neither is on the way of its serial trainer.
    """
    needed, *others = REQUIREMENTS[name]
    _install(path, *others)
    _install(path, "--no-deps", "--ignore-requires-python", needed)
    print(f"{name}: for want of {OWN_PYTHON[name]}, its type parameters are taken out", file=sys.stderr)
    (package,) = path.glob(f"lib/python3.*/site-packages/{name}")
    for module in package.rglob("*.py"):
        text = GENERIC.sub(r"def \1(", module.read_text("utf-8"))
        module.write_text(f"from __future__ import annotations\n{text}", "utf-8")
