"""Runs with a virtual clock: what is refused before they begin, what they say, how they are gone on with."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from covey.errors import ConfigError, InputError, StateError
from covey_io.settings import convert
from covey_server.coordinator import RoundEnded
from covey_server.run_folder import RunFolder
from covey_server.summary import Summary, VirtualClock
from covey_simulations.availability import usage
from covey_simulations.availability.built import tier
from covey_simulations.availability.settings import AvailabilitySettings, TierSettings
from covey_simulations.run import simulate
from covey_simulations.settings import SimulationFile
from covey_simulations.world import read

NIGHT = {
    "trace": "diurnal",
    "start_hour": 12.0,
    "spread": 1.0,
    "dropouts": 0.1,
    "pause_minutes": 100.0,
    "diurnal": {"low": 0.2, "high": 0.6},
}


@dataclass
class Seen:
    """A display that keeps what it is told, and may stop the run."""

    stop_after: int = 0
    notes: list[str] = field(default_factory=list)

    def stage(self, name: str) -> None:
        """Nothing."""

    def step(self, done: int, total: int) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Keep it."""
        self.notes.append(line)

    def round_ended(self, ended: RoundEnded) -> None:
        """Perhaps stop."""
        if ended.round == self.stop_after:
            raise KeyboardInterrupt


def file_of(availability: dict[str, Any], devices: int = 30, **federation: Any) -> SimulationFile:
    plain = {
        "name": "small",
        "model": {"name": "digits"},
        "data": {"source": "digits", "partition": "iid", "devices": devices, "examples": 300},
        "federation": {
            "rounds": 6,
            "devices_per_round": 8,
            "minimum_devices": 4,
            "validate_every": 2,
            "examples_cap": 64,
            "round_timeout": 600.0,
            **federation,
        },
        "privacy": {"masks": "elided", "noise": False},
        "simulation": {"engine": "batched"},
        "availability": availability,
    }
    return convert(plain, SimulationFile, "small.toml")


def run(file: SimulationFile, path: Path, stop_after: int = 0) -> tuple[Summary | None, list[str]]:
    """Begin a run, or go on with it, perhaps to be stopped."""
    begun = (path / "run.json").exists()
    folder = RunFolder.open(path) if begun else RunFolder.create(path, msgspec.to_builtins(file))
    seen = Seen(stop_after)
    try:
        return simulate(read(file), folder, seen, stages="training"), seen.notes
    except KeyboardInterrupt:
        return None, seen.notes


def test_nothing_said_changes_nothing(tmp_path: Path) -> None:
    found, _ = run(file_of({}), tmp_path / "run")
    assert found is not None
    assert found.clock is None
    assert not (tmp_path / "run" / usage.FILE).exists()
    assert set(RunFolder(tmp_path / "run").rows()[0]) == {
        "round", "loss", "accuracy", "devices", "refused", "seconds"
    }  # fmt: skip


def test_a_run_that_was_stopped_comes_to_the_same_hours_joules_and_model(tmp_path: Path) -> None:
    whole, notes = run(file_of(NIGHT), tmp_path / "whole")
    assert run(file_of(NIGHT), tmp_path / "parts", stop_after=1)[0] is None
    assert run(file_of(NIGHT), tmp_path / "parts", stop_after=5)[0] is None
    parts, _ = run(file_of(NIGHT), tmp_path / "parts")
    assert whole is not None
    assert parts is not None
    assert parts.clock == whole.clock
    assert parts.model_sha256 == whole.model_sha256
    rows, again = (
        [
            {key: row[key] for key in ("hours", "online", "answered", "waited")}
            for row in RunFolder(path).rows()
        ]
        for path in (tmp_path / "whole", tmp_path / "parts")
    )
    assert rows == again
    lines = usage.read(tmp_path / "whole" / usage.FILE)
    assert lines == [
        msgspec.structs.replace(line, sum=own.sum)  # a sum that is asked again has another number
        for line, own in zip(usage.read(tmp_path / "parts" / usage.FILE), lines, strict=True)
    ]
    assert any(note.startswith("waited") for note in notes)
    _check(whole.clock, rows, lines)


