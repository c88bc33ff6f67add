"""A Flower app in the shape of its quickstart, as it was and made private: what changes, and what leaves."""

import difflib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, FedAvgM

from covey.errors import ConfigError, InputError, RoundAborted
from covey_client.budget import FileJournal
from covey_client.claims import FileClaims
from covey_client.in_process import InProcess
from covey_client.mod import Names, private_mod
from covey_client.participant import Participant
from covey_client.seeds import SystemSeeds
from covey_client.simulated import simulated_app
from covey_io.device_keys import read_keys
from covey_server.native import private
from covey_server.run_folder import RunFolder
from covey_strategies.queries.device import Device
from covey_strategies.wire import REFUSED
from digits_fleet import cut
from flower_programs import BIN, CONNECTION, environment, free_port, group_members, running, wait_for_port
from quickstart_app import DEVICES, EXAMPLE, NOISY, RUN, Place, WatchedGrid, app_of, flat, model_of

ROOT = Path(__file__).parents[2]
FREE = "noise = false"
RATE = ConfigRecord({"lr": 0.1})
SECRET = "the patient's name"

App = Callable[[Message, Context], Message]


def initial() -> ArrayRecord:
    """The model that the app's server begins with."""
    torch.manual_seed(0)
    return ArrayRecord(model_of().build().state_dict())


def flat_record(record: ArrayRecord) -> Any:
    return flat({name: array.numpy() for name, array in record.items()})


def rows(place: Place, event: str) -> list[dict[str, Any]]:
    found = RunFolder.open(place.folder / "runs/quickstart").sum_rows()
    return [row for row in found if row["event"] == event]


def started(place: Place, grid: WatchedGrid, inner: FedAvg | None = None, **changes: Any) -> Any:
    """The server half of the private app, with its figures."""
    settings = {"num_rounds": place.rounds, "train_config": RATE, **changes}
    strategy = private(inner or FedAvg(), model_of(), place.context())
    return strategy.start(grid=grid, initial_arrays=settings.pop("arrays", initial()), **settings)


