"""A run beside another: what a reader compares, line by line."""

from dataclasses import dataclass
from typing import Final

from covey_server.summary import Privacy, Summary
from covey_simulations.report import text
from covey_simulations.report.facts import Beside, ReportFacts

LAWS: Final = {
    "skellam": "Skellam",
    "discrete-gaussian": "discrete Gaussian",
    "central": "Gaussian, added by the server",
}


@dataclass(frozen=True)
class Line:
    """One figure of two runs.

    Attributes:
        name: What it is.
        other: Of the run beside.
        own: Of this one.
        simulated: Known only because these are simulations.
    """

    name: str
    other: str
    own: str
    simulated: bool = False


def lines(facts: ReportFacts, beside: Beside) -> tuple[Line, ...]:
    """The table, the run beside first."""
    other, int8 = beside.summary, facts.variants.get("int8")
    sent = sum(kind.bytes_per_device for kind in facts.sent)
    own_query = text.percent(facts.accuracy_federated)
    if facts.protection.accuracy_noise:
        own_query += f" with noise of {text.deviation(facts.protection.accuracy_noise)}"
    return (
        Line("ε against the server", epsilon(other.privacy), epsilon(facts.privacy)),
        Line("Masks", other.privacy.masks, facts.privacy.masks),
        Line("Noise", noise(other.privacy), noise(facts.privacy)),
        Line("Accuracy, by the last private sum", text.percent(other.accuracy_federated), own_query),
        Line(
            "Accuracy, counted exactly",
            text.percent(other.accuracy_fp32),
            text.percent(facts.accuracy_exact),
            simulated=True,
        ),
        Line(
            "Accuracy, int8",
            text.percent(other.accuracy_int8),
            text.percent(int8.accuracy if int8 else None),
            simulated=True,
        ),
        Line(
            "Same network, data pooled",
            text.percent(other.accuracy_central),
            text.percent(facts.accuracy_central),
            simulated=True,
        ),
        Line("Model", other.model, facts.model),
        Line("Rounds", text.count(other.rounds), text.count(len(facts.rounds))),
        Line("Sent by a device, in all", text.size(beside.sent), text.size(sent)),
        Line("Package", text.size(other.package_bytes), text.size(facts.package_bytes)),
        Line("Wall time", text.seconds(other.seconds), text.seconds(sum(facts.seconds.values()))),
    )


def difference(facts: ReportFacts, other: Summary) -> str:
    """Exact accuracy of this run against the other's, in words; empty where one was not measured."""
    if not text.measured(facts.accuracy_exact) or not text.measured(other.accuracy_fp32):
        return ""
    points = text.points(facts.accuracy_exact - other.accuracy_fp32)
    if points.startswith("±"):
        return "as accurate"
    return f"{points[1:]} {'more' if points.startswith('+') else 'less'} accurate"


def epsilon(privacy: Privacy) -> str:
    """ε with its unit and δ; infinite without noise."""
    if privacy.is_central:
        return f"∞ against the server, which added the noise; {privacy.epsilon_release:g} if it is trusted"
    if privacy.epsilon_server is None:
        return "∞: no privacy"
    return f"{privacy.epsilon_server:g} for each {privacy.unit}, δ = {text.small(privacy.delta)}"


def noise(privacy: Privacy) -> str:
    """Its law and where it came from."""
    if privacy.noise == "none":
        return "NONE"
    source = "from the seed" if privacy.simulated else "from the operating system"
    return f"{LAWS.get(privacy.noise, privacy.noise)}, {source}"
