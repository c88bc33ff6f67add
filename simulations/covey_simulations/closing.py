"""What a run says at its end, in a few lines, the report's path last; its folder's where it has no report."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from covey_server.run_folder import RunFolder
from covey_server.summary import Privacy, Summary
from covey_simulations.report.facts import Beside
from covey_simulations.report.text import energy, hours, size
from covey_simulations.sent import sent

NAME = 12
"""Columns of a line's name."""
COLUMN = 37
"""Columns of a run that another stands beside."""
WIDTH = 100
"""Columns that lines fit where they can."""


def closing_lines(
    found: Summary,
    folder: RunFolder,
    beside: Beside | None = None,
    rollout: Sequence[str] = (),
    audit: Sequence[str] = (),
) -> list[str]:
    """The lines, for a terminal or a log.

    Args:
        found: What the run came to.
        folder: Where it is.
        beside: A finished run to compare with.
        rollout: What became of its releases, in lines.
        audit: What an audit of it found, in lines.
    """
    lines = _alone(found, folder) if beside is None else _compared(found, folder, beside)
    return [
        "",
        *lines,
        *_named("rollout", rollout),
        *_named("audit", audit),
        str(folder.path / "report.html" if found.package else folder.path),
    ]


def _named(name: str, lines: Sequence[str]) -> list[str]:
    """Lines with a name before the first; long ones broken between words."""
    parts = [
        part for line in lines for part in wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False)
    ]
    return [_line("" if number else name, part) for number, part in enumerate(parts)]


def _alone(found: Summary, folder: RunFolder) -> list[str]:
    path = folder.path
    return [
        _line("trained", f"{found.rounds} rounds with {found.devices} devices in {found.seconds:.0f} s"),
        _line("accuracy", _accuracies(found)),
        *_packed(found, _latency(found)),
        _line("sent", f"by each device: {_sent(folder)}"),
        *_clock(found),
        *_protection(found),
        _line("model", f"sha256 {found.model_sha256}"),
        _line("figures", f"{path / 'summary.json'}, {path / 'metrics.csv'}"),
        *_check(path),
    ]


def _clock(found: Summary) -> list[str]:
    """What a run came to on its virtual clock, if it had one."""
    told = found.clock
    if told is None:
        return []
    each = f"{energy(told.joules.median)} and {size(told.bytes.median)} for half of the devices at most"
    return [
        _line("clock", f"{hours(told.hours)} simulated, {told.answered / told.asked:.0%} answered; {each}")
    ]


def _check(path: Path) -> list[str]:
    """How a run under a policy is checked."""
    return [_line("check", f"covey audit {path} --self-check")] if (path / "policy").exists() else []


def _compared(found: Summary, folder: RunFolder, beside: Beside) -> list[str]:
    other, all_sent = beside.summary, sum(kind.bytes_per_device for kind in sent(folder.sum_rows()))
    pairs = {
        "": (other.name, found.name),
        "trained": (_trained(other), _trained(found)),
        "accuracy": (_accuracy(other), _accuracy(found)),
        "packaged": (_packaged(other), _packaged(found)),
        "sent": (f"{beside.sent / 1e6:.2f} MB by each device", f"{all_sent / 1e6:.2f} MB by each device"),
        "privacy": (_privacy(other.privacy), _privacy(found.privacy)),
    }
    return [
        *(_line(name, f"{left:{COLUMN}s} {right}") for name, (left, right) in pairs.items()),
        *_protection(found),
        *_packed(found),
        _line("model", f"sha256 {found.model_sha256}"),
    ]


def _line(name: str, text: str) -> str:
    return f"{name:{NAME}s}{text}"


def _protection(found: Summary) -> list[str]:
    """The statement, broken between its clauses."""
    clauses = found.privacy.statement.split("; ")
    as_on_fleet = found.privacy.noise != "none" and not found.privacy.is_central
    if found.simulation and as_on_fleet and not found.privacy.simulated:
        clauses.append("SIMULATION: the noise is as on a fleet, and this machine holds all data")
    lines: list[str] = []
    for clause in clauses:
        if lines and len(lines[-1]) + len(clause) + 2 <= WIDTH - NAME:
            lines[-1] = f"{lines[-1]}; {clause}"
        else:
            lines.append(clause)
    return [_line("" if number else "protection", line) for number, line in enumerate(lines)]


def _trained(found: Summary) -> str:
    return f"{found.model}, {found.rounds} rounds, {found.seconds:.0f} s"


def _accuracy(found: Summary) -> str:
    """What the federation measured; where that carries noise, what a simulation can count beside it."""
    if found.privacy.noise != "none":
        return f"{found.accuracy_federated:.1%} by a noisy query, {found.accuracy_fp32:.1%} exactly"
    pooled = "" if found.accuracy_central is None else f" (data pooled: {found.accuracy_central:.1%})"
    return f"{found.accuracy_federated:.1%}{pooled}"


def _packaged(found: Summary) -> str:
    if found.package_bytes is None:
        return "nothing: it ended with its training"
    int8 = "" if found.accuracy_int8 is None else f"int8 {found.accuracy_int8:.1%}, "
    return f"{int8}{_kilobytes(found.package_bytes)}{_latency(found)}"


def _privacy(privacy: Privacy) -> str:
    if privacy.is_central:
        return f"NONE against the server, which added the noise; ε = {privacy.epsilon_release:g} if trusted"
    if privacy.epsilon_server is None:
        return "NONE: no noise was added"
    return f"ε = {privacy.epsilon_server:g} for each {privacy.unit}, δ = {privacy.delta:g}"


def _packed(found: Summary, beside: str = "") -> list[str]:
    """The package, if there is one."""
    if found.package is None or found.package_bytes is None:
        return []
    size = _kilobytes(found.package_bytes)
    return [_line("package", f"{found.package}, {size}, signed, installed{beside}")]


def _accuracies(found: Summary) -> str:
    noisy = "federated" if found.privacy.noise == "none" else "federated, by a noisy query,"
    values = {
        noisy: found.accuracy_federated,
        "central": found.accuracy_central,
        "packaged fp32": found.accuracy_fp32,
        "int8": found.accuracy_int8,
    }
    return ", ".join(f"{name} {value:.1%}" for name, value in values.items() if value is not None)


def _latency(found: Summary) -> str:
    return "" if found.latency_p50_us is None else f", {found.latency_p50_us:.0f} µs an input"


def _sent(folder: RunFolder) -> str:
    kinds = sent(folder.sum_rows())
    each = ", ".join(f"{kind.sums} {kind.kind} ({_kilobytes(kind.bytes_per_answer)})" for kind in kinds)
    bound = "with masks about" if any(kind.bytes_for_masks for kind in kinds) else "at most"
    return f"{each}; {bound} {sum(kind.bytes_per_device for kind in kinds) / 1e6:.2f} MB in all"


def _kilobytes(count: int) -> str:
    return f"{count / 1000:.1f} kB"
