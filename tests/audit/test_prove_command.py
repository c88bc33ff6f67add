"""`covey audit prove` and `check-proof`: a device's owner, and whoever is shown the proof."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

import made_ledger
from commands import invoked
from covey import plan as plans
from covey.budget import Locked, Reserved, Row
from covey.errors import CoveyError, InputError, ProtocolError
from covey.ledger import entries as ledger
from covey.ledger import participation
from covey.policy.checking import kind_of
from covey.spending import Asked
from covey_audit.audit_commands import audit as app
from made_ledger import RUN, Made
from secagg_fleet import NOW

run = partial(invoked, app)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made_ledger.honest().write(tmp_path / "ledger")


def device(path: Path, number: int, rows: list[Row] | None = None) -> Path:
    """A device's own folder."""
    path.mkdir()
    (path / "device.json").write_text(json.dumps({"device": f"d{number:03d}"}))
    (path / "salt").write_text(made_ledger.salt(number).hex() + "\n")
    if rows is not None:
        (path / "budget.jsonl").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return path


def reserves() -> list[Row]:
    """What an honest device's journal holds."""
    rows: list[Row] = []
    for entry in made_ledger.honest().entries:
        if isinstance(entry, ledger.Reserve):
            plan = plans.from_bytes(entry.plan)
            policy = plan.policy.sha256 if plan.policy else ""
            named = plans.digest(entry.plan)
            rows.append(Reserved(NOW, named, policy, kind_of(plan), Asked.of(plan)))
    return rows


def test_an_owner_sees_what_the_device_was_in_and_has_spent(folder: Path, tmp_path: Path) -> None:
    printed = run("prove", folder, "--device", device(tmp_path / "d", 3, reserves())).stdout
    assert printed.splitlines() == [
        "'d003' was in 4 sums that were opened",
        "  run 'run-a', sum 1, round 1: one of 12, entry 4",
        "  run 'run-a', sum 2, round 2: one of 10, entry 6",
        "  run 'run-a', sum 4, round 3: one of 11, entry 10",
        "  run 'run-a', sum 5, round 3: one of 12, entry 12",
        "its journal reserves 5 answers: epsilon 1.491 at delta 1e-05",
    ]


def test_a_proof_is_written_and_holds_for_whoever_checks_it(folder: Path, tmp_path: Path) -> None:
    own = device(tmp_path / "d", 3, reserves())
    facts = json.loads(
        run("prove", folder, "--device", own, "--sum", 2, "--out", tmp_path / "p", "--json").stdout
    )
    (written,) = [each["proof"] for each in facts["sums"]]
    assert made_ledger.salt(3).hex() not in Path(written).read_text()
    printed = run("check-proof", written).stdout
    assert "'d003' was one of 10 devices in sum 2 of run 'run-a' (entries 5 and 6" in printed
    assert "NOT CHECKED" in printed
    (tmp_path / "policy").write_bytes(made_ledger.policy_note())
    checked = json.loads(run("check-proof", written, "--policy", tmp_path / "policy", "--json").stdout)
    assert (checked["device"], checked["sum"], checked["signatures"]) == ("d003", 2, "checked")


def test_a_device_that_was_not_in_a_sum_proves_nothing(folder: Path, tmp_path: Path) -> None:
    own = device(tmp_path / "d", 0, reserves())  # its node left during the fourth sum
    with pytest.raises(CoveyError, match="was in no such sum"):
        run("prove", folder, "--device", own, "--run", RUN, "--sum", 4)
    assert "was in 3 sums" in run("prove", folder, "--device", own).stdout


def test_another_salt_was_in_nothing(folder: Path, tmp_path: Path) -> None:
    own = device(tmp_path / "d", 3)
    (own / "salt").write_text("0" * 64)
    assert "'d003' was in 0 sums" in run("prove", folder, "--device", own).stdout


def test_a_journal_that_was_put_back_is_told(folder: Path, tmp_path: Path) -> None:
    own = device(tmp_path / "d", 3, reserves()[:2])
    printed = run("prove", folder, "--device", own, status=1).stdout
    said = "the ledger has 2 answers of the device that the journal has not (entries 10, 12)"
    assert f"NOT IN AGREEMENT: {said}: was the journal put back?" in printed


