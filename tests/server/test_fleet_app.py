"""The fleet's ServerApp code over an in-process grid: finish, refuse to finish twice, go on after a stop."""

import shutil
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flwr.app import Context, RecordDict
from flwr.app.user_config import UserConfig

import policy_texts
from covey import merkle
from covey import plan as plans
from covey.budget import Budget
from covey.errors import ConfigError, CoveyError, InputError, RoundAborted, StateError, TooFewDevices
from covey.identity import public_of
from covey.ledger.checkpoint import open_checkpoint
from covey.ledger.entries import AnyEntry, MetricsRelease, ModelRelease, Reserve, Revoke, Settle, kind_of
from covey.ledger.evidence import check
from covey.ledger.note import signed
from covey.package.archive import unpack
from covey.package.verify import verify
from covey.secagg import evidence
from covey.secagg.terms import Terms
from covey_audit.anchor_files import Given
from covey_audit.examining import examine
from covey_client.participant import Participant
from covey_io.device_keys import reviewers_json
from covey_io.witness_client import LocalWitness
from covey_io.witness_store import WitnessFolder
from covey_models.registry import find
from covey_server import app, summary
from covey_server.coordinator import RoundEnded
from covey_server.fleet_policy import drafted
from covey_server.ledgers import opened
from covey_server.operator import read_operator
from covey_server.privacy import protection
from covey_server.release import release_keys
from covey_server.run_folder import RunFolder
from covey_server.settings import FederationFile, FederationSettings, ModelSettings, PrivacySettings
from covey_server.sum_rows import read_entries
from covey_simulations.grid import InProcessGrid
from covey_strategies.protection import Operator
from digits_fleet import ENROLMENT, OPERATOR, Flock, crowd, dealt, flock, grid_of, operator
from memory_ledger import LOG, REVIEWER, REVIEWERS
from policed_fleet import owned
from sum_rows import recomputed

BARE = PrivacySettings(masks=False, noise=False)
NOISY = PrivacySettings(train_multiplier=0.5, validate_multiplier=0.5, calibrate_multiplier=0.5)


def file(
    rounds: int = 2, minimum: int = 2, timeout: float = 5.0, privacy: PrivacySettings = BARE
) -> FederationFile:
    federation = FederationSettings(
        rounds=rounds, minimum_devices=minimum, validate_every=1, round_timeout=timeout, standardise=False
    )
    return FederationFile(
        name="pilot", model=ModelSettings(name="digits"), federation=federation, privacy=privacy
    )


def pair() -> Flock:
    return flock(dealt([40, 30]))


def grid() -> InProcessGrid:
    return pair().grid


def run(
    fleet: Flock, decided: FederationFile, folder: RunFolder, trusted: Operator | None = None
) -> summary.Summary:
    protected = protection(decided, find("digits"), trusted, seeded=False)
    with opened(folder.ledger, None) as ledger:
        app.run(fleet.grid, decided, folder, ledger, protected)
    return summary.read(folder.path / "summary.json")


def test_a_run_ends_with_a_signed_package_and_a_summary(tmp_path: Path) -> None:
    folder = app.open_or_create(tmp_path / "pilot", file())
    found = run(pair(), file(), folder)
    key = (tmp_path / "pilot/keys/release.pub.pem").read_bytes()
    package = verify(unpack(Path(found.package or "").read_bytes()), key)
    assert package.manifest.labels == find("digits").labels
    assert (found.rounds, found.devices, found.accuracy_int8, found.latency_p50_us) == (2, 2, None, None)
    with pytest.raises(InputError, match="finished run"):
        app.open_or_create(tmp_path / "pilot", file())


