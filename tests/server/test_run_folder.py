import csv
import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from covey import plan as plans
from covey.errors import CoveyError, InputError, StateError
from covey.ledger import entries
from covey.ledger.entries import Reserve
from covey_io import durable
from covey_server.checkpoint import Checkpoint
from covey_server.ledgers import opened
from covey_server.run_folder import SHARED_LEDGER, RunFolder
from covey_server.sum_rows import Row
from digits_fleet import TRAIN, plan_of, question

CONFIG = {"name": "a", "federation": {"rounds": 3}}


def created(folder: Path) -> RunFolder:
    return RunFolder.create(folder / "a", CONFIG)


def state(folder: RunFolder, server_round: int) -> Checkpoint:
    parameters = {"w": np.full(2, server_round, np.float32)}
    return Checkpoint(folder.config, server_round, parameters, {}, None)


def row(server_round: int) -> Row:
    return {"round": server_round, "loss": server_round / 4, "accuracy": None, "devices": 3}


def test_what_was_created_can_be_opened(tmp_path: Path) -> None:
    folder = created(tmp_path)
    again = RunFolder.open(tmp_path / "a")
    assert (again.run, again.config) == (folder.run, folder.config)
    assert len(folder.run) == 16
    assert (tmp_path / "a/config.toml").read_text() == 'name = "a"\n\n[federation]\nrounds = 3\n'
    assert again.latest() is None
    assert again.rows() == again.sum_rows() == []


def test_a_key_without_a_value_is_left_out_of_the_configuration(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "a", {"name": "a", "privacy": {"epsilon": None, "noise": False}, "x": None})
    text = (tmp_path / "a/config.toml").read_text()
    assert text == 'name = "a"\n\n[privacy]\nnoise = false\n'


def test_two_runs_of_one_configuration_are_told_apart(tmp_path: Path) -> None:
    one, other = (RunFolder.create(tmp_path / name, CONFIG) for name in "ab")
    assert one.run != other.run
    assert one.config == other.config


def test_a_run_is_not_started_over_another(tmp_path: Path) -> None:
    folder = created(tmp_path)
    with pytest.raises(InputError, match="holds a run already") as caught:
        RunFolder.create(tmp_path / "a", {"name": "b"})
    assert f"--resume {tmp_path / 'a'}" in caught.value.hint
    assert RunFolder.open(tmp_path / "a").run == folder.run


@pytest.mark.parametrize("call", range(1, 9))
def test_a_start_cut_short_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    fsync, seen = os.fsync, 0

    def cut(descriptor: int) -> None:
        nonlocal seen
        seen += 1
        if seen == call:
            raise InterruptedError
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", cut)
    try:
        created(tmp_path)
    except InterruptedError:
        monkeypatch.undo()
        if (tmp_path / "a/run.json").exists():
            assert RunFolder.open(tmp_path / "a").latest() is None
            return
        with pytest.raises(InputError, match="is not a run"):
            RunFolder.open(tmp_path / "a")
        created(tmp_path)
    assert RunFolder.open(tmp_path / "a").run


@pytest.mark.parametrize("where", ["a", "missing"])
def test_a_folder_without_a_run_is_refused(tmp_path: Path, where: str) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="is not a run"):
        RunFolder.open(tmp_path / where)


def test_a_changed_configuration_is_refused(tmp_path: Path) -> None:
    created(tmp_path)
    config = tmp_path / "a/config.toml"
    config.write_text(config.read_text().replace("3", "4"))
    with pytest.raises(StateError, match=r"config\.toml was changed"):
        RunFolder.open(tmp_path / "a")
    config.unlink()
    with pytest.raises(StateError, match=r"config\.toml was changed or removed"):
        RunFolder.open(tmp_path / "a")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"{}", b'{"run": "x"}', b"3"])
def test_a_damaged_mark_is_named(tmp_path: Path, content: bytes) -> None:
    created(tmp_path)
    (tmp_path / "a/run.json").write_bytes(content)
    with pytest.raises(StateError, match=r"run\.json is damaged"):
        RunFolder.open(tmp_path / "a")


def test_a_run_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    folder = created(tmp_path)
    with (
        folder.locked(),
        pytest.raises(InputError, match="in use by another process"),
        RunFolder(folder.path).locked(),
    ):
        pytest.fail("two hold the run")
    with RunFolder(folder.path).locked():
        pass


