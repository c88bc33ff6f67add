"""Who is online."""

from pathlib import Path

import numpy as np
import pytest

from covey.errors import ConfigError
from covey_simulations.availability.battery import Battery
from covey_simulations.availability.recordings import load
from covey_simulations.availability.traces import HOUR, Always, Diurnal, recorded

NODES = np.arange(2, 8_002)


def test_always_is_always() -> None:
    assert Always().online(NODES, 5.0).all()


def test_by_night_four_times_as_many_are_online_as_by_day() -> None:
    night = Diurnal(1)
    shares = [float(night.online(NODES, hour * HOUR).mean()) for hour in range(24)]
    assert abs(shares[2] - 0.4) < 0.02
    assert abs(shares[14] - 0.1) < 0.02
    assert int(np.argmax(shares)) in {1, 2, 3}


def test_a_device_is_online_once_a_night_without_gaps_and_not_every_night() -> None:
    night, hours = Diurnal(1), np.arange(14, 14 + 24 * 10, 0.5)  # from the worst hour to the worst hour
    seen = np.array([night.online(NODES[:50], hour * HOUR) for hour in hours])
    starts = (seen[1:] & ~seen[:-1]).sum(axis=0)
    assert starts.max() <= 10
    assert starts.max() > starts.min()


def test_each_device_lives_by_its_own_clock() -> None:
    spread = Diurnal(1, zones=(0.0, 12.0))
    at_two = float(spread.online(NODES, 2 * HOUR).mean())
    assert abs(at_two - 0.25) < 0.02
    assert abs(float(spread.online(NODES, 14 * HOUR).mean()) - at_two) < 0.02


def test_a_time_each_is_as_one_time_for_all() -> None:
    night, times = Diurnal(1), np.arange(50, dtype=np.float64) * HOUR
    found = night.online(NODES[:50], times)
    assert [bool(night.online(NODES[at : at + 1], times[at])[0]) for at in range(50)] == found.tolist()


def test_a_recorded_trace_is_as_recorded() -> None:
    trace = recorded({3: [(10.0, 20.0), (15.0, 30.0)], 5: [(0.0, 5.0), (40.0, 50.0)]})
    nodes = np.array([2, 3, 4, 5, 6])
    expected = {0.0: [5], 4.9: [5], 5.0: [], 10.0: [3], 29.9: [3], 30.0: [], 45.0: [5], 50.0: [], 1e9: []}
    assert {at: nodes[trace.online(nodes, at)].tolist() for at in expected} == expected


def test_a_recorded_trace_begins_again() -> None:
    trace = recorded({3: [(10.0, 20.0)]}, period=100.0)
    assert [bool(trace.online(np.array([3]), at)[0]) for at in (15.0, 115.0, 125.0)] == [True, True, False]


def battery(panel: float = 5.0, charger: float = 0.0, watts: float = 0.6) -> Battery:
    return Battery(
        seed=1,
        capacity=20 * HOUR,
        least=0.4,
        panel=panel,
        charger=charger,
        plugged=Diurnal(1, 0.0, 1.0),
        idle=lambda nodes: np.full(len(nodes), watts),
    )


def test_a_battery_is_fullest_in_the_afternoon_and_emptiest_at_dawn() -> None:
    levels = [float(battery().levels(NODES[:500], (96 + hour) * HOUR).mean()) for hour in range(24)]
    assert 13 <= int(np.argmax(levels)) <= 18
    assert 5 <= int(np.argmin(levels)) <= 8
    assert all(0 <= level <= 1 for level in levels)


def test_by_hand_a_battery_without_sun_is_drained_by_idling() -> None:
    level = battery(panel=0.0, watts=0.1).levels(NODES[:3], 100 * HOUR)
    assert np.allclose(level, 0.5 - 72 * 0.1 / 20)
    assert (battery(panel=0.0, watts=1.0).levels(NODES[:3], 100 * HOUR) == 0).all()


def test_a_charger_fills_it_at_night() -> None:
    filled = battery(panel=0.0, charger=5.0)
    nightly, daily = (float(filled.levels(NODES[:500], at * HOUR).mean()) for at in (100, 112))
    assert nightly > daily + 0.2


def test_work_drains_it_and_is_forgotten_after_three_days() -> None:
    def drains(nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.flatnonzero(nodes == 3), np.array([97.5 * HOUR]), np.array([2 * HOUR])

    plain, idle = battery(panel=0.0, watts=0.0), np.array([2, 3])
    worked = Battery(**{**plain.__dict__, "drains": drains})
    assert worked.levels(idle, 100 * HOUR).tolist() == [0.5, 0.4]
    assert worked.levels(idle, 97 * HOUR).tolist() == [0.5, 0.5]
    assert worked.levels(idle, 171 * HOUR).tolist() == [0.5, 0.5]


NAMES = ("attic", "barn")


def written(folder: Path, text: str, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_csv_and_a_toml_file_say_the_same(tmp_path: Path) -> None:
    table = '[[online]]\ndevice = "barn"\nfrom = 1\nuntil = 2.5\n'
    for path in (
        written(tmp_path, "device,from,until\nbarn,1,2.5\n"),
        written(tmp_path, table, "trace.toml"),
    ):
        trace = load(path, NAMES, 2, 0.0)
        found = [trace.online(np.array([2, 3]), at * HOUR).tolist() for at in (0.5, 1.0, 2.5)]
        assert found == [[False, False], [False, True], [False, False]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("who,from,until\n", "line 1: the header is device,from,until"),
        ("device,from,until\ncellar,1,2\n", "line 2: no device 'cellar' in this data"),
        ("device,from,until\nbarn,1\n", "line 2: 2 columns instead of 3"),
        ("device,from,until\nbarn,one,2\n", "line 2: 'one' is no number of hours"),
        ("device,from,until\nbarn,3,2\n", "line 2: from 3 until 2"),
        ("device,from,until\nbarn,1,nan\n", "line 2: from 1 until nan"),
        ("device,from,until\nbarn,1,25\n", "line 2: until hour 25, and it begins again after 24"),
        ("device,from,until\n", "no device is ever online"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text), NAMES, 2, 24.0)
    assert said in str(caught.value)


def test_a_toml_file_has_no_other_keys(tmp_path: Path) -> None:
    path = written(tmp_path, '[[online]]\ndevice = "barn"\nfrom = 1\n', "trace.toml")
    with pytest.raises(ConfigError, match="has device, from, until and nothing else"):
        load(path, NAMES, 2, 0.0)
