"""What a run says of itself says no more than holds of its worst sum."""

from dataclasses import replace

import msgspec
import pytest

from covey.claim import privacy_of
from covey.plan import CentralNoise, Masks, Noise
from covey.spending import Asked, Ended, spent

NOISE = Noise(mechanism="skellam", variance=36_000_000, removal=False, seeded=False)
ASKED = Asked(
    run="run",
    sum=1,
    cohort_number=0,
    kind="train",
    unit="device",
    cohort=12,
    minimum=9,
    corrupt=1,
    length=5,
    norm=1000,
    sampling_rate=1.0,
    masks="on",
    noise=NOISE,
)
SUMS = [(ASKED, Ended(12, 12)), (replace(ASKED, sum=2), None)]


def test_figures_and_words_follow_from_the_sums() -> None:
    found, cost = privacy_of(SUMS, 1e-5), spent(SUMS, 1e-5)
    assert cost.server is not None
    assert found.epsilon_server is not None
    assert 0 <= found.epsilon_server - cost.server.value < 1e-3
    assert (found.sums, found.unopened, found.noise) == ({"train": 2}, 1, "skellam")
    assert found.statement == (
        f"masked sums: the server saw no single answer; ε = {found.epsilon_server} against the server,"
        f" {found.epsilon_release} for the release, δ = 1e-05, unit device"
    )


@pytest.mark.parametrize(("masks", "words"), [("none", "NO MASKS"), ("elided", "masks elided")])
def test_one_sum_with_less_masking_is_what_the_whole_run_says(masks: Masks, words: str) -> None:
    for sums in (
        [SUMS[0], (replace(ASKED, sum=2, masks=masks), None)],
        [(replace(ASKED, masks=masks), None)],
    ):
        found = privacy_of(sums, 1e-5)
        assert found.masks == masks
        assert found.statement.startswith(words)


def test_one_sum_without_noise_leaves_the_whole_run_without_a_claim() -> None:
    found = privacy_of([*SUMS, (replace(ASKED, sum=3, noise=None), None)], 1e-5)
    assert (found.noise, found.epsilon_server, found.epsilon_release) == ("none", None, None)
    assert found.statement.endswith("NO NOISE: no differential privacy")


def test_seeded_noise_is_said_to_protect_nobody() -> None:
    seeded = Noise(mechanism="skellam", variance=36_000_000, removal=False, seeded=True)
    found = privacy_of([*SUMS, (replace(ASKED, sum=3, noise=seeded), None)], 1e-5)
    assert found.simulated
    assert "SIMULATION" in found.statement


CENTRAL = CentralNoise(variance=36_000_000, bands=1, separation=1, seeded=False)


def test_noise_of_the_servers_gives_a_claim_to_outsiders_and_none_against_it() -> None:
    sums = [(replace(asked, noise=None, central=CENTRAL, masks="elided"), end) for asked, end in SUMS]
    found = privacy_of(sums, 1e-5)
    assert (found.noise, found.epsilon_server, found.is_central) == ("central", None, True)
    assert found.epsilon_release is not None
    assert found.statement == (
        "masks elided: a simulation that skips them; THE SERVER ADDS THE NOISE and is trusted with every sum"
        f" (central DP): no ε against it; ε = {found.epsilon_release} for the release if it does as it"
        " should, δ = 1e-05, unit device; SIMULATION ONLY: no fleet is offered this"
    )
    seeded = [
        (replace(asked, central=msgspec.structs.replace(CENTRAL, seeded=True)), end) for asked, end in sums
    ]
    assert privacy_of(seeded, 1e-5).statement.endswith("and this noise came from a seed")


def test_one_sum_of_the_servers_noise_takes_the_claim_against_it_from_all() -> None:
    found = privacy_of([*SUMS, (replace(ASKED, sum=3, noise=None, central=CENTRAL), None)], 1e-5)
    assert (found.noise, found.epsilon_server) == ("central", None)
    assert "no ε against it" in found.statement
