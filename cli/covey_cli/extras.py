"""Is an extra of a distribution installed? Answered from metadata, without importing anything.

An extra counts as installed when every distribution that it requires is there, in whatever version: pip
has checked versions when it installed them. Environment markers other than `extra` are not evaluated; our
requirements use them to choose a version of the same name, not a name.
"""

import re
from importlib import metadata

# Core metadata, Requires-Dist (PEP 508): name, optional [extras], and the marker that names the extra.
_REQUIREMENT = re.compile(r"""\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?[^;]*(?:;(.*))?""")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


def is_installed(distribution: str, extra: str) -> bool:
    """Whether everything that `distribution[extra]` requires is installed.

    Args:
        distribution: An installed distribution.
        extra: One of its extras; may require others of its extras.
    """
    return _complete(distribution, extra, set())


def _complete(distribution: str, extra: str, seen: set[tuple[str, str]]) -> bool:
    if (distribution, extra) in seen:
        return True
    seen.add((distribution, extra))
    try:
        requires = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return False
    return all(_met(requirement, seen) for requirement in requires if _belongs(requirement, extra))


def _belongs(requirement: str, extra: str) -> bool:
    found = _EXTRA.search(requirement.partition(";")[2])
    return found is not None and found[1] == extra


def _met(requirement: str, seen: set[tuple[str, str]]) -> bool:
    match = _REQUIREMENT.match(requirement)
    if match is None:
        return False
    name, extras, _ = match.groups()
    wanted = [extra.strip() for extra in (extras or "").split(",") if extra.strip()]
    return _present(name) and all(_complete(name, extra, seen) for extra in wanted)


def _present(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
