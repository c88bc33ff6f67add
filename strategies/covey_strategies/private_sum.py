"""One private sum: a question to one or more cohorts, driven over a Grid until each is opened or given up."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Protocol

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid
from msgspec import UNSET

from covey import encode, spending
from covey.accounting.matrix import inverse
from covey.encode import Part, Vectors
from covey.errors import TooFewDevices
from covey.plan import Plan
from covey.secagg.messages import Advertised, Proofs
from covey.spending import Asked, Ended
from covey_strategies.exchange import Exchange, Failed, Settled


@dataclass(frozen=True)
class GroupSum:
    """One cohort's share of a question's outcome.

    Attributes:
        sums: Decoded, by part.
        devices: Devices in it.
    """

    sums: Vectors
    devices: int


@dataclass(frozen=True)
class PrivateSum:
    """The outcome of one question.

    Attributes:
        sums: The decoded total over all opened cohorts, by part.
        devices: Devices in it.
        refused: What was not counted, and why, one line each.
        parts: How the rows were laid out.
        variance: Of the noise in each element of the total, squared integer units; 0 for none.
        groups: Of the cohorts that were opened, each one's own.
    """

    sums: Vectors
    devices: int
    refused: tuple[str, ...]
    parts: tuple[Part, ...] = ()
    variance: int = 0
    groups: tuple[GroupSum, ...] = ()

    def deviation(self, name: str) -> float:
        """Standard deviation of the noise in each element of a part, in the part's units."""
        (scale,) = (part.scale for part in self.parts if part.name == name)
        return sqrt(self.variance) / scale


@dataclass(frozen=True)
class Signed:
    """A plan as it will be sent.

    Attributes:
        plan: Its bytes.
        signature: The operator's, kind "plan"; None where nobody signs plans.
    """

    plan: bytes
    signature: bytes | None


@dataclass(frozen=True)
class Receipt:
    """That a plan is written down.

    Attributes:
        size: Of the ledger in which it is.
        proofs: What a device wants to see of it that has seen the ledger at a size; None where the plan
            appeals to no policy.
    """

    size: int
    proofs: Callable[[int], Proofs | None]


class Book(Protocol):
    """Where a run's sums are written down; each call is durable before it returns.

    Attributes:
        heads: Size of the ledger that each node has seen last, as far as is known.
        adverts: Each device's newest advert, as far as is known.
    """

    heads: dict[int, int]
    adverts: dict[str, Advertised]

    def next_sum(self) -> int:
        """A serial number that was never used, in this run or before a crash of it."""

    def reserve(self, signed: Sequence[Signed]) -> tuple[Receipt, ...]:
        """Before plans are sent: they count as spent from here on, whatever happens."""

    def settle(self, plan: Plan, settled: Settled) -> None:
        """After a sum was opened, before anything is done with it."""

    def abort(self, plan: Plan, reason: str) -> None:
        """After a sum was given up; it stays spent."""


Noised = Callable[[Plan, Settled], Settled]
"""An opened sum with the server's noise, where a plan leaves any to the server."""


def collect(  # noqa: PLR0913 - how a question goes on
    grid: Grid,
    exchanges: Iterable[Exchange],
    replies: Iterable[Message],
    book: Book,
    timeout: float,
    *,
    noised: Noised | None = None,
) -> PrivateSum:
    """Drive all cohorts of a question to their ends.

    Args:
        grid: Where the devices are.
        exchanges: One a cohort, their first messages sent.
        replies: To the first messages.
        book: Where the outcomes are written.
        timeout: Seconds to wait at each stage; who has not replied by then has dropped out.
        noised: Adds the server's noise, before anything is written down; None for plans that leave it none.

    Raises:
        TooFewDevices: No cohort's sum was opened.
    """
    waiting = list(exchanges)
    ended: list[Exchange] = []
    while waiting:
        waiting = [exchange.received(own) for exchange, own in _by_cohort(waiting, replies)]
        ended += [exchange for exchange in waiting if exchange.end is not None]
        waiting = [exchange for exchange in waiting if exchange.end is None]
        messages = [message for exchange in waiting for message in exchange.messages()]
        replies = list(grid.send_and_receive(messages, timeout=timeout)) if messages else []
    if noised is not None:
        ended = [_noised(exchange, noised) for exchange in ended]
    for exchange in ended:
        _write(book, exchange)
    return _added(ended)


def _noised(exchange: Exchange, noised: Noised) -> Exchange:
    end = exchange.end
    return replace(exchange, end=noised(exchange.plan, end)) if isinstance(end, Settled) else exchange


def _by_cohort(exchanges: list[Exchange], replies: Iterable[Message]) -> list[tuple[Exchange, list[Message]]]:
    """Replies of strangers go to the first cohort, which says so."""
    sorted_out: list[list[Message]] = [[] for _ in exchanges]
    place = {node: index for index, exchange in enumerate(exchanges) for node in exchange.cohort}
    for reply in replies:
        sorted_out[place.get(reply.metadata.src_node_id, 0)].append(reply)
    return list(zip(exchanges, sorted_out, strict=True))


def _write(book: Book, exchange: Exchange) -> None:
    match exchange.end:
        case Settled():
            book.settle(exchange.plan, exchange.end)
        case Failed(reason):
            book.abort(exchange.plan, reason)
        case None:
            raise TypeError("an exchange without an end")


def _added(exchanges: list[Exchange]) -> PrivateSum:
    opened = [(exchange, exchange.end) for exchange in exchanges if isinstance(exchange.end, Settled)]
    refused = tuple(line for exchange in exchanges for line in exchange.refused)
    if not opened:
        first = exchanges[0]
        reason = first.end.reason if isinstance(first.end, Failed) else "no cohort"
        raise TooFewDevices(
            f"round {first.plan.round}: {reason}",
            hint="bring devices up and resume, or start anew with a lower federation.minimum_devices",
        )
    groups = tuple(
        GroupSum(encode.decode(exchange.plan.parts, settled.total), settled.devices)
        for exchange, settled in opened
    )
    sums: Vectors = {}
    for group in groups:
        for name, value in group.sums.items():
            sums[name] = np.add(sums[name], value) if name in sums else value
    parts, variance = opened[0][0].plan.parts, sum(_variance(each.plan, settled) for each, settled in opened)
    devices = sum(settled.devices for _, settled in opened)
    return PrivateSum(sums, devices, refused, parts, variance, groups)


def _variance(plan: Plan, settled: Settled) -> int:
    """Of the noise in one cohort's opened sum."""
    if plan.central is not UNSET and plan.central.bands == 1:
        return plan.central.variance
    if plan.central is not UNSET:
        fresh = inverse(plan.central.bands, max(plan.round, 1))
        return round(plan.central.variance * float((fresh**2).sum()))
    if plan.noise is None:
        return 0
    return spending.left(Asked.of(plan), plan.noise, Ended(settled.devices, settled.sharing))
