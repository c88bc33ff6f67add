"""Computes answers in a child process: the agent neither imports torch nor dies of what training does."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import UnionType
from typing import Any

from covey import encode
from covey import plan as plans
from covey.delivery import Arrays
from covey.encode import Integers
from covey.errors import PlanRefused, ProtocolError
from covey.plan import Plan
from covey_client import frames, working
from covey_client.limits import Child as Process
from covey_client.limits import Limits, holding, start
from covey_client.participant import Log
from covey_client.working import Go, Prepare, Ready, Refused, Vector

WORKER = "worker"


@dataclass(frozen=True)
class TrainingChild:
    """See `covey_client.participant.Trainer`.

    Attributes:
        command: Starts a worker.
        log: Takes one line for the device's owner.
        limits: That it is kept in, with all that it starts.
        container: A command in front of it that makes a cgroup; see `covey_client.scopes`.
        strain: Why training is held now; empty if it is not.
    """

    command: Sequence[str]
    log: Log
    limits: Limits = field(default_factory=Limits)
    container: tuple[str, ...] = ()
    strain: Callable[[], str] = str

    @contextmanager
    def prepared(self, plan: Plan, model: Arrays) -> Iterator["Child"]:
        """See `covey_client.participant.Trainer`.

        Raises:
            PlanRefused: The worker says that the plan is not one for this device's model.
            OSError: The worker cannot be started.
        """
        with (
            start(self.command, self.limits, container=self.container) as process,
            holding(process, self.strain, self.log),
        ):
            child = Child(process, plan, self.log)
            said = child.asked(Prepare(plans.to_bytes(plan), model), Ready | Refused)
            if isinstance(said, Refused):
                raise PlanRefused(said.reason)
            yield child


@dataclass(frozen=True)
class Child:
    """A worker that is ready to answer a plan; see `covey_client.participant.Prepared`."""

    process: Process
    plan: Plan
    log: Log

    def answer(self, coins: bytes) -> Integers:
        """The worker's vector; zero if it dies, is too slow or says something else."""
        try:
            vector: Vector = self.asked(Go(coins), Vector)
            return working.from_vector(vector, self.plan.length)
        except (OSError, ProtocolError) as error:
            self.process.kill()
            ended = self.process.wait().reason
            self.log(f"round {self.plan.round}: contributed nothing: the training worker {ended}; {error}")
            return encode.zero(self.plan.parts)

    def asked(self, question: Prepare | Go, answer: type | UnionType) -> Any:
        """What the worker says to a question.

        Raises:
            ProtocolError: Something else, or nothing: it died.
            OSError: It is gone.
        """
        frames.write(self.process.stdin, working.encode(question))
        return working.decode(frames.read(self.process.stdout, blame=WORKER), answer)
