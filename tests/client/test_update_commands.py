"""`covey device update`, and the updater's process, over the fleet's real TUF repository."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from agents import short_folder
from commands import invoked
from covey.enrolment import read_admission
from covey.errors import InputError
from covey.rollout.plan import Image
from covey_client import updates
from covey_client.device_commands import device as app
from covey_client.slots import install
from covey_client.trial_serving import Serving
from covey_client.update_outcome import read_outcome
from covey_client.update_running import ONE
from covey_client.update_source import VERSIONS, read_versions
from covey_client.updates import AT_REST, FAILED, FIRST_FAILURE, WAITS, Updates
from covey_io.device_enrolment import accept
from covey_io.lock import held
from made_fleet import device, keys_of, made
from packages_fixture import inputs, keys, package
from tuf_world import World as Repo
from tuf_world import made_world, served

CONFIG = """state = "{folder}/pi-07"
[data]
path = "{folder}"
[model]
name = "digits"
[socket]
path = "{folder}/a"
owner = "{folder}/o"
[update]
source = "{source}"
root = "{folder}/root.json"
every_seconds = 1.0
[update.shadow]
seconds = 0.3
[update.trial]
seconds = 1
requests = 5
longest_seconds = 60
"""
X = inputs(1)[0]


@dataclass
class Device:
    """An enrolled device that runs 1.0.0, and the repository of its fleet."""

    folder: Path
    repo: Repo

    @property
    def state(self) -> Path:
        return self.folder / "pi-07"

    @property
    def slots(self) -> Path:
        return self.state / "device"

    def config(self, source: str | Path) -> Path:
        path = self.folder / "device.toml"
        path.write_text(CONFIG.format(folder=self.folder, source=source))
        return path

    def release(self, version: str, serial: int) -> Image:
        """A release is published, and the fleet told to run it."""
        image = self.repo.publish(version, serial, archive=package(version))
        self.repo.instruct(serial, image)
        return image


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    repo = made_world(tmp_path_factory.mktemp("repo"))
    image = repo.publish("2.0.0", 2, archive=package("2.0.0"))
    repo.instruct(2, image)
    return repo


@pytest.fixture
def here(tmp_path: Path, repository: Repo) -> Device:
    fleet, asked = made(tmp_path / "fleet"), device(tmp_path, "pi-07")
    (answer,) = fleet.admit(keys_of(fleet), [asked], int(time.time()))
    accept(tmp_path / "pi-07", read_admission(answer))
    (tmp_path / "root.json").write_bytes(repository.root)
    found = Device(tmp_path, repository)
    install(package("1.0.0"), found.slots, keys()[1])
    (found.slots / "trusted.pub.pem").write_bytes(keys()[1])
    return found


def status(here: Device) -> dict[str, object]:
    said = invoked(app, "update", "status", "--config", here.folder / "device.toml", "--json").stdout
    found: dict[str, object] = json.loads(said)
    return found


def test_status_check_and_explain_over_the_network(here: Device) -> None:
    with served(here.repo.repo) as (address, _):
        config = here.config(address)
        assert "never told" in invoked(app, "update", "status", "--config", config).stdout
        explained = invoked(app, "update", "explain", "--config", config).stdout
        assert "is to run motion 2.0.0: ring all" in explained
        assert status(here)["phase"] == "idle"
        assert "on trial: motion 2.0.0" in invoked(app, "update", "check", "--config", config).stdout
        found = status(here)
        assert found["phase"] == "trial"
        assert found["serves"]["version"] == "2.0.0"  # type: ignore[index]
        assert found["runs"]["version"] == "1.0.0"  # type: ignore[index]
        assert "trial     0 s, 0 requests" in invoked(app, "update", "status", "--config", config).stdout
    assert read_versions(here.state / VERSIONS)["timestamp"] > 1


def test_a_bundle_on_a_stick_is_asked_for_the_same_signatures(here: Device) -> None:
    config = here.config("https://unreachable.example.org/")
    done = invoked(app, "update", "bundle", here.repo.repo, "--config", config)
    assert "on trial: motion 2.0.0" in done.stdout
    with pytest.raises(InputError, match="no such folder"):
        invoked(app, "update", "bundle", here.folder / "nothing", "--config", config)


def test_a_hold_and_its_end(here: Device) -> None:
    config = here.config(here.repo.repo)
    invoked(app, "update", "hold", "--config", config)
    assert invoked(app, "update", "check", "--config", config).stdout == "its owner keeps it as it is\n"
    assert status(here)["held"] is True
    invoked(app, "update", "resume", "--config", config)
    assert "on trial" in invoked(app, "update", "check", "--config", config).stdout


def test_what_is_missing_is_named(here: Device) -> None:
    config = here.config("")
    with pytest.raises(InputError, match="no source of updates"):
        invoked(app, "update", "check", "--config", config)
    config = here.config(here.repo.repo)
    (here.folder / "root.json").unlink()
    with pytest.raises(InputError, match=r"root\.json: no such file"):
        invoked(app, "update", "check", "--config", config)


@pytest.mark.long
def test_the_agent_has_it_done_and_stays_small(here: Device) -> None:
    """The real agent, which starts the real updater, while an application asks."""
    with short_folder() as short, served(here.repo.repo) as (address, _):
        config = here.config(address)
        config.write_text(config.read_text().replace(f"{here.folder}/a", f"{short}/a"))
        config.write_text(config.read_text().replace(f"{here.folder}/o", f"{short}/o"))
        with (
            (here.folder / "log").open("wb") as log,
            Serving(here.slots, look_seconds=0.05) as serving,
            subprocess.Popen(
                [sys.executable, "-m", "covey_client.running", str(config)], stderr=log
            ) as agent,
        ):
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline:
                serving.predict(X)
                outcome = read_outcome(here.state)
                if outcome is not None and outcome.result == "succeeded":
                    break
                time.sleep(0.05)
            loaded = {each.path for each in psutil.Process(agent.pid).memory_maps()}
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(20) == 0
            assert serving.version == "2.0.0", (here.folder / "log").read_text()
    assert not [path for path in loaded if "onnxruntime" in path or "torch" in path]


LOADED = """
import sys
sys.argv = ["update_running", sys.argv[1]]
from covey_client.update_running import main
status = main()
heavy = {"torch", "flwr", "scipy", "onnx", "sklearn", "opacus"} & {name.split(".")[0] for name in sys.modules}
assert not heavy, heavy
print(status, next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_the_updaters_process_is_small_and_imports_nothing_heavy(here: Device) -> None:
    config = here.config(here.repo.repo)
    config.write_text(config.read_text().replace("longest_seconds = 60", "longest_seconds = 1"))
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(config)],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    ended, peak = done.stdout.split()
    assert int(ended) == AT_REST
    assert int(peak) / 1024 <= 80
    outcome = read_outcome(here.state)
    assert outcome is not None
    assert outcome.result == "succeeded"


