"""`covey demo` and `covey simulate`."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from covey.errors import InputError
from covey_simulations.preparing import prepare

Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Seed of everything random; replaces the file's.")
]
Runs = Annotated[Path, typer.Option("--runs", help="Folder for runs.", file_okay=False)]
LogTo = Annotated[
    list[str] | None,
    typer.Option("--log-to", metavar="KIND:WHERE", help="Also to tensorboard:DIR or mlflow:URI; repeat."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the file; repeat for more."),
]


def demo(
    *,
    seed: Seed = None,
    private_noise: Annotated[
        bool,
        typer.Option(
            "--private-noise",
            help="Draw noise from the operating system: cannot be repeated. Not the seed's.",
        ),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the demo that was stopped.")] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Train twenty simulated devices on real wrist motion, with and without noise, and compare.

    Ten people did seven shoulder exercises with a motion sensor on each wrist: twenty devices, each with
    one person's one arm; here one process plays all of them. Two federations run one after the other. The
    first adds no noise and promises nothing: it shows what the data allows. The second is private: masks
    hide each device's answer, and the devices' noise gives every single example ε = 4 over all that is
    ever asked. Each ends with a model that is exported, quantised, signed, installed into a device's slot
    and run. The private one runs under a signed policy that its devices enforce, and writes every sum into
    a ledger that a witness cosigns. Then its model is released to the twenty devices over TUF; a
    deliberately bad release after it is refused by ten of them, stopped and rolled back. It ends with an
    audit of itself.

    Everything lands in runs/demo-without-noise and runs/demo; the last line printed is the report's path.
    This is a simulation: it sees all data, and its noise comes from the seed, so that it can be repeated.
    Such noise protects nobody. With --private-noise it is drawn as on a fleet, and no two runs are alike.
    Takes about two minutes on two cores.

    \b
    covey demo
    covey demo --seed 7
    covey demo --private-noise
    covey demo --resume
    """  # noqa: D301 - \b is click's own mark for lines that it must not join
    prepare()
    from covey_simulations.demo import BARE, PRIVATE, Demo  # noqa: PLC0415 - see `covey_simulations.preparing`

    changes = [] if seed is None else [f"seed={seed}"]
    changes += ["private_noise=true"] if private_noise else []
    package = files("covey_simulations")
    with as_file(package / f"{BARE}.toml") as bare, as_file(package / f"{PRIVATE}.toml") as private:
        Demo(bare, private, runs).run(changes, resuming=resume)


def simulate(  # noqa: PLR0913 - options of a command
    file: Annotated[
        Path | None, typer.Argument(help="The federation's TOML file.", show_default=False)
    ] = None,
    *,
    overrides: Set = None,
    seed: Seed = None,
    beside: Annotated[
        Path | None,
        typer.Option("--beside", metavar="RUN", help="A finished run's folder, to compare with."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="RUN", help="Go on with a run that was stopped: its folder."),
    ] = None,
    log_to: LogTo = None,
    runs: Runs = Path("runs"),
) -> None:
    """Run the federation that a TOML file describes, with simulated devices, on this machine.

    The run's folder is runs/<name>: configuration, metrics, a line for every private sum, checkpoints,
    package, report.html and summary.json. An earlier run of that name is moved aside. The same file, seed
    and machine give the same model, also after a stop and a --resume, unless the file says
    private_noise = true. The file says what protects the sums; see covey plan for the numbers.

    With --beside, a finished run stands beside this one in the report and in the closing lines.

    \b
    covey simulate simulations/digits.toml
    covey simulate simulations/digits.toml --set federation.rounds=5 --set strategy.name=fedadam
    covey simulate private.toml --beside runs/digits
    covey simulate --resume runs/digits
    """  # noqa: D301 - as above
    if file and resume:
        raise InputError("a run that is resumed has its configuration", hint="leave out FILE, or --resume")
    prepare()
    from covey_simulations import terminal  # noqa: PLC0415 - see `covey_simulations.preparing`

    changes = [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]
    if resume:
        job = terminal.resumed(resume, changes)
    elif file:
        job = terminal.begun(file, changes, runs)
    else:
        raise InputError("which federation?", hint="covey simulate FILE.toml, or --resume runs/NAME")
    terminal.close(job, beside, tuple(log_to or ()))