def audited(place: Place) -> subprocess.CompletedProcess[str]:
    """By a reviewer, who asks the witness for the newest head."""
    words = (
        *("audit", "runs/quickstart", "--reviewer", "keys/reviewer/reviewer.vkey"),
        *("--enrolment", "keys/operator/enrolment.pub", "--witnessed", "keys/witness"),
    )
    return subprocess.run(
        [str(BIN / "covey"), *words],
        cwd=place.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def wrapped(train: App | None = None, evaluate: App | None = None, names: Names | None = None) -> ClientApp:
    """An app of these functions behind the mod."""
    app = ClientApp(mods=[private_mod(model_of(), names)])
    app.train()(train or echo)
    app.evaluate()(evaluate or echo)
    return app


def echo(message: Message, context: Context) -> Message:
    """The model as it came, of ten examples."""
    del context
    metrics = MetricRecord({"num-examples": 10, "train_loss": 1.0, "eval_acc": 0.5, "eval_loss": 1.0})
    return Message(RecordDict({"arrays": message.content["arrays"], "metrics": metrics}), reply_to=message)


def test_masked_means_are_those_of_plain_fedavg_within_rounding(tmp_path: Path) -> None:
    place = Place(tmp_path, rounds=2)
    place.make(privacy=FREE)
    place.run("before")
    expected = place.model()
    place.run("after", unprotected=True)
    assert [row["devices"] for row in rows(place, "settle")] == [DEVICES] * 4
    np.testing.assert_allclose(flat(place.model()), flat(expected), rtol=1e-5, atol=1e-5)
    assert float(np.abs(flat(expected) - flat_record(initial())).max()) > 0.1


def test_under_a_policy_the_noise_is_what_the_plan_says_and_budgets_are_kept(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make(privacy=NOISY)
    place.run("before")
    expected = place.model()
    grid = place.run("after")
    difference = flat(place.model()) - flat(expected)
    train = rows(place, "reserve")[0]
    scale = next(part["scale"] for part in train["parts"] if part["name"] == "update")
    weights = sum(-(-150 * 4 // 5) for _ in range(DEVICES)) / 200  # about: examples over the cap
    deviation = sqrt(train["noise"]["variance"]) / scale / weights
    assert 0.8 < float(np.std(difference)) / deviation < 1.25  # the sum of weights is noisy as well
    assert not [reply for reply in grid.left if reply.has_error()]
    audit = audited(place)
    assert audit.returncode == 0, audit.stdout
    for name in place.names:
        budget = FileJournal(tmp_path / "keys/devices" / name / "budget.jsonl").budget
        assert (budget.counter, budget.unsettled, budget.locked) == (2, frozenset(), "")


def test_nothing_but_the_bytes_of_the_protocol_leaves_a_device(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make(privacy=FREE)
    trained = list[bytes]()
    inner = app_of("before").client._registered_funcs

    def watched(message: Message, context: Context) -> Message:
        reply = inner["train.default"](message, context)
        (record,) = reply.content.array_records.values()
        trained.extend(array.numpy().tobytes() for array in record.values())
        return reply

    grid = place.grid(wrapped(watched, inner["evaluate.default"]), unprotected=True)
    started(place, grid)
    assert len(grid.left) == 2 * 5 * DEVICES
    assert len(trained) == 4 * DEVICES
    for reply in grid.left:
        assert list(reply.content) == ["reply"]
        record = reply.content["reply"]
        assert isinstance(record, ConfigRecord)
        assert list(record) == ["reply"]
        data = record["reply"]
        assert isinstance(data, bytes)
        assert not any(each in data for each in trained)


def test_tested_figures_are_means_over_all_examples(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make(privacy=FREE)
    plain = FedAvg().start(
        grid=place.grid(app_of("before").client), initial_arrays=initial(), num_rounds=1, train_config=RATE
    )
    found = started(place, place.grid(app_of("after").client, unprotected=True))
    tested, expected = found.evaluate_metrics_clientapp[1], plain.evaluate_metrics_clientapp[1]
    assert tested["accuracy"] == pytest.approx(expected["eval_acc"], abs=1e-4)
    assert tested["loss"] == pytest.approx(expected["eval_loss"], abs=1e-3)
    trained, expected = found.train_metrics_clientapp[1], plain.train_metrics_clientapp[1]
    assert trained["train_loss"] == pytest.approx(expected["train_loss"], abs=1e-3)


def test_another_strategy_that_consumes_a_mean_gets_it(tmp_path: Path) -> None:
    place = Place(tmp_path, rounds=2)
    place.make(privacy=FREE)

    def inner() -> FedAvg:
        return FedAvgM(server_learning_rate=0.7, server_momentum=0.9)

    plain = inner().start(
        grid=place.grid(app_of("before").client), initial_arrays=initial(), num_rounds=2, train_config=RATE
    )
    found = started(place, place.grid(app_of("after").client, unprotected=True), inner())
    np.testing.assert_allclose(flat_record(found.arrays), flat_record(plain.arrays), rtol=1e-5, atol=1e-5)
    assert list(found.arrays) == list(initial())


def test_where_the_inner_strategy_does_not_test_nor_do_devices(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make(privacy=FREE)
    found = started(place, place.grid(wrapped(), unprotected=True), FedAvg(fraction_evaluate=0.0))
    assert [row["kind"] for row in rows(place, "settle")] == ["train"]
    assert not found.evaluate_metrics_clientapp


def test_an_app_sees_the_rate_and_the_round_and_the_model_in_its_own_order(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make(privacy=FREE)
    seen = list[RecordDict]()

    def looking(message: Message, context: Context) -> Message:
        seen.append(message.content)
        return echo(message, context)

    started(place, place.grid(wrapped(looking), unprotected=True))
    assert len(seen) == DEVICES
    for content in seen:
        assert sorted(content) == ["arrays", "config"]
        assert dict(content.config_records["config"]) == {"lr": 0.1, "server-round": 1}
        assert list(content.array_records["arrays"]) == list(initial())


def test_what_an_app_says_when_it_fails_stays_on_the_device(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path)
    place.make(privacy=FREE)
    failed = set[int]()

    def failing(message: Message, context: Context) -> Message:
        if context.node_id < 6:
            failed.add(context.node_id)
            raise RuntimeError(SECRET)
        return echo(message, context)

    grid = place.grid(wrapped(failing), unprotected=True)
    started(place, grid)
    assert failed == {2, 3, 4, 5}
    assert [row["devices"] for row in rows(place, "settle")] == [DEVICES] * 2  # as if they had answered
    assert not any(reply.has_error() or SECRET in str(reply.content) for reply in grid.left)
    assert SECRET in capsys.readouterr().err


@pytest.mark.parametrize("bent", ["nan", "names", "metrics", "count", "error"])
def test_an_answer_that_cannot_be_used_counts_as_nothing(tmp_path: Path, bent: str) -> None:
    place = Place(tmp_path)
    place.make(privacy=FREE)

    def answering(message: Message, context: Context) -> Message:
        reply = echo(message, context)
        if context.node_id > 3:
            return reply
        (before,) = reply.content.array_records.values()
        arrays = {name: array.numpy() for name, array in before.items()}
        if bent == "nan":
            arrays["layers.1.bias"] = np.full(32, np.nan, np.float32)
        if bent == "names":
            arrays["another"] = arrays.pop("layers.1.bias")
        metrics = MetricRecord(
            {} if bent == "metrics" else {"num-examples": [1, 2] if bent == "count" else 3}
        )
        if bent == "error":
            return Message(Error(1, SECRET), reply_to=message)
        record = ArrayRecord({name: Array(value) for name, value in arrays.items()})
        return Message(RecordDict({"arrays": record, "metrics": metrics}), reply_to=message)

    found = started(place, place.grid(wrapped(answering), unprotected=True))
    np.testing.assert_allclose(flat_record(found.arrays), flat_record(initial()), atol=1e-6)
    assert found.train_metrics_clientapp[1]["train_loss"] == pytest.approx(1.0, abs=1e-4)


def refusal(place: Place, kind: str, content: RecordDict, **node: Any) -> str:
    """What a device says to a message; its app is not called."""

    def unasked(message: Message, context: Context) -> Message:
        raise AssertionError((message, context))

    grid = place.grid(wrapped(unasked, unasked), **node)
    (reply,) = grid.send_and_receive([Message(content, 2, kind)])
    assert reply.has_error()
    assert reply.error.code == REFUSED
    return str(reply.error.reason)


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_server_that_asks_as_before_gets_nothing(tmp_path: Path, kind: str) -> None:
    place = Place(tmp_path)
    place.make(privacy=FREE)
    content = RecordDict({"arrays": initial(), "config": RATE})
    for unprotected in (False, True):
        said = refusal(place, kind, content, unprotected=unprotected)
        assert said == "a message that is neither a plan with a model nor a request"


def test_a_device_with_keys_answers_nothing_without_noise_or_masks(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make(privacy=FREE)
    with pytest.raises(RoundAborted, match="no plan without noise"):
        started(place, place.grid(app_of("after").client))
    place = Place(tmp_path / "clear")
    place.folder.mkdir()
    place.make(privacy=f"{FREE}\nmasks = false")
    with pytest.raises(RoundAborted, match="no plan without masks"):
        started(place, place.grid(app_of("after").client))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "name the folder of the device's keys"),
        ({"keys": ""}, "start the SuperNode with"),
        ({"keys": "/nowhere"}, "device.json"),
        ({"keys": "/nowhere", "unprotected": "false"}, "without quotation marks"),
    ],
)
def test_a_node_that_is_not_set_up_says_so_to_its_owner_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: dict[str, Any], told: str
) -> None:
    place = Place(tmp_path)
    place.make(privacy=f"{FREE}\nmasks = false")
    configs = {index + 2: dict(config) for index in range(DEVICES)}
    grid = WatchedGrid(app_of("after").client, configs, place.run_config())
    with pytest.raises(RoundAborted):
        started(place, grid)
    assert {reply.error.reason for reply in grid.left} == {"this device cannot answer; its own log says why"}
    assert told in capsys.readouterr().err


def test_without_keys_an_owner_may_let_it_answer_in_clear(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make(privacy=f"{FREE}\nmasks = false")
    place.run("before")
    expected = place.model()
    app = app_of("after")
    configs = {
        index + 2: {"partition-id": index, "num-partitions": DEVICES, "unprotected": True}
        for index in range(DEVICES)
    }
    app.server(WatchedGrid(app.client, configs, place.run_config()), place.context())
    np.testing.assert_allclose(flat(place.model()), flat(expected), rtol=1e-5, atol=1e-5)


def test_a_plan_for_another_model_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make(privacy=FREE)
    other = replace(model_of(), name="another")
    strategy = private(FedAvg(), other, place.context())
    with pytest.raises(RoundAborted, match="the plan is for model another, this device has quickstart"):
        strategy.start(
            grid=place.grid(app_of("after").client, unprotected=True), initial_arrays=initial(), num_rounds=1
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_rounds": 2}, "num_rounds is 2, the federation has 1"),
        ({"train_config": ConfigRecord({"lr": 0.1, "seed": 1})}, "a plan has no place for seed"),
        ({"train_config": ConfigRecord({"lr": 0.0})}, "lr = 0.0"),
        ({"evaluate_config": ConfigRecord({"lr": 0.1})}, "a plan has no place for lr in evaluate_config"),
        ({"inner": FedAvg(fraction_evaluate=0.5)}, "tests on a fraction of 0.5"),
        ({"inner": FedAvg(fraction_train=0.5)}, "asks a fraction of 0.5"),
        ({"arrays": ArrayRecord({"w": Array(np.zeros(2, np.float32))})}, "are not the parameters"),
        ({"arrays": ArrayRecord({"n": Array(np.zeros(2, np.int64))})}, "only float32 can be summed"),
    ],
)
def test_what_no_plan_can_say_is_refused_before_a_device_is_asked(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    place = Place(tmp_path)
    place.make(privacy=FREE)
    grid = place.grid(wrapped(), unprotected=True)
    with pytest.raises(InputError, match=words):
        started(place, grid, **changes)
    assert not grid.sent


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("standardise = false", "standardise = true", "standardise"),
        ("validate_every = 1", "validate_every = 2", "validate_every"),
        (FREE, f'{FREE}\nunit = "example"', "unit"),
    ],
)
def test_a_federation_that_an_app_cannot_do_is_refused(tmp_path: Path, old: str, new: str, key: str) -> None:
    place = Place(tmp_path)
    place.make(privacy=FREE)
    path = tmp_path / "federation.toml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=key):
        started(place, place.grid(wrapped(), unprotected=True))


def test_a_run_is_not_begun_a_second_time(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make(privacy=FREE)
    started(place, place.grid(wrapped(), unprotected=True))
    with pytest.raises(InputError, match="holds a run"):
        started(place, place.grid(wrapped(), unprotected=True))


def test_the_same_server_asks_agents_which_train_by_themselves(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.make(privacy=NOISY)
    model = model_of()

    def participant(context: Context) -> Participant:
        index = context.node_id - 2
        folder = tmp_path / "keys/devices" / place.names[index]
        device = Device(place.names[index], model, cut(20 * index, 20 * index + 20), index, print)
        return Participant(
            trainer=InProcess(device),
            log=print,
            seeds=SystemSeeds(),
            claims=FileClaims(folder / "claims.json"),
            journal=FileJournal(folder / "budget.jsonl"),
            keys=read_keys(folder),
            unprotected=False,
        )

    found = started(place, place.grid(simulated_app(participant)))
    assert [(row["kind"], row["devices"]) for row in rows(place, "settle")] == [
        ("train", DEVICES),
        ("validate", DEVICES),
    ]
    assert float(np.abs(flat_record(found.arrays) - flat_record(initial())).max()) > 0


@contextmanager
def connected(place: Place) -> Iterator[list[int]]:
    """A SuperLink and a SuperNode for each device; gives their process groups."""
    folder, port = place.folder, free_port()
    (folder / "home").mkdir()
    (folder / "home" / "config.toml").write_text(CONNECTION.format(port=port))
    link = ("--insecure", "--host", "127.0.0.1", "--port", str(port))
    node = ("--insecure", "--superlink", f"127.0.0.1:{port}", "--node-config")
    with ExitStack() as stack:
        words = (*link, "--disable-runtime-dependency-installation")
        started = [stack.enter_context(running("flower-superlink", *words, folder=folder))]
        wait_for_port(port)
        for index in range(place.devices):
            config = told(place.node_config(index))
            name, own = f"flower-supernode@{index}", (config, "--port", str(free_port()))
            started.append(stack.enter_context(running(name, *node, *own, folder=folder)))
        yield [process.pid for process in started]


def told(config: dict[str, Any]) -> str:
    """As the command line takes it."""
    return " ".join(f"{key}={json.dumps(value)}" for key, value in config.items())


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_flwr_run_of_the_private_app_over_a_real_superlink(tmp_path: Path) -> None:
    place = Place(tmp_path, devices=10)
    place.make(privacy=NOISY, minimum=7)
    bundle = tmp_path / "bundle"
    shutil.copytree(EXAMPLE / "after", bundle, ignore=shutil.ignore_patterns("__pycache__"))
    own = {name: value for name, value in place.run_config().items() if name not in RUN}
    with connected(place) as groups:
        words = ("run", ".", "here", "--stream", "-c", told({**own, "num-server-rounds": 1}))
        done = subprocess.run(
            [str(BIN / "flwr"), *words],
            cwd=bundle,
            env=environment(tmp_path / "home"),
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
    output = done.stdout + done.stderr
    assert (tmp_path / "model.pt").exists(), output
    assert [(row["kind"], row["devices"]) for row in rows(place, "settle")] == [
        ("train", 10),
        ("validate", 10),
    ]
    assert float(np.abs(flat(place.model()) - flat_record(initial())).max()) > 0
    audit = audited(place)
    assert audit.returncode == 0, audit.stdout
    for name in place.names:
        budget = FileJournal(tmp_path / "keys/devices" / name / "budget.jsonl").budget
        assert (budget.counter, budget.unsettled, budget.locked) == (2, frozenset(), "")
    assert not any(group_members(group) for group in groups)


def difference() -> str:
    """What was done to the app, file by file."""
    told = list[str]()
    before, after = EXAMPLE / "before", EXAMPLE / "after"
    names = sorted(
        {path.relative_to(folder) for folder in (before, after) for path in folder.rglob("*") if source(path)}
    )
    for name in names:
        old, new = (lines_of(folder / name) for folder in (before, after))
        told += difflib.unified_diff(old, new, f"before/{name}", f"after/{name}", n=1)
    return "".join(told)


def source(path: Path) -> bool:
    return path.is_file() and path.suffix in {".py", ".toml"}


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []


def test_the_page_shows_the_whole_difference_between_the_two_apps() -> None:
    page = (ROOT / "docs/flower-native.md").read_text("utf-8")
    (shown,) = re.findall(r"^```diff\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert shown == difference()


def test_the_apps_own_task_is_the_same_file() -> None:
    assert (EXAMPLE / "before/quickstart/task.py").read_bytes() == (
        EXAMPLE / "after/quickstart/task.py"
    ).read_bytes()
