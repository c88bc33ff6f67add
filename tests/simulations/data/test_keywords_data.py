import ctypes
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from covey.errors import DataError
from covey_models.zoo.keywords import LABELS
from covey_simulations.data import keywords, speech
from covey_simulations.data.keywords import OTHERS, SHAPE, TAKES, VOICES, Made, load, make
from covey_simulations.data.speech import RATE, Utterance, speak


def installed() -> bool:
    try:
        ctypes.CDLL(speech._LIBRARY)
    except OSError:
        return False
    return True


needs_espeak = pytest.mark.skipif(not installed(), reason="needs the Debian package espeak-ng")


def silent(voices: Sequence[str]) -> Made:
    """In place of espeak-ng: a voice's number, a take's, a class's."""
    x = np.zeros((len(voices), TAKES, len(LABELS), *SHAPE[1:]), np.float32)
    x[..., 0, 0], x[..., 1, 0], x[..., 2, 0] = np.indices(x.shape[:3])
    return Made(x, "1.51")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many voices were made, each time."""
    times = list[int]()

    def counted(voices: Sequence[str]) -> Made:
        times.append(len(voices))
        return silent(voices)

    monkeypatch.setattr(keywords, "make", counted)
    return times


def test_each_voice_is_a_device_that_holds_out_its_last_take(made: list[int], tmp_path: Path) -> None:
    data = load(tmp_path)
    assert made == [60]
    assert len(data.devices) == 60
    assert (data.name, data.synthetic, data.labels, data.input_shape) == (
        "synthetic-keywords",
        True,
        LABELS,
        (1, 49, 10),
    )
    assert data.groups["v60-whisper"] == "v60"
    for voice, local in enumerate(data.devices.values()):
        assert (local.train.x.shape, local.held_out.x.shape) == ((36, *SHAPE), (12, *SHAPE))
        assert set(local.held_out.y.tolist()) == set(range(12))
        for part, takes in ((local.train, {0, 1, 2}), (local.held_out, {3})):
            assert (part.x[:, 0, 0, 0] == voice).all()
            assert set(part.x[:, 0, 1, 0].tolist()) == takes
            assert part.x[:, 0, 2, 0].tolist() == part.y.tolist()


def test_what_was_made_is_kept_and_a_damaged_file_made_again(made: list[int], tmp_path: Path) -> None:
    first = load(tmp_path / "new" / "folder")
    again = load(tmp_path / "new" / "folder")
    assert made == [60]
    assert first.notes == again.notes
    assert np.array_equal(first.all_train().x, again.all_train().x)
    (path,) = (tmp_path / "new" / "folder").iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    load(tmp_path / "new" / "folder")
    assert made == [60, 60]


def test_the_cache_is_the_users_own(made: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load()
    assert [path.name for path in (tmp_path / "covey").iterdir()] == ["keywords-1.npz"]
    assert made


def test_a_folder_that_cannot_be_written_is_named(made: list[int], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"keywords-1\.npz: cannot be written") as refused:
        load(tmp_path / "file")
    assert refused.value.hint == "name a folder in data.path"
    assert made


def test_sixty_different_voices() -> None:
    assert len(set(VOICES)) == len(VOICES) == 60
    assert not set(OTHERS) & set(LABELS)


@needs_espeak
def test_two_voices_say_everything_and_always_alike() -> None:
    first, again = make(("f1", "m3")), make(("f1", "m3"))
    assert first.x.shape == (2, 4, 12, 49, 10)
    assert np.array_equal(first.x, again.x)
    assert np.isfinite(first.x).all()
    assert np.abs(first.x).max() < 256
    assert first.version.startswith("1.")


@needs_espeak
def test_a_word_is_heard_and_silence_is_not() -> None:
    found = make(("f1",)).x[0]
    loudest = found[:, :, :, 0].max(2)
    words = [number for number, label in enumerate(LABELS) if label != "silence"]
    assert loudest[:, words].min() > loudest[:, LABELS.index("silence")].mean()
    same = [np.abs(found[0, word].mean(0)[1:] - found[1, word].mean(0)[1:]).mean() for word in words]
    other = [np.abs(found[0, word].mean(0)[1:] - found[1, word - 1].mean(0)[1:]).mean() for word in words]
    assert np.mean(same) < np.mean(other)


@needs_espeak
def test_voices_differ() -> None:
    _, (one, other) = speak([Utterance(f"en+{voice}", "left", 160, 50) for voice in ("f1", "m3")])
    assert 0.2 * RATE < len(one) < RATE
    assert len(one) != len(other) or not np.array_equal(one, other)


@needs_espeak
def test_a_voice_that_is_missing_is_named() -> None:
    with pytest.raises(DataError, match="has no voice nobody"):
        speak([Utterance("en+nobody", "left", 160, 50)])


def test_a_missing_library_is_said_plainly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child = tmp_path / "absent.py"
    child.write_text(
        "import sys\nfrom covey_simulations.data import speech\n"
        "speech._LIBRARY = 'libnobody.so'\nsys.exit(speech.main())\n"
    )
    monkeypatch.setattr(speech, "_COMMAND", (sys.executable, str(child)))
    with pytest.raises(DataError, match="missing") as refused:
        speak([Utterance("en+f1", "left", 160, 50)])
    assert refused.value.hint == "sudo apt install espeak-ng"
