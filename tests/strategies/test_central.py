"""Noise of a trusted server: what it adds to a sum, over rounds, and who may be asked when."""

from dataclasses import replace

import numpy as np
import pytest
from flwr.app import ConfigRecord
from msgspec import UNSET

import line_fleet as line
from covey import encode
from covey.errors import InputError
from covey.noise.gaussian import gaussian
from covey.plan import CentralNoise
from covey.seeds import key
from covey_strategies.beside import Arrays
from covey_strategies.central import Central, ServerNoise
from covey_strategies.cohort import in_turn
from covey_strategies.exchange import Settled
from covey_strategies.private import Private
from covey_strategies.protection import Protection
from covey_strategies.wire import to_record
from digits_fleet import MemoryBook, plan_of, rounds
from line_fleet import START, flat, gradient

EXAMPLES = {node: (0.25 * node - 1.0, node % 2) for node in range(2, 10)}
"""Eight devices."""
TERMS = Central(bands=3, separation=4)
LENGTH = 5
"""Four parameters and a loss."""


def strategy(
    central: Central, *, book: MemoryBook | None = None, size: int = 2, seed: int | None = 7
) -> Private:
    protection = Protection(
        multipliers={"train": 0.5, "validate": 0.5}, sensitivity=1 << 20, central=central, seeded=True
    )
    return line.private(
        line.TRAIN,
        protection=protection,
        size=size,
        server_noise=ServerNoise(seed),
        book=book or MemoryBook(),
    )


def fresh(number: int) -> np.ndarray:
    """z of a round, in integer units."""
    return gaussian(0.5 * (1 << 20), LENGTH, key(7, "server noise", number, "train", 2, 0))


def test_four_rounds_by_hand() -> None:
    """x_t + n_t with n_t = z_t - n_{t-1}/2 - 3 n_{t-2}/8, and the mean over the two that were asked."""
    book = MemoryBook()
    private, grid, model = strategy(TERMS, book=book), line.grid(line.devices(EXAMPLES)), START
    expected, noises = flat(START), [np.zeros(LENGTH)] * 2
    for number in range(1, 5):
        updates = []
        for node in in_turn(EXAMPLES, 2, 4, 5, number):
            y = expected.copy()
            for _ in range(2):
                y = y - 0.5 * gradient(y, *EXAMPLES[node])
            updates.append(y - expected)
        noises.insert(0, fresh(number) - noises[0] / 2 - 3 * noises[1] / 8)
        model = rounds(private, grid, model, range(number, number + 1))
        scale = next(part.scale for part in book.events[-1][1].parts if part.name == "update")
        expected = expected + (np.sum(updates, axis=0) + noises[0][:4] / scale) / 2
        np.testing.assert_allclose(flat(model), expected, atol=2e-3)  # rounding to 2^20 units of norm 100
    assert np.linalg.norm(noises[0][:4]) / scale > 10  # the noise is what was compared


def test_the_plan_says_whose_noise_it_is_and_devices_add_none() -> None:
    private = strategy(TERMS)
    private.configure_train(1, to_record(START), ConfigRecord(), line.grid(line.devices(EXAMPLES)))
    plan = plan_of(line.open_question(private))
    assert plan.noise is None
    assert plan.central == CentralNoise(variance=1 << 38, bands=3, separation=4, seeded=True)
    assert plan.norm == 1 << 20


def test_only_training_is_correlated() -> None:
    private = strategy(TERMS)
    grid, book = line.grid(line.devices(EXAMPLES)), private.asking.book
    messages = private.configure_evaluate(1, to_record(START), ConfigRecord(), grid)
    private.aggregate_evaluate(1, grid.send_and_receive(messages))
    assert isinstance(book, MemoryBook)
    (_, plan), *_ = book.events
    assert plan.central == CentralNoise(variance=1 << 38, bands=1, separation=1, seeded=True)
    (settled,) = book.settled
    assert np.abs(settled.total).max() > 1 << 17  # what is written down has the noise in it


def test_a_sum_without_it_stays_as_it_is() -> None:
    plan = plan_of(line.asked(line.private(line.TRAIN)))
    assert plan.central is UNSET
    settled = Settled(encode.zero(plan.parts), 3, 3, 3, 0, None)
    assert ServerNoise(1).added(plan, settled) is settled


def test_without_a_seed_it_is_another_every_time() -> None:
    plan = plan_of(line.asked(strategy(Central(), size=0)))
    settled = Settled(encode.zero(plan.parts), 3, 3, 3, 0, None)
    drawn = [ServerNoise(seed).added(plan, settled).total.tolist() for seed in (1, 1, None, None)]
    assert drawn[0] == drawn[1]
    assert drawn[2] != drawn[3]


def test_a_run_that_is_gone_on_with_comes_to_the_same() -> None:
    whole = rounds(strategy(TERMS), line.grid(line.devices(EXAMPLES)), START, range(1, 7))
    first, grid = strategy(TERMS), line.grid(line.devices(EXAMPLES))
    model = rounds(first, grid, START, range(1, 4))
    saved: Arrays = first.saved()
    rounds(first, grid, model, range(4, 5))  # lost
    again = strategy(TERMS)
    again.restore(dict(saved))
    found = rounds(again, line.grid(line.devices(EXAMPLES)), model, range(4, 7))
    np.testing.assert_array_equal(flat(found), flat(whole))


@pytest.mark.parametrize(("devices", "size", "separation"), [(8, 2, 4), (9, 2, 4), (11, 3, 3), (7, 7, 1)])
def test_nobody_is_asked_again_too_soon_and_everybody_as_often(
    devices: int, size: int, separation: int
) -> None:
    last: dict[int, int] = {}
    often = dict.fromkeys(range(2, 2 + devices), 0)
    for number in range(1, 1 + 5 * devices):
        cohort = in_turn(often, size, separation, 3, number)
        assert len(set(cohort)) == size
        for node in cohort:
            assert number - last.get(node, -devices) >= separation
            last[node] = number
            often[node] += 1
    assert set(often.values()) == {5 * size}


def test_a_fleet_too_small_to_rest_says_what_to_change() -> None:
    with pytest.raises(InputError, match="of 8 devices 3 a round are asked every 2 rounds") as caught:
        in_turn(EXAMPLES, 3, 4, 3, 1)
    assert caught.value.hint == (
        "lower federation.devices_per_round to 2, or noise_separation and noise_bands to 2"
    )


def test_a_fleet_that_changes_is_found_out() -> None:
    """Another order of whoever is there could ask someone again too soon: the claim would not hold."""
    noise = ServerNoise(1)
    noise.ask([2, 3], 1, TERMS)
    noise.ask([4, 5], 2, TERMS)
    noise.ask([4, 5], 2, TERMS)  # the same round once more: it is counted as asked again
    again = ServerNoise(1)
    again.restore(noise.saved())
    for each in (noise, again):
        with pytest.raises(InputError, match="node 3 was asked in round 1"):
            each.ask([6, 3], 4, TERMS)
    noise.ask([2, 3], 5, TERMS)


def test_correlated_noise_takes_one_sum_a_round() -> None:
    private = strategy(Central(2, 2), size=4)
    private.asking = replace(private.asking, protection=replace(private.asking.protection, largest=2))
    with pytest.raises(InputError, match="one sum a round, and this round has 2"):
        rounds(private, line.grid(line.devices(EXAMPLES)), START, range(1, 2))
