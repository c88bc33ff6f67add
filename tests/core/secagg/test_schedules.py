"""Sums under bad networks and bad luck: thousands of schedules, each from its number alone.

At every stage a device may drop out, lose its memory, miss a request, get it twice, or answer a stage late;
replies come in any order and any number of times. Then either the sum is exactly the survivors', with the
noise that their keys give, or there is none; and nobody has said too much.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from covey.errors import PlanRefused, ProtocolError
from covey.noise.contribution import contribute, due, removable
from covey.plan import Noise, Plan, Suite, noise_shares
from covey.secagg import device as machine
from covey.secagg import server
from covey.secagg.messages import Revealed
from covey.secagg.server import Aborted, Deliver, Finished
from covey.secagg.states import Stage
from secagg_attacks import read
from secagg_fleet import STAGES, Fleet, make_plan, vectors

CHUNK, CHUNKS = 100, 10
LONG = int(os.environ.get("COVEY_SCHEDULES", "5000"))
"""Schedules of the long test."""


@dataclass
class Schedule:
    """One session, with everything that anybody ever said in it."""

    number: int
    said: dict[Stage, dict[int, set[bytes]]] = field(default_factory=dict)
    late: list[tuple[int, bytes]] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    arrived: frozenset[tuple[int, bytes]] = frozenset()
    arrows: set[tuple[type | None, type]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.random = np.random.Generator(np.random.PCG64(self.number))
        self.trouble = float(self.random.choice([0.0, 0.02, 0.05, 0.15]))
        self.plan = self._plan()
        size = self.plan.cohort
        self.fleet = Fleet(self.plan, vectors(size, self.plan.length, self.number))

    def _plan(self) -> Plan:
        size, corrupt = int(self.random.integers(10, 13)), int(self.random.integers(1, 3))
        sparse = bool(self.random.random() < 0.5)
        removal = bool(self.random.random() < 0.5)
        noise = Noise(mechanism="skellam", variance=2000, removal=removal, seeded=True)
        return make_plan(
            size,
            length=int(self.random.integers(1, 7)),
            minimum=max((size + corrupt) // 2 + 1, size - int(self.random.integers(1, 5))),
            corrupt=corrupt,
            noise=noise if self.random.random() < 0.6 else None,
            suite=Suite(
                profile="semi-honest-server" if sparse else "malicious-server",
                cipher="chacha20" if self.random.random() < 0.5 else "aes-256-ctr",
                bits=int(self.random.choice([20, 32])),
                neighbours=4 if sparse else 0,
                threshold=3 if sparse else 0,
            ),
        )

    def run(self) -> Finished | Aborted:
        """To the end, whatever happens on the way."""
        state: server.State = self.fleet.start()
        stage: Stage = "advertise"
        requests = dict.fromkeys(self.fleet.devices, self.fleet.envelope)
        while True:
            arrived = list(self._arriving(stage, requests))
            self.arrived = frozenset(arrived)
            after, effects = server.step(state, arrived)
            self.arrows.add((type(state), type(after)))
            state = after
            if isinstance(state, Finished | Aborted):
                return state
            deliver = next(effect for effect in effects if isinstance(effect, Deliver))
            stage, requests = deliver.stage, dict(deliver.requests)

    def _arriving(self, stage: Stage, requests: dict[int, bytes]) -> Iterator[tuple[int, bytes]]:
        """This stage's replies as the network lets them through, and what is left of the last one's."""
        replies, self.late = self.late, []
        for node, request in requests.items():
            reply = self._ask(stage, node, request)
            if reply is None:
                continue
            fate = self.random.random()
            if fate < self.trouble / 4:
                self.late.append((node, reply))
            else:
                replies.append((node, reply))
                if fate < self.trouble / 2:
                    replies.append((node, reply))
        yield from (replies[place] for place in self.random.permutation(len(replies)))

    def _ask(self, stage: Stage, node: int, request: bytes) -> bytes | None:
        happens = self.random.random(3) < self.trouble / 3
        device = self.fleet.devices[node]
        if happens[0]:
            self.gone.add(node)
        if node in self.gone:
            return None
        if happens[1]:
            device.restart()
        before = type(device.state) if device.state else None
        try:
            reply = device.open(request) if stage == "advertise" else device.ask(request)
            if happens[2]:
                again = device.open(request) if stage == "advertise" else device.ask(request)
                assert again == reply
        except PlanRefused:
            assert device.state is None  # restarted, and asked to open the plan again
            return None
        except ProtocolError as error:
            if device.state is None or "too few" in error.message:
                return None  # its memory is gone, or on a sparse graph too few neighbours are left
            raise
        assert device.state is not None
        self.arrows.add((before, type(device.state)))
        self.said.setdefault(stage, {}).setdefault(node, set()).add(reply)
        return reply

    def expected(self, end: Finished) -> NDArray[np.int64]:
        """The survivors' rows and noise, from their keys; the server has removed what arrived in time."""
        total, plan = self.fleet.clear_sum(end.u3), self.plan
        if plan.noise is None:
            return total
        law, length, variances = plan.noise.mechanism, plan.length, noise_shares(plan, len(end.u2))
        dropped = len(end.u2) - len(end.u3)
        left = 0
        for name in end.u3:
            device = self.fleet.devices[int(name[1:]) + 2]
            own = contribute(law, variances, length, device.noise_keys[-1])
            total = total + own.noise
            seed = due(own.first, len(variances) - 1, dropped)
            if seed is None:
                continue
            if self._revealed(device.index + 2):
                total = total - removable(law, variances, length, seed=seed, dropped=dropped)
            else:
                left += 1
        assert left == end.noise_left
        return total

    def _revealed(self, node: int) -> bool:
        return any((node, said) in self.arrived for said in self.said.get("unmask", {}).get(node, ()))

    def check_nobody_said_too_much(self, end: Finished | Aborted) -> None:
        """Of everything that was ever sent, arrived or not."""
        for stage in STAGES:
            assert all(len(said) == 1 for said in self.said.get(stage, {}).values())
        reveals = [read(data, Revealed) for said in self.said.get("unmask", {}).values() for data in said]
        if isinstance(end, Aborted) and end.stage != "unmask":
            assert not reveals
        known: dict[str, dict[int, int]] = {"b": {}, "r": {}}
        for revealed in reveals:
            b, r = ([share.position for share in shares] for shares in (revealed.b, revealed.r))
            assert not set(b) & set(r)
            if self.plan.suite and self.plan.suite.profile == "malicious-server":
                assert len(b) >= self.plan.minimum
            for kind, places in (("b", b), ("r", r)):
                for place in places:
                    known[kind][place] = known[kind].get(place, 0) + 1
        assert not set(known["b"]) & set(known["r"])


