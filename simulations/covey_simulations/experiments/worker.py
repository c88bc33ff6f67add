"""A process that carries out runs, one after another: `python -m covey_simulations.experiments.worker FD`.

It talks over a socket that it inherits, in msgpack; what libraries print goes to its standard output. It is
started by name and not by `multiprocessing`, which would run the caller's own script again in it.
"""

import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import NoReturn

import msgspec

from covey_simulations.preparing import prepare

TERMINATED = 143
"""128 + SIGTERM."""


def main(descriptor: int) -> None:
    """Carry out what comes in, until whoever sends it is gone."""
    prepare()
    from covey_simulations.experiments import resources  # noqa: PLC0415 - after `prepare`
    from covey_simulations.experiments.carrying import carry_out  # noqa: PLC0415 - idem
    from covey_simulations.experiments.jobs import Job, Told  # noqa: PLC0415 - idem

    with Connection(descriptor) as link:

        def tell(told: Told) -> None:
            try:
                link.send_bytes(msgspec.msgpack.encode(told))
            except OSError:  # nobody waits for it any more
                sys.exit(TERMINATED)

        while True:
            try:
                job = msgspec.msgpack.decode(link.recv_bytes(), type=Job)
            except (EOFError, OSError):
                return
            resources.let_go()
            carry_out(job, tell)


def _leave(_signal: int, _frame: object) -> NoReturn:
    """Let blocks that hold something end."""
    sys.exit(TERMINATED)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells everybody; who started this one decides
    signal.signal(signal.SIGTERM, _leave)
    os.environ["OMP_NUM_THREADS"] = "1"
    main(int(sys.argv[1]))
