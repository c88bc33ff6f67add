"""A valid policy as text, and the private keys of everyone in it."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from covey.identity import public_of


def _key(name: str) -> bytes:
    return hashlib.sha256(f"policy {name}".encode()).digest()


OPERATOR = _key("operator")
ENROLMENT = _key("enrolment")
LOG = _key("log")
WITNESS = _key("witness")
REVIEWER = _key("reviewer")
SECOND_REVIEWER = _key("second reviewer")
ORIGIN = "covey.example/wrist"
WITNESS_NAME = "witness.example/w1"


def vkey(name: str, private: bytes, algorithm: int = 1) -> str:
    """The verifier key of C2SP signed-note, computed here anew so that tests do not share a mistake."""
    public = bytes([algorithm]) + public_of(private)
    identifier = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
    return f"{name}+{identifier.hex()}+{b64encode(public).decode()}"


def policy_table() -> dict[str, Any]:
    """A valid policy: two kinds of questions, unit device, one witness. Dates are written as ~2027-01-01."""
    return {
        "format": "covey-policy/1",
        "name": "wrist-2027",
        "fleet": "test",
        "purpose": "Recognise six activities from a wrist sensor.",
        "serial": 1,
        "previous": "",
        "valid_from": "~2027-01-01",
        "valid_until": "~2027-12-31",
        "simulation": False,
        "signatures": 1,
        "budget": {"unit": "device", "epsilon": "8", "delta": "1e-5", "answers": 60},
        "assumptions": {
            "corrupt": 1,
            "dropouts": "0.3",
            "profiles": ["malicious-server"],
            "attestation": "none",
        },
        "keys": {"operator": public_of(OPERATOR).hex(), "enrolment": public_of(ENROLMENT).hex()},
        "ledger": {
            "origin": ORIGIN,
            "log": vkey(ORIGIN, LOG),
            "witnesses": [vkey(WITNESS_NAME, WITNESS, 4)],
            "cosignatures": 1,
        },
        "queries": {
            "train": {
                "models": ["model"],
                "clip": "1",
                "noise_multiplier": "6",
                "minimum": 8,
                "answers": 40,
                "rate_limit": "24 per day",
            },
            "validate": {
                "models": ["model"],
                "clip": "100",
                "noise_multiplier": "8",
                "minimum": 8,
                "answers": 20,
                "rate_limit": "24 per day",
            },
        },
    }


def policy_text(**changes: object) -> str:
    """The TOML of a valid policy.

    Args:
        changes: By key, with two underscores for a dot: `queries__train__answers=60`. None leaves a key or
            table out. A dictionary replaces a table. Strings are quoted, but for dates: "~2027-01-01".
    """
    table = policy_table()
    for key, value in changes.items():
        *path, last = key.split("__")
        inner = table
        for name in path:
            inner = inner.setdefault(name, {})
        if value is None:
            inner.pop(last, None)
        else:
            inner[last] = value
    return to_toml(table)


def to_toml(table: Mapping[str, Any]) -> str:
    """A table of tables as TOML."""
    return "\n".join(_lines(table, "")) + "\n"


def _lines(table: Mapping[str, Any], at: str) -> list[str]:
    lines = [f"{key} = {_value(each)}" for key, each in table.items() if not isinstance(each, Mapping)]
    for key, each in table.items():
        if isinstance(each, Mapping):
            lines += ["", f"[{at}{key}]", *_lines(each, f"{at}{key}.")]
    return lines


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str() if value.startswith("~"):
            return value[1:]
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            return str(value)
