"""A policy's file: the TOML that a person writes, or the signed note that devices get."""

from dataclasses import dataclass
from pathlib import Path

from covey.errors import InputError
from covey.ledger.note import Note, parse
from covey.policy import reading
from covey.policy.signed import MAX_BYTES, digest
from covey.policy.terms import Policy


@dataclass(frozen=True)
class Draft:
    """A policy as it stands in a file. Nothing says yet that anyone signed it.

    Attributes:
        path: The file.
        policy: What it says.
        text: The TOML.
        note: The signed note around it; None for a TOML file.
    """

    path: Path
    policy: Policy
    text: str
    note: Note | None

    @property
    def sha256(self) -> str:
        """What plans and ledgers would call the policy."""
        return digest(self.text)

    @property
    def claimed(self) -> tuple[str, ...]:
        """Names on its signatures, which were not checked."""
        return tuple(dict.fromkeys(each.name for each in self.note.signatures)) if self.note else ()


def read_draft(path: Path) -> Draft:
    """Read a policy's file, signed or not. No signature is checked.

    Raises:
        InputError: It cannot be read.
        ConfigError: It is no policy; says where, and what to write.
    """
    data = read_bytes(path)
    note = parse(data, blame="local") if _is_note(data) else None
    text = note.text if note else _text(path, data)
    return Draft(path, reading.parse(text, str(path)), text, note)


def read_bytes(path: Path) -> bytes:
    """A file's content, if it is no longer than a signed policy may be.

    Raises:
        InputError: It cannot be read, or is too long.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}", hint="give a policy's file") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{path} is longer than a policy may be", hint=f"at most {MAX_BYTES:,} bytes")
    return data


def _is_note(data: bytes) -> bool:
    """Whether lines of signatures follow the last blank line; a TOML table never begins with a dash."""
    return data.rpartition(b"\n\n")[2].startswith("\N{EM DASH} ".encode())


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from error
