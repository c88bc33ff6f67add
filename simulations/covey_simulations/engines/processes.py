"""Sums worked out by several processes of this machine, each for its share of a cohort.

The processes are forked from the run: they see its data without a copy and its model without a file, and
keep the devices that they have made. What goes back and forth is a plan, its parameters and one vector of
integers; integers add up alike in any order, so that the number of processes changes no sum.
"""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
import torch

from covey.arrays import Parameters
from covey.encode import Integers
from covey.errors import CoveyError, StateError
from covey.plan import Plan
from covey_simulations.engines.grid import Totals

_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class _Asked:
    plan: Plan
    parameters: Parameters
    nodes: tuple[int, ...]
    dropped: int


class Processes:
    """Works out sums in processes that are already running.

    Args:
        connections: To each of them.
    """

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._connections = connections

    def total(self, plan: Plan, parameters: Parameters, nodes: Sequence[int], dropped: int) -> Integers:
        """See `covey_simulations.engines.summing.Summing`.

        Raises:
            CoveyError: What a process refused.
            StateError: A process has ended.
        """
        shares = share_out(nodes, len(self._connections))
        asked = list(zip(self._connections, shares, strict=False))
        try:
            for connection, share in asked:
                connection.send(_Asked(plan, parameters, share, dropped))
            replies = [connection.recv() for connection, _ in asked]
        except (EOFError, OSError) as error:
            raise StateError(
                "a process that trains devices has ended: killed for want of memory, perhaps",
                hint="resume with fewer [simulation] workers or less memory_mb; finished rounds stand",
            ) from error
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        total = np.zeros(plan.length, np.int64)
        for reply in replies:
            total += reply
        return total


def share_out(nodes: Sequence[int], parts: int) -> list[tuple[int, ...]]:
    """Nodes in at most so many parts of equal length, none empty."""
    return [part for start in range(parts) if (part := tuple(nodes[start::parts]))]


@contextmanager
def started(totals: Totals, workers: int) -> Iterator[Processes]:
    """Processes that work out sums as `totals` does; they end with the block.

    Args:
        totals: Copied into each by forking.
        workers: How many.
    """
    pairs = [_FORK.Pipe() for _ in range(workers)]
    running = [
        _FORK.Process(target=_serve, args=(totals, pairs, place), daemon=True) for place in range(workers)
    ]
    for each in running:
        each.start()
    for _, theirs in pairs:
        theirs.close()
    try:
        yield Processes([ours for ours, _ in pairs])
    finally:
        for ours, _ in pairs:
            ours.close()
        for each in running:
            each.join(timeout=5)
            if each.is_alive():
                each.kill()
                each.join()


def _serve(totals: Totals, pairs: Sequence[tuple[Connection, Connection]], place: int) -> None:
    """Answer at the other end of a pair until this one's is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run decides what Ctrl-C means
    connection = pairs[place][1]
    for each in (end for pair in pairs for end in pair if end is not connection):
        each.close()  # else nobody would notice that another process has ended
    torch.set_num_threads(1)
    while True:
        try:
            asked: _Asked = connection.recv()
        except (EOFError, OSError):
            os._exit(0)  # nothing here is to be cleaned up twice
        try:
            reply: Integers | Exception = totals.total(
                asked.plan, asked.parameters, asked.nodes, asked.dropped
            )
        except CoveyError as error:
            reply = error
        except Exception as error:  # noqa: BLE001 - an exception that cannot be pickled would end the process
            reply = StateError(f"a process that trains devices failed: {type(error).__name__}: {error}")
        connection.send(reply)
