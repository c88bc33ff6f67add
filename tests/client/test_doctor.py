"""Checks of a machine that is well, and of ones that are not."""

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from covey.budget import Locked, Saw
from covey.budget import Row as JournalRow
from covey.errors import StateError
from covey_client import doctor
from covey_client.checkup import Row, rows, summary, table

NOW = 1_790_000_000.0


def test_rows_are_shown_with_what_to_do() -> None:
    found = [
        Row("disk", "ok", "10 MB"),
        Row("clock", "fail", "1970", "set it"),
        Row("grpc", "warn", "missing"),
    ]
    assert list(table(found)) == [
        "ok    disk   10 MB",
        "FAIL  clock  1970",
        "             → set it",
        "warn  grpc   missing",
    ]
    assert summary(found) == "1 to be mended, 1 to be seen to, 1 well"
    assert summary(found[:1]) == "this device is well"
    assert list(table([])) == []


def test_a_check_that_fails_is_a_row_and_the_others_go_on() -> None:
    def broken() -> Row:
        raise ZeroDivisionError("by zero")

    def ours() -> Row:
        raise StateError("it is damaged", hint="mend it")

    found = list(rows([("a", broken), ("b", ours), ("c", lambda: Row("c", "ok", "well"))]))
    assert [(row.name, row.verdict) for row in found] == [("a", "fail"), ("b", "fail"), ("c", "ok")]
    assert found[0].found == "cannot be checked: ZeroDivisionError: by zero"
    assert (found[1].found, found[1].todo) == ("it is damaged", "mend it")


@pytest.mark.parametrize(
    ("now", "synchronised", "known", "verdict", "word"),
    [
        (NOW, True, 0, "ok", "synchronised"),
        (NOW, True, int(NOW), "ok", "synchronised"),
        (NOW, True, int(NOW) + 1, "fail", "behind"),
        (0.0, True, 0, "fail", "1970-01-01"),
        (5e9, True, 0, "fail", "2128"),
        (NOW, False, 0, "warn", "no time service"),
        (NOW, None, 0, "warn", "does not say"),
    ],
)
def test_the_clock(now: float, synchronised: bool | None, known: int, verdict: str, word: str) -> None:
    row = doctor.check_clock(now, synchronised, known)
    assert row.verdict == verdict
    assert word in row.found


def test_this_kernel_says_whether_its_clock_is_kept() -> None:
    assert doctor.is_synchronised() in {True, False}


def test_the_newest_ledger_head_is_read_from_the_budget_and_nothing_is_written(tmp_path: Path) -> None:
    journal = tmp_path / "budget.jsonl"
    assert doctor.newest_head(journal) == 0
    written: list[JournalRow] = [
        Saw(origin="a", size=1, root="00" * 32, time=100),
        Saw(origin="b", size=1, root="00" * 32, time=300),
        Locked(200, "why"),
    ]
    lines = b"".join(msgspec.json.encode(row) + b"\n" for row in written)
    journal.write_bytes(lines + b'["torn')
    assert doctor.newest_head(journal) == 300
    assert journal.read_bytes() == lines + b'["torn'
    assert os.listdir(tmp_path) == ["budget.jsonl"]  # noqa: PTH208 - names
    journal.write_bytes(b"nonsense\n")
    with pytest.raises(StateError, match="is damaged"):
        doctor.newest_head(journal)


def test_a_disk_that_can_be_written(tmp_path: Path) -> None:
    row = doctor.check_disk(tmp_path, 1)
    assert row.verdict in {"ok", "warn"}  # a machine under load may be slow
    assert "MB free, fsync in" in row.found
    assert list(tmp_path.iterdir()) == []
    assert doctor.check_disk(tmp_path, 1e12).verdict == "fail"
    assert doctor.check_disk(tmp_path / "nowhere").found.endswith("is not there")


def test_a_disk_that_cannot_be_written() -> None:
    assert doctor.check_disk(Path("/proc/self")).found.startswith("/proc/self cannot be written: ")


