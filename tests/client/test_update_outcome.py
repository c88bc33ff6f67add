"""The outcome of a rollout as the agent's other processes read it."""

from pathlib import Path

import pytest

from covey.errors import StateError
from covey.rollout.outcome import Outcome
from covey_client.update_outcome import OUTCOME, read_outcome, write_outcome

SOME = Outcome(rollout="r1", image="ab" * 32, ring=2, result="working", served=5, errors=1)


def test_what_is_written_is_read_and_nothing_is_none(tmp_path: Path) -> None:
    assert read_outcome(tmp_path) is None
    write_outcome(tmp_path, SOME)
    assert read_outcome(tmp_path) == SOME


def test_the_same_again_is_not_written_again(tmp_path: Path) -> None:
    write_outcome(tmp_path, SOME)
    before = (tmp_path / OUTCOME).stat()
    write_outcome(tmp_path, SOME)
    assert (tmp_path / OUTCOME).stat().st_ino == before.st_ino


@pytest.mark.parametrize("data", [b"", b"{", b'{"rollout":"r1"}', b"\xff", b"0" * 5000])
def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path, data: bytes) -> None:
    (tmp_path / OUTCOME).write_bytes(data)
    with pytest.raises(StateError, match="damaged"):
        read_outcome(tmp_path)
