"""All cheats, by name, in the order in which the README lists them."""

from typing import Final

from cheating import (
    with_entries,
    with_evidence,
    with_files,
    with_fleets,
    with_heads,
    with_policies,
    with_sums,
)
from cheating.cheat import CHEATS, Cheat

_GROUPS: Final = [
    each.__name__
    for each in (with_entries, with_heads, with_sums, with_evidence, with_policies, with_fleets, with_files)
]


def _place(cheat: Cheat) -> int:
    return _GROUPS.index(cheat.change.__module__)


EVERY: Final = {each.name: each for each in sorted(CHEATS.values(), key=_place)}