def test_an_unfinished_run_is_gone_on_with_and_gives_the_same_model(tmp_path: Path) -> None:
    run(pair(), file(), app.open_or_create(tmp_path / "whole", file()))
    stopped = app.open_or_create(tmp_path / "stopped", file())
    run(pair(), file(), stopped)
    (tmp_path / "stopped/summary.json").unlink()
    (tmp_path / "stopped/checkpoints/round-000002.ckpt").unlink()  # as if it had stopped in round 2
    again = app.open_or_create(tmp_path / "stopped", file())
    assert again.run == stopped.run
    run(pair(), file(), again)
    hashes = [summary.read(tmp_path / name / "summary.json").model_sha256 for name in ("whole", "stopped")]
    assert hashes[0] == hashes[1]
    assert [row["round"] for row in again.rows()] == [1, 2]


def test_too_small_a_fleet_says_what_to_change() -> None:
    with pytest.raises(TooFewDevices, match=r"2 devices connected within 0\.1 s, the minimum is 3") as caught:
        app.wait_for_fleet(grid(), file(minimum=3, timeout=0.1))
    assert "lower federation.minimum_devices" in caught.value.hint


@pytest.mark.parametrize("minimum", [0, 7])
def test_masks_wait_for_as_many_devices_as_hide_one_another(minimum: int) -> None:
    decided = file(minimum=minimum, timeout=0.1, privacy=NOISY)
    with pytest.raises(TooFewDevices, match=r"2 devices connected .* minimum is 10") as caught:
        app.wait_for_fleet(grid(), decided)
    assert "minimum_devices" not in caught.value.hint
    app.wait_for_fleet(crowd(10).grid, decided)


