"""One private sum of the real machines: a few real devices among synthetic ones, each stage timed."""

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from secagg_synthetic import Crowd, Synthetic, answers, certified, device_name, identity, label

from covey import plan as plans
from covey import ring
from covey.encode import Integers, Part
from covey.identity import Certificate, Roster, public_of, read_roster, sign_roster
from covey.plan import Plan, Profile, RosterReference, Suite, Validate
from covey.planner.cohort import Assumptions, Cohort, cohort_for
from covey.secagg import device, server
from covey.secagg.envelope import Trust, open_envelope, seal_envelope, sha256
from covey.secagg.masks import Cipher
from covey.secagg.stages import Session
from covey.secagg.states import AnyState, Me, Open, Request, Send, Stage
from covey.secagg.terms import Terms

NOW = 1_800_000_000
OPERATOR, ENROLMENT = label("operator"), label("enrolment")
PLANNED_DROPOUTS = 0.1


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        size: n, devices.
        length: d, elements.
        profile: Of the protocol.
        cipher: Of the masks.
        bits: Of the modulus.
        dropped: Devices that drop out after sharing keys.
        sampled: Real devices.
        workers: Threads that expand masks, on either side.
    """

    size: int
    length: int
    profile: Profile
    cipher: Cipher
    bits: int
    dropped: int
    sampled: int
    workers: int

    @cached_property
    def cohort(self) -> Cohort:
        """Thresholds and graph for 5 % corrupt devices, and 10 % drop-outs to be survived."""
        corrupt = max(1, self.size // 20)
        return cohort_for(
            Assumptions(self.size, corrupt=corrupt, dropouts=PLANNED_DROPOUTS, profile=self.profile)
        )

    @cached_property
    def real(self) -> tuple[int, ...]:
        """Positions of real devices, spread evenly from the first on."""
        return tuple(range(0, self.size, -(-self.size // self.sampled)))

    @cached_property
    def gone(self) -> frozenset[int]:
        """Positions that drop out: synthetic ones, spread evenly."""
        others = [place for place in range(self.size) if place not in self.real]
        return frozenset(others[:: max(1, len(others) // max(1, self.dropped))][: self.dropped])


@dataclass
class Meter:
    """CPU and wall time by name, seconds, and the most memory that one measured piece took, bytes."""

    cpu: dict[str, float] = field(default_factory=dict)
    wall: dict[str, float] = field(default_factory=dict)
    peak: int = 0

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add what happens inside; of all threads of this process."""
        traced = tracemalloc.is_tracing()
        if traced:
            tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0] if traced else 0
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            self._add(name, time.process_time() - cpu, time.perf_counter() - wall)
            if traced:
                self.peak = max(self.peak, tracemalloc.get_traced_memory()[1] - before)

    @contextmanager
    def leave_out(self, name: str) -> Iterator[None]:
        """Take off what happens inside."""
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            self._add(name, cpu - time.process_time(), wall - time.perf_counter())

    def _add(self, name: str, cpu: float, wall: float) -> None:
        self.cpu[name] = self.cpu.get(name, 0.0) + cpu
        self.wall[name] = self.wall.get(name, 0.0) + wall


@dataclass
class Real:
    """A real device and what it took."""

    position: int
    meter: Meter = field(default_factory=Meter)
    state: AnyState | None = None
    sent: int = 0
    received: int = 0
    me: Me = field(init=False)

    def open(self, envelope: bytes, values: Integers, workers: int) -> bytes:
        """The plan."""
        self.me = Me(device_name(self.position), identity(self.position), public_of(ENROLMENT), workers)
        self.received += len(envelope)
        with self.meter.measure("advertise"):
            trust = Trust(public_of(OPERATOR), self.me.enrolment)
            opened = open_envelope(envelope, trust, self.me.device, NOW)
            event = Open(
                envelope=opened,
                vector=values,
                seed=label("seed", self.position),
                noise=label("noise", self.position),
                counter=1,
                leaf=label("leaf", self.position),
            )
            self.state, effects = device.step(self.me, None, event)
        return self._sent(effects)

    def ask(self, stage: Stage, data: bytes) -> bytes:
        """A request of a stage."""
        self.received += len(data)
        with self.meter.measure(stage):
            self.state, effects = device.step(self.me, self.state, Request(data, NOW))
        return self._sent(effects)

    def _sent(self, effects: tuple[object, ...]) -> bytes:
        reply = next(effect.data for effect in effects if isinstance(effect, Send))
        self.sent += len(reply)
        return reply


@dataclass
class Outcome:
    """What one session took.

    Attributes:
        server: Time of the server's steps.
        devices: The real ones.
        right: Whether the opened sum is the sum of the survivors' answers.
    """

    server: Meter
    devices: tuple[Real, ...]
    right: bool


