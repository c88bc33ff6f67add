"""The same sums, given to two libraries that are not ours.

dp-accounting (Google) and Opacus (Meta) compute ε from Gaussian sums, the first from (ξ, rho)-zCDP too. A
sum without sampling goes to dp-accounting as (ξ, rho)-zCDP by formula A or B. A sampled sum goes to either as
a Gaussian of the equivalent multiplier z_eq, sampled at the same rate: at ξ = 0 they then agree with
`covey.accounting` to 6 digits, and with ξ > 0 they lie slightly above it. Only their Rényi accountants are
asked: a privacy loss distribution at z_eq would bound a mechanism that was not run.
"""

import importlib
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from covey.accounting import ORDERS, Event, multiplier_equivalent
from covey.errors import InputError

Counted = Sequence[tuple[Event, int]]


def with_dp_accounting(events: Counted, delta: float) -> float:
    """ε of a whole run by dp-accounting's Rényi accountant, at the orders of `covey.accounting`.

    Args:
        events: The sums, each with the number of times it was taken.
        delta: δ of the whole run.
    """
    whole = [_rdp_epsilon(_zcdp_events(events, formula), delta) for formula in (0, 1)]
    if all(event.sampling_rate == 1 for event, _ in events):
        return min(whole)
    return min(*whole, *(_rdp_epsilon(_sampled_events(events, formula), delta) for formula in (0, 1)))


def with_opacus(events: Counted, delta: float) -> float:
    """ε of a whole run by Opacus' Rényi analysis, at the orders of `covey.accounting`.

    Opacus knows Gaussians only, so every sum goes in as its z_eq.

    Args:
        events: The sums, each with the number of times it was taken.
        delta: δ of the whole run.

    Raises:
        InputError: Opacus is not installed.
    """
    return gaussians_with_opacus(
        [(multiplier_equivalent(event), event.sampling_rate, count) for event, count in events], delta
    )


def gaussians_with_opacus(history: Sequence[tuple[float, float, int]], delta: float) -> float:
    """ε of Gaussian sums by Opacus' Rényi analysis, at the orders of `covey.accounting`.

    Args:
        history: Noise multiplier, sampling rate and number of times of each kind of sum.
        delta: δ of them all.

    Raises:
        InputError: Opacus is not installed.
    """
    analysis = _opacus()
    orders = list(ORDERS)
    curve = sum(
        analysis.compute_rdp(q=rate, noise_multiplier=multiplier, steps=count, orders=orders)
        for multiplier, rate, count in history
    )
    if not history:
        return 0.0
    with warnings.catch_warnings():
        # It warns of an order at the end of the list; that costs tightness, not correctness.
        warnings.simplefilter("ignore", UserWarning)
        value, _ = analysis.get_privacy_spent(orders=orders, rdp=curve, delta=delta)
    return max(0.0, float(value))


def _opacus() -> Any:
    """Opacus' analysis of Rényi divergences; importing it brings torch, which a reviewer need not have."""
    try:
        return importlib.import_module("opacus.accountants.analysis.rdp")
    except ImportError as error:
        raise InputError("Opacus is not installed", hint="pip install 'covey[device]'") from error


def _rdp_epsilon(events: Iterable[tuple[Any, int]], delta: float) -> float:
    from dp_accounting.rdp import RdpAccountant  # noqa: PLC0415 - nearly a second to import

    accountant = RdpAccountant(orders=list(ORDERS))
    for event, count in events:
        accountant.compose(event, count)
    return float(accountant.get_epsilon(delta))


def _zcdp_events(events: Counted, formula: int) -> list[tuple[Any, int]]:
    """Every sum as if it was not sampled."""
    from dp_accounting import ZCDpEvent  # noqa: PLC0415 - as above

    lines = [(event.zcdp()[formula], count) for event, count in events if count]
    return [(ZCDpEvent(line.rho, line.xi), count) for line, count in lines]


def _sampled_events(events: Counted, formula: int) -> list[tuple[Any, int]]:
    """Sampled sums as sampled Gaussians (the library refuses sampled zCDP), the others as zCDP."""
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent  # noqa: PLC0415 - as above

    sampled = [(event, count) for event, count in events if event.sampling_rate < 1 and count]
    whole = [(event, count) for event, count in events if event.sampling_rate == 1]
    gaussians = [
        (PoissonSampledDpEvent(event.sampling_rate, GaussianDpEvent(multiplier_equivalent(event))), count)
        for event, count in sampled
    ]
    return [*gaussians, *_zcdp_events(whole, formula)]
