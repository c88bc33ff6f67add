"""Health of a rollout, asked of a real fleet: a run of the server's own, ordered like any other."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tomli_w

from covey.errors import RoundAborted
from covey.rollout.health import RingHealth
from covey.rollout.plan import RolloutPlan
from covey_io import durable, settings
from covey_server.orders import Orders
from covey_server.rollout_health import read_health
from covey_server.run_checks import checked
from covey_server.run_folder import HEALTH
from covey_server.run_following import Following
from covey_server.server_file import ServerFile

ORDERS: Final = "asked"
LONGEST: Final = 40
"""Characters of a rollout's identifier in a run's name."""


@dataclass(frozen=True)
class ServerHealth:
    """Asks through `covey serve`; see `covey_server.rollout_health.Health`.

    Attributes:
        server: Whose.
        federation: The federation's file: its devices, its model, what protects its sums.
        rollouts: The rollouts' folder, where what was ordered is kept.
        expected: How many devices should report, ring by ring.
        say: Takes one line for whoever waits.
    """

    server: ServerFile
    federation: Path
    rollouts: Path
    expected: Callable[[], tuple[int, ...]]
    say: Callable[[str], None]

    def ask(self, plan: RolloutPlan, opened: int) -> tuple[RingHealth, ...]:
        """Order it, and wait until it is over.

        Raises:
            InputError: The policy does not allow it, or the federation cannot be used.
            RoundAborted: It came to nothing.
        """
        name = self._order(plan, opened)
        for line in Following(self.server, name).follow():
            self.say(line)
        progress = Orders(self.server.folder.orders).find(name).progress
        if progress.state != "finished":
            raise RoundAborted(
                f"run {name} {progress.state}: {progress.reason}", hint=f"covey fleet logs {name}"
            )
        return read_health(self.server.folder.runs / name / HEALTH, plan.rollout, self.expected()).rings

    def _order(self, plan: RolloutPlan, opened: int) -> str:
        slug = "".join(char if char.isalnum() else "-" for char in plan.rollout)[:LONGEST]
        name = f"health-{slug}-{int(time.time())}"
        health = {"rollout": plan.rollout, "image": plan.image.sha256, "rings": opened}
        path = self.rollouts / ORDERS / f"{name}.toml"
        durable.make_folder(path.parent)
        data = tomli_w.dumps({**settings.read(self.federation), "name": name, "health": health}).encode()
        durable.replace(path, data)
        checked(path, self.server)
        Orders(self.server.folder.orders).enter(name, data)
        return name