class Fleet:
    """A case's roster, plan and envelope; every `run` is a session of its own.

    Args:
        case: The case.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        certificates = tuple(
            Certificate(device_name(index), certified(index), NOW + 1_000_000) for index in range(case.size)
        )
        roster = Roster("benchmark", 1, NOW + 1_000_000, True, certificates)
        self.roster = sign_roster(roster, ENROLMENT)
        sent = plans.to_bytes(_plan(case, self.roster))
        self.terms = Terms.of(sent)
        self.envelope = seal_envelope(sent, OPERATOR, self.roster)
        self.values = answers(case.length)

    def run(self, *, eager: bool = False) -> Outcome:
        """One session.

        Args:
            eager: Make all replies of a stage before the server's step, so that its memory can be traced.
        """
        return _Session(self, eager=eager).run()


class _Session:
    def __init__(self, fleet: Fleet, *, eager: bool) -> None:
        case, self.eager = fleet.case, eager
        self.fleet, self.case, self.meter = fleet, case, Meter()
        self.real = {place: Real(place) for place in case.real}
        self.crowd = Crowd(fleet.terms, ring.wrap(fleet.values), frozenset(case.real), case.gone)
        self.synthetic = {
            place: Synthetic(place, self.crowd) for place in range(case.size) if place not in self.real
        }
        read = read_roster(fleet.roster, public_of(ENROLMENT), now=NOW, least_serial=0)
        self.state: server.State = server.Advertising(
            fleet.terms, read, frozenset(place + 2 for place in range(case.size)), NOW
        )

    def run(self) -> Outcome:
        everybody = range(self.case.size)
        here = tuple(place for place in everybody if place not in self.case.gone)
        requests = self._end("advertise", self._opened)
        self.crowd.session = self._session()
        requests = self._end("share", lambda place: self._asked("share", requests, place, Synthetic.share))
        self._receive()
        among = frozenset(everybody)
        requests = self._end(
            "masked",
            lambda place: self._asked(
                "masked", requests, place, lambda each: each.answer(tuple(everybody), among)
            ),
            here,
        )
        if self.fleet.terms.complete:
            requests = self._end(
                "consistency",
                lambda place: self._asked(
                    "consistency", requests, place, lambda each: each.agree(tuple(everybody), here)
                ),
                here,
            )
        u3 = frozenset(here)
        self._end(
            "unmask",
            lambda place: self._asked(
                "unmask", requests, place, lambda each: each.reveal(among, u3, self.synthetic)
            ),
            here,
        )
        return Outcome(self.meter, tuple(self.real.values()), self._is_right(len(here)))

    def _opened(self, place: int) -> bytes:
        if place in self.real:
            return self.real[place].open(self.fleet.envelope, self.fleet.values, self.case.workers)
        return self.synthetic[place].advertise()

    def _asked(
        self, stage: Stage, requests: dict[int, bytes], place: int, reply: Callable[[Synthetic], bytes]
    ) -> bytes:
        if place in self.real:
            return self.real[place].ask(stage, requests[place])
        return reply(self.synthetic[place])

    def _end(
        self, stage: Stage, reply: Callable[[int], bytes], places: tuple[int, ...] | range | None = None
    ) -> dict[int, bytes]:
        """The server's step; replies are made as it takes them, outside its time. Requests by position."""
        asked = range(self.case.size) if places is None else places

        def replies() -> Iterator[tuple[int, bytes]]:
            for place in asked:
                with self.meter.leave_out(stage):
                    data = reply(place)
                yield place + 2, data

        arrived = list(replies()) if self.eager else replies()
        if self.eager:  # what was left out was not measured either
            self.meter = Meter(peak=self.meter.peak)
        with self.meter.measure(stage):
            self.state, effects = server.step(self.state, arrived, workers=self.case.workers)
        blamed = [effect.reason for effect in effects if isinstance(effect, server.Blame)]
        if blamed:
            raise RuntimeError(f"{stage}: {blamed[0]}")
        deliver = next((effect for effect in effects if isinstance(effect, server.Deliver)), None)
        return {sender - 2: data for sender, data in deliver.requests.items()} if deliver else {}

    def _session(self) -> Session:
        if not isinstance(self.state, server.Sharing):
            raise TypeError(f"{self.state!r}")
        return self.state.session

    def _receive(self) -> None:
        if not isinstance(self.state, server.Masking):
            raise TypeError(f"{self.state!r}")
        for place, each in self.synthetic.items():
            if place not in self.case.gone:
                each.receive(self.state.deals)

    def _is_right(self, survivors: int) -> bool:
        expected = self.fleet.values * survivors
        return isinstance(self.state, server.Finished) and bool(np.array_equal(self.state.total, expected))


def _plan(case: Case, roster: bytes) -> Plan:
    cohort, complete = case.cohort, case.profile == "malicious-server"
    suite = Suite(
        profile=case.profile,
        cipher=case.cipher,
        bits=case.bits,
        neighbours=0 if complete else cohort.neighbours,
        threshold=0 if complete else cohort.threshold,
    )
    return Plan(
        run="benchmark",
        sum=1,
        round=1,
        model="model",
        model_sha256="0" * 64,
        preprocessing=None,
        task=Validate(1),
        parts=(Part("values", case.length, 1.0, 1000.0),),
        unit="device",
        norm=1000,
        cohort=case.size,
        minimum=cohort.minimum,
        corrupt=cohort.corrupt,
        masks="on",
        suite=suite,
        roster=RosterReference(sha256=sha256(roster), serial=1),
    )
