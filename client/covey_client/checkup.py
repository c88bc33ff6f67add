"""What a check of a device found, as rows: for a person, or as JSON."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

import msgspec

from covey.errors import CoveyError

Verdict = Literal["ok", "warn", "fail"]

_MARKS: Final[dict[Verdict, str]] = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


class Row(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        name: Of it.
        verdict: "fail": the device cannot work, or should not; "warn": it can, and should be seen to.
        found: What is the case.
        todo: What to do next; empty if nothing.
    """

    name: str
    verdict: Verdict
    found: str
    todo: str = ""


Check = Callable[[], Row]


def rows(checks: Iterable[tuple[str, Check]]) -> Iterator[Row]:
    """What the checks find; one that cannot be carried out fails, and the others go on."""
    for name, check in checks:
        try:
            yield check()
        except CoveyError as error:
            yield Row(name, "fail", error.message, error.hint)
        except Exception as error:  # noqa: BLE001 - a doctor that falls ill helps nobody
            yield Row(name, "fail", f"cannot be checked: {type(error).__name__}: {error}", "check it by hand")


def table(found: Iterable[Row]) -> Iterator[str]:
    """Lines for a person."""
    listed = list(found)
    width = max((len(row.name) for row in listed), default=0)
    for row in listed:
        yield f"{_MARKS[row.verdict]}  {row.name:{width}}  {row.found}"
        if row.todo:
            yield f"{'':{width + 8}}→ {row.todo}"


def summary(found: Iterable[Row]) -> str:
    """One line."""
    verdicts = [row.verdict for row in found]
    failed, warned = verdicts.count("fail"), verdicts.count("warn")
    if not failed and not warned:
        return "this device is well"
    return f"{failed} to be mended, {warned} to be seen to, {verdicts.count('ok')} well"
