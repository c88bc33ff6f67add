"""Spoken keywords, synthesised: what the zoo's model "keywords" tells apart, said by 60 voices of espeak-ng.

Every voice is a device and says each keyword four times; "unknown" is another word each time and "silence"
noise alone. Nothing was recorded: these are figures about a synthesiser, not about people, and every table
says so. The sound is made on this machine, turned into coefficients at once and not kept.
"""

import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from covey.errors import DataError
from covey.examples import Examples, Floats, LocalData
from covey.seeds import generator
from covey_io import durable
from covey_models.zoo.keywords import LABELS
from covey_simulations.data.cepstrum import COEFFICIENTS, mfcc
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.speech import RATE, Sound, Utterance, speak

VOICES: Final = (
    *("Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Gene2", "Henrique"),
    *("Hugo", "Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Nguyen", "Storm", "adam"),
    *("anika", "announcer", "antonio", "aunty", "belinda", "benjamin", "boris", "caleb", "croak", "david"),
    *("ed", "edward", "f1", "f2", "f3", "f4", "f5", "grandma", "grandpa", "gustave"),
    *("iven", "john", "kaukovalta", "linda", "m1", "m2", "m3", "m4", "m5", "m6"),
    *("m7", "m8", "marcelo", "max", "michel", "norbert", "pablo", "paul", "steph", "whisper"),
)
"""Variants of the voice "en" that sound like someone, in order of their numbers from 1."""
OTHERS: Final = ("bed", "cat", "dog", "happy", "house", "marvin", "tree", "wow")
"""Words that are said for "unknown"."""
TAKES: Final = 4
"""Times that a voice says each class; the last is held out."""
FRAMES: Final = 49
SHAPE: Final = (1, FRAMES, COEFFICIENTS)
SEED: Final = 0
"""The recipe's own: the data is the same in every run."""
RECIPE: Final = 1
"""Counted up whenever the recipe changes: what was made by another is made anew."""


@dataclass(frozen=True)
class Made:
    """What the recipe gives.

    Attributes:
        x: Coefficients, float32, shape (voices, takes, classes, 49, 10).
        version: Of espeak-ng.
    """

    x: Floats
    version: str


def load(folder: Path | None = None) -> FederatedData:
    """Sixty devices, each named after its voice ("v01-Alex"), 36 training and 12 held-out examples.

    Args:
        folder: Where the coefficients are kept once they are made, some seconds of work and 6 MB; None:
            `covey` in the user's cache.

    Raises:
        DataError: They have to be made and espeak-ng is missing, or the folder cannot be written.
    """
    made = _kept((folder or _cache()) / f"keywords-{RECIPE}.npz")
    devices = {name(number): _local(x, number) for number, x in enumerate(made.x, start=1)}
    note = (
        f"Synthetic: said by {len(devices)} voices of espeak-ng {made.version}, a voice a device. Each says "
        f"a word {TAKES} times; the last is the test part."
    )
    return FederatedData(
        name="synthetic-keywords",
        licence="not stated",
        citation="",
        labels=LABELS,
        input_shape=SHAPE,
        devices=devices,
        groups={each: each.partition("-")[0] for each in devices},
        synthetic=True,
        notes=(note,),
    )


def name(number: int) -> str:
    """The device of a voice, counted from 1."""
    return f"{group(number)}-{VOICES[number - 1]}"


def group(number: int) -> str:
    """The voice's own name."""
    return f"v{number:02d}"


def make(voices: Sequence[str]) -> Made:
    """Let voices speak, add what a microphone adds, and take the coefficients.

    Raises:
        DataError: See `speak`.
    """
    asked = [utterance for voice in voices for utterance in _asked(voice)]
    version, sounds = speak(asked)
    each = len(asked) // len(voices)
    x = [_heard(voice, sounds[k * each : (k + 1) * each]) for k, voice in enumerate(voices)]
    return Made(np.stack(x), version)


def _asked(voice: str) -> Iterator[Utterance]:
    """Take by take, what a voice says: everything but silence."""
    rng = generator(SEED, "keywords", voice, "said")
    others = rng.permutation(OTHERS)[:TAKES].tolist()
    for take in range(TAKES):
        for label in LABELS:
            if label != "silence":
                word = others[take] if label == "unknown" else label
                yield Utterance(f"en+{voice}", word, int(rng.integers(130, 220)), int(rng.integers(35, 66)))


def _heard(voice: str, sounds: Sequence[Sound]) -> Floats:
    """A voice's coefficients: shape (takes, classes, 49, 10)."""
    rng = generator(SEED, "keywords", voice, "heard")
    said = iter(sounds)
    seconds = [
        _second(None if label == "silence" else next(said), rng) for _ in range(TAKES) for label in LABELS
    ]
    return mfcc(np.stack(seconds), RATE).reshape(TAKES, len(LABELS), FRAMES, COEFFICIENTS)


def _second(sound: Sound | None, rng: np.random.Generator) -> Floats:
    """One second with the sound somewhere in it, louder or softer, over noise."""
    second = rng.normal(0, 10 ** rng.uniform(-3.5, -2), RATE)
    if sound is not None:
        part = sound[:RATE]
        start = int(rng.integers(0, RATE - len(part) + 1))
        second[start : start + len(part)] += part / 2**15 * 10 ** rng.uniform(-1, 0)
    return second.astype(np.float32)


def _local(x: Floats, number: int) -> LocalData:
    """The last take of each class is held out; within a take, classes come in an order of the voice's own."""
    rng = generator(SEED, "keywords", number, "order")
    orders = [rng.permutation(len(LABELS)) for _ in range(TAKES)]
    takes = [Examples(x[take][order][:, np.newaxis], order) for take, order in enumerate(orders)]
    return LocalData(train=Examples.join(takes[:-1]), held_out=takes[-1])


def _cache() -> Path:
    """Where the system keeps what can be made again (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "covey"


def _kept(path: Path) -> Made:
    """Read, or made and written."""
    shape = (len(VOICES), TAKES, len(LABELS), FRAMES, COEFFICIENTS)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            x: NDArray[np.float32] = stored["x"]
            if x.shape == shape and x.dtype == np.float32:
                return Made(x, str(stored["version"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # not there, or not whole: it is made again
    made = make(VOICES)
    _write(path, made)
    return made


def _write(path: Path, made: Made) -> None:
    content = io.BytesIO()
    np.savez(content, x=made.x, version=np.array(made.version))
    try:
        durable.make_folder(path.parent)
        mine = path.with_name(f"{path.name}.{os.getpid()}")  # several runs may make it at once, all alike
        durable.replace(mine, content.getvalue())
        mine.replace(path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {error.strerror}", hint="name a folder in data.path"
        ) from error
