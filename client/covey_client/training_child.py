"""Computes answers in a child process: the agent neither imports torch nor dies of what training does."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import UnionType
from typing import Any

from covey import encode
from covey import plan as plans
from covey.delivery import Arrays
from covey.encode import Integers
from covey.errors import PlanRefused, ProtocolError
from covey.plan import Plan
from covey_client import frames, working
from covey_client.participant import Log
from covey_client.working import Go, Prepare, Ready, Refused, Vector

WORKER = "worker"


@dataclass(frozen=True)
class TrainingChild:
    """See `covey_client.participant.Trainer`.

    Attributes:
        command: Starts a worker.
        log: Takes one line for the device's owner.
    """

    command: Sequence[str]
    log: Log

    @contextmanager
    def prepared(self, plan: Plan, model: Arrays) -> Iterator["Child"]:
        """See `covey_client.participant.Trainer`.

        Raises:
            PlanRefused: The worker says that the plan is not one for this device's model.
            OSError: The worker cannot be started.
        """
        with subprocess.Popen(  # noqa: S603 - our own interpreter and module
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            try:
                child = Child(process, plan, self.log)
                said = child.asked(Prepare(plans.to_bytes(plan), model), Ready | Refused)
                if isinstance(said, Refused):
                    raise PlanRefused(said.reason)
                yield child
            finally:
                process.kill()


@dataclass(frozen=True)
class Child:
    """A worker that is ready to answer a plan; see `covey_client.participant.Prepared`."""

    process: subprocess.Popen[bytes]
    plan: Plan
    log: Log

    def answer(self, coins: bytes) -> Integers:
        """The worker's vector; zero if it dies, is too slow or says something else."""
        try:
            vector: Vector = self.asked(Go(coins), Vector)
            return working.from_vector(vector, self.plan.length)
        except (OSError, ProtocolError) as error:
            self.log(f"round {self.plan.round}: contributed nothing: the training worker: {error}")
            return encode.zero(self.plan.parts)

    def asked(self, question: Prepare | Go, answer: type | UnionType) -> Any:
        """What the worker says to a question.

        Raises:
            ProtocolError: Something else, or nothing: it died.
            OSError: It is gone.
        """
        questions, answers = self.process.stdin, self.process.stdout
        if questions is None or answers is None:
            raise OSError("no pipe to the worker")
        frames.write(questions, working.encode(question))
        return working.decode(frames.read(answers, blame=WORKER), answer)
