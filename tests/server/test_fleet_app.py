"""The fleet's ServerApp code over an in-process grid: finish, refuse to finish twice, go on after a stop."""

from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, RecordDict
from flwr.app.user_config import UserConfig
from sklearn.datasets import load_digits

from covey.errors import ConfigError, InputError, StateError, TooFewDevices
from covey.examples import Examples, LocalData
from covey.package.archive import unpack
from covey.package.verify import verify
from covey_client.app import build
from covey_models.registry import find
from covey_server import app, summary
from covey_server.release import release_keys
from covey_server.settings import FederationFile, FederationSettings, ModelSettings
from covey_simulations.grid import InProcessGrid
from covey_strategies.queries.device import Device


def file(rounds: int = 2, minimum: int = 2, timeout: float = 5.0) -> FederationFile:
    federation = FederationSettings(
        rounds=rounds, minimum_devices=minimum, validate_every=1, round_timeout=timeout, standardise=False
    )
    return FederationFile(name="pilot", model=ModelSettings(name="digits"), federation=federation)


def grid() -> InProcessGrid:
    digits = load_digits()
    x, y = (digits.images[:, None] / 16).astype(np.float32), digits.target.astype(np.int64)
    devices = {}
    for node in (2, 3):
        part = Examples(x[node::30], y[node::30])
        devices[node] = Device(f"pi{node}", find("digits"), LocalData(part, part), seed=node, log=print)

    def device_of(context: Context) -> Device:
        return devices[context.node_id]

    return InProcessGrid(build(device_of), devices)


def test_a_run_ends_with_a_signed_package_and_a_summary(tmp_path: Path) -> None:
    folder = app.open_or_create(tmp_path / "pilot", file())
    app.run(grid(), file(), folder)
    found = summary.read(tmp_path / "pilot" / "summary.json")
    key = (tmp_path / "pilot/keys/release.pub.pem").read_bytes()
    package = verify(unpack(Path(found.package).read_bytes()), key)
    assert package.manifest.labels == find("digits").labels
    assert (found.rounds, found.devices, found.accuracy_int8, found.latency_p50_us) == (2, 2, None, None)
    with pytest.raises(InputError, match="finished run"):
        app.open_or_create(tmp_path / "pilot", file())


def test_an_unfinished_run_is_gone_on_with_and_gives_the_same_model(tmp_path: Path) -> None:
    whole = app.open_or_create(tmp_path / "whole", file())
    app.run(grid(), file(), whole)
    stopped = app.open_or_create(tmp_path / "stopped", file())
    app.run(grid(), file(), stopped)
    (tmp_path / "stopped/summary.json").unlink()
    (tmp_path / "stopped/checkpoints/round-000002.ckpt").unlink()  # as if it had stopped in round 2
    again = app.open_or_create(tmp_path / "stopped", file())
    assert again.run == stopped.run
    app.run(grid(), file(), again)
    hashes = [summary.read(tmp_path / name / "summary.json").model_sha256 for name in ("whole", "stopped")]
    assert hashes[0] == hashes[1]
    assert [row["round"] for row in again.rows()] == [1, 2]


def test_too_small_a_fleet_says_what_to_change() -> None:
    with pytest.raises(TooFewDevices, match=r"2 devices connected within 0\.1 s, the minimum is 3"):
        app.wait_for_fleet(grid(), file(minimum=3, timeout=0.1))


@pytest.mark.parametrize("missing", ["federation", "runs"])
def test_a_missing_key_in_the_manifest_is_named(missing: str, tmp_path: Path) -> None:
    toml = tmp_path / "federation.toml"
    toml.write_text('name = "pilot"\n[model]\nname = "digits"\n[federation]\nrounds = 1\n')
    config: UserConfig = {"federation": str(toml), "runs": str(tmp_path)}
    config[missing] = ""
    with pytest.raises(ConfigError, match=rf"\[tool\.flwr\.app\.config\]: {missing}: "):
        app.main(grid(), Context(1, 1, {}, RecordDict(), config))


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
