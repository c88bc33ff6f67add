"""What a server can learn from an answer that went wrong: nothing that depends on the data."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from numpy.typing import NDArray

from covey import clear, ring
from covey.errors import ConfigError
from covey.identity import public_of
from covey.secagg.messages import Behind, decode
from covey.secagg.states import Me
from covey_client.app import NOT_SET_UP, PAD_SECONDS, REFUSED, ContextMemory, build, participant_of_node
from covey_client.participant import Participant
from covey_client.seeds import SystemSeeds
from covey_io.device_keys import Keys, write_keys
from covey_simulations.grid import InProcessGrid
from covey_strategies.asking import Question
from covey_strategies.protection import Protection
from covey_strategies.wire import read_reply
from digits_fleet import ENROLMENT, OPERATOR, VALIDATE, crowd, key, masked, named, question
from memory_ledger import REVIEWERS
from policed_fleet import Run, digest_of

Config = dict[str, bool | float | int | str]

NODES = list(crowd().devices)
UNPROTECTED: Config = {"model": "digits", "unprotected": True}


def asked(protection: Protection | None = None) -> Question:
    return question(VALIDATE, NODES, minimum=8, protection=protection)


def images(n: int = 8) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((n, 1, 8, 8)).astype(np.float32)


def answer_of(config: Config, protection: Protection | None = None) -> Message:
    """What the real app, set up by a node's configuration, sends back."""
    return answer_to(asked(protection), config)


def answer_to(to: Question, config: Config) -> Message:
    """What it sends back to a question's first message."""

    def participant_of(context: Context) -> Participant:
        context.node_config = config
        return participant_of_node(context)

    grid = InProcessGrid(build(participant_of), NODES)
    return next(iter(grid.send_and_receive(to.messages()[:1])))


