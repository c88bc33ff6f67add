from pathlib import Path

import msgspec
import pytest

from covey_server import summary
from covey_server.summary import Summary, privacy_of
from sum_rows import noise, recomputed, reserve, settled

DELTA = 1e-5
SUMS = [reserve(1, "statistics", elements=13), reserve(2), reserve(3, "validate", elements=50)]


def test_epsilon_is_rounded_up_and_never_below_what_another_library_finds() -> None:
    rows = settled(SUMS)
    found = privacy_of(rows, DELTA)
    for told, view in ((found.epsilon_server, "server"), (found.epsilon_release, "release")):
        assert told is not None
        expected = recomputed(rows, DELTA, view)  # type: ignore[arg-type]
        assert expected - 1e-9 <= told <= expected + 0.001 + 1e-9
        assert round(told, 3) == told


def test_the_statement_says_what_holds() -> None:
    found = privacy_of(settled([row | {"noise": noise(seeded=False)} for row in SUMS]), DELTA)
    assert found.statement == (
        "masked sums: the server saw no single answer; "
        f"ε = {found.epsilon_server} against the server, {found.epsilon_release} for the release, "
        "δ = 1e-05, unit device"
    )
    assert (found.masks, found.noise, found.simulated, found.unit) == ("on", "skellam", False, "device")
    assert found.sums == {"statistics": 1, "train": 1, "validate": 1}
    assert found.unopened == 0


def test_seeded_noise_is_said_to_protect_nobody() -> None:
    found = privacy_of(settled(SUMS), DELTA)
    assert found.simulated
    assert found.statement.endswith(
        "; SIMULATION: noise from a seed protects nobody; the same settings on a fleet give these ε"
    )


def test_no_noise_and_no_masks_are_shouted() -> None:
    found = privacy_of(settled([row | {"noise": None, "masks": "none"} for row in SUMS]), DELTA)
    assert found.statement == ("NO MASKS: the server saw every answer; NO NOISE: no differential privacy")
    assert (found.masks, found.noise) == ("none", "none")
    assert (found.epsilon_server, found.epsilon_release) == (None, None)


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ("on", "masked sums: the server saw no single answer; NO NOISE"),
        ("elided", "masks elided: a simulation that skips them; NO NOISE"),
        ("none", "NO MASKS: the server saw every answer; NO NOISE"),
    ],
)
def test_what_masks_did_is_said_apart_from_noise(masks: str, said: str) -> None:
    rows = settled([row | {"noise": None, "masks": masks} for row in SUMS])
    assert privacy_of(rows, DELTA).statement.startswith(said)


def test_without_masks_noise_is_still_claimed_and_the_missing_masks_shouted() -> None:
    statement = privacy_of(settled([row | {"masks": "none"} for row in SUMS]), DELTA).statement
    assert statement.startswith("NO MASKS: the server saw every answer; ε = ")


@pytest.mark.parametrize("name", ["skellam", "discrete-gaussian"])
def test_the_law_of_the_noise_is_named(name: str) -> None:
    assert privacy_of(settled([reserve(1, noise=noise(mechanism=name))]), DELTA).noise == name


def made(folder: Path) -> Summary:
    return Summary(
        name="a",
        simulation=False,
        model="digits",
        rounds=3,
        devices=20,
        privacy=privacy_of(settled(SUMS), DELTA),
        accuracy_federated=0.5,
        accuracy_central=None,
        accuracy_fp32=None,
        accuracy_int8=None,
        model_sha256="ab" * 32,
        package=str(folder / "a.covey"),
        package_bytes=3,
        latency_p50_us=None,
        seconds=1.5,
    )


def test_a_summary_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    summary.write(made(tmp_path), path)
    assert summary.read(path) == made(tmp_path)
    told = msgspec.json.decode(path.read_bytes())
    assert list(told) == [field.name for field in msgspec.structs.fields(Summary)]
    assert told["privacy"]["epsilon_server"] == made(tmp_path).privacy.epsilon_server
    assert told["accuracy_central"] is None
    assert path.read_text("utf-8").endswith("}\n")
