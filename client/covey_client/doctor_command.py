"""`covey device doctor`: what is wrong with this device, and what to do."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from covey_client.checkup import Check, Row

UNITS = ("covey-agent.service", "covey-supernode.service")
TRAINING_MB = 1500
CONFIG = Path("/etc/covey/device.toml")


def doctor(
    config: Annotated[
        Path,
        typer.Option(
            "--config", metavar="DEVICE.toml", help="The device's configuration.", envvar="COVEY_DEVICE"
        ),
    ] = CONFIG,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
    address: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="Try to reach this as well, with the device's certificate."),
    ] = None,
    worker: Annotated[bool, typer.Option(help="Import torch, which takes a while.")] = True,
) -> None:
    """Check clock, disk, memory, programs, certificates and network, and say what to do.

    Ends with status 1 if something must be mended. Nothing of the device is changed.

    \b
    covey device doctor
    covey device doctor --no-worker --json | jq '.[] | select(.verdict != "ok")'
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    import msgspec  # noqa: PLC0415 - help imports nothing heavy

    from covey_client import checkup  # noqa: PLC0415 - as above

    found = list(checkup.rows(checks(config, address or [], worker=worker)))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        for line in (*checkup.table(found), checkup.summary(found)):
            typer.echo(line)
    if any(row.verdict == "fail" for row in found):
        raise typer.Exit(1)


def checks(config: Path, addresses: list[str], *, worker: bool) -> "Iterator[tuple[str, Check]]":
    """All of them, in the order in which it makes sense to mend things."""
    from covey.errors import ConfigError  # noqa: PLC0415 - as above
    from covey_client.configuration import DeviceFile, ModelChoice, read  # noqa: PLC0415 - as above
    from covey_client.data_folder import DataTable  # noqa: PLC0415 - as above

    yield "configuration", partial(_configuration, config)
    try:
        file = read(config)
    except ConfigError:
        file = DeviceFile(model=ModelChoice(), data=DataTable(path=""))  # the usual places
    yield from _machine(Path(file.state), worker=worker)
    yield from _network(Path(file.state), addresses)
    yield from _running(Path(file.socket.path))


def _configuration(config: Path) -> "Row":
    from covey_client.checkup import Row  # noqa: PLC0415 - as above
    from covey_client.configuration import read  # noqa: PLC0415 - as above

    read(config)
    return Row("configuration", "ok", str(config))


def _machine(state: Path, *, worker: bool) -> "Iterator[tuple[str, Check]]":
    from covey_client import doctor as machine  # noqa: PLC0415 - as above

    yield "userland", machine.check_userland
    yield "python", machine.check_python
    yield "wheels", machine.check_wheels
    yield "grpc", machine.check_grpc
    if worker:
        yield "training", machine.check_worker
    yield "memory", partial(machine.check_memory, TRAINING_MB)
    yield "disk", partial(machine.check_disk, state)
    yield "secrets", partial(machine.check_private, state)
    yield "clock", partial(_clock, state)


def _clock(state: Path) -> "Row":
    from covey_client import doctor as machine  # noqa: PLC0415 - as above

    known = machine.newest_head(state / "budget.jsonl")
    return machine.check_clock(time.time(), machine.is_synchronised(), known)


def _network(state: Path, addresses: list[str]) -> "Iterator[tuple[str, Check]]":
    from covey_client import doctor_network as network  # noqa: PLC0415 - as above

    yield "enrolment", partial(network.check_enrolled, state)
    yield "certificate", partial(network.check_certificate, state, time.time())
    yield "server", partial(network.check_server, state)
    for text in addresses:
        yield f"reach {text}", partial(network.check_reachable, network.address(text, mutual=True), state)


def _running(agent: Path) -> "Iterator[tuple[str, Check]]":
    from covey_client import doctor_network as network  # noqa: PLC0415 - as above

    yield "socket", partial(network.check_socket, agent)
    for unit in UNITS:
        yield unit, partial(network.check_unit, unit)
