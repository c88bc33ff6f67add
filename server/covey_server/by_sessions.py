"""A federation over the session service alone: for agents that attend, without any process of Flower's.

Nobody restarts it: what looks after runs is `covey serve`, which has a SuperLink.
"""

from pathlib import Path

from flwr.app import Context, RecordDict
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from covey_server.app import main
from covey_server.session_grid import SessionGrid
from covey_server.sessions import Sessions

ONE = 1
"""Of Flower's run, task and server, which would otherwise have numbers of the SuperLink's."""


def run_by_sessions(file: Path, runs: Path, operator: Path, address: str) -> None:
    """Run a federation to its end, or go on with it.

    Args:
        file: The federation's file.
        runs: The folder for runs.
        operator: The operator's folder, with the certificates of the session service.
        address: Where agents attend, host and port. One run at a time a process: Flower keeps the identity of
            the running task in a global.

    Raises:
        CoveyError: See `covey_server.app.main`.
    """
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = ONE
    nobody = SessionGrid(Sessions(frozenset), Run.create_empty(ONE))
    config: dict[str, bool | float | int | str] = {
        "federation": str(file),
        "runs": str(runs),
        "operator": str(operator),
        "sessions": address,
    }
    main(nobody, Context(ONE, ONE, {}, RecordDict(), config))