@dataclass
class Fleet:
    """Twelve devices that answer under a policy only, whatever a test's server asks."""

    flock: Flock = field(default_factory=lambda: flock(dealt([36] * 12)))
    participants: dict[int, Participant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.participants |= {node: owned(node, self.flock) for node in self.flock.devices}

    @property
    def grid(self) -> InProcessGrid:
        """A new grid; what the devices have claimed and reserved stays."""
        return grid_of(self.participants)

    @property
    def budgets(self) -> list[Budget]:
        return [each.journal.budget for each in self.participants.values()]


def federation_file(
    folder: Path, privacy: dict[str, Any], tables: dict[str, Any] | None = None, **federation: Any
) -> None:
    table = {"name": "pilot", "model": {"name": "digits"}, "privacy": privacy} | (tables or {})
    settings = {"rounds": 1, "minimum_devices": 9, "examples_cap": 64, "round_timeout": 5.0} | federation
    (folder / "federation.toml").write_bytes(msgspec.toml.encode(table | {"federation": settings}))


def manifest(folder: Path, privacy: dict[str, Any]) -> UserConfig:
    """What `flwr run` gives the app, with a fleet of twelve and its operator's folder."""
    where = folder / "operator"
    if not where.exists():
        where.mkdir()
        (where / "operator.key").write_text(OPERATOR.hex())
        (where / "enrolment.pub").write_text(public_of(ENROLMENT).hex())
        (where / "roster").write_bytes(operator(range(2, 14), simulation=False).roster_sent)
        (where / "reviewers.json").write_bytes(reviewers_json(REVIEWERS))
        (where / "log.key").write_text(policy_texts.LOG.hex())
        (where / "log.vkey").write_text(LOG.verifier.vkey)
        witness = WitnessFolder.make(folder / "witness", "witness.example/w1", (LOG.verifier,))
        (where / "witnesses").write_text(f"{witness.key.verifier.vkey} {folder / 'witness'}\n")
        federation_file(folder, masked_table())
        agreed(folder)
    federation_file(folder, privacy)
    return {
        "federation": str(folder / "federation.toml"),
        "runs": str(folder / "runs"),
        "operator": str(where),
    }


def agreed(folder: Path, spare: int = 0, after: Path | None = None) -> None:
    """The policy that the federation's file asks for, as its reviewer signs it."""
    text = drafted(
        folder / "federation.toml",
        folder / "operator",
        purpose="Read digits that people wrote by hand.",
        days=30,
        spare=spare,
        rate_limit="none",
        after=after,
    )
    (folder / "operator/policy").write_bytes(signed(text, REVIEWER))


def masked_table() -> dict[str, Any]:
    """So little noise that the sum of twelve devices' weights stands far above it."""
    return {
        "train_multiplier": 0.2,
        "statistics_multiplier": 0.2,
        "validate_multiplier": 0.2,
        "calibrate_multiplier": 0.2,
    }


def main(fleet: Fleet, config: UserConfig) -> RunFolder:
    app.main(fleet.grid, Context(1, 1, {}, RecordDict(), config))
    return pilot(config)


def pilot(config: UserConfig) -> RunFolder:
    return RunFolder.open(Path(str(config["runs"])) / "pilot")


def entries_of(folder: RunFolder) -> list[AnyEntry]:
    return read_entries(folder.ledger)


def kinds_of(folder: RunFolder) -> list[str]:
    return [kind_of(each) for each in entries_of(folder)]


def test_a_masked_run_with_the_operators_folder_ends_with_its_epsilon(tmp_path: Path) -> None:
    config = manifest(tmp_path, masked_table())
    folder = main(Fleet(), config)
    found = summary.read(tmp_path / "runs/pilot/summary.json").privacy
    rows = folder.sum_rows()
    assert (found.masks, found.noise, found.simulated) == ("on", "skellam", False)
    assert found.sums == {"statistics": 1, "train": 1, "validate": 1, "calibrate": 1}
    assert found.epsilon_server == pytest.approx(recomputed(rows, 1e-5, "server"), abs=0.001)
    assert found.epsilon_release == pytest.approx(recomputed(rows, 1e-5, "release"), abs=0.001)
    assert found.statement.startswith("masked sums: the server saw no single answer; ε = ")
    assert "SIMULATION" not in found.statement


class TestLedger:
    """What a masked, noisy run leaves for its reviewers."""

    def test_every_sum_is_in_it_and_so_are_roster_policy_and_releases(self, tmp_path: Path) -> None:
        folder = main(Fleet(), manifest(tmp_path, masked_table()))
        assert folder.ledger.path.resolve() == tmp_path / "runs/ledger"
        sums = ["round.reserve", "round.settle"] * 4
        assert kinds_of(folder) == ["enrol", "run.policy", *sums, "metrics.release", "model.release"]
        model, figures = entries_of(folder)[-1], entries_of(folder)[-2]
        assert isinstance(figures, MetricsRelease)
        assert figures.sha256 == sha256((folder.path / "metrics.csv").read_bytes()).hexdigest()
        told = summary.read(folder.path / "summary.json")
        assert isinstance(model, ModelRelease)
        assert model.package == sha256(Path(told.package or "").read_bytes()).hexdigest()
        assert model.model == told.model_sha256

    def test_all_of_it_is_announced_and_witnessed_before_the_run_is_over(self, tmp_path: Path) -> None:
        folder = main(Fleet(), manifest(tmp_path, masked_table()))
        trusted = read_operator(tmp_path / "operator", policy=True)
        data = folder.ledger.head()
        assert data
        assert trusted.policy
        head = open_checkpoint(data, trusted.policy.policy.log_trust(), blame="test")
        lines, _ = folder.ledger.lines()
        assert (head.checkpoint.size, head.checkpoint.root) == (len(lines), merkle.root(lines))
        assert LocalWitness(tmp_path / "witness").latest(LOG.verifier.name) == data

    def test_evidence_of_every_sum_holds(self, tmp_path: Path) -> None:
        folder = main(Fleet(), manifest(tmp_path, masked_table()))
        trusted = read_operator(tmp_path / "operator", policy=True)
        reserved = {plans.digest(each.plan): each for each in entries_of(folder) if isinstance(each, Reserve)}
        settles = [each for each in entries_of(folder) if isinstance(each, Settle)]
        assert len(settles) == 4
        for settle in settles:
            data = folder.ledger.evidence(settle.plan)
            assert data
            assert settle.evidence == sha256(data).hexdigest()
            read = evidence.from_bytes(data, blame="test")
            shown = check(read, Terms.of(reserved[settle.plan].plan), trusted.roster, settle, blame="test")
            assert len(shown.survivors) == 12

    def test_devices_have_reserved_what_it_says(self, tmp_path: Path) -> None:
        fleet = Fleet()
        folder = main(fleet, manifest(tmp_path, masked_table()))
        found = [plans.digest(each.plan) for each in entries_of(folder) if isinstance(each, Reserve)]
        for budget in fleet.budgets:
            assert list(budget.reserved) == found
            assert (budget.counter, budget.locked) == (4, "")
            (seen,) = budget.seen.values()
            lines, _ = folder.ledger.lines()
            assert seen.size == 9  # the last reserve's: what came after was no matter of theirs
            assert seen.root == merkle.root(lines[:9]).hex()

    def test_the_runs_of_a_folder_share_one(self, tmp_path: Path) -> None:
        fleet, config = Fleet(), manifest(tmp_path, masked_table())
        agreed(tmp_path, spare=6)
        first = main(fleet, config)
        before, _ = first.ledger.lines()
        first.path.rename(tmp_path / "runs/earlier")
        second = main(fleet, config)
        lines, _ = second.ledger.lines()
        assert lines[: len(before)] == before
        assert kinds_of(second)[len(before) :][:2] == ["run.policy", "round.reserve"]
        assert kinds_of(second).count("enrol") == 1
        assert len(second.sum_rows()) == len(first_rows := RunFolder(tmp_path / "runs/earlier").sum_rows())
        assert len(first_rows) == 8
        assert {budget.counter for budget in fleet.budgets} == {8}

    def test_a_run_that_was_stopped_appends_to_it_and_says_nothing_twice(self, tmp_path: Path) -> None:
        fleet, config = Fleet(), manifest(tmp_path, masked_table())
        agreed(tmp_path, spare=2)
        folder = main(fleet, config)
        before, _ = folder.ledger.lines()
        (folder.path / "summary.json").unlink()
        (folder.path / "checkpoints/round-000001.ckpt").unlink()  # as if it had stopped in the round
        again = main(fleet, config)
        lines, _ = again.ledger.lines()
        assert lines[: len(before)] == before
        assert kinds_of(again)[len(before) :] == [
            *["round.reserve", "round.settle"] * 3,  # another model, whose ranges are asked for again
            "metrics.release",
            "model.release",
        ]
        reserves = [row for row in again.sum_rows() if row["event"] == "reserve"]
        assert [row["sum"] for row in reserves] == [1, 2, 3, 4, 5, 6, 7]
        assert [row["kind"] for row in reserves][4:] == ["train", "validate", "calibrate"]
        (again.path / "summary.json").unlink()  # stopped after all was released
        main(fleet, config)
        more = entries_of(again)[len(lines) :]
        # the last validation is asked again; the package says what all has cost, so it is another one
        assert [kind_of(each) for each in more] == ["round.reserve", "round.settle", "model.release"]
        releases = [each for each in entries_of(again) if isinstance(each, ModelRelease)]
        assert len({each.package for each in releases}) == len(releases) == 3
        assert releases[-1].model == releases[-2].model


class TestPolicy:
    def test_devices_answer_no_sum_beyond_it(self, tmp_path: Path) -> None:
        fleet, config = Fleet(), manifest(tmp_path, masked_table())
        federation_file(tmp_path, masked_table(), rounds=2)  # the policy was agreed for one
        with pytest.raises(TooFewDevices) as caught:
            main(fleet, config)
        assert "budget: 1 answers to train were given, the policy allows 1" in caught.value.message
        folder = pilot(config)
        events = [(row["event"], row["round"], row["kind"]) for row in folder.sum_rows()]
        assert events[-2:] == [("reserve", 2, "train"), ("abort", 2, "train")]
        assert {budget.counter for budget in fleet.budgets} == {2}

    def test_a_newer_one_lets_the_run_go_on(self, tmp_path: Path) -> None:
        fleet, config = Fleet(), manifest(tmp_path, masked_table())
        federation_file(tmp_path, masked_table(), rounds=2)
        with pytest.raises(TooFewDevices):
            main(fleet, config)
        agreed(tmp_path, spare=2, after=tmp_path / "operator/policy")
        folder = main(fleet, config)
        assert kinds_of(folder).count("run.policy") == 2
        assert {budget.policy.serial for budget in fleet.budgets if budget.policy} == {2}

    def test_a_plan_beyond_it_is_not_even_asked(self, tmp_path: Path) -> None:
        config = manifest(tmp_path, masked_table() | {"train_multiplier": 0.19})
        with pytest.raises(InputError, match="train: no device will answer this: the plan's noise") as caught:
            main(Fleet(), config)
        assert "ask the reviewers for another policy" in caught.value.hint
        assert kinds_of(pilot(config))[2:] == ["round.reserve", "round.settle"]  # of statistics

    def test_one_for_another_operator_is_said_before_a_run_is_begun(self, tmp_path: Path) -> None:
        config = manifest(tmp_path, masked_table())
        (tmp_path / "operator/operator.key").write_text("11" * 32)
        with pytest.raises(InputError, match="for another operator or enrolment key"):
            main(Fleet(), config)
        assert not (tmp_path / "runs").exists()

    def test_without_a_witness_nobody_is_asked_and_with_one_the_run_goes_on(self, tmp_path: Path) -> None:
        fleet, config = Fleet(), manifest(tmp_path, masked_table())
        (tmp_path / "witness").rename(tmp_path / "away")
        with pytest.raises(RoundAborted, match="could not be witnessed"):
            main(fleet, config)
        assert {budget.counter for budget in fleet.budgets} == {0}
        (tmp_path / "away").rename(tmp_path / "witness")
        folder = main(fleet, config)
        assert [(row["event"], row["sum"]) for row in folder.sum_rows()][:4] == [
            ("reserve", 1),
            ("abort", 1),
            ("reserve", 2),
            ("settle", 2),
        ]
        assert {budget.counter for budget in fleet.budgets} == {4}

    def test_a_ledger_that_was_rolled_back_is_refused_by_witness_and_devices(self, tmp_path: Path) -> None:
        fleet, config = Fleet(), manifest(tmp_path, masked_table())
        agreed(tmp_path, spare=6)
        folder = main(fleet, config)
        for path in (folder.ledger.entries, folder.ledger.checkpoint):
            path.unlink()
        folder.path.rename(tmp_path / "runs/earlier")
        with pytest.raises(StateError, match="has seen 12 entries of this ledger"):
            main(fleet, config)
        shutil.rmtree(tmp_path / "witness/latest")  # and a witness that is the operator's friend
        (tmp_path / "witness/latest").mkdir()
        (tmp_path / "witness/logs").write_text("")
        WitnessFolder.open(tmp_path / "witness").add_log(LOG.verifier)
        with pytest.raises(TooFewDevices) as caught:
            main(fleet, config)
        assert "has seen 9: it was rolled back" in caught.value.message
        assert {budget.counter for budget in fleet.budgets} == {4}


def test_runs_without_a_policy_and_under_one_do_not_share_a_ledger(tmp_path: Path) -> None:
    bare = manifest(tmp_path, {"masks": False, "noise": False}) | {"operator": ""}
    app.main(crowd().grid, Context(1, 1, {}, RecordDict(), bare))
    (tmp_path / "runs/pilot").rename(tmp_path / "runs/earlier")
    with pytest.raises(InputError, match="of runs without a policy") as caught:
        main(Fleet(), manifest(tmp_path, masked_table()))
    assert "a folder of their own" in caught.value.hint


def test_a_run_without_masks_needs_no_operator_and_is_said_to_protect_nobody(tmp_path: Path) -> None:
    config = manifest(tmp_path, {"masks": False, "noise": False}) | {"operator": ""}
    app.main(crowd().grid, Context(1, 1, {}, RecordDict(), config))
    found = summary.read(tmp_path / "runs/pilot/summary.json").privacy
    assert found.statement == "NO MASKS: the server saw every answer; NO NOISE: no differential privacy"
    sums = ["round.reserve", "round.settle"] * 4
    assert kinds_of(pilot(config)) == [*sums, "metrics.release", "model.release"]


def test_a_run_without_noise_has_a_ledger_and_a_roster_but_no_policy(tmp_path: Path) -> None:
    config = manifest(tmp_path, {"noise": False})
    app.main(crowd().grid, Context(1, 1, {}, RecordDict(), config))
    assert kinds_of(pilot(config))[:2] == ["enrol", "round.reserve"]
    found = entries_of(pilot(config))
    assert all(plans.from_bytes(each.plan).policy is None for each in found if isinstance(each, Reserve))


@pytest.mark.parametrize(
    ("privacy", "said"),
    [
        ({}, "say how much noise: epsilon = 8, or multipliers, or noise = false"),
        ({"masks": "elided", "noise": False}, '"elided" is for simulations'),
        ({"epsilon": 1e-6}, "epsilon"),
        ({"noise": False, "largest_cohort": 18}, "largest_cohort: at least 19"),
        (masked_table() | {"train_multiplier": 0}, "privacy.train_multiplier"),
    ],
)
def test_what_is_wrong_about_privacy_is_said_before_a_run_is_begun(
    tmp_path: Path, privacy: dict[str, Any], said: str
) -> None:
    with pytest.raises(CoveyError) as caught:
        main(Fleet(), manifest(tmp_path, privacy))
    assert said in str(caught.value)
    assert not (tmp_path / "runs").exists()  # a corrected file can use the name
    main(Fleet(), manifest(tmp_path, masked_table()))


def test_a_fleet_of_another_operator_answers_nothing(tmp_path: Path) -> None:
    config, fleet = manifest(tmp_path, masked_table()), Fleet()
    for node, each in fleet.participants.items():
        assert each.keys
        keys = replace(each.keys, operator=public_of(bytes.fromhex("11" * 32)))
        fleet.participants[node] = replace(each, keys=keys)
    with pytest.raises(TooFewDevices) as caught:
        main(fleet, config)
    assert "0 devices are left at stage advertise, 9 are needed" in caught.value.message
    assert "first refusal: node 2: a signature (plan) that does not hold" in caught.value.message
    assert [row["event"] for row in pilot(config).sum_rows()] == ["reserve", "abort"]


@pytest.mark.parametrize("missing", ["federation", "runs", "operator"])
def test_a_missing_key_in_the_manifest_is_named(missing: str, tmp_path: Path) -> None:
    config = manifest(tmp_path, masked_table())
    config[missing] = ""
    with pytest.raises(ConfigError, match=rf"\[tool\.flwr\.app\.config\]: {missing}: "):
        app.main(grid(), Context(1, 1, {}, RecordDict(), config))
    assert not (tmp_path / "runs").exists()


def test_a_signing_key_is_private_and_kept_whoever_made_it(tmp_path: Path) -> None:
    keys = release_keys(tmp_path / "keys")
    assert (tmp_path / "keys/release.pem").stat().st_mode & 0o777 == 0o600
    assert release_keys(tmp_path / "keys") == keys
    (
        tmp_path / "keys/release.pub.pem"
    ).unlink()  # an operator's own, or a power cut before the pair was whole
    assert release_keys(tmp_path / "keys") == keys
    assert (tmp_path / "keys/release.pub.pem").read_bytes() == keys.public


def test_an_unfinished_run_of_another_configuration_is_refused(tmp_path: Path) -> None:
    app.open_or_create(tmp_path / "pilot", file(rounds=2))
    with pytest.raises(StateError, match="another configuration"):
        app.open_or_create(tmp_path / "pilot", file(rounds=3))


def test_a_revocation_takes_effect_at_the_next_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = manifest(tmp_path, masked_table())
    federation_file(tmp_path, masked_table(), rounds=2)
    agreed(tmp_path)

    def revoke(ended: RoundEnded) -> None:
        if ended.round == 1:
            left = operator(range(3, 14), simulation=False, serial=2)
            (tmp_path / "operator/roster").write_bytes(left.roster_sent)

    monkeypatch.setattr(app, "_print_round", revoke)
    fleet = Fleet()
    folder = main(fleet, config)
    kinds = kinds_of(folder)
    gone = [each for each in entries_of(folder) if isinstance(each, Revoke)]
    assert [(each.serial, each.devices, each.gone) for each in gone] == [(2, 11, 1)]
    before, after = kinds[: kinds.index("revoke")], kinds[kinds.index("revoke") :]
    settled = [each.members.survivors for each in entries_of(folder) if isinstance(each, Settle)]
    count = before.count("round.settle")
    assert after.count("round.settle") == len(settled) - count > 0
    assert set(settled[:count]) == {12}
    assert set(settled[count:]) == {11}
    serials = {node: each.claims.least_serial for node, each in fleet.participants.items()}
    assert serials == {2: 1} | dict.fromkeys(range(3, 14), 2)  # who is left answers no older roster again


@dataclass(frozen=True)
class AllKinds:
    """A fleet that was asked everything there is: to train, for ranges, to compare, how a rollout goes."""

    folder: Path
    fleet: Fleet
    run: RunFolder
    health: RunFolder


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory: pytest.TempPathFactory) -> AllKinds:
    folder, fleet = tmp_path_factory.mktemp("all"), Fleet()
    config = manifest(folder, masked_table())
    privacy = masked_table() | {"health_multiplier": 0.2}
    limits = {"accuracy_floor": "0", "most_missed": "1", "allow_undecided": True}
    released: dict[str, Any] = {"release": {"gate": True, "limits": limits, "health_sums": 1}}
    federation_file(folder, privacy, released)
    agreed(folder)
    run = main(fleet, config)
    for each in ("runs", "witness"):
        shutil.copytree(folder / each, folder / "before-health" / each, symlinks=True)
    asked = {"rollout": "pilot-1", "image": sha256(b"an archive").hexdigest(), "rings": 3}
    federation_file(folder, privacy, released | {"name": "pilot-health", "health": asked})
    app.main(fleet.grid, Context(2, 1, {}, RecordDict(), config))
    return AllKinds(folder, fleet, run, RunFolder.open(folder / "runs/pilot-health"))


