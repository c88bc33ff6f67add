"""From facts to one HTML file that needs nothing beside it: no script, no font, no network."""

from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from covey_simulations.report import (
    charts,
    claims,
    clock_charts,
    comparison,
    drawing,
    privacy_charts,
    summary,
    text,
)
from covey_simulations.report.facts import ReportFacts

TEMPLATE: Final = "report.html.j2"


def render(facts: ReportFacts) -> str:
    """The report as one self-contained HTML page, the same text for the same facts.

    Every string in `facts` may be hostile: all are escaped, and characters that hide or reorder text are
    replaced. Not thread-safe: matplotlib takes its settings from process-wide state while it draws.
    """
    return _environment().get_template(TEMPLATE).render(_view(facts))


def _view(facts: ReportFacts) -> dict[str, Any]:
    lines = summary.class_lines(facts.labels, facts.confusion, facts.protection.count_noise)
    guess = summary.guess(facts.confusion)
    return {
        "facts": facts,
        "numbers": summary.key_numbers(facts),
        "notice": claims.notice(facts.privacy),
        "views": claims.views(facts.privacy, facts.protection),
        "assumptions": claims.assumptions(facts.privacy, facts.protection),
        "uncovered": claims.uncovered(facts.privacy, facts.protection),
        "unit": claims.UNITS.get(facts.privacy.unit, facts.privacy.unit),
        "noise_words": comparison.noise(facts.privacy),
        "spending_chart": privacy_charts.spending(facts.protection),
        "trade_chart": privacy_charts.trade(facts.rounds, facts.protection),
        **_compared(facts),
        **_clocked(facts),
        "guess": guess,
        "accuracy_chart": charts.accuracy(facts.rounds, facts.accuracy_central, guess),
        "loss_chart": charts.loss(facts.rounds),
        "losses_missing": sum(not text.measured(r.loss) for r in facts.rounds),
        "rounds_per_point": drawing.bin_size(len(facts.rounds)),
        "round_lines": summary.round_lines(facts.rounds),
        "spread": summary.spread(facts.devices),
        "devices_chart": charts.devices(facts.devices),
        "device_lines": summary.device_lines(facts.devices),
        "grouped": any(device.group != device.name for device in facts.devices),
        "classes": lines,
        "matrix": len(lines) <= summary.MOST_MATRIX,
        "missed_chart": charts.false_negatives(facts.labels, [line.rate for line in lines]),
        "variants": summary.variant_lines(facts),
        "parts": summary.PARTS,
        "sent_in_all": summary.sent_in_all(facts.sent),
        "seconds_in_all": sum(facts.seconds.values()),
    }


def _compared(facts: ReportFacts) -> dict[str, Any]:
    if facts.beside is None:
        return {}
    other = facts.beside.summary
    return {
        "comparison": comparison.lines(facts, facts.beside),
        "difference": comparison.difference(facts, other),
        "beside_chart": privacy_charts.beside(facts.rounds, facts.name, facts.beside.rounds, other.name),
    }


def _clocked(facts: ReportFacts) -> dict[str, Any]:
    if facts.clock is None:
        return {}
    return {
        "clock_accuracy_chart": clock_charts.accuracy(facts.rounds),
        "clock_rounds_chart": clock_charts.rounds_over_time(facts.rounds),
        "clock_joules_chart": clock_charts.joules(facts.clock.joules),
        "clock_bytes_chart": clock_charts.moved(facts.clock.bytes),
    }


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("covey_simulations", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=text.visible,
    )
    environment.filters |= {
        "percent": text.percent,
        "points": text.points,
        "deviation": text.deviation,
        "tenths": text.tenths,
        "small": text.small,
        "interval": text.interval,
        "count": text.count,
        "decimal": text.decimal,
        "size": text.size,
        "micros": text.micros,
        "seconds": text.seconds,
        "energy": text.energy,
        "hours": text.hours,
    }
    return environment
