"""What an operator enters in a fleet's ledger beside runs, by the commands that a person types."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from covey.errors import InputError
from covey.ledger import entries
from covey.ledger.entries import AuditResult, TuningRun, Waiver
from covey.ledger.note import Ed25519Signer, signed
from covey_audit.reviewer_keys import load_signer
from covey_io import durable
from covey_io.ledger_files import LedgerFiles
from covey_server.commands import fleet
from covey_server.ledger_writer import writing
from covey_server.operator import read_log, read_operator
from covey_server.recording import record, tuning

NAMES = [f"pi-{number:02d}" for number in range(10)]
FEDERATION = """
name = "pilot"
[model]
name = "digits"
[federation]
rounds = 2
examples_cap = 64
[privacy]
epsilon = 8
"""


def run(*words: str) -> str:
    found = CliRunner().invoke(fleet, list(words), catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A fleet whose policy a reviewer has signed, and its empty ledger."""
    folder = tmp_path / "keys"
    run("init", str(folder), *NAMES, "--name", "lab")
    (tmp_path / "federation.toml").write_text(FEDERATION)
    text = run("policy", str(tmp_path / "federation.toml"), str(folder / "operator"), "--purpose", "To test.")
    pem = (folder / "reviewer" / "reviewer.vkey").read_text()
    signer = load_signer(folder / "reviewer" / "reviewer.pem", pem.partition("+")[0], lambda: "")
    durable.replace(folder / "operator" / "policy", signed(text, signer))
    operator = read_operator(folder / "operator", policy=True)
    assert operator.policy is not None
    log = read_log(folder / "operator", operator.policy)
    with writing(LedgerFiles(tmp_path / "ledger"), log, lambda: 1_800_000_000) as ledger:
        ledger.append([entries.Abort(time=1_800_000_000, plan="0" * 64, reason="nothing was asked")])
        ledger.announce()
    return folder


def last(ledger: Path) -> entries.AnyEntry:
    return entries.decode(LedgerFiles(ledger).lines()[0][-1])


def test_a_search_for_settings_is_entered_and_announced(keys: Path, tmp_path: Path) -> None:
    ledger, operator = tmp_path / "ledger", keys / "operator"
    cost = ("--epsilon", "2", "--delta", "1e-5")
    told = run("record", str(ledger), str(operator), "--tuning", "run-a", "--words", "20 rates", *cost)
    assert told == f"entry 1 of {ledger}, announced\n"
    found = last(ledger)
    assert isinstance(found, TuningRun)
    assert (found.run, found.words, found.epsilon, found.delta) == ("run-a", "20 rates", "2", "1e-5")
    assert b"\n2\n" in (LedgerFiles(ledger).head() or b"")


def test_an_audit_is_entered_with_what_it_covered(keys: Path, tmp_path: Path) -> None:
    ledger, report = tmp_path / "ledger", tmp_path / "report.html"
    report.write_text("clean")
    run("record", str(ledger), str(keys / "operator"), "--audited", str(report), "--words", "clean")
    found = last(ledger)
    assert isinstance(found, AuditResult)
    assert (found.size, found.findings, found.words) == (1, 0, "clean")


def test_a_waiver_is_entered_as_it_was_signed(keys: Path, tmp_path: Path) -> None:
    note = tmp_path / "waiver"
    note.write_bytes(signed("covey-waiver/1 covey/lab\n", Ed25519Signer("anna", bytes(range(32)))))
    run("record", str(tmp_path / "ledger"), str(keys / "operator"), "--waiver", str(note))
    found = last(tmp_path / "ledger")
    assert isinstance(found, Waiver)
    assert found.note.encode() == note.read_bytes()


def test_what_no_reader_would_take_is_not_written(keys: Path, tmp_path: Path) -> None:
    before = LedgerFiles(tmp_path / "ledger").entries.read_bytes()
    with pytest.raises(InputError, match="no entry can say this"):
        record(tmp_path / "ledger", keys / "operator", tuning("run-a", "20 rates", "about 2", None))
    assert LedgerFiles(tmp_path / "ledger").entries.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "one thing at a time"),
        (("--tuning", "run-a", "--waiver", "x"), "one thing at a time"),
        (("--tuning", "run-a"), "what should a reader of the ledger know"),
    ],
)
def test_what_is_unclear_is_asked(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        CliRunner().invoke(fleet, ["record", str(tmp_path), str(tmp_path), *words], catch_exceptions=False)


def test_where_no_ledger_is_nothing_is_begun(keys: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no ledger"):
        record(tmp_path / "elsewhere", keys / "operator", tuning("run-a", "20 rates", None, None))
    assert not (tmp_path / "elsewhere").exists()
