"""The privacy statement: what has to be said with an ε so that it means something.

The questions are those of NIST SP 800-226 (parameters, unit, mechanism, utility, trust, implementation,
security, data collection) and of Ponomareva et al. (arXiv:2303.00654, section 5.3: setting, data accesses
covered, what is released, unit, neighbours, accountant and its assumptions, tuning, verifiability), and what
a sum over devices adds: C_max, h, suite and thresholds. Every answer is computed from an audit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from covey.plan import Unit
from covey_audit.audited import Audited, Costs
from covey_audit.report import about_figures, about_sums, words
from covey_audit.report.alike import alike
from covey_audit.report.verdict import Verdict, verdict

SOURCES: Final = (
    (
        "NIST SP 800-226, Guidelines for Evaluating Differential Privacy Guarantees, 2025",
        "https://doi.org/10.6028/NIST.SP.800-226",
    ),
    ("Ponomareva et al., How to DP-fy ML, 2023, section 5.3", "https://arxiv.org/abs/2303.00654"),
)
"""Where the questions are from."""
NOTHING: Final = "Does not apply: no private sum was asked for."
GUARANTEED: Final = "only the noise that the smallest sum allowed to be opened guarantees"


@dataclass(frozen=True)
class Claim:
    """One ε.

    Attributes:
        unit: Of privacy.
        view: "server", "settled" or "release".
        against: Against whom, in words.
        epsilon: ε, not rounded; None for no bound.
        delta: δ.
        rests: What it rests on, in words.
    """

    unit: Unit
    view: str
    against: str
    epsilon: float | None
    delta: float
    rests: str


@dataclass(frozen=True)
class Answer:
    """One question of a privacy statement, answered.

    Attributes:
        key: A name that stays.
        question: In a few words.
        sentences: The answer, a paragraph each.
    """

    key: str
    question: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """A privacy statement.

    Attributes:
        verdict: What may be concluded.
        simulation: Whether it is about a simulation.
        certified: Whether the server's ε is.
        claims: Every ε, with whom it is against.
        answers: To the questions.
    """

    verdict: Verdict
    simulation: bool
    certified: bool
    claims: tuple[Claim, ...]
    answers: tuple[Answer, ...]


def statement(audited: Audited) -> Statement:
    """The statement of an audit."""
    kinds = alike(audited.sums)
    answers = (
        ("setting", "Setting and trust model", about_sums.setting(audited, kinds)),
        ("unit", "Unit of privacy and neighbouring fleets", about_sums.unit(audited)),
        ("covered", "Data accesses that are covered", about_sums.covered(audited)),
        ("released", "What is released", about_sums.released(audited)),
        ("mechanism", "Mechanism and noise", about_sums.mechanism(kinds)),
        ("sampling", "Sampling and amplification", about_sums.sampling(kinds)),
        ("accounting", "Accounting and composition", about_figures.accounting(audited)),
        ("parameters", "Parameters of the sums", about_sums.parameters(kinds)),
        ("tuning", "Choice of settings (hyperparameter tuning)", about_figures.tuning(audited)),
        ("implementation", "Implementation and randomness", about_figures.implementation(audited, kinds)),
        ("data", "Data and utility", about_figures.data()),
        ("verification", "How it was verified", about_figures.verification(audited)),
        ("not-covered", "What is not covered", audited.not_covered),
    )
    return Statement(
        verdict=verdict(audited),
        simulation=audited.simulation,
        certified=audited.certified,
        claims=tuple(claim for cost in audited.costs for claim in _claims(audited, cost)),
        answers=tuple(Answer(key, question, tuple(said) or (NOTHING,)) for key, question, said in answers),
    )


def _claims(audited: Audited, cost: Costs) -> Iterator[Claim]:
    corrupt = max((each.plan.corrupt for each in audited.sums if each.plan.unit == cost.unit), default=0)
    server = f"the server and up to {words.count(corrupt, 'enrolled device')} on its side"
    yield Claim(
        *(cost.unit, "server", server, cost.server, cost.delta),
        "nothing: some sums had no noise" if cost.server is None else GUARANTEED,
    )
    if cost.settled is not None:
        yield Claim(
            *(cost.unit, "settled", server, cost.settled, cost.delta),
            "the noise of the devices that evidence shows to have been in each sum",
        )
    if cost.release is not None:
        yield Claim(
            *(cost.unit, "release", "whoever sees only what is released", cost.release, cost.delta),
            "all noise left in the sums, by the operator's count of devices, none siding with the reader",
        )
