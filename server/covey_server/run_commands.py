"""`covey fleet run|status|logs|stop`: what a server is asked to do, and what it does."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from covey.errors import InputError, StateError

if TYPE_CHECKING:
    from covey_server.run_progress import Told
    from covey_server.serve_status import ServerStatus
    from covey_server.server_file import ServerFile

CONFIG = Path("/etc/covey/server.toml")
PARTS = ("superlink", "enrolment")

Server = Annotated[
    Path,
    typer.Option(
        "--server", metavar="SERVER.toml", help="The server's configuration.", envvar="COVEY_SERVER"
    ),
]


def run(
    federation: Annotated[
        Path,
        typer.Argument(metavar="FEDERATION.toml", help="What to ask.", show_default=False),
    ],
    server: Server = CONFIG,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow it.")] = False,
) -> None:
    """Ask the server for a run, and follow it. Ctrl-C ends the following only.

    What is wrong with the federation, the operator's keys or the policy is said before anything starts. The
    server keeps a copy of FEDERATION.toml, and goes on with the run after whatever was killed, until it is
    finished or several starts in a row have brought no new round. A run that failed or was stopped goes on
    from its last checkpoint when it is asked for again.

    \b
    covey fleet run federation.toml
    covey fleet run federation.toml --server server.toml --detach
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    from covey_server.orders import Orders  # noqa: PLC0415 - help imports nothing heavy
    from covey_server.run_checks import checked  # noqa: PLC0415 - as above

    file = _file(server)
    name = checked(federation, file).name
    order = Orders(file.folder.orders).enter(name, federation.read_bytes())
    typer.echo(f"run {name}: {order.progress.state}")
    if not detach:
        _follow(file, name)


def status(
    server: Server = CONFIG,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say how the server's parts are, who is connected, and how far the runs have come.

    Exit status 1 if the server does not run or a part of it does not answer.

    \b
    covey fleet status
    covey fleet status --json | jq .runs
    """  # noqa: D301 - as above
    import msgspec  # noqa: PLC0415 - as above

    from covey_server import serve_status, superlink  # noqa: PLC0415 - as above
    from covey_server.orders import Orders  # noqa: PLC0415 - as above
    from covey_server.run_progress import told  # noqa: PLC0415 - as above

    file = _file(server)
    found = serve_status.read(file.folder.path)
    runs = [told(file, order) for order in Orders(file.folder.orders).all()]
    nodes = superlink.connected(file) if found is not None else None
    if as_json:
        typer.echo(msgspec.json.encode({"server": found, "supernodes": nodes, "runs": runs}).decode())
    else:
        for line in _lines(found, nodes, runs):
            typer.echo(line)
    if found is None or not found.is_healthy:
        raise typer.Exit(1)


def logs(
    name: Annotated[str, typer.Argument(metavar="[RUN]", help=f"A run, or a part: {', '.join(PARTS)}.")] = "",
    server: Server = CONFIG,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on, until Ctrl-C.")] = False,
) -> None:
    """Print what a run's ServerApp said, or a part of the server; of the newest run if none is named.

    \b
    covey fleet logs
    covey fleet logs superlink --follow
    """  # noqa: D301 - as above
    from covey_server.run_following import Tail  # noqa: PLC0415 - as above

    tail = Tail(_log(_file(server), name), all_of_it=True)
    while True:
        for line in tail.lines():
            typer.echo(line)
        if not follow:
            return
        time.sleep(0.5)


def stop(
    name: Annotated[str, typer.Argument(metavar="RUN", help="The run.", show_default=False)],
    server: Server = CONFIG,
) -> None:
    """Stop a run; `covey fleet run` goes on with it. What it has asked for stays in the ledger, spent."""
    from covey_server.orders import Orders  # noqa: PLC0415 - as above

    file = _file(server)
    orders = Orders(file.folder.orders)
    orders.stop(name)
    while not orders.find(name).is_over:
        if not _is_running(file):
            typer.echo("no server runs: it will be stopped when one does")
            return
        time.sleep(0.2)
    typer.echo(f"run {name}: {orders.find(name).progress.state}")


def register(group: typer.Typer) -> None:
    """Add these commands to `covey fleet`."""
    for name, command, line in (
        ("run", run, "Ask the server for a run, and follow it."),
        ("status", status, "Say how the server is, and how far its runs."),
        ("logs", logs, "Print what a run or a part of the server said."),
        ("stop", stop, "Stop a run."),
    ):
        group.command(name, short_help=line)(command)


def _file(path: Path) -> "ServerFile":
    from covey_server.server_file import read  # noqa: PLC0415 - as above

    return read(path)


def _is_running(file: "ServerFile") -> bool:
    from covey_server.serve_status import is_running  # noqa: PLC0415 - as above

    return is_running(file.folder.path)


def _follow(file: "ServerFile", name: str) -> None:
    """Until the run is over, or whoever follows has seen enough."""
    from covey_server.orders import Orders  # noqa: PLC0415 - as above
    from covey_server.run_following import Following  # noqa: PLC0415 - as above

    try:
        for line in Following(file, name).follow():
            typer.echo(line)
    except KeyboardInterrupt:
        typer.echo(f"the run goes on; covey fleet run follows it again, covey fleet stop {name} stops it")
        return
    order = Orders(file.folder.orders).find(name)
    if order.progress.state != "finished":
        raise StateError(
            f"run {name} {order.progress.state}"
            + (f": {order.progress.reason}" if order.progress.reason else ""),
            hint=f"covey fleet logs {name}",
        )


def _log(file: "ServerFile", name: str) -> Path:
    from covey_server.orders import Orders  # noqa: PLC0415 - as above

    if name in PARTS:
        return file.folder.log(name)
    orders = Orders(file.folder.orders)
    if name:
        return orders.find(name).log
    known = orders.all()
    if not known:
        raise InputError("no run was asked for yet", hint="covey fleet run FEDERATION.toml")
    return max(known, key=lambda order: order.progress.time).log


def _lines(found: "ServerStatus | None", nodes: "dict[str, int] | None", runs: "list[Told]") -> Iterator[str]:
    if found is None:
        yield "no server runs: start it with `covey serve`, or systemctl start covey-server"
    else:
        yield f"server: process {found.pid}, since {_when(found.started)}"
        for part in found.parts:
            again = f", started again {part.restarts} times ({part.reason})" if part.restarts else ""
            yield f"  {part.name}: {part.state}{again}"
    if nodes is not None:
        counted = ", ".join(f"{count} {state}" for state, count in sorted(nodes.items())) or "none known"
        yield f"SuperNodes: {counted}"
    for told in runs:
        yield from _run_lines(told)
    if not runs:
        yield "no run was asked for: covey fleet run FEDERATION.toml"


def _run_lines(told: "Told") -> Iterator[str]:
    parts = [f"run {told.name}: {told.state}"]
    if told.rounds:
        parts.append(f"round {told.round}/{told.rounds}")
    if told.devices is not None:
        parts.append(f"{told.devices} devices")
    if told.loss is not None:
        parts.append(f"loss {told.loss:.3f}")
    if told.accuracy is not None:
        parts.append(f"accuracy {told.accuracy:.3f}")
    if told.sums:
        parts.append("1 sum" if told.sums == 1 else f"{told.sums} sums")
        parts.append("no noise" if told.epsilon is None else f"ε = {told.epsilon:g}")
    yield ", ".join(parts)
    if told.reason:
        yield f"  {'failed' if told.state == 'failed' else f'started {told.starts} times'}: {told.reason}"


def _when(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
