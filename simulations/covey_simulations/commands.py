"""`covey demo` and `covey simulate`."""

import logging
import os
import shlex
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from covey.errors import CoveyError, InputError

if TYPE_CHECKING:
    from covey_server.run_folder import RunFolder
    from covey_simulations.settings import SimulationFile

Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Seed of everything random; replaces the file's.")
]
Runs = Annotated[Path, typer.Option("--runs", help="Folder for runs.", file_okay=False)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the file; repeat for more."),
]


class Stopped(CoveyError):  # noqa: N818 - what happened, as the person who did it would say
    """Ctrl-C: the run can be gone on with."""

    exit_status = 130  # 128 + SIGINT


def demo(
    *,
    seed: Seed = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the demo that was stopped.")] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Train twenty simulated devices on real wrist motion and install the signed model.

    Ten people did seven shoulder exercises with a motion sensor on each wrist: twenty devices, each with
    one person's one arm. They train a network of some thousand parameters together; here one process
    plays all of them. The model is exported, quantised, packaged, signed, installed into a device's slot
    and run. Everything lands in runs/demo; the last line printed is the report's path.

    In this version the sum of the devices' answers is taken in clear: no masks, no noise, no privacy
    guarantee. Takes a minute or two on two cores.

    \b
    covey demo
    covey demo --seed 7
    covey demo --resume
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    with as_file(files("covey_simulations") / "demo.toml") as path:
        _run(path, [], seed, runs / "demo" if resume else None, runs)


def simulate(
    file: Annotated[
        Path | None, typer.Argument(help="The federation's TOML file.", show_default=False)
    ] = None,
    *,
    overrides: Set = None,
    seed: Seed = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="RUN", help="Go on with a run that was stopped: its folder."),
    ] = None,
    runs: Runs = Path("runs"),
) -> None:
    """Run the federation that a TOML file describes, with simulated devices, on this machine.

    The run's folder is runs/<name>: configuration, metrics, checkpoints, package, report.html and
    summary.json. An earlier run of that name is moved aside. The same file, seed and machine give the
    same model, also after a stop and a --resume.

    \b
    covey simulate simulations/digits.toml
    covey simulate simulations/digits.toml --set federation.rounds=5 --set strategy.name=fedadam
    covey simulate --resume runs/digits
    """  # noqa: D301 - as above
    if file and resume:
        raise InputError("a run that is resumed has its configuration", hint="leave out FILE, or --resume")
    _run(file, overrides or [], seed, resume, runs)


def _run(file: Path | None, overrides: list[str], seed: int | None, resumed: Path | None, runs: Path) -> None:
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # before flwr is imported, here and below
    from covey_io import settings  # noqa: PLC0415 - help must not import the engine
    from covey_simulations import runs as folders  # noqa: PLC0415
    from covey_simulations.settings import SimulationFile  # noqa: PLC0415

    logging.getLogger("flwr").setLevel(logging.WARNING)
    changes = overrides if seed is None else [*overrides, f"seed={seed}"]
    if resumed is not None:
        parsed, folder = folders.resume(resumed, changes)
        _simulate(parsed, folder.path, resuming=True)
    elif file is None:
        raise InputError("which federation?", hint="covey simulate FILE.toml, or --resume runs/NAME")
    else:
        parsed = settings.load(file, SimulationFile, changes)
        _simulate(parsed, runs / parsed.name, resuming=False)


def _simulate(file: "SimulationFile", path: Path, *, resuming: bool) -> None:
    """Hold the run's name, read everything that can be wrong, and only then touch what is on disk."""
    console = Console()
    began = resuming
    try:
        from covey_server.run_folder import RunFolder  # noqa: PLC0415 - help must not import the engine
        from covey_simulations import runs as folders  # noqa: PLC0415
        from covey_simulations.closing import closing_lines  # noqa: PLC0415
        from covey_simulations.progress import progress  # noqa: PLC0415
        from covey_simulations.run import simulate as run  # noqa: PLC0415
        from covey_simulations.world import read  # noqa: PLC0415

        with RunFolder(path).locked(), progress(console) as display:
            display.stage("data")
            scenario = read(file)
            folder = RunFolder.open(path) if resuming else _started(folders.start(file, path.parent), console)
            began = True
            found = run(scenario, folder, display)
    except KeyboardInterrupt:
        raise Stopped("stopped", hint=_again(path) if began else "nothing was written") from None
    for line in closing_lines(found, folder):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _started(start: "tuple[RunFolder, Path | None]", console: Console) -> "RunFolder":
    folder, moved = start
    if moved:
        text = f"an earlier run was moved to {moved}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    return folder


def _again(path: Path) -> str:
    """The command that goes on with a run."""
    return (
        "covey demo --resume"
        if path == Path("runs/demo")
        else f"covey simulate --resume {shlex.quote(str(path))}"
    )
