#!/usr/bin/env python3
"""How well three accountants agree on ε: the closed form, dp-accounting and Opacus.

Runs of private sums are drawn at random, all from one seed: one to three kinds of sums each, Skellam or
discrete Gaussian noise, with and without sampling by coins. The closed form is `covey.accounting`; the
libraries are asked through `covey_audit.accountants`, at the same orders. One JSON object a line:

  run              number of the configuration
  delta            δ of the whole run
  sums             its kinds of sums: mechanism, sensitivity Δ, length d, variance, sampling rate, count, and
                   rho and xi of one of them without sampling (the better formula)
  group            see below
  formula, order   which bound of the closed form was the least, and at which Rényi order
  epsilon          by the closed form, not rounded
  dp_accounting    by dp-accounting
  opacus           by Opacus; null where it is not installed
  dp_accounting_gap, opacus_gap   (library - closed form) / closed form

Groups: "exact" (every ξ is 0: a Gaussian in all but name), "sampled exact" (the same, and some sums are
sampled), "rounded" (some ξ > 0: integers so coarse that rounding shows), "sampled rounded". With --table,
a Markdown table by group goes to a file. docs/accountants.md says why libraries differ.

  benchmarks/accountants.py --runs 1000 --table table.md > accountants.jsonl
"""

import argparse
import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np

from covey.accounting import DiscreteGaussian, Epsilon, Event, Skellam, Zcdp, epsilon
from covey_audit.accountants import Counted, with_dp_accounting, with_opacus

GROUPS = ("exact", "sampled exact", "rounded", "sampled rounded")
AGREE = 1e-6
"""Relative gap up to which two accountants say the same."""
SAMPLED, SKELLAM = 0.5, 0.75
"""How often a kind of sums is sampled, and how often its noise is Skellam, as plans ask for."""


@dataclass(frozen=True)
class Compared:
    """One configuration, three times accounted.

    Attributes:
        number: Of the configuration.
        run: Its sums.
        delta: δ.
        closed: ε by the closed form.
        dp_accounting: ε by dp-accounting.
        opacus: ε by Opacus; None where it is not installed.
    """

    number: int
    run: Counted
    delta: float
    closed: Epsilon
    dp_accounting: float
    opacus: float | None

    @property
    def group(self) -> str:
        """Which of `GROUPS`."""
        sampled = any(event.sampling_rate < 1 for event, _ in self.run)
        rounded = self.closed.zcdp.xi > 0 or any(_better(event).xi > 0 for event, _ in self.run)
        return ("sampled " if sampled else "") + ("rounded" if rounded else "exact")

    def gap(self, value: float | None) -> float | None:
        """By how much a library lies above the closed form, relatively."""
        return None if value is None or not self.closed.value else value / self.closed.value - 1

    def line(self) -> dict[str, object]:
        """As it is printed."""
        return {
            "run": self.number,
            "delta": self.delta,
            "sums": [_sum(event, count) for event, count in self.run],
            "group": self.group,
            "formula": self.closed.formula,
            "order": self.closed.order,
            "epsilon": self.closed.value,
            "dp_accounting": self.dp_accounting,
            "opacus": self.opacus,
            "dp_accounting_gap": self.gap(self.dp_accounting),
            "opacus_gap": self.gap(self.opacus),
        }


def main() -> None:
    """Print the lines, and the table."""
    options = _parser().parse_args()
    found = []
    for each in compare(options.runs, options.seed):
        found.append(each)
        print(json.dumps(each.line()), flush=True)
    if options.table is not None:
        options.table.write_text(table(found) + "\n", "utf-8")


def compare(runs: int, seed: int) -> Iterator[Compared]:
    """Random configurations, accounted.

    Args:
        runs: How many.
        seed: Of all of them.
    """
    with_it = find_spec("opacus") is not None
    if with_it:
        _import_quietly()
    for number in range(runs):
        delta, run = configuration(np.random.default_rng((seed, number)))
        yield Compared(
            number,
            run,
            delta,
            epsilon(list(run), delta),
            with_dp_accounting(run, delta),
            with_opacus(run, delta) if with_it else None,
        )


def configuration(rng: np.random.Generator) -> tuple[float, Counted]:
    """δ and sums of one run, over what a fleet may ask and somewhat beyond."""
    delta = float(10 ** rng.uniform(-8, -4))
    run = [(_event(rng), int(_log(rng, 1, 1000))) for _ in range(rng.integers(1, 4))]
    return delta, run


def _event(rng: np.random.Generator) -> Event:
    sensitivity = int(_log(rng, 1 << 4, 1 << 15))
    length = int(_log(rng, 1, 1_000_000))
    multiplier = _log(rng, 0.7, 60)
    rate = _log(rng, 1e-3, 0.9) if rng.random() < SAMPLED else 1.0
    honest = int(_log(rng, 2, 700))
    variance = honest * -(-int((multiplier * sensitivity) ** 2) // honest)
    if rng.random() < SKELLAM:
        return Skellam(sensitivity, length, variance, rate)
    return DiscreteGaussian(sensitivity, length, max(1, variance // honest), honest, rate)


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between two, uniform in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _sum(event: Event, count: int) -> dict[str, object]:
    better = _better(event)
    of_all = event.variance if isinstance(event, Skellam) else event.local_variance * event.contributors
    return {
        "mechanism": "skellam" if isinstance(event, Skellam) else "discrete-gaussian",
        "sensitivity": event.sensitivity,
        "length": event.length,
        "variance": of_all,
        "sampling_rate": event.sampling_rate,
        "count": count,
        "rho": better.rho,
        "xi": better.xi,
    }


def _better(event: Event) -> Zcdp:
    """The line that z_eq is made of."""
    return min(event.zcdp(), key=lambda line: line.rho + line.xi / 2)


def table(found: Sequence[Compared]) -> str:
    """Markdown: a row for each group and library."""
    head = (
        "| runs | how many | ε | library | apart by more than 1e-6 | median gap | greatest | least |",
        "|---|---|---|---|---|---|---|---|",
    )
    rows = [row for group in GROUPS for row in _rows(group, [each for each in found if each.group == group])]
    return "\n".join((*head, *rows))


def _rows(group: str, members: Sequence[Compared]) -> Iterator[str]:
    values = [each.closed.value for each in members]
    for library in ("dp_accounting", "opacus"):
        gaps = [gap for each in members if (gap := each.gap(getattr(each, library))) is not None]
        if gaps:
            span = f"{min(values):.3g} to {max(values):.3g}"
            name = {"dp_accounting": "dp-accounting", "opacus": "Opacus"}[library]
            cells = (group, str(len(members)), span, name, *_figures(gaps))
            yield f"| {' | '.join(cells)} |"


def _figures(gaps: Iterable[float]) -> tuple[str, ...]:
    known = list(gaps)
    differ = sum(abs(each) > AGREE for each in known)
    return (f"{differ}", *(f"{value:+.1e}" for value in (median(known), max(known), min(known))))


def _import_quietly() -> None:
    """Importing Opacus warns about things of torch's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with_opacus([(Skellam(16, 1, 256), 1)], 1e-5)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--runs", type=int, default=1000, help="configurations to draw")
    parser.add_argument("--seed", type=int, default=20251126, help="of all of them")
    parser.add_argument("--table", type=Path, metavar="FILE", help="where the table goes")
    return parser


if __name__ == "__main__":
    main()
