"""`covey ledger`: entries in words, one in full, followed, and in other forms."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from commands import invoked
from covey import plan as plans
from covey.errors import InputError
from covey.ledger import entries as ledger_entries
from covey.ledger.entries import (
    AnyEntry,
    AuditResult,
    Reserve,
    Revoke,
    RolloutDecision,
    Settle,
    TuningRun,
    Waiver,
)
from covey_audit.auditing.whole import audit
from covey_audit.entry_words import Reader
from covey_audit.ledger_commands import copy_public, followed, ledger
from covey_audit.ledger_table import COLUMNS
from covey_io.ledger_files import LedgerFiles
from html_page import HOSTILE
from made_ledger import honest
from secagg_fleet import NOW

DIGEST = "cd" * 32


def decision() -> RolloutDecision:
    return RolloutDecision(
        time=NOW + 1500,
        fleet="test",
        rollout="wrist-2",
        serial=3,
        instruction=DIGEST,
        plan=DIGEST,
        action="stop",
        opened=2,
        reason="ring canary: too many failed",
        approvals=1,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return honest().write(tmp_path / "ledger")


def run(*arguments: object, status: int = 0) -> str:
    return invoked(ledger, *arguments, status=status).stdout


def test_a_ledger_is_a_line_for_each_entry(folder: Path) -> None:
    lines = run("show", folder).splitlines()
    assert len(lines) == 15
    assert lines[0].split(maxsplit=4)[:4] == ["0", "2027-01-15", "08:00", "run.policy"]
    for place, said in (
        (0, "for run run-a: policy wrist-2027, serial 1: epsilon 8 at delta 1e-5 for one device"),
        (1, "roster 1 of fleet test: 12 devices, until 2027-01-26"),
        (2, "settings of run run-a: none: settings are from public data (epsilon 0 at delta 0)"),
        (3, "sum 1 of run run-a: train of model in round 1, 12 devices asked, at least 9, noise skellam"),
        (6, "sum 2 of run run-a: opened with 10 of 12 devices"),
        (8, "sum 3 of run run-a: given up, and spent: too few devices"),
        (11, "sum 5 of run run-a: validate of model"),
        (13, "a model of run run-a: package "),
        (14, "metrics.csv of run run-a, SHA-256 "),
    ):
        assert said in lines[place]


def test_other_kinds_of_entries_have_words_too() -> None:
    entries: list[AnyEntry] = [
        Revoke(
            time=NOW, fleet="test", serial=2, roster=DIGEST, devices=11, expires=0, simulation=True, gone=1
        ),
        TuningRun(time=NOW, run="run-a", words="ten clip norms", epsilon=None, delta=None),
        AuditResult(time=NOW, size=15, root=DIGEST, findings=1, report=DIGEST, words="may stand"),
        Waiver(time=NOW, note="not a note"),
        decision(),
    ]
    reader = Reader()
    said = [reader.words(line) for line in reader.read([ledger_entries.encode(each) for each in entries])]
    assert said == [
        "roster 2 of fleet test, SIMULATED: 11 devices, until not known; 1 device left out",
        "settings of run run-a: ten clip norms (not accounted)",
        "over 15 entries: 1 finding; may stand",
        "accepted by reviewers: a waiver that cannot be read",
        (
            "rollout wrist-2 of fleet test: stop; 2 rings open, instruction 3 (cdcdcdcdcdcd…), plan approved "
            "by 1 approver: ring canary: too many failed"
        ),
    ]


def test_rollouts_stand_in_the_ledger_and_change_nothing_of_its_audit(tmp_path: Path) -> None:
    before = audit(honest().material, honest().anchors, libraries=False)
    made = honest().resealed([*honest().entries, decision()])
    made = replace(made, anchors=replace(made.anchors, witnessed=made.checkpoint))
    after = audit(made.material, made.anchors, libraries=False)
    assert after.entries == before.entries | {"rollout.decision": 1}
    assert [each.code for each in after.findings] == [each.code for each in before.findings]
    assert after.costs == before.costs
    line = run("show", made.write(tmp_path / "ledger")).splitlines()[-1]
    assert "  rollout.decision  rollout wrist-2 of fleet test: stop;" in line


def test_what_is_no_entry_no_plan_or_no_sum_is_said_so() -> None:
    settle = next(each for each in honest().entries if isinstance(each, Settle))
    reserve = Reserve(time=NOW, plan=b"\x01", signature=None)
    reader = Reader()
    lines = reader.read([b'{"kind":"gift"}', ledger_entries.encode(settle), ledger_entries.encode(reserve)])
    first, second, third = (reader.words(line) for line in lines)
    assert first.startswith("NOT AN ENTRY: ")
    assert second.startswith("a sum that no entry above reserves (")
    assert third.startswith("A PLAN THAT NO DEVICE WOULD READ (")


def test_noise_and_masks_that_are_missing_are_loud() -> None:
    entry = honest().entries[3]
    assert isinstance(entry, Reserve)
    plan = plans.from_bytes(entry.plan)
    assert plan.noise is not None
    for changes, said in (
        ({"masks": "none", "suite": None, "roster": None, "noise": None}, "NO NOISE, MASKS NONE"),
        ({"noise": msgspec.structs.replace(plan.noise, seeded=True)}, "noise skellam, from a seed"),
        ({"cohorts": 2, "cohort_number": 1}, "sum 1, cohort 1 of run run-a"),
    ):
        sent = plans.to_bytes(msgspec.structs.replace(plan, **changes))
        data = ledger_entries.encode(Reserve(time=NOW, plan=sent, signature=None))
        reader = Reader()
        (line,) = reader.read([data])
        assert said in reader.words(line)


def test_one_entry_is_shown_whole_with_its_plan(folder: Path) -> None:
    text = run("show", folder, 3)
    assert text.startswith("entry 3, round.reserve, 2027-01-15 08:03 UTC by the writer's clock")
    assert '"update_clip": 1.0' in text
    assert '"variance": 36000000' in text
    assert "plan_sha256: " in text
    assert "Nothing of it was checked" in text
    policy = run("show", folder, 0)
    assert '  epsilon = "8"' in policy.splitlines()
    assert "— reviewer.example " in policy


@pytest.mark.parametrize("index", [15, -1])
def test_an_entry_that_is_not_there_is_said_so(folder: Path, index: int) -> None:
    with pytest.raises(InputError, match=f"no entry {index} in") as caught:
        run("show", folder, "--", index)
    assert caught.value.hint == "give a number from 0 to 14"


def test_hostile_text_does_not_drive_the_terminal(tmp_path: Path) -> None:
    entries = honest().entries
    entries[2] = TuningRun(
        time=NOW, run=HOSTILE[:100], words=HOSTILE + "\x1b[2J\n\x9b", epsilon="0", delta="0"
    )
    path = honest().resealed(entries).write(tmp_path / "ledger")
    for text in (run("show", path), run("show", path, 2), run("tail", path)):
        assert not [each for each in text if not each.isprintable() and each != "\n"]
    assert len(run("show", path).splitlines()) == 15


def test_a_torn_entry_is_told_and_not_shown(tmp_path: Path) -> None:
    path = replace(honest(), torn=b'{"kind"').write(tmp_path / "ledger")
    result = CliRunner().invoke(ledger, ["show", str(path)])
    assert len(result.stdout.splitlines()) == 15
    assert "7 bytes after the last entry: a torn one" in result.stderr


def test_the_tail_is_the_last_entries(folder: Path) -> None:
    whole = run("show", folder).splitlines()
    assert run("tail", folder).splitlines() == whole[-10:]
    assert run("tail", folder, "-n", 2).splitlines() == whole[-2:]
    assert run("tail", folder, "-n", 0) == ""
    assert run("tail", folder, "-n", 99).splitlines() == whole


def test_json_is_an_object_a_line(folder: Path) -> None:
    shown = [json.loads(line) for line in run("show", folder, "--json").splitlines()]
    assert [each["index"] for each in shown] == list(range(15))
    assert json.loads(run("show", folder, 3, "--json")) == shown[3]
    assert shown[3]["plan_decoded"]["noise"]["variance"] == 36_000_000
    assert [json.loads(line) for line in run("tail", folder, "-n", "1", "--json").splitlines()] == shown[-1:]


def test_new_entries_are_followed_as_they_are_written(folder: Path) -> None:
    files, reader = LedgerFiles(folder), Reader()
    lines, _ = files.lines()
    list(reader.read(lines))
    files.entries.write_bytes(b"".join(line + b"\n" for line in lines[:12]))
    written = iter([b"", lines[12][:10], lines[12][10:] + b"\n", lines[13] + b"\n" + lines[14] + b"\n"])

    def wait() -> None:
        with files.entries.open("ab") as file:
            file.write(next(written))

    new = followed(files, reader, 12, wait)
    assert [next(new).index for _ in range(3)] == [12, 13, 14]
    assert reader.plan_of(next(iter(reader.read([lines[12]]))).digest) is not None


def test_a_ledger_that_became_shorter_is_not_followed(folder: Path) -> None:
    files, reader = LedgerFiles(folder), Reader()
    with pytest.raises(InputError, match="had 16 entries and has 15: a ledger only grows") as caught:
        next(followed(files, reader, 16, lambda: None))
    assert "--witnessed" in caught.value.hint


def test_tail_follows_until_interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr("covey_audit.ledger_commands.time.sleep", sleep)
    result = CliRunner().invoke(ledger, ["tail", str(folder), "-n", "1", "--follow"])
    assert result.exit_code == 130
    assert len(result.stdout.splitlines()) == 1
    assert waited == [1.0]


def test_a_run_s_folder_leads_to_its_ledger(folder: Path) -> None:
    (folder.parent / "run.json").write_text('{"run": "run-a", "ledger": "ledger"}')
    assert run("show", folder.parent) == run("show", folder)
    with pytest.raises(InputError, match="neither a ledger nor a run"):
        run("show", folder.parent / "elsewhere")


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_row_for_each_private_sum(folder: Path) -> None:
    found = rows(run("export", folder, "--format", "csv"))
    assert list(found[0]) == list(COLUMNS)
    assert [row["entry"] for row in found] == ["3", "5", "7", "9", "11"]
    assert [row["outcome"] for row in found] == ["opened", "opened", "aborted", "opened", "opened"]
    assert [row["survivors"] for row in found] == ["12", "10", "", "11", "12"]
    second = found[1]
    assert (second["run"], second["kind"], second["unit"], second["variance"]) == (
        "run-a",
        "train",
        "device",
        "36000000",
    )
    assert (second["minimum"], second["corrupt"], second["sampling_rate"], second["seeded"]) == (
        "9",
        "1",
        "1",
        "no",
    )
    assert found[2]["reason"] == "too few devices"


def test_csv_runs_no_formula_and_marks_what_has_no_end(tmp_path: Path) -> None:
    made = honest()
    entries = [each for place, each in enumerate(made.entries) if place != 12]
    path = made.resealed(entries).replanned(3, run='=cmd|" /C calc"!A0').write(tmp_path / "ledger")
    found = rows(run("export", path, "--format", "csv"))
    assert found[0]["run"] == '\'=cmd|" /C calc"!A0'
    assert (found[-1]["outcome"], found[-1]["ended_by_entry"], found[-1]["advertised"]) == (
        "unfinished",
        "",
        "",
    )


def test_json_has_every_entry_and_its_leaf(folder: Path) -> None:
    told = json.loads(run("export", folder, "--format", "json"))
    assert (told["format"], told["checked"], len(told["entries"])) == ("covey-ledger-export/1", False, 15)
    leaves = [bytes.fromhex(each["leaf_sha256"]) for each in told["entries"]]
    assert leaves[0] != leaves[1]
    assert told["entries"][13]["kind"] == "model.release"


def test_json_keeps_what_is_no_entry(tmp_path: Path) -> None:
    path = replace(honest(), lines=(*honest().lines, b"\xffgift")).write(tmp_path / "ledger")
    last: dict[str, Any] = json.loads(run("export", path, "--format", "json"))["entries"][-1]
    assert last["line"] == "\ufffdgift"
    assert last["fault"]


def test_only_what_is_public_is_copied(folder: Path, tmp_path: Path) -> None:
    (folder / "evidence" / "more").write_text("d001")
    (folder / "participants" / f"{DIGEST}.txt").write_text("of no sum")
    (folder / "participants" / "..txt").write_text("of no sum")
    target = tmp_path / "public"
    assert run("export", folder, "--public", target) == ""
    copied = {str(each.relative_to(target)) for each in target.rglob("*") if each.is_file()}
    assert copied == {"entries.jsonl", "checkpoint"} | {
        f"participants/{each}.txt" for each in honest().participants
    }
    for name in copied:
        assert (target / name).read_bytes() == (folder / name).read_bytes()


def test_a_torn_entry_is_not_given_to_the_public(tmp_path: Path) -> None:
    made = replace(honest(), torn=b'{"kind"', participants={}, checkpoint=None)
    path = made.write(tmp_path / "ledger")
    copy_public(LedgerFiles(path), tmp_path / "public")
    assert [each.name for each in (tmp_path / "public").iterdir()] == ["entries.jsonl"]
    assert (tmp_path / "public" / "entries.jsonl").read_bytes().endswith(b"\n")


def test_nothing_is_overwritten(folder: Path) -> None:
    with pytest.raises(InputError, match="is there already"):
        run("export", folder, "--public", folder)
    with pytest.raises(InputError, match="is there already"):
        run("export", folder, "--public", folder / "checkpoint")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing to export"),
        (["--format", "csv", "--self-check"], "keys are for --format registry only"),
        (["--format", "json", "--enrolment", DIGEST], "keys are for --format registry only"),
    ],
)
def test_options_that_mean_nothing_are_refused(folder: Path, options: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run("export", folder, *options)


def test_the_commands_bring_nothing_heavy() -> None:
    heavy = "{'torch', 'flwr', 'numpy', 'jinja2', 'dp_accounting', 'rich.table'}"
    code = (
        "import sys, covey_audit.ledger_commands, covey_audit.statement_command;"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