def test_secrets_are_for_one_user(tmp_path: Path) -> None:
    key = tmp_path / "identity.key"
    key.touch(0o600)
    assert doctor.check_private(tmp_path).verdict == "ok"
    key.chmod(0o640)
    assert doctor.check_private(tmp_path).found == "others may read identity.key"
    assert doctor.check_private(tmp_path / "nowhere").verdict == "ok"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_files_of_another_user_are_told(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "budget.jsonl").touch()
    os.chown(tmp_path / "a", 12345, -1)
    row = doctor.check_private(tmp_path)
    assert (row.verdict, row.found) == ("warn", f"files of users 0, 12345 in {tmp_path}")


@pytest.mark.parametrize(
    ("total", "available", "verdict"), [(4000, 3000, "ok"), (4000, 500, "warn"), (500, 400, "fail")]
)
def test_memory(tmp_path: Path, total: int, available: int, verdict: str) -> None:
    (tmp_path / "proc").mkdir()
    told = f"MemTotal: {total * 1000} kB\nMemAvailable: {available * 1000} kB\nHugePages_Total: 0\n"
    (tmp_path / "proc/meminfo").write_text(told)
    assert doctor.check_memory(1500, tmp_path).verdict == verdict
    assert doctor.check_memory(1).verdict == "ok"


def test_userland_and_python() -> None:
    assert doctor.check_userland("aarch64", 64) == Row("userland", "ok", "aarch64, 64-bit programs")
    assert doctor.check_userland("aarch64", 32).verdict == "fail"
    assert doctor.check_userland("riscv64", 64).verdict == "warn"
    assert doctor.check_userland().verdict == "ok"
    assert doctor.check_python().verdict == "ok"
    assert doctor.check_python((3, 9, 2)).verdict == "fail"


@pytest.mark.parametrize(
    ("version", "wanted", "agreed"),
    [
        ("2.4.0", ">=2.0", True),
        ("2.0", ">=2.0.0", True),
        ("1.26", ">=2.0", False),
        ("50.0.2", ">=50,<51", True),
        ("51.0", ">=50,<51", False),
        ("51.0", "<51,>=50", False),
        ("2.10.0+cpu", ">=2.6,<=2.10", True),
        ("2.10.1", "<=2.10", False),
        ("2.13.0", "==2.13.0", True),
        ("1.0rc1", ">0.9", True),
        ("1.0", "", True),
        ("1.0", "~=1.0", True),
    ],
)
def test_bounds(version: str, wanted: str, agreed: bool) -> None:
    assert doctor.satisfies(version, wanted) is agreed


def installed(folder: Path, name: str, version: str, *requires: str) -> None:
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir()
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in requires)]
    (about / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")


def test_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = doctor.check_wheels()
    assert row.verdict == "ok"
    assert "numpy" in row.found
    installed(
        tmp_path, "covey_test_fleet", "1", "covey_test_wheel<3,>=2", 'covey_test_other>=9; extra == "x"'
    )
    installed(tmp_path, "covey_test_wheel", "3.1")
    installed(tmp_path, "covey_test_other", "1")
    monkeypatch.syspath_prepend(tmp_path)
    row = doctor.check_wheels(("covey_test_wheel", "covey_test_other", "covey_test_gone"), "covey_test_fleet")
    assert row.found == "covey_test_wheel 3.1, expected <3,>=2; covey_test_gone is missing"
    assert row.verdict == "fail"


def test_wheels_are_checked_without_importing_what_is_heavy() -> None:
    program = (
        "import sys; from covey_client import doctor, checkup; doctor.check_wheels(); doctor.check_grpc();"
        "print(sorted({'torch', 'flwr', 'scipy', 'onnx', 'grpc'} & {*sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=120)
    assert ran.stdout == b"[]\n"


def test_training_is_tried_in_a_process_of_its_own() -> None:
    row = doctor.check_worker(modules=("json", "csv"))
    assert row.verdict == "ok"
    assert row.found.startswith("json, csv imported in ")
    row = doctor.check_worker(modules=("no_such_module",))
    assert row.found == f"{sys.executable}: ModuleNotFoundError: No module named 'no_such_module'"
    assert "covey[device]" in row.todo
    assert doctor.check_worker("/nowhere/python").found == "/nowhere/python: No such file or directory"


def test_training_that_never_starts_is_ended(tmp_path: Path) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 300\n")
    slow.chmod(0o755)
    began = time.monotonic()
    assert doctor.check_worker(str(slow), seconds=0.2).found.endswith("no import within 0.2 s")
    assert time.monotonic() - began < 60
