from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM

from bent_grid import BentGrid, Losses
from covey import plan as plans
from covey.arrays import Parameters, digest, layout_of
from covey.errors import InputError, RoundAborted, TooFewDevices
from covey.plan import Plan, Train
from covey.seeds import derive
from covey_models.training import Local, load, train
from covey_simulations.grid import InProcessGrid
from covey_strategies.asking import Asking
from covey_strategies.exchange import Settled
from covey_strategies.private import Private, Recipes
from covey_strategies.wire import from_record, to_record
from digits_fleet import (
    FEW,
    GRADIENT,
    INNER,
    NOISY,
    SIZES,
    TRAIN,
    VALIDATE,
    Flock,
    MemoryBook,
    asking,
    crowd,
    dealt,
    empty,
    flock,
    masked,
    parameters,
    private,
    rounds,
)

ROUNDS = range(1, 4)


def plain_grid(fleet: Flock, task: Train) -> InProcessGrid:
    """The same devices behind a conventional ClientApp: arrays and their number of examples in clear."""
    app = ClientApp()

    @app.train()
    def fit(message: Message, context: Context) -> Message:
        device = fleet.devices[context.node_id]
        record, config = message.content["arrays"], message.content["config"]
        assert isinstance(record, ArrayRecord)
        assert isinstance(config, ConfigRecord)
        server_round, mu = config["server-round"], config.get("proximal-mu", 0.0)
        assert isinstance(server_round, int)
        assert isinstance(mu, float)
        load(device.network, from_record(record))
        wanted = msgspec.structs.replace(task, proximal_mu=mu)
        local = Local(device.data.train, None, device.model.augment)
        trained = train(device.network, local, wanted, derive(device.seed, "train", server_round))
        metrics = MetricRecord({"num-examples": len(device.data.train), "train_loss": trained.loss})
        return Message(
            RecordDict({"arrays": to_record(trained.parameters), "metrics": metrics}), reply_to=message
        )

    return InProcessGrid(app, fleet.devices)


def assert_close(found: Parameters, expected: Parameters) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-6, err_msg=name)


def moved(before: Parameters, after: Parameters) -> float:
    """Length of the difference of two models."""
    layout = layout_of(before)
    return float(np.linalg.norm(layout.flatten(after) - layout.flatten(before)))


def hidden(fleet: Flock, **settings: object) -> Asking:
    """A run with masks on; three of ten devices may drop out."""
    book = settings.pop("book", None)
    assert book is None or isinstance(book, MemoryBook)
    return asking(minimum=0, protection=masked(fleet, **settings), book=book)


FLEETS: dict[str, tuple[Callable[[], Flock], Callable[[Flock], Asking]]] = {
    "in clear": (flock, lambda _: asking()),
    "masked": (crowd, hidden),
}


@pytest.mark.parametrize("name", INNER)
@pytest.mark.parametrize("way", FLEETS)
def test_private_does_what_the_plain_strategy_does(name: str, way: str) -> None:
    make, asked = FLEETS[way]
    fleet = make()
    plain = rounds(INNER[name](), plain_grid(fleet, TRAIN), parameters(), ROUNDS)
    found = rounds(private(INNER[name](), asked=asked(fleet)), fleet.grid, parameters(), ROUNDS)
    assert moved(parameters(), plain) > 0.05
    assert_close(found, plain)


@pytest.mark.parametrize(
    ("way", "name"), [*(("in clear", name) for name in INNER), ("masked", "FedAvg"), ("masked", "FedAdam")]
)
def test_flowers_own_loop_runs_private(name: str, way: str) -> None:
    make, asked = FLEETS[way]
    fleet = make()
    expected = rounds(private(INNER[name](), asked=asked(fleet)), fleet.grid, parameters(), ROUNDS)
    strategy = private(INNER[name](), asked=asked(fleet))
    result = strategy.start(fleet.grid, to_record(parameters()), num_rounds=len(ROUNDS))
    assert_close(from_record(result.arrays), expected)
    assert list(result.evaluate_metrics_clientapp) == list(ROUNDS)
    last = result.evaluate_metrics_clientapp[ROUNDS[-1]]
    assert set(last) == {"accuracy", "loss"}


@pytest.mark.parametrize("noise", [{}, NOISY], ids=["quiet", "noisy"])
def test_masks_change_nothing_in_a_run(noise: dict[str, object]) -> None:
    """Bit for bit: in the model of each round, and in what Flower's loop reports."""
    fleet = crowd()
    runs = {
        masks: private(INNER["FedAdam"](), asked=hidden(fleet, masks=masks, **noise)).start(
            fleet.grid, to_record(parameters()), num_rounds=2
        )
        for masks in ("on", "elided", "none")
    }
    assert len({digest(from_record(result.arrays)) for result in runs.values()}) == 1
    assert len({str(result.evaluate_metrics_clientapp) for result in runs.values()}) == 1