def test_a_journal_that_knows_more_than_the_ledger_is_told(folder: Path, tmp_path: Path) -> None:
    *_, last = reserves()
    assert isinstance(last, Reserved)
    elsewhere: Row = msgspec.structs.replace(last, plan="0" * 64)
    own = device(tmp_path / "d", 3, [*reserves(), elsewhere, Locked(NOW, "memory restored")])
    printed = run("prove", folder, "--device", own, status=1).stdout
    assert "the journal has 1 plan that the ledger has not: 0000000000000000…" in printed
    assert "answers nothing any more: memory restored" in printed


def spoilt(made: Made, folder: Path, settles: dict[int, bytes | None]) -> Path:
    """A ledger's folder with other participation leaves, or none, of some settles."""
    made.write(folder)
    for index, leaves in settles.items():
        entry = made.entries[index]
        assert isinstance(entry, ledger.Settle)
        path = folder / "participants" / f"{entry.plan}.txt"
        path.unlink()
        if leaves is not None:
            path.write_bytes(leaves)
    return folder


def own_leaf(number: int, sum_: int) -> bytes:
    opened = participation.opening(made_ledger.salt(number), RUN, sum_)
    return participation.leaf(opened, f"d{number:03d}").hex().encode() + b"\n"


def test_of_sums_without_their_leaves_nothing_is_said_to_be_known(tmp_path: Path) -> None:
    folder = spoilt(made_ledger.honest(), tmp_path / "ledger", {4: None, 6: own_leaf(3, 2), 10: b""})
    own = device(tmp_path / "d", 3, reserves()[:2])
    out = tmp_path / "p"
    printed = run("prove", folder, "--device", own, "--out", out, status=1).stdout
    assert printed.startswith("'d003' was in 1 sum that was opened, as far as is known\n")
    said = (
        "the leaves of 3 sums are missing or changed (entries 4, 6, 10); the journal has reserves for 2 of 3"
    )
    assert f"NOT KNOWN: {said}\n" in printed
    assert len(list(out.iterdir())) == 1  # and none of the sum whose leaves do hold the device's own


def test_one_sum_without_its_leaves(tmp_path: Path) -> None:
    folder = spoilt(made_ledger.honest(), tmp_path / "ledger", {6: None})
    own = device(tmp_path / "d", 3, reserves())
    done = run("prove", folder, "--device", own, "--sum", 2, "--out", tmp_path / "p", "--json", status=1)
    facts = json.loads(done.stdout)
    assert facts["sums"] == []
    (missed,) = facts["unknown"]
    assert (missed["sum"], missed["settle"], missed["leaves"], missed["reserved"]) == (2, 6, "missing", True)
    assert "NOT KNOWN: the leaves of 1 sum are missing or changed (entry 6)" in done.stderr
    assert not (tmp_path / "p").exists()
    assert "'d003' was in 1 sum that was opened\n" in run("prove", folder, "--device", own, "--sum", 4).stdout


def test_a_changed_proof_does_not_hold(folder: Path, tmp_path: Path) -> None:
    own = device(tmp_path / "d", 3, reserves())
    run("prove", folder, "--device", own, "--sum", 2, "--out", tmp_path / "p")
    (written,) = (tmp_path / "p").iterdir()
    written.write_text(written.read_text().replace("d003", "d004"))
    with pytest.raises(ProtocolError, match="does not hold") as caught:
        run("check-proof", written)
    assert caught.value.exit_status == 1


def test_what_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no device's folder"):
        run("prove", folder, "--device", tmp_path)
    own = device(tmp_path / "d", 3)
    (own / "budget.jsonl").write_text("{\n")
    with pytest.raises(InputError, match="is damaged"):
        run("prove", folder, "--device", own)
    with pytest.raises(InputError, match="no such file"):
        run("check-proof", tmp_path / "missing")


def test_a_ledger_that_must_be_audited_first(tmp_path: Path) -> None:
    made = made_ledger.honest()
    own = device(tmp_path / "d", 3, reserves())
    broken = made.resealed([*made.lines, b"{}"]).write(tmp_path / "broken")
    with pytest.raises(InputError, match="entry 15 is a malformed entry"):
        run("prove", broken, "--device", own)
    stale = replace(made, checkpoint=made_ledger.head_over(made.lines[:6])).write(tmp_path / "stale")
    with pytest.raises(InputError, match="does not cover entry 6"):
        run("prove", stale, "--device", own, "--sum", 2, "--out", tmp_path / "p")
    bare = replace(made, checkpoint=None).write(tmp_path / "bare")
    with pytest.raises(InputError, match="no checkpoint"):
        run("prove", bare, "--device", own, "--out", tmp_path / "p")
