"""`covey release publish`: what no gate has passed, and what stands in a ledger before it is published."""

from pathlib import Path

import pytest

import made_provenance
from commands import invoked
from covey.errors import InputError
from covey.gate import GateLimits, GateReport, counts_of, decide
from covey.ledger.entries import MetricsRelease, ModelRelease
from covey.package.archive import pack
from covey.package.provenance_record import Record
from covey.package.verify import sign_package
from covey_io.ledger_files import LedgerFiles
from covey_server import tuf_repository
from covey_server.fleet_keys import make_fleet
from covey_server.key_commands import keys
from covey_server.ledgers import opened
from covey_server.release_commands import release
from covey_server.sum_rows import read_entries
from packages_fixture import keys as publishers_keys
from packages_fixture import package

LABELS = tuple(str(each) for each in range(10))
CELLS = (10_000, 9_500, 9_490, 40, 30, *[1_000, 50, 51] * 10)
LIMITS = GateLimits()


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose keys are all in fleet/tuf, and no server that the environment names."""
    monkeypatch.delenv("COVEY_SERVER", raising=False)
    make_fleet(tmp_path / "fleet", "lab", [], 30)
    invoked(keys, "init", tmp_path / "fleet", tmp_path / "repo", "--keys", tmp_path / "fleet/tuf")
    return tmp_path / "repo"


def report(*cells: int) -> GateReport:
    return decide(counts_of(list(cells), LABELS, (), 0), LIMITS)


def archive(folder: Path, gate: GateReport | None) -> tuple[Path, Record]:
    """A signed package, with what a gate said of it."""
    record = made_provenance.record(gate=gate)
    path = folder / "motion.covey"
    path.write_bytes(pack(sign_package(made_provenance.files(record), publishers_keys()[0])))
    return path, record


def publish(repo: Path, path: Path, *more: object) -> tuple[str, str]:
    words = ("publish", repo, path, "--generation", 1, "--keys", repo.parent / "fleet/tuf", *more)
    told = invoked(release, *words)
    return told.stdout, told.stderr


def begin(ledger: Path, run: str) -> None:
    """A ledger that nobody witnesses, with the figures of a run."""
    with opened(LedgerFiles(ledger), None) as writer:
        writer.append([MetricsRelease(time=1, run=run, name="metrics.csv", sha256="0" * 64)])
        writer.announce()


def released(ledger: Path) -> list[ModelRelease]:
    return [each for each in read_entries(LedgerFiles(ledger)) if isinstance(each, ModelRelease)]


def test_what_no_gate_passed_is_published_on_somebodys_word_only(repo: Path, tmp_path: Path) -> None:
    path, _ = archive(tmp_path, None)
    with pytest.raises(InputError, match="did not pass a gate: devices were not asked") as caught:
        publish(repo, path)
    assert "--ungated" in caught.value.hint
    assert not tuf_repository.releases(repo)
    told, warned = publish(repo, path, "--ungated")
    assert told.startswith("published models/motion/1.0.0.covey, generation 1")
    assert "stands in no ledger: name --server" in warned


def test_what_failed_its_gate_is_not_published(repo: Path, tmp_path: Path) -> None:
    failed = report(10_000, 9_500, 9_000, 540, 40, *[1_000, 50, 51] * 10)
    path, _ = archive(tmp_path, failed)
    with pytest.raises(InputError, match="the gate failed"):
        publish(repo, path)


def test_without_provenance_nobody_could_tell_what_it_cost(repo: Path, tmp_path: Path) -> None:
    path = tmp_path / "bare.covey"
    path.write_bytes(package("1.0.0"))
    begin(tmp_path / "ledger", "run")
    with pytest.raises(InputError, match="has no provenance") as caught:
        publish(repo, path)
    assert "--ungated" in caught.value.hint
    told, warned = publish(repo, path, "--ungated", "--ledger", tmp_path / "ledger")
    assert told.startswith("published")
    assert "does not say which run" in warned
    assert not released(tmp_path / "ledger")


def test_a_release_stands_in_the_ledger_once_before_it_is_published(repo: Path, tmp_path: Path) -> None:
    path, record = archive(tmp_path, report(*CELLS))
    ledger = tmp_path / "ledger"
    begin(ledger, record.run)
    server = tmp_path / "server.toml"
    (tmp_path / "state/runs").mkdir(parents=True)
    server.write_text(f'state = "{tmp_path}/state"\noperator = "{tmp_path}/fleet/operator"\n')
    with pytest.raises(InputError, match="holds no ledger"):
        publish(repo, path, "--server", server)
    told, warned = publish(repo, path, "--ledger", ledger)
    assert told.startswith(f"motion 1.0.0 stands in the ledger {ledger}\npublished")
    assert not warned
    (entry,) = released(ledger)
    assert (entry.run, entry.model, entry.policy) == (record.run, record.model, record.policy)
    with pytest.raises(InputError, match="published already"):
        publish(repo, path, "--ledger", ledger)
    assert released(ledger) == [entry]


def test_the_servers_own_ledger_is_the_default(repo: Path, tmp_path: Path) -> None:
    path, record = archive(tmp_path, report(*CELLS))
    server = tmp_path / "server.toml"
    server.write_text(f'state = "{tmp_path}/state"\noperator = "{tmp_path}/fleet/operator"\n')
    begin(tmp_path / "state/runs/ledger", record.run)
    told, _ = publish(repo, path, "--server", server)
    assert "stands in the ledger" in told
    assert len(released(tmp_path / "state/runs/ledger")) == 1


def test_no_ledger_has_a_model_that_its_runs_did_not_pay_for(repo: Path, tmp_path: Path) -> None:
    path, _ = archive(tmp_path, report(*CELLS))
    begin(tmp_path / "ledger", "another")
    with pytest.raises(InputError, match="is not in"):
        publish(repo, path, "--ledger", tmp_path / "ledger")
    assert not released(tmp_path / "ledger")
    assert not tuf_repository.releases(repo)


def test_what_cannot_be_published_is_not_entered(repo: Path, tmp_path: Path) -> None:
    path, record = archive(tmp_path, report(*CELLS))
    begin(tmp_path / "ledger", record.run)
    with pytest.raises(InputError, match="a floor of 7"):
        publish(repo, path, "--ledger", tmp_path / "ledger", "--floor", 7)
    assert not released(tmp_path / "ledger")
