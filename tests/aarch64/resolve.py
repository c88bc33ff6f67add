"""Does all that a device installs have a wheel for 64-bit ARM? Asked of the index; nothing is installed.

    .venv/bin/python tests/aarch64/resolve.py

pip evaluates markers for the machine it runs on, whatever --platform says. uv, which Flower brings, resolves
as the other machine would: by its markers, and by what the wheels for it say that they need (torch for ARM is
another version). Each must be pinned in constraints.txt, so that a device installs what was looked at.

Ends with 1 if one has no wheel or is not pinned, with 3 if the index does not answer, which says nothing.
"""

import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PLATFORM = "aarch64-manylinux_2_28"
"""What wheels are built for that run on Debian 11 and later (glibc 2.28)."""
PYTHONS = ("3.11", "3.13")
EXTRAS = ("node", "device")
UV = Path(sys.executable).with_name("uv")

WRONG = 1
UNREACHABLE = 3
NO_ANSWER = ("Failed to fetch", "Request failed", "the network was disabled")
"""What uv says of an index that does not answer; that there is no wheel, it says otherwise."""


class UnreachableError(Exception):
    """The index does not answer."""


def resolved(python: str) -> dict[str, str]:
    """What would be installed there, from wheels alone.

    Args:
        python: Its version.

    Returns:
        Versions by name.

    Raises:
        subprocess.CalledProcessError: It cannot be; uv says why.
        UnreachableError: The index does not answer; uv says how.
    """
    words = ["pip", "compile", "pyproject.toml", *(f"--extra={extra}" for extra in EXTRAS)]
    words += ["--constraint=constraints.txt", f"--python-platform={PLATFORM}", f"--python-version={python}"]
    words += ["--only-binary=:all:", "--quiet", "--no-header", "--no-annotate", "--no-config"]
    done = subprocess.run([UV, *words], capture_output=True, text=True, check=False, cwd=ROOT)
    sys.stderr.write(done.stderr)
    if done.returncode and any(words in done.stderr for words in NO_ANSWER):
        raise UnreachableError
    done.check_returncode()
    return versions(done.stdout, python)


def versions(text: str, python: str) -> dict[str, str]:
    """Of a list of requirements, what holds there.

    Args:
        text: A requirement a line, with markers and comments.
        python: The version of the interpreter there.
    """
    there = {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": "aarch64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    needs = [Requirement(line) for line in lines if line]
    return {
        canonicalize_name(need.name): str(need.specifier)
        for need in needs
        if need.marker is None or need.marker.evaluate(there)
    }


def status(python: str) -> int:
    """Say what cannot be installed or is not pinned.

    Args:
        python: The version of the interpreter there.
    """
    try:
        found = resolved(python)
    except UnreachableError:
        sys.stdout.write(f"Python {python}: the package index does not answer: nothing is known\n")
        return UNREACHABLE
    except subprocess.CalledProcessError:
        sys.stdout.write(f"Python {python}: cannot be installed from wheels\n")
        return WRONG
    pins = versions((ROOT / "constraints.txt").read_text(), python)
    loose = [f"{name}{version}" for name, version in found.items() if pins.get(name) != version]
    for each in loose:
        sys.stdout.write(f"Python {python}: {each} is not pinned in constraints.txt\n")
    sys.stdout.write(f"Python {python}: a wheel for each of {len(found)} packages ({PLATFORM})\n")
    return WRONG if loose else 0


def main() -> int:
    """What is wrong with one of them is worse than what is not known of another."""
    found = {status(python) for python in PYTHONS}
    return next((each for each in (WRONG, UNREACHABLE) if each in found), 0)


if __name__ == "__main__":
    sys.exit(main())