def vector_of(reply: Message) -> NDArray[np.int64]:
    answered = msgspec.msgpack.decode(read_reply(reply), type=clear.Answer)
    return ring.centre(ring.from_bytes(answered.vector, len(answered.vector) // 4))


def saved(path: Path, x: NDArray[np.float32], y: list[int]) -> Path:
    np.savez(path, x=x, y=np.array(y))
    return path


def bad_files(folder: Path) -> dict[str, Path]:
    nan = images()
    nan[3] = np.nan
    (folder / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    return {
        "not finite": saved(folder / "alice-ward7.npz", nan, [0] * 8),
        "labels out of range": saved(folder / "bob.npz", images(), [0, 11] * 4),
        "another shape": saved(folder / "carol.npz", images()[:, :, :4], [0] * 8),
        "one example": saved(folder / "dave.npz", images(1), [0]),
        "no file": folder / "missing.npz",
        "not an archive": folder / "torn.npz",
    }


@pytest.mark.parametrize(
    "case", ["not finite", "labels out of range", "another shape", "one example", "no file", "not an archive"]
)
def test_data_that_cannot_be_read_is_answered_with_zeros_and_told_to_the_owner_only(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = bad_files(tmp_path)[case]
    reply = answer_of({**UNPROTECTED, "data": str(path)})
    assert not vector_of(reply).any()
    assert path.stem not in str(reply)
    assert "contributed nothing" in capsys.readouterr().err


def test_good_data_is_answered_with_counts(tmp_path: Path) -> None:
    reply = answer_of({**UNPROTECTED, "data": str(saved(tmp_path / "ok.npz", images(), [1] * 8))})
    assert vector_of(reply).any()


@pytest.mark.parametrize(
    "config",
    [
        {},
        UNPROTECTED,
        {"model": "hiv-screening", "data": "/home/alice/clinic.npz", "unprotected": True},
        {"model": "digits", "data": "/home/alice/clinic.npz"},
        {"model": "digits", "data": "/home/alice/clinic.npz", "keys": "/home/alice/no-keys"},
    ],
    ids=["nothing", "no data", "no such model", "no keys", "keys that are missing"],
)
def test_a_node_that_is_not_set_up_says_a_constant(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = answer_of(config)
    assert (reply.error.code, reply.error.reason) == (REFUSED, NOT_SET_UP)
    assert "alice" not in str(reply)
    assert "covey: " in capsys.readouterr().err


def test_a_log_that_cannot_be_written_does_not_change_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: str) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stderr.write", full)
    reply = answer_of({**UNPROTECTED, "data": str(tmp_path / "missing.npz")})
    assert not vector_of(reply).any()


# -- how a node is set up


def enrolled(folder: Path, node: int = 2) -> Path:
    """The keys of a node's device, on its disk."""
    me = Me(named(node), key("identity", node), public_of(ENROLMENT))
    write_keys(folder, Keys(me, public_of(OPERATOR), key("salt", node), REVIEWERS))
    return folder


def set_up(config: Config) -> Participant:
    return participant_of_node(Context(1, 2, config, RecordDict(), {}))


def test_an_enrolled_node_answers_protected_sums_only(tmp_path: Path) -> None:
    data = saved(tmp_path / "ok.npz", images(), [1] * 8)
    config: Config = {"model": "digits", "data": str(data), "keys": str(enrolled(tmp_path / "keys"))}
    found = set_up(config)
    assert (found.unprotected, found.pad_seconds) == (False, PAD_SECONDS)
    assert isinstance(found.seeds, SystemSeeds)
    to = Run(crowd()).question(VALIDATE)
    assert read_reply(answer_to(to, config))
    assert (tmp_path / "keys" / "claims.json").exists()
    assert set_up(config).journal.budget.unsettled == {digest_of(to)}
    again = answer_to(to, config)  # a new process with an empty memory
    assert decode(read_reply(again), Behind, blame="test", limit=100).size == 1


def test_a_node_may_keep_its_count_on_another_storage(tmp_path: Path) -> None:
    data = saved(tmp_path / "ok.npz", images(), [1] * 8)
    config: Config = {"model": "digits", "data": str(data), "keys": str(enrolled(tmp_path / "keys"))}
    card = tmp_path / "card"
    card.mkdir()
    counted: Config = {**config, "counter": str(card / "count")}
    assert read_reply(answer_to(Run(crowd()).question(VALIDATE), counted))
    assert (card / "count").read_bytes() == b"1\n"
    (tmp_path / "keys" / "budget.jsonl").unlink()
    reply = answer_to(Run(crowd(), run="another").question(VALIDATE), counted)
    assert str(reply.error.reason).startswith("this device answers nothing any more")
    with pytest.raises(ConfigError, match="counter"):
        set_up({**config, "counter": 3})


@pytest.mark.parametrize("masks", ["on", "none"])
def test_an_enrolled_node_refuses_experiments(masks: str, tmp_path: Path) -> None:
    data = saved(tmp_path / "ok.npz", images(), [1] * 8)
    config: Config = {"model": "digits", "data": str(data), "keys": str(enrolled(tmp_path / "keys"))}
    reply = answer_of(config, masked(crowd(), masks=masks))
    assert "its owner has not allowed it" in str(reply.error.reason)
    assert not answer_of({**config, "unprotected": True}, masked(crowd(), masks=masks)).has_error()


@pytest.mark.parametrize("said", ["false", "true", "", 1, 0, 1.0])
def test_only_a_plain_true_takes_protection_away(said: str | float, tmp_path: Path) -> None:
    data = saved(tmp_path / "ok.npz", images(), [1] * 8)
    config: Config = {"model": "digits", "data": str(data), "keys": str(enrolled(tmp_path / "keys"))}
    with pytest.raises(ConfigError, match="unprotected: true or false"):
        set_up({**config, "unprotected": said})
    assert not set_up({**config, "unprotected": False}).unprotected


def test_a_node_for_experiments_keeps_its_claims_beside_its_data(tmp_path: Path) -> None:
    data = saved(tmp_path / "ok.npz", images(), [1] * 8)
    config: Config = {**UNPROTECTED, "data": str(data)}
    assert set_up(config).keys is None
    assert vector_of(answer_of(config)).any()
    assert (tmp_path / "ok-claims" / "claims.json").exists()
    assert answer_of(config).error.reason == "sum 1 was answered before at stage advertise"


def test_a_session_lives_in_the_nodes_context() -> None:
    context = Context(1, 2, {}, RecordDict(), {})
    memory = ContextMemory(context)
    assert memory.session == b""
    memory.session = b"secret"
    assert ContextMemory(context).session == b"secret"
    assert list(context.state) == ["covey"]


@pytest.mark.parametrize("record", [ConfigRecord(), ConfigRecord({"session": "text"})])
def test_a_strange_context_is_an_empty_memory(record: ConfigRecord) -> None:
    context = Context(1, 2, {}, RecordDict({"covey": record}), {})
    assert ContextMemory(context).session == b""
