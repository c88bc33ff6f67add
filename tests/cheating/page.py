"""The page beside the folders: every cheat in a table."""

from typing import Final

from cheating.every import EVERY
from cheating.folders import AUDIT, POLICY, WITNESSED, Found

_HEAD: Final = f"""\
# Cheats

`honest/` is a small run of the demo federation (three rounds and a validation), with what its reader has
from others than the operator: `{POLICY}`, `keys/` and `{WITNESSED}`, the witness's latest head. The package
is left out. Every other folder is one way to cheat: the files that differ from `honest/`, and `cheat.json`,
which says what was removed and what an audit finds.

The operator who cheats has the operator's and the log's key, not those of reviewers, enrolment or witness;
what these signed, they were asked to sign or had signed before.
Where devices answered what they should have refused, they had been set up not to check. A ledger that was
false from its beginning is one that an honest witness has cosigned.

To look at one, lay its folder over a copy of `honest/`, remove what `cheat.json` names, and there, with the
arguments that it adds:

    covey audit {" ".join(AUDIT)}

`tests/audit/test_cheats.py` does that with each. `tests/audit/make_cheats.py` makes all folders and this
page, and signs with `KEYS-OF-A-SIMULATION.toml`, which protects nobody.

| cheat | what the operator did, and why one might | found by | entry |
|---|---|---|---|
"""


def page() -> str:
    """The README of the folders."""
    rows = (f"| `{name}` | {each.words} | {_found(each.found)} |\n" for name, each in EVERY.items())
    return _HEAD + "".join(rows)


def _found(found: Found) -> str:
    entry = "" if found.entry is None else f" {found.entry}"
    warning = " (warning)" if found.severity == "warning" else ""
    return f"`{found.code}`{warning} |{entry}"
