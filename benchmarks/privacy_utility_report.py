"""The table and the plot of privacy_utility.py."""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from statistics import mean

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from covey_server.summary import Summary

WORDS = {
    "example": "one example, 20 real devices",
    "devices": "a whole device, 1,000 in one sum",
    "cohorts": "a whole device, two sums of 500",
}
MARKS = {"example": ("#1f5fbf", "o"), "devices": ("#c2571a", "D"), "cohorts": ("#6b6b6b", "s")}
STYLE = {"font.family": ["DejaVu Sans"], "font.size": 11, "svg.fonttype": "path", "svg.hashsalt": "covey"}
NONE = "\N{EN DASH}"
BESIDE = 2.0
"""∞ stands where so many times the largest ε would."""

Results = Sequence["Result"]


@dataclass(frozen=True)
class Result:
    """A finished run of the grid.

    Attributes:
        setting: Which line of the plot.
        epsilon: Asked of the whole run; infinite without noise.
        seed: Of everything random.
        found: The run's summary.
    """

    setting: str
    epsilon: float
    seed: int
    found: Summary

    def line(self) -> dict[str, object]:
        """As the benchmark prints it."""
        found = self.found
        return {
            "setting": self.setting,
            "unit": found.privacy.unit,
            "epsilon": self.epsilon if self.epsilon < inf else "inf",
            "epsilon_server": found.privacy.epsilon_server,
            "epsilon_release": found.privacy.epsilon_release,
            "seed": self.seed,
            "accuracy_query": found.accuracy_federated,
            "accuracy_fp32": found.accuracy_fp32,
            "accuracy_int8": found.accuracy_int8,
            "seconds": found.seconds,
            "model_sha256": found.model_sha256,
        }


def table(results: Results) -> str:
    """Markdown: a row for each setting and ε."""
    head = (
        "| a promise about | ε asked | server | release | fp32 | int8 | by the private query | seeds |",
        "|---|---|---|---|---|---|---|---|",
    )
    return "\n".join((*head, *(_row(found) for found in _points(results))))


def _points(results: Results) -> list[Results]:
    """The seeds of each point, in the order of the grid."""
    keys = dict.fromkeys((each.setting, each.epsilon) for each in results)
    return [[each for each in results if (each.setting, each.epsilon) == key] for key in keys]


def _row(found: Results) -> str:
    cells = (
        WORDS[found[0].setting],
        _number(found[0].epsilon),
        _spent(each.found.privacy.epsilon_server for each in found),
        _spent(each.found.privacy.epsilon_release for each in found),
        _spread(found, lambda summary: summary.accuracy_fp32),
        _spread(found, lambda summary: summary.accuracy_int8),
        _spread(found, lambda summary: summary.accuracy_federated),
        str(len(found)),
    )
    return f"| {' | '.join(cells)} |"


def _spent(epsilons: Iterable[float | None]) -> str:
    """The most of the seeds."""
    known = [each for each in epsilons if each is not None]
    return _number(max(known)) if known else NONE


def _number(epsilon: float) -> str:
    return "∞" if epsilon == inf else f"{epsilon:.3g}"


def _spread(found: Results, pick: Callable[[Summary], float | None]) -> str:
    values = [value for each in found if (value := pick(each.found)) is not None]
    if not values:
        return NONE
    span = f" ({100 * min(values):.1f} to {100 * max(values):.1f})" if len(values) > 1 else ""
    return f"{100 * mean(values):.1f} %{span}"


def plot(results: Results) -> str:
    """SVG: the packaged fp32 model's accuracy by ε, a dot a run and a line through the means."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.6), layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        _scales(axes, results)
        for setting in dict.fromkeys(each.setting for each in results):
            _draw(axes, setting, [each for each in results if each.setting == setting])
        figure.legend(loc="outside upper left", frameon=False, title="a promise about", ncols=2)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _scales(axes: Axes, results: Results) -> None:
    axes.set_xscale("log", base=2)
    ticks = {_place(each.epsilon, results): _number(each.epsilon) for each in results}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlabel("ε of the whole run against the server, δ = 10⁻⁵; ∞: no noise")
    axes.set_ylabel("accuracy on the last quarter")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.grid(axis="y", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _place(epsilon: float, results: Results) -> float:
    largest = max((each.epsilon for each in results if each.epsilon < inf), default=1.0)
    return min(epsilon, BESIDE * largest)


def _draw(axes: Axes, setting: str, results: Results) -> None:
    colour, marker = MARKS[setting]
    rates = [(_place(each.epsilon, results), each.found.accuracy_fp32 or 0.0) for each in results]
    axes.plot(*zip(*rates, strict=True), marker, color=colour, markersize=5, alpha=0.45, linewidth=0)
    places = sorted({place for place, _ in rates})
    means = [mean(rate for at, rate in rates if at == place) for place in places]
    axes.plot(places, means, f"-{marker}", color=colour, markersize=7, label=WORDS[setting])
