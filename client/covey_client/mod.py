"""A Flower mod that makes an existing app's client private: `ClientApp(mods=[private_mod(MODEL)])`.

Plans and later stages of private sums come to the mod; the app's own functions are called with the model and
a learning rate, as ever. What they return stays here: the change of the arrays and the metrics become the
device's vector, clipped, noised and masked, and nothing else leaves.

It runs in the process that Flower starts, with the app, the data and the keys: it holds back what an honest
app would send, not what a dishonest one could. Where the server may send code, that is as much as the
server's word; the agent (`covey_client.agent`) is for devices that do not take it. See docs/flower-native.md.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable, Mod

from covey import delivery as deliveries
from covey import encode
from covey.arrays import Parameters, layout_of
from covey.delivery import Arrays, Delivery
from covey.encode import Integers, Vectors
from covey.errors import ConfigError, PlanRefused
from covey.examples import Examples, LocalData
from covey.plan import Plan, Train, Validate
from covey.stream import Stream
from covey_client.budget import FileJournal, MemoryJournal
from covey_client.claims import FileClaims, MemoryClaims
from covey_client.flower import handled
from covey_client.owner_log import to_log
from covey_client.participant import Participant, Trainer, answered
from covey_client.seeds import SystemSeeds
from covey_client.simulated import ContextMemory
from covey_io.device_keys import read_keys
from covey_models.model import Model
from covey_strategies.queries import train
from covey_strategies.queries.answer import check
from covey_strategies.queries.device import Device


@dataclass(frozen=True)
class Names:
    """What an app calls things in its messages.

    Attributes:
        arrays: The record of the model, in both directions.
        config: The record that "lr" and "server-round" are in.
        examples: The metric that counts examples.
        train_loss: The mean loss of training; an app may do without, and counts as 0 then.
        accuracy: The share of tested examples that is right.
        loss: The mean loss of testing.
    """

    arrays: str = "arrays"
    config: str = "config"
    examples: str = "num-examples"
    train_loss: str = "train_loss"
    accuracy: str = "eval_acc"
    loss: str = "eval_loss"


def private_mod(model: Model, names: Names | None = None) -> Mod:
    """The mod.

    Args:
        model: What the app trains; plans for another one are refused.
        names: What the app calls things.

    The node's configuration says who the device is: `keys="/folder"` as the device's keys were written by
    enrolment, in which claims and budget are kept as well; `counter="/file"` on another storage; and
    `unprotected=true` for experiments without masks, noise or a policy.
    """

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        def answer(delivery: Delivery, context: Context) -> bytes:
            trainer = AppTrainer(model, names or Names(), message, context, call_next)
            return answered(participant_of(context, trainer), ContextMemory(context), delivery)

        return handled(answer, message, context)

    return mod


def participant_of(context: Context, trainer: Trainer) -> Participant:
    """The device that a node's configuration describes; its budget and claims are read anew each time.

    Raises:
        ConfigError: A key is missing, or of another type.
        InputError: There are no keys in the folder.
        StateError: Claims or budget are damaged.
    """
    unprotected = context.node_config.get("unprotected", False)
    if not isinstance(unprotected, bool):  # the text "false" would count as true
        raise ConfigError("node configuration", "unprotected", "true or false, without quotation marks")
    if "keys" not in context.node_config:
        if not unprotected:
            what = "name the folder of the device's keys, or set unprotected=true"
            raise ConfigError("node configuration", "keys", what)
        return Participant(trainer, to_log, SystemSeeds(), MemoryClaims(), MemoryJournal(), None, unprotected)
    folder = _path(context, "keys")
    counter = _path(context, "counter") if "counter" in context.node_config else None
    return Participant(
        trainer=trainer,
        log=to_log,
        seeds=SystemSeeds(),
        claims=FileClaims(folder / "claims.json"),
        journal=FileJournal(folder / "budget.jsonl", counter),
        keys=read_keys(folder),
        unprotected=unprotected,
    )


def _path(context: Context, key: str) -> Path:
    value = context.node_config.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError("node configuration", key, f"start the SuperNode with --node-config '{key}=\"…\"'")
    return Path(value)


@dataclass(frozen=True)
class AppTrainer:
    """The app's own functions as what computes answers; see `covey_client.participant.Trainer`.

    Attributes:
        model: What the app trains.
        names: What it calls things.
        message: That it is asked with; the app is shown another content.
        context: Of the node.
        call: The app.
    """

    model: Model
    names: Names
    message: Message
    context: Context
    call: ClientAppCallable

    @contextmanager
    def prepared(self, plan: Plan, model: Arrays) -> Iterator["AppAnswer"]:
        """See `covey_client.participant.Trainer`.

        Raises:
            PlanRefused: The plan is not one that an app can answer.
        """
        parameters = deliveries.parameters(model)
        check(plan, parameters, self.device)
        if not isinstance(plan.task, Train | Validate) or plan.unit != "device" or plan.preprocessing:
            raise PlanRefused("this app answers training and testing by whole devices, on its own scale")
        yield AppAnswer(self, plan, parameters)

    @cached_property
    def device(self) -> Device:
        """As far as the check of a plan wants to see it: the model. The data is the app's own."""
        nothing = Examples(np.zeros((0, *self.model.input_shape), np.float32), np.zeros(0, np.int64))
        return Device("app", self.model, LocalData(nothing, nothing), 0, to_log)

    def asked(self, parameters: Parameters, config: Mapping[str, int | float]) -> RecordDict:
        """What the app returns.

        Args:
            parameters: The model; the app gets it in the network's own order.
            config: Beside it.

        Raises:
            ValueError: An error.
        """
        order = [name for name, _ in self.device.network.named_parameters()]
        arrays = ArrayRecord({name: Array(parameters[name]) for name in order})
        message = copy.copy(self.message)  # so that the app can reply to it
        message.content = RecordDict(
            {self.names.arrays: arrays, self.names.config: ConfigRecord(dict(config))}
        )
        reply = self.call(message, self.context)
        if reply.has_error():
            raise ValueError(f"the app gave an error: {reply.error.reason}")
        return reply.content