def check(number: int) -> tuple[Schedule, Finished | Aborted]:
    schedule = Schedule(number)
    end = schedule.run()
    if isinstance(end, Finished):
        assert len(end.u3) >= schedule.plan.minimum
        assert set(end.u3) <= set(end.u2) <= set(end.u1)
        assert (end.total == schedule.expected(end)).all()
    schedule.check_nobody_said_too_much(end)
    return schedule, end


ARROWS = {(each.before, each.after) for each in (*machine.TRANSITIONS, *server.TRANSITIONS)}


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_sum_is_exactly_the_survivors_or_there_is_none(chunk: int) -> None:
    ends: list[Any] = []
    arrows: set[tuple[type | None, type]] = set()
    for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        schedule, end = check(number)
        ends.append(end)
        arrows |= schedule.arrows
    finished = [end for end in ends if isinstance(end, Finished)]
    assert CHUNK // 4 < len(finished) < CHUNK
    assert any(len(end.u3) < len(end.u2) for end in finished)
    repeated = {(before, after) for before, after in arrows if before is after}  # the same request again
    assert arrows - repeated <= ARROWS


@pytest.mark.long
@pytest.mark.timeout(0)
def test_many_more_schedules_take_every_way_there_is() -> None:
    arrows: set[tuple[type | None, type]] = set()
    for number in range(CHUNK * CHUNKS, CHUNK * CHUNKS + LONG):
        arrows |= check(number)[0].arrows
    assert arrows >= ARROWS
