"""What a run says at its end: ten lines at most, the report's path last."""

from covey_server.run_folder import RunFolder
from covey_server.summary import Summary
from covey_simulations.reporting import sent


def closing_lines(found: Summary, folder: RunFolder) -> list[str]:
    """The lines, for a terminal or a log."""
    path = folder.path
    return [
        "",
        f"trained     {found.rounds} rounds with {found.devices} devices in {found.seconds:.0f} s",
        f"accuracy    {_accuracies(found)}",
        f"package     {found.package}, {_kilobytes(found.package_bytes)}, signed, installed{_latency(found)}",
        f"sent        by each device: {_sent(folder)}",
        f"protection  {found.privacy.statement}",
        f"model       sha256 {found.model_sha256}",
        f"figures     {path / 'summary.json'}, {path / 'metrics.csv'}",
        str(path / "report.html"),
    ]


def _accuracies(found: Summary) -> str:
    values = {
        "federated": found.accuracy_federated,
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
    return f"{each}; at most {sum(kind.bytes_per_device for kind in kinds) / 1e6:.2f} MB in all"


def _kilobytes(count: int) -> str:
    return f"{count / 1000:.1f} kB"
