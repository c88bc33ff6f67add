"""The fleet's ServerApp code over an in-process grid: finish, refuse to finish twice, go on after a stop."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from flwr.app import Context, RecordDict
from flwr.app.user_config import UserConfig

from covey.errors import ConfigError, CoveyError, InputError, StateError, TooFewDevices
from covey.identity import public_of
from covey.package.archive import unpack
from covey.package.verify import verify
from covey_models.registry import find
from covey_server import app, summary
from covey_server.operator import read_operator
from covey_server.privacy import protection
from covey_server.release import release_keys
from covey_server.run_folder import RunFolder
from covey_server.settings import FederationFile, FederationSettings, ModelSettings, PrivacySettings
from covey_simulations.grid import InProcessGrid
from covey_strategies.protection import Operator
from digits_fleet import ENROLMENT, OPERATOR, Flock, crowd, dealt, flock, operator
from sum_rows import recomputed

BARE = PrivacySettings(masks=False, noise=False)
NOISY = PrivacySettings(train_multiplier=0.5, validate_multiplier=0.5)


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
    app.run(fleet.grid, decided, folder, protected)
    return summary.read(folder.path / "summary.json")


def test_a_run_ends_with_a_signed_package_and_a_summary(tmp_path: Path) -> None:
    folder = app.open_or_create(tmp_path / "pilot", file())
    found = run(pair(), file(), folder)
    key = (tmp_path / "pilot/keys/release.pub.pem").read_bytes()
    package = verify(unpack(Path(found.package).read_bytes()), key)
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


def manifest(folder: Path, privacy: dict[str, Any]) -> UserConfig:
    """What `flwr run` gives the app, with a fleet of twelve and its operator's folder."""
    table = {"name": "pilot", "model": {"name": "digits"}, "privacy": privacy}
    federation = {"rounds": 1, "minimum_devices": 9, "examples_cap": 64, "round_timeout": 5.0}
    (folder / "federation.toml").write_bytes(msgspec.toml.encode(table | {"federation": federation}))
    (folder / "operator").mkdir(exist_ok=True)
    (folder / "operator/operator.key").write_text(OPERATOR.hex())
    (folder / "operator/enrolment.pub").write_text(public_of(ENROLMENT).hex())
    (folder / "operator/roster").write_bytes(operator(crowd().devices).roster_sent)
    return {
        "federation": str(folder / "federation.toml"),
        "runs": str(folder / "runs"),
        "operator": str(folder / "operator"),
    }


def masked_table() -> dict[str, Any]:
    """So little noise that the sum of twelve small weights stands far above it."""
    return {"train_multiplier": 0.001, "statistics_multiplier": 0.001, "validate_multiplier": 0.001}


def test_a_masked_run_with_the_operators_folder_ends_with_its_epsilon(tmp_path: Path) -> None:
    config = manifest(tmp_path, masked_table())
    app.main(crowd().grid, Context(1, 1, {}, RecordDict(), config))
    found = summary.read(tmp_path / "runs/pilot/summary.json").privacy
    rows = RunFolder.open(tmp_path / "runs/pilot").sum_rows()
    assert (found.masks, found.noise, found.simulated) == ("on", "skellam", False)
    assert found.sums == {"statistics": 1, "train": 1, "validate": 1}
    assert found.epsilon_server == pytest.approx(recomputed(rows, 1e-5, "server"), abs=0.001)
    assert found.epsilon_release == pytest.approx(recomputed(rows, 1e-5, "release"), abs=0.001)
    assert found.statement.startswith("masked sums: the server saw no single answer; ε = ")
    assert "SIMULATION" not in found.statement


def test_a_run_without_masks_needs_no_operator_and_is_said_to_protect_nobody(tmp_path: Path) -> None:
    config = manifest(tmp_path, {"masks": False, "noise": False}) | {"operator": ""}
    app.main(crowd().grid, Context(1, 1, {}, RecordDict(), config))
    found = summary.read(tmp_path / "runs/pilot/summary.json").privacy
    assert found.statement == "NO MASKS: the server saw every answer; NO NOISE: no differential privacy"


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
        app.main(crowd().grid, Context(1, 1, {}, RecordDict(), manifest(tmp_path, privacy)))
    assert said in str(caught.value)
    assert not (tmp_path / "runs").exists()  # a corrected file can use the name
    app.main(crowd().grid, Context(1, 1, {}, RecordDict(), manifest(tmp_path, masked_table())))


def test_a_fleet_of_another_operator_answers_nothing(tmp_path: Path) -> None:
    config = manifest(tmp_path, masked_table())
    (tmp_path / "operator/operator.key").write_text("11" * 32)
    with pytest.raises(TooFewDevices) as caught:
        app.main(crowd().grid, Context(1, 1, {}, RecordDict(), config))
    assert "0 devices are left at stage advertise, 9 are needed" in caught.value.message
    assert "first refusal: node 2: a signature (plan) that does not hold" in caught.value.message
    rows = RunFolder.open(tmp_path / "runs/pilot").sum_rows()
    assert [row["event"] for row in rows] == ["reserve", "abort"]
    assert read_operator(tmp_path / "operator").private == bytes.fromhex("11" * 32)


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
