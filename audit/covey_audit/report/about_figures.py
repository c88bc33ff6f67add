"""Answers of a privacy statement about its figures: how they were computed, drawn, tuned and verified."""

from collections.abc import Iterator, Sequence
from typing import Final

from covey_audit.audited import Audited
from covey_audit.report import words
from covey_audit.report.alike import Alike
from covey_audit.report.verdict import UNIT_OF

RHO: Final = "\N{GREEK SMALL LETTER RHO}"
LEVELS: Final = (
    "Level 0 of 2: the ledger was held against itself only, under no policy that the reader trusts.",
    "Level 1 of 2: ε holds with the noise that the smallest sum guarantees; who was in a sum is not shown.",
    "Level 2 of 2: evidence also shows who was in every sum that was opened.",
)
"""What each level of an audit means."""


def accounting(audited: Audited) -> Iterator[str]:
    """Which accountant, what it assumes, and who computed the same."""
    finite = [cost for cost in audited.costs if cost.server is not None]
    if finite:
        yield (
            f"Rényi differential privacy at integer orders from 2 to 512. Sums add up as (ξ, {RHO})-zCDP, or "
            "by their Rényi curves where examples are sampled; questions may be chosen with earlier answers "
            "in view (adaptive composition). Converted to (ε, δ) by Canonne, Kamath, Steinke, "
            "arXiv:2004.00010, Proposition 12. Every ε here is rounded up."
        )
    for cost in finite:
        others = [f"{name} {words.epsilon(value)}" for name, value in cost.libraries.items()]
        again = f" Recomputed: {words.listed(others)}." if others else " No other library recomputed it."
        yield (
            f"For {UNIT_OF[cost.unit]}: {RHO} = {words.decimal(cost.rho)} and ξ = {words.decimal(cost.xi)} "
            f"without sampling, ε = {words.epsilon(cost.server)} at order {cost.order}.{again}"
        )
    if len(finite) < len(audited.costs):
        yield "Some sums had no noise: no finite ε holds for their unit."


def tuning(audited: Audited) -> Iterator[str]:
    """Whether settings were chosen on the same data, and what that cost."""
    for each in audited.tunings:
        cost = f"Its cost is stated apart, as ε = {each.epsilon} at δ = {each.delta}."
        if each.epsilon is None:
            cost = "Its cost was not accounted."
        yield f"Run {words.one_line(each.run)}, in the operator's words: {words.one_line(each.words)}. {cost}"
    if not audited.tunings:
        yield (
            "Nothing in the ledger says how settings were chosen. If it was by looking at the same people's "
            "data, that is not counted in any ε."
        )


def implementation(audited: Audited, kinds: Sequence[Alike]) -> Iterator[str]:
    """Where the noise comes from, and what an implementation can spoil."""
    noisy = [each for each in kinds if each.mechanism]
    if any(each.seeded for each in noisy):
        yield "SIMULATION: noise was drawn from a seed. Whoever knows it can take the noise off again."
    if any(not each.seeded for each in noisy):
        yield (
            "By the software's design, each device draws its noise as integers from tables of the "
            "distribution with 128-bit probabilities, read with ChaCha20 under a fresh key of its operating "
            "system; sums are taken modulo a power of two. No floating-point number enters after rounding, "
            "so attacks on the last bits of floats do not apply."
        )
    delta = max((cost.sampler_delta for cost in audited.costs if cost.server is not None), default=None)
    if delta is not None:
        yield f"Imperfections of the tables add at most {words.probability(delta) if delta else '0'} to δ."
    if noisy:
        yield (
            "Not constant in time: drawing noise, training and validation. DP-SGD steps are padded to "
            "multiples of five seconds."
        )
    for software, sums in audited.software:
        yield (
            f"By the operator's word, {words.count(sums, 'sum')} settled with covey "
            f"{words.one_line(software.covey)}, Python {words.one_line(software.python)}, NumPy "
            f"{words.one_line(software.numpy)}."
        )


def data() -> Iterator[str]:
    """What no ledger shows."""
    yield (
        "Examples stay on devices. A ledger shows neither how the data were collected, nor with whose "
        "consent, nor how the devices are secured; ask for that apart."
    )
    yield "Accuracy, bias and other utility are not in a ledger; the run's own report states them."


def verification(audited: Audited) -> Iterator[str]:
    """What was verified, of which ledger."""
    yield LEVELS[audited.level]
    seen = f"{words.count(audited.size, 'entry')}, root {audited.root.hex()}"
    if audited.origin:
        seen += f", of the log {words.one_line(audited.origin)}"
    yield f"Recomputed from the ledger's bytes: {seen}."
    if audited.head_size is None:
        yield "No signed checkpoint that is trusted covers it."
    else:
        by = words.listed([words.one_line(each) for each in audited.witnesses])
        when = f", as witnesses saw it at {words.moment(audited.head_time)}" if audited.head_time else ""
        covered = words.count(audited.head_size, "entry")
        yield f"The log's signed checkpoint covers {covered}{when}. Cosigned by: {by}."