def _check(clock: VirtualClock | None, rows: list[dict[str, float]], lines: list[usage.Line]) -> None:
    """The figures of one run fit each other."""
    assert clock is not None
    hours = [row["hours"] for row in rows]
    assert hours == sorted(hours)
    assert (
        clock.hours > hours[-1] - 100 / 60
    )  # the last validation comes after it; after a round there is a pause
    assert clock.waited >= sum(row["waited"] for row in rows) > 0
    assert clock.asked == sum(len(line.nodes) for line in lines)
    assert clock.joules_in_all == pytest.approx(sum(sum(line.joules) for line in lines))
    assert clock.joules.median <= clock.joules.p95 <= clock.joules.most
    assert clock.bytes.mean * clock.devices == pytest.approx(clock.bytes_in_all)
    assert all(8 <= row["online"] <= 30 and 4 <= row["answered"] <= 8 for row in rows)
    assert {line.kind for line in lines} == {"statistics", "train", "validate"}
    assert clock.answered < clock.asked


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    run(file_of(NIGHT), tmp_path / "run", stop_after=3)
    (tmp_path / "run" / usage.FILE).write_bytes(b"{}\n")
    with pytest.raises(StateError, match=r"attempts\.jsonl is damaged"):
        run(file_of(NIGHT), tmp_path / "run")


def test_a_run_that_can_never_have_enough_devices_is_refused_before_it_begins() -> None:
    with pytest.raises(
        InputError, match=r"at most .. of 30 devices are online at once .*, and 25 are"
    ) as caught:
        read(file_of(NIGHT, devices_per_round=25))
    assert "lower federation.devices_per_round to" in caught.value.hint
    read(file_of({**NIGHT, "trace": "always"}, devices_per_round=25))


def test_batteries_that_stay_empty_are_refused() -> None:
    dark = {"trace": "battery", "battery": {"panel_watts": 0.0}}
    with pytest.raises(InputError, match="at most 0 of 30 devices") as caught:
        read(file_of(dark))
    assert "see [availability]" in caught.value.hint
    light = {"trace": "battery", "tiers": [{"name": "pi-zero-2w"}]}
    read(file_of(light))


def test_a_trace_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("device,from,until\n" + "".join(f"device-{n:02d},0,6\n" for n in range(1, 9)), "utf-8")
    trace = {"trace": "file", "path": str(path)}
    read(file_of(trace, devices_per_round=8))
    with pytest.raises(InputError, match="at most 8 of 30 devices"):
        read(file_of(trace, devices_per_round=9))


def test_a_trace_that_was_changed_meanwhile_is_named(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    lines = [f"device-{n:02d},0,99" for n in range(1, 11)]
    path.write_text("\n".join(["device,from,until", *lines, ""]), "utf-8")
    file = file_of({"trace": "file", "path": str(path)}, validate_every=1)
    run(file, tmp_path / "run", stop_after=2)
    path.write_text("\n".join(["device,from,until", *lines[1:], ""]), "utf-8")
    with pytest.raises(StateError, match=r"changed since the run began: .*trace\.csv"):
        run(file, tmp_path / "run")


@pytest.mark.parametrize(
    ("availability", "federation", "said"),
    [
        ({"needed": 9}, {}, "needed: 9 answers of 8 devices: ask more than are needed"),
        ({"needed": 3}, {}, "needed: 3 answers, and a sum is opened with 4"),
        ({"tiers": [{"name": "toaster", "gflops": 1.0}]}, {}, "tiers: toaster: idle_watts is missing"),
        ({"tiers": [{"name": "pi4", "busy_watts": 1.0}]}, {}, "tiers: pi4: busy_watts below idle_watts"),
    ],
)
def test_what_does_not_fit_is_said(
    availability: dict[str, Any], federation: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file_of(availability, **federation))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "availability",
    [
        {"trace": "weekly"},
        {"trace": "file"},
        {"path": "somewhere.csv"},
        {"diurnal": {"low": 0.5, "high": 0.4}},
        {"dropouts": 1.0},
        {"speed": 2},
    ],
)
def test_what_the_table_does_not_know_is_refused(availability: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        file_of(availability)


def test_a_policy_wants_to_know_how_many_are_asked() -> None:
    plain = msgspec.to_builtins(file_of(NIGHT, devices_per_round=0, minimum_devices=0))
    plain["privacy"] = {"masks": True, "epsilon": 8.0, "dropouts": 0.2}
    plain["availability"]["diurnal"] = {"low": 0.5, "high": 0.9}
    with pytest.raises(ConfigError, match="a policy wants to know how many are asked"):
        read(convert(plain, SimulationFile, "small.toml"))


def test_figures_of_a_known_kind_may_be_ones_own() -> None:
    found = tier(TierSettings(name="pi4", gflops=2.0))
    assert (found.gflops.value, found.gflops.source) == (2.0, "the configuration")
    assert found.busy_watts.value == 7.2


def test_a_table_with_anything_in_it_keeps_a_clock() -> None:
    assert not AvailabilitySettings().keeps_clock
    assert AvailabilitySettings(spread=1.0).keeps_clock
