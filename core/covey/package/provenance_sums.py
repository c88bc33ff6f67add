"""The sums of a run in few words: those that cost the same stand together, with their serial numbers.

Nothing is lost: `asked` gives back exactly what `covey.spending` computes a cost from.
"""

from collections.abc import Iterable
from typing import Annotated

import msgspec

from covey.plan import LARGEST_GRAPH, Count, Masks, Name, Noise, Unit
from covey.spending import Asked

Serial = Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
CohortNumber = Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
Rate = Annotated[str, msgspec.Meta(pattern=r"\A[0-9](\.[0-9]{1,20})?(e-[0-9]{1,3})?\Z")]


class AskedSums(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sums of a run that were asked alike.

    Attributes:
        kind: The task's.
        unit: The unit of privacy.
        cohort: Devices asked.
        minimum: Fewest devices whose sum is opened.
        corrupt: C_max.
        length: d.
        norm: Δ, integer units.
        sampling_rate: q, as the shortest decimal that is this number in binary; "1.0" for none.
        masks: Whether answers were masked.
        noise: What the devices added; None for nothing.
        at: Serial number and cohort number of each.
    """

    kind: Name
    unit: Unit
    cohort: Count
    minimum: Count
    corrupt: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_GRAPH)]
    length: Annotated[int, msgspec.Meta(ge=1, le=1 << 34)]
    norm: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
    sampling_rate: Rate
    masks: Masks
    noise: Noise | None
    at: Annotated[tuple[tuple[Serial, CohortNumber], ...], msgspec.Meta(min_length=1, max_length=1 << 20)]


def grouped(sums: Iterable[Asked]) -> tuple[AskedSums, ...]:
    """Sums of one run, in the order in which their likes first came."""
    found: dict[AskedSums, list[tuple[int, int]]] = {}
    for each in sums:
        found.setdefault(_alike(each), []).append((each.sum, each.cohort_number))
    return tuple(msgspec.structs.replace(form, at=tuple(at)) for form, at in found.items())


def asked(sums: Iterable[AskedSums], run: str) -> list[Asked]:
    """The sums that were grouped, in the order of their serial numbers."""
    each = [_asked(form, run, *place) for form in sums for place in form.at]
    return sorted(each, key=lambda one: (one.sum, one.cohort_number))


def _alike(one: Asked) -> AskedSums:
    """Without the serial number."""
    return AskedSums(
        kind=one.kind,
        unit=one.unit,
        cohort=one.cohort,
        minimum=one.minimum,
        corrupt=one.corrupt,
        length=one.length,
        norm=one.norm,
        sampling_rate=repr(float(one.sampling_rate)),
        masks=one.masks,
        noise=one.noise,
        at=(),
    )


def _asked(form: AskedSums, run: str, serial: int, cohort_number: int) -> Asked:
    return Asked(
        run=run,
        sum=serial,
        cohort_number=cohort_number,
        kind=form.kind,
        unit=form.unit,
        cohort=form.cohort,
        minimum=form.minimum,
        corrupt=form.corrupt,
        length=form.length,
        norm=form.norm,
        sampling_rate=float(form.sampling_rate),
        masks=form.masks,
        noise=form.noise,
    )