def test_the_book_of_a_run_has_every_sum_in_order() -> None:
    fleet, book = crowd(), MemoryBook()
    strategy = private(INNER["FedAvg"](), asked=hidden(fleet, book=book))
    strategy.start(fleet.grid, to_record(parameters()), num_rounds=2)
    assert book.told == ["reserve", "settle"] * 4
    asked = [plan for event, plan in book.events if event == "reserve"]
    assert [(plan.sum, plan.round, plans.kind(plan)) for plan in asked] == [
        (1, 1, "train"),
        (2, 1, "validate"),
        (3, 2, "train"),
        (4, 2, "validate"),
    ]


def test_a_run_goes_on_while_devices_come_and_go() -> None:
    fleet, book = crowd(), MemoryBook()
    strategy = private(INNER["FedAvg"](), asked=hidden(fleet, book=book, **NOISY))
    model = parameters()
    for number, stage in enumerate(("advertise", "share", "masked", "consistency", "unmask"), start=1):
        grid = BentGrid(fleet.participants, Losses({stage: [number + 1, number + 2]}))
        model = rounds(strategy, grid, model, range(number, number + 1))
    assert [settled.devices for settled in book.settled] == [10, 10, 10, 12, 12]
    assert all(np.isfinite(value).all() for value in model.values())


def test_a_step_of_dp_sgd_moves_the_model_down() -> None:
    fleet = crowd()
    asked = hidden(fleet, unit="example")
    strategy = private(INNER["FedAvg"](), GRADIENT, asked=asked)
    losses = []
    model = parameters()
    for number in range(1, 7):
        model = rounds(strategy, fleet.grid, model, range(number, number + 1))
        assert strategy.train_sum is not None
        losses.append(strategy.train_sum.loss)
    assert sum(losses[3:]) < sum(losses[:3])


def test_the_summary_says_what_protects(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="flwr"):
        private(INNER["FedAvg"](), asked=hidden(crowd(), **NOISY)).summary()
        private(INNER["FedAvg"]()).summary()
    assert "masks on, noise on, unit device" in caplog.text
    assert "masks none, noise none, unit device" in caplog.text


def test_the_plain_metrics_are_the_private_ones() -> None:
    fleet = flock()
    plain, closed = INNER["FedAvg"](), private(INNER["FedAvg"]())
    grid = plain_grid(fleet, TRAIN)
    messages = plain.configure_train(1, to_record(parameters()), ConfigRecord(), grid)
    _, expected = plain.aggregate_train(1, grid.send_and_receive(messages))
    messages = closed.configure_train(1, to_record(parameters()), ConfigRecord(), fleet.grid)
    _, found = closed.aggregate_train(1, fleet.grid.send_and_receive(messages))
    assert expected is not None
    assert found is not None
    assert dict(found) == pytest.approx(dict(expected), abs=1e-6)
    assert closed.train_sum is not None
    assert closed.train_sum.loss == pytest.approx(found["train_loss"])


def test_proximal_mu_reaches_the_devices_and_holds_them_back() -> None:
    fleet = flock()
    strategy = private(INNER["FedProx"]())
    (message, *_) = strategy.configure_train(1, to_record(parameters()), ConfigRecord(), fleet.grid)
    plan = plans.from_bytes(message.content["plan"]["plan"])  # type: ignore[arg-type]
    assert isinstance(plan.task, Train)
    assert plan.task == msgspec.structs.replace(TRAIN, proximal_mu=1.0)
    free = rounds(private(INNER["FedAvg"]()), fleet.grid, parameters(), ROUNDS)
    held = rounds(private(INNER["FedProx"]()), fleet.grid, parameters(), ROUNDS)
    assert moved(parameters(), held) < 0.99 * moved(parameters(), free)


def test_weighting_by_devices_is_the_plain_mean() -> None:
    fleet = flock()
    task = msgspec.structs.replace(TRAIN, weighting="devices")
    # a sum over one device is refused: each device stands beside its own double
    doubled = [replace(fleet, devices={node: device, 99: device}) for node, device in fleet.devices.items()]
    alone = [
        rounds(
            private(INNER["FedAvg"](), task, asked=asking(minimum=2)), pair.grid, parameters(), range(1, 2)
        )
        for pair in doubled
    ]
    found = rounds(private(INNER["FedAvg"](), task), fleet.grid, parameters(), range(1, 2))
    assert_close(found, {name: np.mean([each[name] for each in alone], axis=0) for name in found})