@dataclass(frozen=True)
class AppAnswer:
    """A plan that the app's model fits; see `covey_client.participant.Prepared`.

    Attributes:
        trainer: Calls the app.
        plan: The plan.
        parameters: The model that came with it.
    """

    trainer: AppTrainer
    plan: Plan
    parameters: Parameters

    def answer(self, coins: bytes) -> Integers:
        """The app's answer as a vector; zero, whatever goes wrong in it: its words may speak of the data."""
        plan = self.plan
        try:
            row = self._row()
            if not encode.is_finite(row):
                to_log(f"round {plan.round}: contributed nothing: NaN or infinite elements")
            return encode.encode(plan.parts, row, Stream(coins))
        except Exception as error:  # noqa: BLE001 - an error would tell the server something about the data
            to_log(f"round {plan.round}: contributed nothing: {type(error).__name__}: {error}")
            return encode.zero(plan.parts)

    def _row(self) -> Vectors:
        match self.plan.task:
            case Train():
                return self._trained(self.plan.task)
            case Validate():
                return self._tested()
            case _:
                raise TypeError("a task that was refused")

    def _trained(self, task: Train) -> Vectors:
        config: dict[str, int | float] = {"lr": task.learning_rate, "server-round": self.plan.round}
        if task.proximal_mu:
            config["proximal-mu"] = task.proximal_mu
        content, names = self.trainer.asked(self.parameters, config), self.trainer.names
        metrics = _metrics(content)
        layout = layout_of(self.parameters)
        change = layout.flatten(_arrays(content)) - layout.flatten(self.parameters)
        loss = float(metrics.get(names.train_loss, 0.0))
        return train.row(task, change, loss, int(metrics[names.examples]))

    def _tested(self) -> Vectors:
        """Counts of all examples and of those that are right; which class was taken for which is unknown."""
        content, names = (
            self.trainer.asked(self.parameters, {"server-round": self.plan.round}),
            self.trainer.names,
        )
        metrics = _metrics(content)
        examples = int(metrics[names.examples])
        return {
            "confusion": np.zeros((1, self.trainer.model.classes**2)),
            "examples and right": np.array([[examples, examples * float(metrics[names.accuracy])]]),
            "loss": np.array([[examples * float(metrics[names.loss])]]),
        }


def _arrays(content: RecordDict) -> Parameters:
    """The one record of arrays in a reply, in order of names."""
    (record,) = content.array_records.values()
    return {name: np.asarray(array.numpy(), np.float32) for name, array in sorted(record.items())}


def _metrics(content: RecordDict) -> Mapping[str, Any]:
    """The one record of metrics in a reply."""
    record: MetricRecord
    (record,) = content.metric_records.values()
    return record
