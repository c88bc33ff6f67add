import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from covey import plan as plans
from covey.encode import Part
from covey.plan import Plan
from covey_server.book import CRASHED, RunBook, open_rows
from covey_server.run_folder import RunFolder
from covey_strategies.exchange import Settled
from digits_fleet import GRADIENT, NOISY, TRAIN, VALIDATE, crowd, flock, grid_of, masked, plan_of, question

ENDED = Settled(np.zeros(3, np.int64), devices=11, sharing=12, noise_left=1, sets={"u1": "ab" * 32})


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "a", {"name": "a"})


def train_plan(serial: int = 1, **changes: Any) -> Plan:
    """Masked and noisy, to twelve devices."""
    fleet = crowd()
    asked = question(TRAIN, list(fleet.devices), minimum=9, protection=masked(fleet, **NOISY))
    return msgspec.structs.replace(plan_of(asked), sum=serial, **changes)


def test_serial_numbers_rise_from_one(folder: RunFolder) -> None:
    book = RunBook(folder)
    assert [book.next_sum() for _ in range(3)] == [1, 2, 3]


def test_a_serial_number_that_was_reserved_is_never_used_again(folder: RunFolder) -> None:
    book = RunBook(folder)
    for _ in range(2):
        book.reserve(train_plan(book.next_sum()))
    book.abort(train_plan(2), "too few")
    assert RunBook(RunFolder.open(folder.path)).next_sum() == 3


def test_a_reserve_says_all_that_a_claim_is_computed_from(folder: RunFolder) -> None:
    plan = train_plan(7)
    RunBook(folder).reserve(plan)
    (row,) = folder.sum_rows()
    assert {key: row[key] for key in ("event", "sum", "cohort_number", "cohorts", "round", "kind")} == {
        "event": "reserve",
        "sum": 7,
        "cohort_number": 0,
        "cohorts": 1,
        "round": 1,
        "kind": "train",
    }
    assert (row["asked"], row["minimum"], row["corrupt"], row["unit"]) == (12, 9, 1, "device")
    assert (row["norm"], row["elements"], row["sampling_rate"]) == (plan.norm, plan.length, 1.0)
    assert row["noise"] == msgspec.to_builtins(plan.noise)
    assert row["suite"] == msgspec.to_builtins(plan.suite)
    assert row["masks"] == "on"
    assert [Part(**part) for part in row["parts"]] == list(plan.parts)


def test_bytes_per_device_are_those_of_the_modulus_that_is_sent(folder: RunFolder) -> None:
    plan = train_plan()
    assert plan.suite
    assert plan.suite.bits < 32
    RunBook(folder).reserve(plan)
    assert folder.sum_rows()[0]["bytes_per_device"] == -(-plan.length * plan.suite.bits // 8)


def test_in_clear_without_noise_the_row_says_so(folder: RunFolder) -> None:
    RunBook(folder).reserve(plan_of(question(VALIDATE, list(flock().devices), grid=grid_of({}))))
    (row,) = folder.sum_rows()
    assert (row["masks"], row["suite"], row["noise"]) == ("none", None, None)
    assert row["bytes_per_device"] == 4 * row["elements"]


def test_a_sampled_sum_says_its_rate(folder: RunFolder) -> None:
    RunBook(folder).reserve(plan_of(question(GRADIENT, list(flock().devices))))
    (row,) = folder.sum_rows()
    assert (row["kind"], row["unit"], row["sampling_rate"]) == ("gradient", "example", 0.5)


def test_a_settle_says_who_many_were_in_it_and_what_noise_is_left(folder: RunFolder) -> None:
    book = RunBook(folder)
    book.reserve(train_plan())
    book.settle(train_plan(), ENDED)
    assert folder.sum_rows()[1] == {
        "event": "settle",
        "sum": 1,
        "cohort_number": 0,
        "round": 1,
        "kind": "train",
        "devices": 11,
        "sharing": 12,
        "noise_left": 1,
        "u1": "ab" * 32,
    }


def test_an_abort_says_why(folder: RunFolder) -> None:
    book = RunBook(folder)
    book.reserve(train_plan())
    book.abort(train_plan(), "7 of 12 devices answered")
    assert folder.sum_rows()[1]["reason"] == "7 of 12 devices answered"
    assert open_rows(folder.sum_rows()) == []


def test_each_event_is_on_the_disk_before_the_call_returns(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    append = folder.log_sum

    def counted(row: dict[str, Any]) -> None:
        append(row)
        synced.append(len(folder.sums.read_bytes().splitlines()))

    monkeypatch.setattr(folder, "log_sum", counted)
    book = RunBook(folder)
    book.reserve(train_plan())
    book.settle(train_plan(), ENDED)
    book.reserve(train_plan(2))
    book.abort(train_plan(2), "no")
    assert synced == [1, 2, 3, 4]


def test_what_a_crash_left_open_is_aborted_cohort_by_cohort_and_once(folder: RunFolder) -> None:
    book = RunBook(folder)
    for number in (0, 1):
        book.reserve(train_plan(cohorts=2, cohort_number=number))
    book.settle(train_plan(cohorts=2, cohort_number=0), ENDED)
    again = RunBook(RunFolder.open(folder.path))
    again.close_crashed()
    again.close_crashed()
    rows = folder.sum_rows()
    assert [(row["event"], row["cohort_number"]) for row in rows] == [
        ("reserve", 0),
        ("reserve", 1),
        ("settle", 0),
        ("abort", 1),
    ]
    assert rows[-1] == {
        "event": "abort",
        "sum": 1,
        "cohort_number": 1,
        "round": 1,
        "kind": "train",
        "reason": CRASHED,
    }


def test_a_reserve_that_a_crash_tore_was_not_made(folder: RunFolder) -> None:
    book = RunBook(folder)
    book.reserve(train_plan())
    whole = folder.sums.read_bytes()
    folder.sums.write_bytes(whole + whole[:-1])  # the second without its end: nothing was sent for it
    again = RunBook(RunFolder.open(folder.path))
    assert len(folder.sum_rows()) == 1
    assert again.next_sum() == 2


def test_a_row_is_one_line_of_json(folder: RunFolder) -> None:
    book = RunBook(folder)
    book.reserve(train_plan())
    book.abort(train_plan(), "a reason\nof two lines")
    lines = folder.sums.read_text("utf-8").splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["reserve", "abort"]


def test_kinds_are_those_of_the_plan(folder: RunFolder) -> None:
    book = RunBook(folder)
    asked = [question(task, list(flock().devices)) for task in (TRAIN, GRADIENT, VALIDATE)]
    for each in asked:
        book.reserve(plan_of(each))
    assert [row["kind"] for row in folder.sum_rows()] == [plans.kind(plan_of(each)) for each in asked]
