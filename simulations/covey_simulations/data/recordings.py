"""Recordings of sensors, and the windows that are cut from them.

A window is cut inside one span of one recording. Spans do not overlap, so no sample is seen both in training
and in a test; a window that would straddle two spans is not cut at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from covey.examples import Examples, Floats, LocalData
from covey_simulations.data.local import joined
from covey_simulations.data.partitions import natural


@dataclass(frozen=True)
class Recording:
    """One uninterrupted recording of one activity.

    Attributes:
        device: Name of the device that recorded it.
        group: Whom the device belongs to: the subject.
        signal: float32, shape (channels, samples), in the sensor's units.
        label: Class index of the activity.
    """

    device: str
    group: str
    signal: Floats
    label: int

    @property
    def samples(self) -> int:
        """Length in samples."""
        return int(self.signal.shape[1])


class Span(NamedTuple):
    """The samples start ≤ t < stop of a recording."""

    start: int
    stop: int


class Spans(NamedTuple):
    """Which part of a recording is trained on and which is held out; they share no sample."""

    train: Span
    held_out: Span


Split = Callable[[Recording], Spans]


@dataclass(frozen=True)
class Windowing:
    """How windows are cut, all in samples.

    Attributes:
        length: Of one window.
        test_hop: From one held-out window to the next. In training the hop is `length`: an example is the
            unit of privacy, and a sample in two of them would cost its owner twice.
    """

    length: int
    test_hop: int


def windows(recording: Recording, span: Span, length: int, hop: int) -> Floats:
    """All windows of `length` samples inside `span`, one every `hop` samples: shape (n, channels, length)."""
    starts = np.arange(span.start, span.stop - length + 1, hop)
    samples = starts[:, np.newaxis] + np.arange(length)
    return np.ascontiguousarray(recording.signal[:, samples].swapaxes(0, 1))


def split_by_time(recording: Recording, boundaries: Sequence[Fraction]) -> tuple[Span, ...]:
    """Cut a recording at increasing fractions of its length: one span more than boundaries.

    Exact fractions, so that a boundary never depends on rounding; each is rounded down to a whole sample.
    """
    cuts = [0, *(int(recording.samples * boundary) for boundary in boundaries), recording.samples]
    return tuple(Span(start, stop) for start, stop in pairwise(cuts))


def last_quarter(recording: Recording) -> Spans:
    """Train on the first three quarters, hold out the last one."""
    train, held_out = split_by_time(recording, [Fraction(3, 4)])
    return Spans(train, held_out)


def tuning(recording: Recording) -> Spans:
    """Train on the first 60 %, hold out from there to 75 %; the last quarter stays unseen."""
    train, held_out, _ = split_by_time(recording, [Fraction(3, 5), Fraction(3, 4)])
    return Spans(train, held_out)


def leave_groups_out(groups: Sequence[str]) -> Split:
    """Hold out every sample of `groups` and train on every sample of the others."""

    def split(recording: Recording) -> Spans:
        whole, nothing = Span(0, recording.samples), Span(0, 0)
        return Spans(nothing, whole) if recording.group in groups else Spans(whole, nothing)

    return split


def local_data(recordings: Sequence[Recording], split: Split, windowing: Windowing) -> dict[str, LocalData]:
    """Cut every recording and gather the windows by device, devices in the order of their names."""
    cut = [_cut(recording, split(recording), windowing) for recording in recordings]
    by_device = natural([recording.device for recording in recordings])
    return {device: joined([cut[i] for i in index]) for device, index in by_device.items()}


def _cut(recording: Recording, spans: Spans, windowing: Windowing) -> LocalData:
    length = windowing.length
    return LocalData(
        train=_labelled(windows(recording, spans.train, length, hop=length), recording.label),
        held_out=_labelled(windows(recording, spans.held_out, length, windowing.test_hop), recording.label),
    )


def _labelled(x: Floats, label: int) -> Examples:
    return Examples(x, np.full(len(x), label, np.int64))