def test_a_cap_below_the_counts_evens_the_weights() -> None:
    capped = msgspec.structs.replace(TRAIN, examples_cap=12)
    even = msgspec.structs.replace(TRAIN, weighting="devices")
    found = rounds(private(INNER["FedAvg"](), capped), flock().grid, parameters(), range(1, 2))
    assert_close(found, rounds(private(INNER["FedAvg"](), even), flock().grid, parameters(), range(1, 2)))


def test_a_device_without_examples_has_no_weight() -> None:
    expected = rounds(private(INNER["FedAvg"]()), flock().grid, parameters(), range(1, 2))
    with_empty = flock([*dealt(), empty()])
    assert_close(rounds(private(INNER["FedAvg"]()), with_empty.grid, parameters(), range(1, 2)), expected)
    assert with_empty.logs == {2: [], 3: [], 4: [], 5: []}


def test_a_fleet_without_any_example_ends_the_round() -> None:
    with pytest.raises(RoundAborted, match="no device contributed anything"):
        rounds(private(INNER["FedAvg"]()), flock([empty(), empty()]).grid, parameters(), range(1, 2))


def test_updates_are_clipped_before_they_are_weighed() -> None:
    task = msgspec.structs.replace(TRAIN, update_clip=0.01)
    found = rounds(private(INNER["FedAvg"](), task), flock().grid, parameters(), range(1, 2))
    assert 0.005 < moved(parameters(), found) <= 0.01


