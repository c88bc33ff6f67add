"""An in-memory fleet for private sums: real machines on both sides, and a network that tests may bend."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from covey import plan as plans
from covey.encode import Part
from covey.errors import PlanRefused
from covey.identity import Certificate, Roster, public_of, read_roster, sign_roster
from covey.plan import Noise, Plan, RosterReference, Suite, Validate
from covey.secagg import device, server
from covey.secagg.envelope import Opened, Trust, open_envelope, seal_envelope
from covey.secagg.server import Blame, Deliver
from covey.secagg.states import AnyState, Claim, Me, Open, Request, Send, Stage
from covey.secagg.terms import Terms

NOW = 1_800_000_000
STAGES: tuple[Stage, ...] = ("advertise", "share", "masked", "consistency", "unmask")

Tamper = Callable[[Stage, list[tuple[int, bytes]]], Iterable[tuple[int, bytes]]]
"""What the network makes of the replies at a stage."""


def key(*name: object) -> bytes:
    """32 bytes of a test's own."""
    return hashlib.sha256(repr(name).encode()).digest()


OPERATOR, ENROLMENT = key("operator"), key("enrolment")


def roster(size: int, serial: int = 1, *, simulation: bool = True, **changes: object) -> bytes:
    """The signed roster of devices d000, d001, …"""
    certificates = tuple(Certificate(name(i), public_of(identity(i)), NOW + 1_000_000) for i in range(size))
    made = Roster("test", serial, NOW + 1_000_000, simulation, certificates)
    return sign_roster(msgspec.structs.replace(made, **changes), ENROLMENT)


def name(index: int) -> str:
    return f"d{index:03d}"


def identity(index: int) -> bytes:
    return key("identity", index)


SUITE = Suite(profile="malicious-server", cipher="chacha20", bits=32)


def make_plan(  # noqa: PLR0913 - a plan has many sides
    size: int = 12,
    *,
    length: int = 5,
    minimum: int = 8,
    corrupt: int = 1,
    noise: Noise | None = None,
    suite: Suite = SUITE,
    serial: int = 1,
    signed: bytes | None = None,
) -> Plan:
    sent = signed if signed is not None else roster(size)
    return Plan(
        run="run",
        sum=serial,
        round=1,
        model="model",
        model_sha256="0" * 64,
        preprocessing=None,
        task=Validate(1),
        parts=(Part("values", length, 1.0, 1000.0),),
        unit="device",
        norm=1000,
        cohort=size,
        minimum=minimum,
        corrupt=corrupt,
        masks="on",
        suite=suite,
        noise=noise,
        roster=RosterReference(sha256=hashlib.sha256(sent).hexdigest(), serial=1),
    )


@dataclass
class Device:
    """One device: its machine's state, its durable claims, and a generator that never repeats a seed."""

    index: int
    vector: NDArray[np.int64]
    state: AnyState | None = None
    claims: dict[tuple[str, int, Stage], bytes] = field(default_factory=dict)
    noise_key: bytes = b""
    opened: int = 0
    clone: int = 0
    noise_keys: list[bytes] = field(default_factory=list)

    @property
    def me(self) -> Me:
        return Me(name(self.index), identity(self.index), public_of(ENROLMENT))

    def trust(self, least_serial: int = 0) -> Trust:
        return Trust(public_of(OPERATOR), public_of(ENROLMENT), least_serial)

    def open(self, envelope: bytes) -> bytes:
        opened: Opened = open_envelope(envelope, self.trust(), name(self.index), NOW)
        self.opened += 1
        fresh = self.index, self.clone, self.opened, opened.terms.digest
        noise_key = self.noise_key or key("noise", *fresh)
        before = self.state
        leaf = key("leaf", *fresh)
        reply = self.act(Open(opened, self.vector, key("seed", *fresh), noise_key, self.opened, leaf))
        if self.state is not before:
            self.noise_keys.append(noise_key)
        return reply

    def restart(self) -> None:
        """Memory is lost; what was claimed stays."""
        self.state = None

    def ask(self, request: bytes) -> bytes:
        return self.act(Request(request, NOW))

    def act(self, event: Open | Request) -> bytes:
        """Carry out the effects in their order.

        Raises:
            PlanRefused: A stage was claimed for other bytes, or a plan is opened a second time: nothing is
                sent, and the state stays.
        """
        after, effects = device.step(self.me, self.state, event)
        for effect in effects:
            match effect:
                case Claim(run, sum_, stage, digest):
                    made = self.claims.get((run, sum_, stage))
                    if made is not None and (made != digest or stage == "advertise"):
                        raise PlanRefused(f"stage {stage} was answered before")
                    self.claims[run, sum_, stage] = digest
                case Send(data):
                    self.state = after
                    return data
        raise AssertionError("no reply")


