"""A witness's folder: its keys, the logs it cosigns, and what it remembers of them.

witness.key        its Ed25519 private key, hexadecimal; for its owner only
witness.vkey       its public key, for the policies of the fleets that rely on it
logs               public keys of the logs that it cosigns, one a line
latest/HASH.note   of each log (HASH: SHA-256 of its origin) the largest checkpoint that the witness cosigned,
                   with both signatures; before the first, a line that says so

A folder that was set back to an old copy cosigns again what it cosigned since, and perhaps a fork: a witness
is moved, never restored. A note that is missing is an error, not a new beginning.
"""

import hashlib
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from covey.errors import InputError, ProtocolError, StateError
from covey.identity import public_of
from covey.ledger.note import COSIGNATURE, Verifier, read_vkey
from covey.ledger.witness import Cosigned, Refused, Seen, WitnessKey, parse_request, remembered, step
from covey_io import durable
from covey_io.lock import held

_NOTHING = b"nothing cosigned yet\n"  # not an empty file: a damaged disk leaves those
_KEY, _PUBLIC, _LOGS, _LATEST = "witness.key", "witness.vkey", "logs", "latest"


@dataclass(frozen=True)
class WitnessFolder:
    """A witness on disk. Any number of threads and processes may use one folder.

    Attributes:
        folder: Where it is.
        key: Its own key.
    """

    folder: Path
    key: WitnessKey

    @classmethod
    def make(cls, folder: Path, name: str, logs: tuple[Verifier, ...] = ()) -> Self:
        """Make a witness with a new key.

        Args:
            folder: Must not exist.
            name: The witness's, such as `audit.example.com/w1`.
            logs: Keys of the logs that it cosigns.

        Raises:
            InputError: The folder is there, or the name or a log cannot be used.
        """
        if folder.exists():
            raise InputError(
                f"{folder} is there already", hint="keys are never overwritten: name another folder"
            )
        try:
            key = WitnessKey(name, os.urandom(32))
        except ValueError as error:
            raise InputError(str(error), hint="write a name such as audit.example.com/w1") from error
        _check_logs(logs)
        durable.make_folder(folder, mode=0o700)
        durable.make_folder(folder / _LATEST)
        made = cls(folder, key)
        durable.replace(folder / _LOGS, b"")
        for log in logs:
            made.add_log(log)
        durable.replace(folder / _PUBLIC, key.verifier.vkey.encode() + b"\n")
        durable.replace(folder / _KEY, key.private.hex().encode() + b"\n", mode=0o600)
        return made

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The witness in a folder.

        Raises:
            InputError: There is none, or a file is not what it should be; its content is not shown.
        """
        public = _read_keys(folder / _PUBLIC, 1)[0]
        try:
            key = WitnessKey(public.name, bytes.fromhex((folder / _KEY).read_text("ascii").strip()))
            fits = public_of(key.private) == public.key and public.algorithm == COSIGNATURE
        except OSError as error:
            raise _unreadable(folder / _KEY, error) from error
        except ValueError as error:
            raise InputError(f"{folder / _KEY} is no private key", hint=_MAKE) from error
        if not fits:
            raise InputError(f"{folder / _PUBLIC} is not the public key of {folder / _KEY}", hint=_MAKE)
        return cls(folder, key)

    @property
    def logs(self) -> Mapping[str, Verifier]:
        """The keys of the logs that it cosigns, by origin.

        Raises:
            InputError: The list cannot be read.
        """
        return {each.name: each for each in _read_keys(self.folder / _LOGS)}

    def add_log(self, log: Verifier) -> None:
        """Cosign one more log from now on, whose origin is its key's name. A running server takes it up.

        Raises:
            InputError: It is a witness's key, or the log has another key here.
        """
        with self._alone():
            known = self.logs
            if known.get(log.name) == log:
                return
            _check_logs((*known.values(), log))
            # The memory first: a log without one is an error.
            if not (path := self._note(log.name)).exists():
                durable.replace(path, _NOTHING)
            lines = [each.vkey for each in (*known.values(), log)]
            durable.replace(self.folder / _LOGS, "".join(f"{line}\n" for line in lines).encode())

    def latest(self, origin: str) -> Seen | None:
        """The largest checkpoint of a log that this witness cosigned; None if it cosigned none.

        Raises:
            StateError: The memory is gone or damaged.
        """
        path = self._note(origin)
        try:
            note = path.read_bytes()
        except FileNotFoundError as error:
            if origin not in self.logs:
                return None
            raise StateError(
                f"{path} is missing: what was cosigned of {origin!r} is forgotten",
                hint="bring the file back, or make a new witness; this one could cosign a fork",
            ) from error
        if note == _NOTHING:
            return None
        try:
            seen = remembered(note, self.key)
        except ProtocolError as error:
            raise StateError(f"{path} is damaged: {error.message}", hint="bring the file back") from error
        if seen.origin != origin:
            raise StateError(f"{path} is another log's", hint="bring the file back")
        return seen

    def answer(self, request: bytes, now: int) -> Cosigned | Refused:
        """Answer `add-checkpoint`. What was cosigned is on disk before this returns.

        Args:
            request: The request's body.
            now: Unix time, seconds.

        Raises:
            StateError: The memory is gone or damaged.
            OSError: The disk does not take the new memory; nothing was cosigned.
        """
        with self._alone():
            logs = self.logs
            answer = step(self._seen(request, logs), request, logs, self.key, now)
            if isinstance(answer, Cosigned):
                durable.replace(self._note(answer.seen.origin), answer.seen.note)
            return answer

    def _seen(self, request: bytes, logs: Mapping[str, Verifier]) -> Seen | None:
        """What is remembered of the log that a request is about; None also for a request that is refused."""
        try:
            origin = parse_request(request).checkpoint.origin
        except ProtocolError:
            return None
        return self.latest(origin) if origin in logs else None

    def _note(self, origin: str) -> Path:
        return self.folder / _LATEST / f"{hashlib.sha256(origin.encode()).hexdigest()}.note"

    def _alone(self) -> AbstractContextManager[None]:
        """One request at a time, over all threads and processes: check, remember, answer."""
        return held(self.folder, None, make=False)


_MAKE = "covey witness init makes a new one"


def _check_logs(logs: tuple[Verifier, ...]) -> None:
    for each in logs:
        if each.algorithm == COSIGNATURE:
            raise InputError(f"{each.name}: a witness's key, not a log's", hint="give the log's own key")
    if len({each.name for each in logs}) != len(logs):
        raise InputError("one log with two keys", hint="a log that changes its key takes a new origin")


def _read_keys(path: Path, count: int | None = None) -> list[Verifier]:
    """Public keys, one a line."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no list of public keys", hint=_MAKE) from error
    if count is not None and len(lines) != count:
        raise InputError(f"{path}: {len(lines)} lines instead of {count}", hint=_MAKE)
    try:
        return [read_vkey(line) for line in lines]
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from error


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: {error.strerror or error}", hint=_MAKE)