@dataclass
class Recording(FedAvg):
    """Remembers how often it was asked to aggregate, and with what."""

    seen: list[list[Message]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(**FEW)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        self.seen.append(list(replies))
        return super().aggregate_train(server_round, self.seen[-1])


def silenced(fleet: Flock, nodes: set[int]) -> InProcessGrid:
    """The fleet's grid, on which some nodes only answer with an error."""
    answering = fleet.grid

    def app(message: Message, context: Context) -> Message:
        if context.node_id in nodes:
            return Message(Error(7, "no power"), reply_to=message)
        (reply,) = answering.send_and_receive([message])
        return reply

    class Mixed(ClientApp):
        def __call__(self, message: Message, context: Context) -> Message:
            return app(message, context)

    return InProcessGrid(Mixed(), fleet.devices)


def test_too_few_devices_end_the_round_before_anything_is_opened() -> None:
    fleet, inner = flock(), Recording()
    book = MemoryBook()
    strategy = private(inner, asked=asking(book=book))
    grid = silenced(fleet, {2, 4})
    messages = strategy.configure_train(1, to_record(parameters()), ConfigRecord(), grid)
    with pytest.raises(TooFewDevices, match=r"round 1: 1 of 3 devices answered, the minimum is 2") as caught:
        strategy.aggregate_train(1, grid.send_and_receive(messages))
    assert "first refusal: node 2: no power" in caught.value.message
    assert caught.value.hint
    assert inner.seen == []
    assert book.told == ["reserve", "abort"]
    assert strategy.train_sum is None


def test_a_silent_device_is_not_missed() -> None:
    fleet, inner = flock(), Recording()
    book = MemoryBook()
    strategy = private(inner, asked=asking(book=book))
    found = rounds(strategy, silenced(fleet, {3}), parameters(), range(1, 2))
    without = Flock({node: device for node, device in fleet.devices.items() if node != 3})
    assert_close(found, rounds(private(INNER["FedAvg"]()), without.grid, parameters(), range(1, 2)))
    assert (book.events[0][1].cohort, book.settled[0].devices) == (3, 2)
    assert strategy.train_sum is not None
    assert strategy.train_sum.refused == ("node 3: no power",)


def test_the_inner_strategy_sees_one_reply_and_no_count() -> None:
    inner = Recording()
    found = rounds(private(inner), flock().grid, parameters(), range(1, 2))
    (((reply,),)) = inner.seen
    assert digest(from_record(reply.content["arrays"])) == digest(found)  # type: ignore[arg-type]
    metrics = reply.content["metrics"]
    assert isinstance(metrics, MetricRecord)
    assert set(metrics) == {"num-examples", "train_loss"}
    assert metrics["num-examples"] == 1


def test_a_sum_is_written_down_before_the_inner_strategy_sees_it() -> None:
    inner = Recording()
    order: list[int] = []

    class Watching(MemoryBook):
        def settle(self, plan: Plan, settled: Settled) -> None:
            order.append(len(inner.seen))
            super().settle(plan, settled)

    rounds(private(inner, asked=asking(book=Watching())), flock().grid, parameters(), range(1, 3))
    assert order == [0, 1]


def test_answers_are_summed_once() -> None:
    fleet, strategy = flock(), private(INNER["FedAvg"]())
    messages = strategy.configure_train(1, to_record(parameters()), ConfigRecord(), fleet.grid)
    answered = list(fleet.grid.send_and_receive(messages))
    strategy.aggregate_train(1, answered)
    with pytest.raises(TypeError, match="nothing was asked"):
        strategy.aggregate_train(1, answered)


def test_answers_to_training_are_no_validation() -> None:
    fleet, strategy = flock(), private(INNER["FedAvg"]())
    messages = strategy.configure_evaluate(1, to_record(parameters()), ConfigRecord(), fleet.grid)
    with pytest.raises(TypeError, match="without configure_train"):
        strategy.aggregate_train(1, fleet.grid.send_and_receive(messages))


def test_nothing_but_the_plan_and_the_model_is_sent() -> None:
    fleet, strategy = flock(), private(INNER["FedProx"]())
    told = ConfigRecord({"secret": "of the caller"})
    for configure in (strategy.configure_train, strategy.configure_evaluate):
        messages = list(configure(1, to_record(parameters()), told, fleet.grid))
        assert [message.metadata.dst_node_id for message in messages] == [2, 3, 4]
        for message in messages:
            assert set(message.content) == {"model", "plan"}
            assert set(message.content["plan"]) == {"plan"}


def test_only_the_drawn_cohort_is_asked() -> None:
    fleet = flock(dealt([12] * 6))
    strategy = private(INNER["FedAvg"](), asked=asking(size=3))
    asked = [
        [message.metadata.dst_node_id for message in configured]
        for number in range(1, 6)
        if (
            configured := list(
                strategy.configure_train(number, to_record(parameters()), ConfigRecord(), fleet.grid)
            )
        )
    ]
    assert all(len(nodes) == 3 for nodes in asked)
    assert len({tuple(nodes) for nodes in asked}) > 1


def test_a_cohort_that_flower_would_wait_for_is_refused() -> None:
    fleet = flock()
    strategy = private(FedAvg(min_available_nodes=4))
    with pytest.raises(TooFewDevices, match="a cohort of 3, and the inner FedAvg wants 4"):
        strategy.configure_train(1, to_record(parameters()), ConfigRecord(), fleet.grid)


def test_an_inner_strategy_that_samples_is_refused() -> None:
    with pytest.raises(InputError, match=r"the inner FedAvg asks a fraction of 0\.5"):
        private(FedAvg(fraction_train=0.5))


def test_the_validation_counts_are_kept() -> None:
    fleet, strategy = flock(), private(INNER["FedAvg"]())
    messages = strategy.configure_evaluate(1, to_record(parameters()), ConfigRecord(), fleet.grid)
    metrics = strategy.aggregate_evaluate(1, fleet.grid.send_and_receive(messages))
    assert strategy.validate_sum is not None
    assert strategy.validate_sum.confusion.sum() == pytest.approx(sum(SIZES))
    assert metrics is not None
    assert metrics["accuracy"] == strategy.validate_sum.accuracy


def with_rate(inner: FedAvg, rate: float) -> Parameters:
    strategy = Private(inner, asking(), Recipes(lambda _: TRAIN, VALIDATE, lambda _: rate))
    return rounds(strategy, flock().grid, parameters(), range(1, 2))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("constructed", [1.0, 0.3])
def test_the_servers_rate_of_the_round_counts(momentum: float, constructed: float) -> None:
    full = rounds(private(INNER["FedAvg"]()), flock().grid, parameters(), range(1, 2))
    inner = FedAvgM(server_learning_rate=constructed, server_momentum=momentum, **FEW)
    half = with_rate(inner, 0.5)
    assert moved(parameters(), half) == pytest.approx(moved(parameters(), full) / 2, rel=1e-4)


def test_adams_rate_of_the_round_counts() -> None:
    expected = with_rate(FedAdam(eta=0.1, tau=0.02, **FEW), 0.1)
    assert_close(with_rate(FedAdam(eta=0.7, tau=0.02, **FEW), 0.1), expected)
    assert moved(with_rate(FedAdam(eta=0.7, tau=0.02, **FEW), 0.01), expected) > 0.01


def test_a_strategy_without_a_rate_keeps_to_itself() -> None:
    inner = FedAvg(**FEW)
    with_rate(inner, 0.5)
    assert not hasattr(inner, "eta")
    assert not hasattr(inner, "server_learning_rate")


def test_the_inner_strategy_is_shown_the_cohort_only() -> None:
    class Curious(FedAvg):
        shown: tuple[int, ...] = ()

        def configure_train(
            self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
        ) -> Iterable[Message]:
            self.shown = tuple(grid.get_node_ids())
            return super().configure_train(server_round, arrays, config, grid)

    inner = Curious(**FEW)
    fleet = flock(dealt([12] * 5))
    strategy = private(inner, asked=asking(size=2))
    messages = list(strategy.configure_train(1, to_record(parameters()), ConfigRecord(), fleet.grid))
    assert inner.shown == tuple(message.metadata.dst_node_id for message in messages)
