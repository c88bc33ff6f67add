"""What is erased, in which order, and what is said to remain."""

from pathlib import Path

import pytest

from covey.errors import InputError
from covey_client.forgetting import MEMORY, SECRETS, TOLD, Places, forget
from covey_client.recorder import Recorder
from covey_client.segments import OPEN
from covey_io import durable
from covey_io.lock import held


@pytest.fixture
def places(tmp_path: Path) -> Places:
    data, state = tmp_path / "data", tmp_path / "state"
    with Recorder(data, (1,)) as recorder:
        for number in range(3):
            recorder.append([number], 0)
            recorder.seal()
        recorder.append([9], 0)
    (data / ".00000004-1-00000000.npz.tmp").write_bytes(b"torn")
    (data / "mine.npz").write_bytes(b"kept")
    state.mkdir()
    names = [*SECRETS, *TOLD, *(name.replace("*", "data") for name in MEMORY)]
    for name in (*names, ".identity.key.tmp", ".claims.json.lock", "notes.txt"):
        (state / name).write_text(name)
    (tmp_path / "node").mkdir()
    (tmp_path / "counter").write_text("3\n")
    return Places(data, state, tmp_path / "counter", (tmp_path / "node", tmp_path / "nowhere"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_recordings_are_erased_and_the_device_goes_on(places: Places) -> None:
    before = names(places.state)
    account = forget(places, everything=False)
    assert names(places.data) == ["mine.npz"]
    assert names(places.state) == before
    assert len(account.removed) == 1
    assert account.removed[0].startswith("5 files recorded: .open, .00000004-1-00000000.npz.tmp, 00000001-")
    told = "\n".join(account.remains)
    assert f"1 file not of a recorder, in {places.data}: mine.npz" in told
    assert "keys, budget and claims" in told
    assert "each is on its side again" in told
    assert "flash storage" in told
    Recorder(places.data, (1,)).close()


def test_everything_goes_but_what_is_not_the_devices(places: Places) -> None:
    account = forget(places, everything=True)
    assert names(places.state) == ["notes.txt"]
    assert places.counter is not None
    assert not places.counter.exists()
    told = "\n".join(account.remains)
    assert f"1 file other in {places.state}: notes.txt" in told
    assert f"{places.elsewhere[0]}: another user's" in told
    assert "nowhere" not in told
    assert "covey fleet revoke" in told
    assert "tell the reviewers" in told


def test_wherever_it_is_interrupted_the_keys_go_before_the_budget(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    while (places.state / "budget.jsonl").exists():
        left, steps = 1, steps + 1

        def sync(path: Path) -> None:
            nonlocal left
            if not left:
                raise KeyboardInterrupt(path)
            left -= 1

        with monkeypatch.context() as patched:
            patched.setattr(durable, "sync_folder", sync)
            with pytest.raises(KeyboardInterrupt):
                forget(places, everything=True)
        if not (places.state / "budget.jsonl").exists() or not (places.state / "claims.json").exists():
            assert not set(names(places.state)) & {*SECRETS, ".identity.key.tmp"}
            assert not (places.data / OPEN).exists()
    assert steps > 10
    forget(places, everything=True)
    assert names(places.state) == ["notes.txt"]


def test_while_something_is_at_work_nothing_is_erased(places: Places) -> None:
    before = names(places.data), names(places.state)
    with Recorder(places.data, (1,)), pytest.raises(InputError, match="an application is recording"):
        forget(places, everything=True)
    with held(places.state, None), pytest.raises(InputError, match="the agent is running"):
        forget(places, everything=True)
    assert (names(places.data), names(places.state)) == before
    with held(places.state, None):
        forget(places, everything=False)


def test_an_owners_file_is_named_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_bytes(b"kept")
    account = forget(Places(tmp_path / "mine.npz", tmp_path / "state"), everything=True)
    assert account.removed == ()
    assert f"{tmp_path}/mine.npz: your own file" in account.remains
    assert (tmp_path / "mine.npz").exists()


def test_where_nothing_is_there_is_nothing_to_erase(tmp_path: Path) -> None:
    assert forget(Places(tmp_path / "a", tmp_path / "b"), everything=False).removed == ()
