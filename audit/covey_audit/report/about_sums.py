"""Answers of a privacy statement about what was asked: setting, unit, coverage, noise, sampling, sizes."""

from collections.abc import Callable, Iterator, Sequence
from math import isqrt
from typing import Final

from covey.plan import Unit
from covey_audit.audited import Audited
from covey_audit.report import words
from covey_audit.report.alike import Alike
from covey_audit.report.verdict import ONLY_HERE

NEIGHBOURS: Final[dict[Unit, str]] = {
    "device": (
        "One device: all that it ever contributes. Two fleets are neighbours if one device's answers, in "
        "every sum, are replaced by zeros (zero-out); who takes part is public. A device is a person only "
        "if each person has one device."
    ),
    "example": (
        "One training example. Two fleets are neighbours if one example of one device is there or not, a "
        "blank standing in its place (add or remove). Examples of one person add up, and examples must not "
        "overlap."
    ),
}
MECHANISMS: Final = {
    "skellam": "Skellam (Agarwal, Kairouz, Liu, NeurIPS 2021, arXiv:2110.04995)",
    "discrete-gaussian": "distributed discrete Gaussian (Kairouz, Liu, Steinke, ICML 2021, arXiv:2102.06387)",
}
SERVER: Final = {
    "malicious-server": "doing anything it likes",
    "semi-honest-server": "as long as it follows the protocol",
}


def setting(audited: Audited, kinds: Sequence[Alike]) -> Iterator[str]:
    """Who is trusted with what."""
    if not kinds:
        yield "No private sum was asked for."
        return
    yield _kind_of_privacy(kinds)
    profiles = sorted({each.suite.profile for each in kinds if each.suite is not None})
    for profile in profiles:
        yield (
            f"Answers were masked (secure aggregation, profile {profile}): the server, {SERVER[profile]}, "
            "learns the noisy sum over the devices in it, and who they are."
        )
    if any(each.masks == "elided" for each in kinds):
        yield "Masks were left out to save time in a simulation: whoever ran it could read each answer."
    if any(each.masks == "none" for each in kinds):
        yield "NO MASKS in some sums: the server saw each device's answer by itself."
    devices = [each.devices for each in audited.rosters]
    if devices:
        yield f"The fleet has {words.span(devices)} enrolled devices, by its rosters."


def _kind_of_privacy(kinds: Sequence[Alike]) -> str:
    noisy = [each for each in kinds if each.mechanism]
    if not noisy:
        return "Federated learning WITHOUT differential privacy: devices clipped answers and added no noise."
    return (
        "Distributed differential privacy in federated learning: each device clips its own answer, rounds "
        "it to integers and adds its share of the noise; only sums over many devices are opened."
        + ("" if len(noisy) == len(kinds) else " SOME SUMS HAD NO NOISE: to them, no promise applies.")
    )


def unit(audited: Audited) -> Iterator[str]:
    """What is hidden, and which fleets must be hard to tell apart."""
    for cost in audited.costs:
        yield NEIGHBOURS[cost.unit]
    if len(audited.costs) > 1:
        yield "The figures for the two units are different promises. They are never added."


def covered(audited: Audited) -> Iterator[str]:
    """Which uses of the data the figures include."""
    opened = sum(each.outcome == "opened" for each in audited.sums)
    asked = [f"{words.number(each.sums)} for {each.kind}" for cost in audited.costs for each in cost.asked]
    if not audited.sums:
        yield "None: no sum was asked for."
        return
    yield (
        f"Every private sum in the ledger, {words.count(len(audited.sums), 'sum')} ({words.number(opened)} "
        "opened), as if each device had answered each of them. Sums that were given up or cut short count "
        "as spent."
    )
    yield f"Answers asked of one device at most: {words.listed(asked)}."
    if not audited.is_all:
        yield f"The figures are the most {ONLY_HERE}."
    if any(cost.unit == "example" for cost in audited.costs):
        yield (
            "Validation sums use other examples than the rest: of the two costs the larger counts (parallel "
            "composition)."
        )