def test_a_second_updaters_process_leaves_the_device_to_the_first(here: Device) -> None:
    config = here.config(here.repo.repo)
    with held(here.state / ONE, None):
        command = updates.command(config)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == FAILED
    assert "an updater of this device runs already" in done.stderr


class TestWhen:
    def test_it_is_started_again_and_again_and_sooner_after_a_failure(self) -> None:
        for status_of, least, most in ((AT_REST, 500, 1000), (WAITS, 150, 300), (FAILED, 30, 60)):
            now = [0.0]
            command = (sys.executable, "-c", f"import sys; sys.exit({status_of})")
            found = Updates(command, 1000.0, clock=lambda now=now: now[0], chance=lambda: 0.0)  # type: ignore[misc]
            found.step()
            _ended(found)
            waits = found._next
            assert least <= waits <= most
            now[0] = waits
            found.step()
            found.close()

    def test_failures_are_further_and_further_apart_but_no_further_than_its_interval(self) -> None:
        now, waits = [0.0], []
        found = Updates(("/nonexistent",), 1000.0, clock=lambda: now[0], chance=lambda: 0.5)
        for _ in range(8):
            now[0] = found._next
            found.step()
            waits.append(found._next - now[0])
        longest = [min(FIRST_FAILURE * 2**n, 1000.0) for n in range(8)]
        assert waits == pytest.approx([0.75 * each for each in longest])


def _ended(found: Updates) -> None:
    deadline = time.monotonic() + 20
    while found._running is not None and time.monotonic() < deadline:
        time.sleep(0.01)
        found.step()