class TestAllKinds:
    def test_all_of_it_is_in_one_ledger_and_in_every_devices_budget(self, all_kinds: AllKinds) -> None:
        of_run, of_health = (
            [row["kind"] for row in folder.sum_rows() if row["event"] == "settle"]
            for folder in (all_kinds.run, all_kinds.health)
        )
        assert of_run == ["statistics", "train", "validate", "calibrate", "compare"]
        assert of_health == ["health"]
        assert kinds_of(all_kinds.run)[-5:] == [
            *("metrics.release", "model.release"),
            *("run.policy", "round.reserve", "round.settle"),
        ]
        assert {budget.counter for budget in all_kinds.fleet.budgets} == {6}

    def test_an_audit_of_the_training_run_finds_nothing(self, all_kinds: AllKinds) -> None:
        before = all_kinds.folder / "before-health"
        assert self._grave(all_kinds, before / "runs/pilot") == []

    def test_an_audit_of_the_ledger_finds_nothing_about_health_but_that_its_end_is_not_announced(
        self, all_kinds: AllKinds
    ) -> None:
        assert set(self._grave(all_kinds, all_kinds.run.path)) == set()

    def test_an_audit_of_the_ledger_with_health_finds_nothing(self, all_kinds: AllKinds) -> None:
        assert self._grave(all_kinds, all_kinds.run.path) == []

    def test_an_audit_reads_the_folder_of_a_run_that_asked_for_health(self, all_kinds: AllKinds) -> None:
        assert set(self._grave(all_kinds, all_kinds.health.path)) == set()

    def _grave(self, all_kinds: AllKinds, run: Path) -> list[str]:
        """Codes of what an audit finds, with keys of its own."""
        given = Given(
            policy=all_kinds.folder / "operator/policy",
            reviewers=(REVIEWER.verifier.vkey,),
            enrolment=public_of(ENROLMENT).hex(),
            witnessed=str(run.parent.parent / "witness"),
        )
        return [each.code for each in examine(run, given).findings if each.severity != "note"]
