"""The `[simulation]` table of a federation file: what works a simulated fleet out, and how far."""

from typing import Annotated, Literal

import msgspec

Name = Literal["auto", "serial", "batched", "processes", "ray"]


Stages = Literal["all", "training"]
"""How far a run goes: to a package and a report, or to its last validation."""


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What works a simulated fleet out. It changes how long a run takes, and no result.

    Attributes:
        engine: "auto" is "serial" where masks are on, "batched" where the model can be batched, and
            "processes" otherwise. See `covey_simulations.engines`.
        workers: Processes of the engines "processes" and "ray"; 0 for one a core.
        memory_mb: What a process may take for a cohort's training, about, beside the data.
        stages: "training" ends a run with its last validation: no baseline, package or report.
        ray_address: Of a Ray cluster, such as "10.0.0.7:6379"; empty to start Ray on this machine.
    """

    engine: Name = "auto"
    workers: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    memory_mb: Annotated[int, msgspec.Meta(ge=16, le=1 << 20)] = 512
    ray_address: str = ""
    stages: Stages = "all"
