"""Does every package that a device installs have a wheel for 64-bit ARM? Nothing is installed.

    .venv/bin/python tests/aarch64/resolve.py

pip evaluates markers for the machine it runs on, whatever --platform says. So the names come from what is
installed here, followed from covey's extras with markers evaluated for the target; the versions from
constraints.txt; and each is asked for by itself, without what it depends on.
"""

import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
PYTHONS = ("3.11", "3.13")
EXTRAS = ("node", "device")


def target(python: str) -> dict[str, str]:
    """What markers see there."""
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "aarch64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def wanted(name: str, extras: set[str], python: str, found: dict[str, set[str]]) -> None:
    """What a package needs there, itself first."""
    key = canonicalize_name(name)
    if key in found and extras <= found[key]:
        return
    found.setdefault(key, set()).update(extras)
    try:
        needs = metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # not needed here; its own needs are not followed
        return
    for text in needs:
        need = Requirement(text)
        if need.marker is None or any(holds(need.marker, python, extra) for extra in (extras or {""})):
            wanted(need.name, set(need.extras), python, found)


def holds(marker: Marker, python: str, extra: str) -> bool:
    """Whether a marker holds there."""
    return marker.evaluate({**target(python), "extra": extra})


def pins(python: str) -> dict[str, str]:
    """Of constraints.txt."""
    found: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text:
            pin = Requirement(text)
            if pin.marker is None or holds(pin.marker, python, ""):
                found[canonicalize_name(pin.name)] = str(pin.specifier)
    return found


def has_wheel(requirement: str, python: str) -> str:
    """Why there is none; empty if there is one."""
    abi = "cp" + python.replace(".", "")
    with tempfile.TemporaryDirectory() as place:
        words = ["install", "--dry-run", "--no-deps", "--only-binary=:all:", "--target", place, "--quiet"]
        words += ["--python-version", python, "--implementation", "cp"]
        words += [word for name in (abi, "abi3", "none") for word in ("--abi", name)]
        words += [word for name in PLATFORMS for word in ("--platform", name)]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        done = subprocess.run([*pip, *words, requirement], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def main() -> int:
    """Print a line for each that has none; the number of them is the status, at most 99."""
    missing = 0
    for python in PYTHONS:
        needs: dict[str, set[str]] = {}
        wanted("covey", set(EXTRAS), python, needs)
        known = pins(python)
        for name in sorted(needs.keys() - {"covey"}):
            requirement = name + known.get(name, "")
            if why := has_wheel(requirement, python):
                missing += 1
                sys.stdout.write(f"{python} {requirement}: {why}\n")
        sys.stdout.write(
            f"Python {python}: {len(needs) - 1} packages of covey[{','.join(EXTRAS)}] asked for\n"
        )
        sys.stdout.flush()
    return min(missing, 99)


if __name__ == "__main__":
    sys.exit(main())