def test_a_run_that_failed_is_let_go(tmp_path: Path) -> None:
    folder = created(tmp_path)
    with pytest.raises(CoveyError), folder.locked():
        raise CoveyError("no")
    with folder.locked():
        pass


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    folder = created(tmp_path)
    for server_round in range(4):
        folder.save(state(folder, server_round))
        found = folder.latest()
        assert found is not None
        assert found.round == server_round
        assert found.parameters["w"].tolist() == [server_round, server_round]
    names = sorted(path.name for path in folder.checkpoints.iterdir())
    assert names == ["round-000002.ckpt", "round-000003.ckpt"]


def test_the_new_checkpoint_is_there_before_an_old_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = created(tmp_path)
    for server_round in (1, 2):
        folder.save(state(folder, server_round))

    def fail(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path), len(data))

    monkeypatch.setattr(durable, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        folder.save(state(folder, 3))
    names = sorted(path.name for path in folder.checkpoints.iterdir())
    assert names == ["round-000001.ckpt", "round-000002.ckpt"]


def test_other_files_among_the_checkpoints_are_left_alone(tmp_path: Path) -> None:
    folder = created(tmp_path)
    folder.save(state(folder, 1))
    for name in (".round-000009.ckpt.tmp", "round-9.ckpt", "best.ckpt", "round-000009.ckpt.bak"):
        (folder.checkpoints / name).write_bytes(b"not ours")
    found = folder.latest()
    assert found is not None
    assert found.round == 1
    folder.save(state(folder, 2))
    folder.save(state(folder, 3))
    assert len(list(folder.checkpoints.iterdir())) == 6


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_takes_over(tmp_path: Path) -> None:
    folder = created(tmp_path)
    for server_round in (1, 2):
        folder.save(state(folder, server_round))
    last = folder.checkpoints / "round-000002.ckpt"
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(StateError, match=r"round-000002\.ckpt is damaged") as caught:
        folder.latest()
    assert "remove it" in caught.value.hint
    last.unlink()
    found = folder.latest()
    assert found is not None
    assert found.round == 1


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    other = RunFolder.create(tmp_path / "b", {"name": "b"})
    folder = created(tmp_path)
    folder.save(state(other, 1))
    with pytest.raises(StateError, match="belongs to another configuration"):
        folder.latest()


def asked(folder: RunFolder, *rounds: int, torn: bytes = b"") -> None:
    """Sums of the run, as its ledger has them; and what stands after the last."""
    plan = plan_of(question(TRAIN, [2, 3]))
    durable.make_folder(folder.ledger.path)
    for number in rounds:
        own = msgspec.structs.replace(plan, run=folder.run, sum=number, round=number)
        line = entries.encode(Reserve(time=1, plan=plans.to_bytes(own), signature=None))
        durable.append(folder.ledger.entries, line + b"\n")
    durable.append(folder.ledger.entries, torn)


def sums(folder: RunFolder) -> list[tuple[str, int]]:
    return [(row["event"], row["round"]) for row in folder.sum_rows()]


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    folder = created(tmp_path)
    for server_round in (1, 2):
        folder.log_metrics([row(server_round)])
        asked(folder, server_round)
    assert folder.rows() == [row(1), row(2)]
    assert [each["kind"] for each in folder.sum_rows()] == ["train", "train"]
    assert sums(folder) == [("reserve", 1), ("reserve", 2)]
    assert folder.metrics.read_bytes().endswith(b"\n")


def test_a_torn_last_line_is_no_row_and_goes_with_a_rewind(tmp_path: Path) -> None:
    folder = created(tmp_path)
    durable.append(folder.metrics, json.dumps(row(1)).encode() + b"\n")
    durable.append(folder.metrics, json.dumps(row(2)).encode()[:9])
    assert folder.rows() == [row(1)]
    folder.rewind(1)
    folder.log_metrics([row(2)])
    assert folder.rows() == [row(1), row(2)]


def test_a_torn_last_entry_is_no_sum_and_goes_when_the_ledger_is_opened(tmp_path: Path) -> None:
    folder = created(tmp_path)
    with opened(folder.ledger, None):
        pass
    asked(folder, 1, torn=b'{"kind":"round.')
    assert sums(folder) == [("reserve", 1)]
    folder.rewind(0)  # what was asked is no matter of rounds
    assert folder.ledger.entries.read_bytes().endswith(b'{"kind":"round.')
    with opened(folder.ledger, None):
        assert folder.ledger.entries.read_bytes().endswith(b"}\n")
    asked(folder, 2)
    assert sums(folder) == [("reserve", 1), ("reserve", 2)]


def test_a_rewind_drops_rounds_without_a_checkpoint_but_no_sum(tmp_path: Path) -> None:
    folder = created(tmp_path)
    for server_round in (1, 2, 3):
        folder.log_metrics([row(server_round)])
        asked(folder, server_round)
    folder.rewind(2)
    assert folder.rows() == [row(1), row(2)]
    assert sums(folder) == [("reserve", 1), ("reserve", 2), ("reserve", 3)]  # what was asked was asked
    folder.rewind(0)
    assert folder.rows() == []
    assert len(sums(folder)) == 3


def test_a_run_that_asked_nothing_has_no_sums(tmp_path: Path) -> None:
    assert created(tmp_path).sum_rows() == []


def test_runs_that_share_a_ledger_have_sums_of_their_own(tmp_path: Path) -> None:
    one, two = (RunFolder.create(tmp_path / name, CONFIG, SHARED_LEDGER) for name in "ab")
    assert one.ledger.path.resolve() == two.ledger.path.resolve() == tmp_path / "ledger"
    for server_round, folder in enumerate((one, two, one), start=1):
        asked(folder, server_round)
    assert sums(RunFolder.open(tmp_path / "a")) == [("reserve", 1), ("reserve", 3)]
    assert sums(RunFolder.open(tmp_path / "b")) == [("reserve", 2)]


def test_a_run_s_own_ledger_is_in_its_folder(tmp_path: Path) -> None:
    assert created(tmp_path).ledger.path == tmp_path / "a" / "ledger"


@pytest.mark.parametrize("line", [b"hello", b"", b'{"kind":"round.reserve"}', b'{"kind":"x","time":1}'])
def test_a_damaged_ledger_is_named(tmp_path: Path, line: bytes) -> None:
    folder = created(tmp_path)
    asked(folder, 1, torn=line + b"\n")
    with pytest.raises(StateError, match=r"entries\.jsonl is damaged: entry 1: ") as caught:
        folder.sum_rows()
    assert "nothing was overwritten" in caught.value.hint


def test_a_rewind_drops_a_checkpoint_too_many(tmp_path: Path) -> None:
    folder = created(tmp_path)
    folder.save(state(folder, 1))
    oldest = (folder.checkpoints / "round-000001.ckpt").read_bytes()
    for server_round in (2, 3):
        folder.save(state(folder, server_round))
    (folder.checkpoints / "round-000001.ckpt").write_bytes(oldest)  # a crash kept it from being dropped
    folder.rewind(3)
    names = sorted(path.name for path in folder.checkpoints.iterdir())
    assert names == ["round-000002.ckpt", "round-000003.ckpt"]


def test_damage_before_the_last_line_is_named(tmp_path: Path) -> None:
    folder = created(tmp_path)
    folder.metrics.write_bytes(b'{"round": 1}\n{"rou\n{"round": 3}\n')
    before = folder.metrics.read_bytes()
    with pytest.raises(StateError, match=r"metrics\.jsonl is damaged"):
        folder.rewind(3)
    assert folder.metrics.read_bytes() == before


def test_the_csv_says_what_the_rows_say(tmp_path: Path) -> None:
    folder = created(tmp_path)
    for each in (row(1), row(2) | {"accuracy": 0.5}):
        folder.log_metrics([each])
    folder.write_csv()
    with (folder.path / "metrics.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert found == [
        {"round": "1", "loss": "0.25", "accuracy": "", "devices": "3"},
        {"round": "2", "loss": "0.5", "accuracy": "0.5", "devices": "3"},
    ]


def test_a_run_without_rounds_has_a_csv_with_a_head(tmp_path: Path) -> None:
    folder = created(tmp_path)
    folder.write_csv()
    assert (folder.path / "metrics.csv").read_text().split() == ["round"]
