"""From what a person named on the command line to an audit: the files are read here, and nowhere below."""

import hashlib
import shlex
from pathlib import Path

from covey.errors import InputError
from covey_audit.anchor_files import Given, anchors_of, own_of
from covey_audit.audited import Audited
from covey_audit.auditing import Material, audit
from covey_audit.auditing.members import Progress
from covey_audit.clock import now
from covey_audit.ledger_folder import Found, find
from covey_audit.run_files import RunFiles, compared


def examine(
    path: Path, given: Given, *, self_check: bool = False, progress: Progress | None = None
) -> Audited:
    """Audit a ledger and, where a run's folder was named, the run's other files.

    Args:
        path: A run's folder, or a ledger's.
        given: What the reader holds.
        self_check: Take the run's own policy and witness instead, which proves nothing.
        progress: Told how many of how many sums' evidence has been looked at.

    Raises:
        InputError: Something cannot be read, or a self-check was given keys as well.
        CoveyError: A witness cannot be asked.
    """
    if self_check and given != Given():
        raise InputError("a self-check takes the run's own keys", hint="leave out --self-check, or the keys")
    found, time = find(path), now()
    anchors = own_of(found, time) if self_check else anchors_of(given, found, time)
    audited = audit(material_of(path, found), anchors, progress=progress)
    return audited if found.folder is None else compared(audited, _run_files(found, found.folder))


def command_line(path: Path, given: Given, report: Path, *, self_check: bool = False) -> str:
    """The command with which somebody makes the same report again.

    Args:
        path: As for `examine`.
        given: As for `examine`.
        report: Where the report was written.
        self_check: As for `examine`.
    """
    named = (
        ("--policy", given.policy),
        *(("--reviewer", each) for each in given.reviewers),
        ("--threshold", given.threshold if given.threshold > 1 else None),
        ("--enrolment", given.enrolment),
        ("--witnessed", given.witnessed),
        ("--previous", given.previous),
        ("--report", report),
    )
    options = [str(each) for name, value in named if value is not None for each in (name, value)]
    return shlex.join(["covey", "audit", str(path), *options, *(["--self-check"] if self_check else [])])


def material_of(path: Path, found: Found) -> Material:
    """A ledger's folder, as an audit reads it.

    Args:
        path: As the reader named it.
        found: Where it is.

    Raises:
        InputError: It cannot be read.
    """
    lines, torn = found.files.lines()
    return Material(
        source=str(path),
        lines=lines,
        torn=torn,
        checkpoint=found.files.head(),
        evidence=found.files.evidence,
        roster=found.files.roster,
        participants=found.files.participants,
        evidence_of=found.files.evidence_names(),
    )


def _run_files(found: Found, folder: Path) -> RunFiles:
    packages = {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in folder.glob("*.covey")}
    return RunFiles(found.run, _content(folder / "summary.json"), _content(folder / "metrics.csv"), packages)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