@dataclass
class Fleet:
    """Devices by node id (index + 2), and one server."""

    plan: Plan
    vectors: NDArray[np.int64]
    signed: bytes = b""
    blames: list[Blame] = field(default_factory=list)
    requests: dict[Stage, Mapping[int, bytes]] = field(default_factory=dict)
    replies: dict[Stage, list[tuple[int, bytes]]] = field(default_factory=dict)
    states: list[server.State] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.signed = self.signed or roster(len(self.vectors))
        self.sent = plans.to_bytes(self.plan)
        self.envelope = seal_envelope(self.sent, OPERATOR, self.signed)
        self.devices = {index + 2: Device(index, vector) for index, vector in enumerate(self.vectors)}

    @property
    def terms(self) -> Terms:
        return Terms.of(self.sent)

    def start(self) -> server.Advertising:
        read = read_roster(self.signed, public_of(ENROLMENT), now=NOW, least_serial=0)
        return server.Advertising(self.terms, read, frozenset(self.devices), NOW)

    def run(self, dropped: Mapping[Stage, Iterable[int]] = {}, tamper: Tamper | None = None) -> server.State:
        """A whole session. `dropped`: node ids that stop answering at a stage, and after it."""
        self.begin(set(dropped.get("advertise", ())))
        gone = set(dropped.get("advertise", ()))
        stage: Stage = "advertise"
        while (deliver := self.end_stage(stage, tamper)) is not None:
            stage = deliver.stage
            gone |= set(dropped.get(stage, ()))
            self.answer(deliver, gone)
        return self.states[-1]

    def until(self, stage: Stage, dropped: Mapping[Stage, Iterable[int]] = {}) -> Mapping[int, bytes]:
        """The requests of a stage, made but not sent; everything before it went well but for `dropped`."""
        gone = set(dropped.get("advertise", ()))
        self.begin(gone)
        deliver = self.end_stage("advertise")
        while deliver is not None and deliver.stage != stage:
            gone |= set(dropped.get(deliver.stage, ()))
            self.answer(deliver, gone)
            deliver = self.end_stage(deliver.stage)
        assert deliver is not None, self.states[-1]
        return deliver.requests

    def begin(self, gone: set[int]) -> None:
        """Everyone opens the plan."""
        self.states = [self.start()]
        self.replies["advertise"] = [
            (node, each.open(self.envelope)) for node, each in self.devices.items() if node not in gone
        ]

    def answer(self, deliver: Deliver, gone: set[int]) -> None:
        """Everyone asked answers."""
        self.replies[deliver.stage] = [
            (node, self.devices[node].ask(data))
            for node, data in deliver.requests.items()
            if node not in gone
        ]

    def end_stage(self, stage: Stage, tamper: Tamper | None = None) -> Deliver | None:
        """The server makes of the replies what it can; None at the end."""
        arrived = list(tamper(stage, self.replies[stage])) if tamper else self.replies[stage]
        state, effects = server.step(self.states[-1], arrived)
        self.states.append(state)
        self.blames += [effect for effect in effects if isinstance(effect, Blame)]
        deliver = next((effect for effect in effects if isinstance(effect, Deliver)), None)
        if deliver is not None:
            self.requests[deliver.stage] = deliver.requests
        return deliver

    def clear_sum(self, names: Iterable[str]) -> NDArray[np.int64]:
        """What the sum over these devices must be without noise."""
        total: NDArray[np.int64] = self.vectors[[int(each[1:]) for each in names]].sum(axis=0)
        return total


def vectors(size: int, length: int = 5, seed: int = 0) -> NDArray[np.int64]:
    return np.random.Generator(np.random.PCG64(seed)).integers(-400, 400, (size, length))
