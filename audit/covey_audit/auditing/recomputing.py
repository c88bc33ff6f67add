"""The same sums by other libraries, and how far they may be apart; docs/accountants.md says why."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Final

from covey.accounting import Event
from covey.ledger.findings import Finding, finding
from covey_audit.accountants import with_dp_accounting, with_opacus
from covey_audit.auditing.composing import Groups, counted

DP_ACCOUNTING: Final = "dp-accounting"
OPACUS: Final = "Opacus"

EXACT: Final = 1e-6
"""Relative gap up to which accountants agree; a larger one is explained only by sampling, or by ξ > 0."""
COARSE: Final = 1e-2
"""Relative gap up to which a library may be above, where sums are sampled or rounding costs something."""
MIXED: Final = 1e-3
"""Relative gap up to which Opacus may be below there: it takes the better formula for each sum by itself."""
NOTHING: Final = 1e-9
"""ε that nobody would miss: libraries round what is next to nothing to 0."""


def recomputed(found: Groups, delta: float) -> dict[str, float]:
    """ε by other libraries, by name.

    Args:
        found: Of what the closed form was computed from.
        delta: δ.
    """
    values = {DP_ACCOUNTING: max(with_dp_accounting(counted(each), delta) for each in found)}
    if find_spec("opacus") is not None:
        values[OPACUS] = max(with_opacus(counted(each), delta) for each in found)
    return values


def disagreements(others: Mapping[str, float], ours: float, found: Groups) -> Iterator[Finding]:
    """Gaps that should not be, and those that have their reason.

    Args:
        others: ε by other libraries.
        ours: ε by the closed form.
        found: What they were computed from.
    """
    exact = all(_is_exact(event) for group in found for event in group)
    for name, value in others.items():
        gap = (value - ours) / ours if abs(value - ours) > NOTHING else 0.0
        below = MIXED if name == OPACUS and not exact else EXACT
        above = EXACT if exact else COARSE
        words = f"{name} gives epsilon {value:.9g}, the closed form {ours:.9g}"
        if not -below <= gap <= above:
            yield finding("accountants-differ", words)
        elif abs(gap) > EXACT:
            yield finding("accountants-apart", words)


def _is_exact(event: Event) -> bool:
    return event.sampling_rate == 1 and event.zcdp()[0].xi == 0
