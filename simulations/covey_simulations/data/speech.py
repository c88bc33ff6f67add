"""Words spoken by espeak-ng, in a process of its own.

libespeak-ng keeps state for the whole process: what it says depends on what it said before. A new process
that is given the same list says the same, and whatever goes wrong in it stays there. Run as a program, this
file reads the list from its standard input and writes the sound to its standard output, both as msgpack.
"""

import ctypes
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from covey.errors import DataError

RATE: Final = 22_050
"""Samples a second: espeak-ng's own."""
Sound = NDArray[np.int16]

_LIBRARY: Final = "libespeak-ng.so.1"
_COMMAND: Final = (sys.executable, "-m", __name__)
_ABSENT: Final = 3
_MINUTES: Final = 5
# Of speak_lib.h.
_SYNCHRONOUS, _DONT_EXIT, _UTF8, _BY_CHARACTER = 2, 0x8000, 1, 1
_SPEED, _PITCH = 1, 3
_CALLBACK: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Utterance(msgspec.Struct, frozen=True):
    """One word.

    Attributes:
        voice: "en+" and a variant of espeak-ng's: "en+f1". (It ignores the variant in "en-gb+f1".)
        word: English.
        speed: Words a minute, 80 to 450.
        pitch: 0 to 100.
    """

    voice: str
    word: str
    speed: int
    pitch: int


class Spoken(msgspec.Struct, frozen=True):
    """What the process gives.

    Attributes:
        version: Of espeak-ng.
        sounds: One for each utterance, int16 in the machine's byte order.
    """

    version: str
    sounds: list[bytes]


def speak(utterances: Sequence[Utterance]) -> tuple[str, list[Sound]]:
    """The version of espeak-ng, and each utterance as samples of shape (n,) at `RATE`.

    Raises:
        DataError: The library or a voice is missing, or the process failed.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and file
            _COMMAND,
            input=msgspec.msgpack.encode(list(utterances)),
            capture_output=True,
            timeout=60 * _MINUTES,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"espeak-ng said nothing for {_MINUTES} minutes", hint="try again") from error
    if done.returncode == _ABSENT:
        raise DataError(
            f"speech is synthesised with {_LIBRARY}, which is missing", hint="sudo apt install espeak-ng"
        )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise DataError(
            f"espeak-ng failed: {last or f'exit code {done.returncode}'}",
            hint="it is made for espeak-ng 1.51 or later",
        )
    spoken = msgspec.msgpack.decode(done.stdout, type=Spoken)
    return spoken.version, [np.frombuffer(each, np.int16) for each in spoken.sounds]


def main() -> int:
    """The process's own side."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return _ABSENT
    asked = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[Utterance])
    if library.espeak_Initialize(_SYNCHRONOUS, 0, None, _DONT_EXIT) != RATE:
        raise RuntimeError("espeak-ng could not be set up")
    version, variants = _installed(library)
    missing = sorted({each.voice.partition("+")[2] for each in asked} - variants)
    if missing:
        raise RuntimeError(f"espeak-ng {version} has no voice {missing[0]}")  # it would take another silently
    found = Spoken(version, list(_sounds(library, asked)))
    sys.stdout.buffer.write(msgspec.msgpack.encode(found))
    return 0


def _installed(library: ctypes.CDLL) -> tuple[str, set[str]]:
    """The version, and the names of the variants."""
    folder = ctypes.c_char_p()
    library.espeak_Info.restype = ctypes.c_char_p
    said: bytes = library.espeak_Info(ctypes.byref(folder))
    variants = Path((folder.value or b"").decode(), "voices", "!v")
    return said.decode().partition(" ")[0], {path.name for path in variants.iterdir()}


def _sounds(library: ctypes.CDLL, asked: Sequence[Utterance]) -> Iterator[bytes]:
    heard = list[bytes]()

    def hear(samples: int | None, count: int, _: int) -> int:
        if samples and count > 0:
            heard.append(ctypes.string_at(samples, 2 * count))
        return 0

    kept = _CALLBACK(hear)
    library.espeak_SetSynthCallback(kept)
    for each in asked:
        heard.clear()
        if library.espeak_SetVoiceByName(each.voice.encode()):
            raise RuntimeError(f"no voice {each.voice}")
        library.espeak_SetParameter(_SPEED, each.speed, 0)
        library.espeak_SetParameter(_PITCH, each.pitch, 0)
        text = each.word.encode() + b"\0"
        library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, _BY_CHARACTER, 0, _UTF8, None, None)
        library.espeak_Synchronize()
        yield b"".join(heard)


if __name__ == "__main__":
    sys.exit(main())