def released(audited: Audited) -> Iterator[str]:
    """What an adversary may see."""
    yield (
        "The ε covers every opened sum and whatever is computed from opened sums alone: the model after "
        "each round, which devices of the next round receive, and all figures. Nothing rests on keeping "
        "intermediate models secret."
    )
    models = sum(each.kind == "model" for each in audited.releases)
    files = len(audited.releases) - models
    if audited.releases:
        yield (
            f"Entered as released: {words.count(models, 'model')} and {words.count(files, 'file')} with "
            "figures."
        )
    else:
        yield "No release is entered in the ledger."


def mechanism(kinds: Sequence[Alike]) -> Iterator[str]:
    """The noise, and what it is measured against."""
    for law in dict.fromkeys(each.mechanism for each in kinds if each.mechanism):
        yield f"Noise of the devices' own: {MECHANISMS[law]}."
    yield from _grouped(kinds, _noise)
    yield from _grouped(kinds, _row)


def _noise(each: Alike) -> str:
    if each.multiplier is None or each.variance is None:
        return "NO NOISE was added."
    removal = (
        " Noise beyond that, planned for drop-outs that did not happen, was taken off again (XNoise, "
        "arXiv:2209.12528, corrected)."
        if each.removal
        else ""
    )
    return (
        "the honest devices' noise in a sum has a standard deviation of at least "
        f"{words.number(isqrt(each.variance))} integer units per number: noise multiplier z = "
        f"{words.decimal(each.multiplier)}.{removal}"
    )


def _row(each: Alike) -> str:
    clips = words.listed([f"{words.one_line(part.name)} ≤ {part.clip:g}" for part in each.parts])
    return (
        f"a row (what one {each.unit} adds) has {words.number(each.length)} numbers, is clipped in L2 norm "
        f"({clips}) and scaled to at most Δ = {words.number(each.norm)} integer units; after randomised "
        f"rounding D1 = {words.decimal(each.d1)} and D2 = {words.decimal(each.d2)}."
    )


def sampling(kinds: Sequence[Alike]) -> Iterator[str]:
    """What is claimed for chance."""
    if not kinds:
        return
    yield "No amplification by the choice of devices is claimed: the server knows who takes part."
    sampled = [each for each in kinds if each.sampling_rate < 1]
    yield from _grouped(sampled, _coins)
    if not sampled:
        yield "Nothing is sampled, and no other amplification is claimed."


def _coins(each: Alike) -> str:
    return (
        f"each example joins a sum with chance {words.decimal(each.sampling_rate)}, by a coin tossed on its "
        "device and shown to nobody (Poisson sampling). Amplification by these coins is claimed, in every "
        "view (Mironov, Talwar, Zhang, arXiv:1908.10530)."
    )


def parameters(kinds: Sequence[Alike]) -> Iterator[str]:
    """Sizes and thresholds."""
    yield from _grouped(kinds, _sizes)


def _sizes(each: Alike) -> str:
    suite = each.suite
    how = f"{suite.profile}, {suite.cipher}, modulus 2^{suite.bits}" if suite else f"none, masks {each.masks}"
    agree = f", threshold {words.span(each.threshold)}" if suite else ""
    return (
        f"{words.span(each.cohort)} devices asked; a sum is opened with {words.span(each.minimum)} or more; "
        f"C_max = {each.corrupt} may side with the server, which leaves h = {each.honest} honest devices "
        f"whose noise counts; suite {how}{agree}."
    )


def _grouped(kinds: Sequence[Alike], said: Callable[[Alike], str]) -> Iterator[str]:
    """What is said of several kinds alike, said once."""
    found: dict[str, list[str]] = {}
    for each in kinds:
        of_unit = f", unit {each.unit}" if len({other.unit for other in kinds}) > 1 else ""
        found.setdefault(said(each), []).append(f"{each.kind} ({words.count(each.sums, 'sum')}{of_unit})")
    for text, names in found.items():
        named = words.listed(names)
        yield f"{named[0].upper()}{named[1:]}: {text}"
