#!/usr/bin/env python3
"""What a client update costs in a simulation, with Covey's engines and with other people's simulators.

One JSON object a line, one line for each workload and engine:

  workload         W1: 1,000 clients of digits 8x8 (Dirichlet 0.5, 20 to 50 examples each), 100 a round, an
                     MLP of 4,810 parameters. W2: 1,000 clients of 50 synthetic images 3x32x32, 50 a round, a
                     CNN of 1,626,442. W3: W1 with a clip, and noise on the sum. One epoch of SGD, batches of
                     about 10, all equal (give or take one example)
  engine, peer     whose engine: covey, torch (a plain loop, and torch.func.vmap over the cohort), pfl,
                     blazefl, flower
  cpu_ms_per_update  CPU time of the whole process tree between the ends of the first and of the last round,
                     by client updates
  updates_per_s    the same by the clock
  peak_rss_mb      most memory that the tree's processes had resident together (sampled; of a lone process
                     the kernel's own record); what processes share counts for each of them, and so do pages
                     of the data's files
  peak_pss_mb      the same with shared pages divided among those who share them, the machine's other
                     processes too (sampled twice a second)
  first_round_s    by the clock, from the start of the process to the end of the first round
  round_s          a round by the clock
  rounds, cohort, clients, cpu_s, wall_s  what was run, and the totals of the rounds after the first
  accuracy, loss   on held-out examples after the last round: whoever has not learned has not done the work
  spread           least and most of the repeats; all other figures are their medians
  versions         of Python and of what was measured

Each run is a process of its own, one thread a worker. All have the same arrays, first weights, rates and
batches, and choose cohorts at random. The first round is left out: it holds imports and other beginnings.
BlazeFL has no clip and no noise: it is not in W3. Covey's noise in W3 is what a fleet adds, a part on each
device, in integers; the others draw Gaussian noise once, on the server. On a busy machine compare CPU times;
the clock says little.

  benchmarks/simulation.py peers --make             install the peers, each in an environment of its own
  benchmarks/simulation.py --repeats 3 > simulation.jsonl
  benchmarks/simulation.py --table simulation.jsonl   the table of docs/performance.md
  benchmarks/simulation.py growth --engines serial > growth.jsonl
  benchmarks/simulation.py growth --table growth.jsonl --plot docs/simulation-growth.svg
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import simulation_contestants as contestants
import simulation_environments as environments
import simulation_growth as growth
import simulation_lines as lines
from simulation_contestants import Contestant
from simulation_measuring import Failed, measure, scratch
from simulation_peers import workload as workloads

TIMEOUT = 1800.0
DEFAULT = "~/.cache/covey/peers"
HOME = Path(DEFAULT).expanduser()


def main() -> int:
    """Print the lines, or what is asked instead."""
    arguments = _parser().parse_args()
    if arguments.what == "peers":
        return _peers(arguments.make)
    if arguments.table:
        return _shown(arguments)
    if arguments.what == "growth":
        asked = list(growth.points(arguments.fleets, arguments.cohorts))
    else:
        asked = [workloads.WORKLOADS[name] for name in arguments.workloads]
    wanted = [
        *map(contestants.engine, arguments.engines),
        *(contestants.PEERS[name] for name in arguments.peers),
    ]
    return _measured(asked, wanted, arguments)


def _measured(
    asked: Iterable[workloads.Workload], wanted: Sequence[Contestant], arguments: argparse.Namespace
) -> int:
    """Measure, and say who failed."""
    from simulation_data import prepare  # noqa: PLC0415 - torch, which asking for help does not owe

    here = contestants.present(wanted, arguments.environments)
    found, failed = list[dict[str, Any]](), 0
    for workload in asked:
        with scratch() as folder:
            prepare(workload, folder / "data")
            for each in here:
                if workload.noise and not each.noise:
                    continue
                try:
                    found.append(one(workload, each, folder / "data", arguments))
                    print(json.dumps(found[-1]), flush=True)
                except Failed as error:
                    failed += 1
                    print(f"{each.name} on {workload.name}: {error}", file=sys.stderr)
    for text in lines.behind(found):
        print(text, file=sys.stderr)
    return 1 if failed else 0


def one(
    workload: workloads.Workload, contestant: Contestant, prepared: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    """One line.

    Raises:
        Failed: The program did not come to its end.
    """
    rounds = arguments.rounds or workload.rounds
    command = contestant.command(arguments.environments, prepared, rounds)
    runs = []
    for _ in range(arguments.repeats):
        with scratch() as folder:
            runs.append(measure(command, contestants.environment(folder), folder, TIMEOUT))
    heading = {"workload": workload.name, "clients": workload.clients, "cohort": workload.cohort}
    return lines.line(heading, contestant, runs, rounds)


def _shown(arguments: argparse.Namespace) -> int:
    """What earlier lines come to: a table, or a picture."""
    read = lines.read(arguments.table)
    if arguments.what == "growth" and arguments.plot:
        from simulation_plot import plot  # noqa: PLC0415 - matplotlib, as above

        arguments.plot.write_text(plot(read), "utf-8")
    elif arguments.what == "growth":
        print(growth.table(read))
    else:
        print(lines.table(read))
    return 0


def _peers(make: Path | None) -> int:
    if make:
        environments.make(make)
    where = make or HOME
    for name, needed in environments.REQUIREMENTS.items():
        state = "installed" if (where / name / contestants.MADE).exists() else "missing"
        print(f"{name:8s} {state:10s} {where / name}  ({', '.join(needed)})")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(what="")
    known = contestants.ENGINES[:3]
    names = list(workloads.WORKLOADS)
    parser.add_argument("--workloads", nargs="+", choices=names, default=names, help="(all)")
    _common(parser, known, list(contestants.PEERS))
    parser.add_argument("--table", type=Path, metavar="FILE", help="measure nothing: these lines as markdown")
    parts = parser.add_subparsers(title="instead", metavar="")
    peers = parts.add_parser("peers", help="which peers are installed, and how to install them")
    peers.set_defaults(what="peers")
    peers.add_argument(
        "--make",
        type=Path,
        nargs="?",
        const=HOME,
        metavar="DIR",
        help=f"install those that are missing, each in an environment of its own below DIR ({DEFAULT})",
    )
    grown = parts.add_parser(
        "growth",
        help="seconds, CPU and memory of a round by the size of the fleet and of the cohort",
        description="W1's model: fleets at a cohort of 100, and cohorts in a fleet of 10,000, or of their own"
        " size where that is larger. Clients beyond a thousand are windows of that thousand's examples.",
    )
    grown.set_defaults(what="growth")
    grown.add_argument("--fleets", type=int, nargs="*", default=list(growth.FLEETS), help=f"{growth.FLEETS}")
    grown.add_argument(
        "--cohorts", type=int, nargs="*", default=list(growth.COHORTS), help=f"{growth.COHORTS}"
    )
    _common(grown, known, [])
    grown.add_argument("--table", type=Path, metavar="FILE", help="measure nothing: these lines as markdown")
    grown.add_argument("--plot", type=Path, metavar="SVG", help="with --table: as a picture instead")
    return parser


def _common(parser: argparse.ArgumentParser, known: Sequence[str], peers: Sequence[str]) -> None:
    add = parser.add_argument
    add(
        "--engines",
        nargs="*",
        choices=contestants.ENGINES,
        default=list(known),
        metavar="ENGINE",
        help=f"Covey's: {', '.join(contestants.ENGINES)} ({' '.join(known)}); none with the bare option",
    )
    add(
        "--peers",
        nargs="*",
        choices=list(contestants.PEERS),
        default=list(peers),
        metavar="PEER",
        help=f"{', '.join(contestants.PEERS)} ({' '.join(peers) or 'none'})",
    )
    add("--rounds", type=_rounds, help="in all, the first is not measured (51; W2: 5; growth: 11)")
    add("--repeats", type=int, default=1, help="runs of each; medians are printed (1)")
    add(
        "--environments",
        type=Path,
        default=HOME,
        metavar="DIR",
        help=f"where the peers are installed ({DEFAULT})",
    )


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < 2:  # noqa: PLR2004 - the first is not measured
        raise argparse.ArgumentTypeError("at least 2: the first round is not measured")
    return rounds


if __name__ == "__main__":
    sys.exit(main())
