"""Every kind of finding is documented once, found somewhere, and tested somewhere."""

import re
from pathlib import Path

import pytest

from covey.ledger.findings import KINDS, SEVERITIES, finding, waived

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "findings.md"
ROW = re.compile(
    r"^\| `(?P<code>[a-z-]+)` \| (?P<severity>\w+) \| (?P<meaning>.*?) \| (?P<hint>.*?) \|$", re.MULTILINE
)


def test_the_table_in_the_documents_is_the_one_in_the_code() -> None:
    rows = {row["code"]: row for row in ROW.finditer(DOCUMENT.read_text(encoding="utf-8"))}
    assert list(rows) == list(KINDS)
    for code, kind in KINDS.items():
        row = rows[code]
        waivable = "" if kind.waivable or kind.severity == "note" else " †"
        assert (row["severity"], row["meaning"], row["hint"]) == (
            kind.severity,
            kind.meaning + waivable,
            kind.hint or "nothing",
        )


def test_notes_are_not_said_to_ask_for_nothing_where_one_has_a_next_step() -> None:
    notes = [kind for kind in KINDS.values() if kind.severity == "note"]
    assert [bool(kind.hint) for kind in notes].count(True) == 1
    assert "- **note**: worth reading; seldom anything to do." in DOCUMENT.read_text(encoding="utf-8")


def test_every_kind_is_found_by_some_check() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "audit").rglob("*.py"))
    assert [code for code in KINDS if f'"{code}"' not in source] == []


def test_every_kind_is_found_by_some_test() -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "audit").rglob("*.py"))
    assert [code for code in KINDS if f'"{code}"' not in tests] == []


def test_every_code_that_a_check_names_is_a_kind() -> None:
    for path in (ROOT / "audit").rglob("*.py"):
        for code in re.findall(r'\bfinding\(\s*"([^"]+)"', path.read_text(encoding="utf-8")):
            assert code in KINDS, path


def test_what_must_be_acted_on_says_what_to_do() -> None:
    for code, kind in KINDS.items():
        assert kind.severity in SEVERITIES
        assert kind.meaning.endswith("."), code
        assert bool(kind.hint) or kind.severity == "note", code
        assert not kind.hint.endswith("."), code


def test_a_finding_takes_weight_and_next_step_from_its_kind() -> None:
    found = finding("no-noise", "asked for without noise", 7)
    assert (found.severity, found.entry, found.hint) == ("critical", 7, KINDS["no-noise"].hint)
    with pytest.raises(KeyError):
        finding("no-such-kind", "")


def test_a_waived_finding_is_a_note_that_says_why() -> None:
    found = waived(finding("roster-expired", "late", 7), "agreed on the telephone")
    assert (found.severity, found.waived, found.code) == ("note", "agreed on the telephone", "roster-expired")


def test_critical_findings_come_first_then_by_entry() -> None:
    late, early, whole = finding("no-noise", "", 9), finding("no-noise", "", 2), finding("ledger-forked", "")
    note = finding("sum-unfinished", "", 0)
    assert sorted([note, late, early, whole], key=lambda each: each.order) == [whole, early, late, note]
