from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey_simulations.data.recordings import (
    Recording,
    Span,
    Spans,
    Split,
    Windowing,
    last_quarter,
    leave_groups_out,
    local_data,
    split_by_time,
    tuning,
    windows,
)


def numbered(samples: int, *, device: str = "a", group: str = "g", first: int = 0) -> Recording:
    """A recording whose every sample is its own number, so that a window shows which samples it holds."""
    signal = np.arange(first, first + samples, dtype=np.float32)[np.newaxis]
    return Recording(device, group, signal, label=3)


def test_windows_follow_each_other_without_overlap() -> None:
    cut = windows(numbered(10), Span(1, 10), length=3, hop=3)
    assert cut[:, 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_windows_may_overlap_by_half() -> None:
    cut = windows(numbered(8), Span(0, 8), length=4, hop=2)
    assert cut[:, 0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]


def test_windows_keep_channels_apart() -> None:
    signal = np.arange(12, dtype=np.float32).reshape(2, 6)
    cut = windows(Recording("a", "g", signal, 0), Span(0, 6), length=3, hop=3)
    assert cut.shape == (2, 2, 3)
    assert cut[1].tolist() == [[3, 4, 5], [9, 10, 11]]
    assert cut.flags.c_contiguous


@pytest.mark.parametrize("span", [Span(0, 0), Span(4, 4), Span(4, 6)])
def test_a_span_shorter_than_a_window_gives_none_and_keeps_the_shape(span: Span) -> None:
    assert windows(numbered(10), span, length=3, hop=1).shape == (0, 1, 3)


@given(
    samples=st.integers(1, 400),
    length=st.integers(1, 60),
    hop=st.integers(1, 60),
    bounds=st.tuples(st.integers(0, 400), st.integers(0, 400)),
)
def test_every_window_lies_inside_its_span(
    samples: int, length: int, hop: int, bounds: tuple[int, int]
) -> None:
    start, stop = sorted(min(bound, samples) for bound in bounds)
    cut = windows(numbered(samples), Span(start, stop), length, hop)
    assert len(cut) == max(0, (stop - start - length) // hop + 1)
    assert np.all((cut >= start) & (cut < stop))


@given(samples=st.integers(0, 5000))
def test_spans_cover_a_recording_once(samples: int) -> None:
    spans = split_by_time(numbered(samples), [Fraction(3, 5), Fraction(3, 4)])
    covered = [sample for span in spans for sample in range(*span)]
    assert covered == list(range(samples))


def test_boundaries_are_exact() -> None:
    assert split_by_time(numbered(1335), [Fraction(3, 4)]) == (Span(0, 1001), Span(1001, 1335))


def test_tuning_never_reaches_the_last_quarter() -> None:
    recording = numbered(1000)
    assert last_quarter(recording) == Spans(Span(0, 750), Span(750, 1000))
    assert tuning(recording) == Spans(Span(0, 600), Span(600, 750))


def test_leaving_groups_out_is_all_or_nothing() -> None:
    split = leave_groups_out(["out"])
    assert split(numbered(9, group="out")) == Spans(Span(0, 0), Span(0, 9))
    assert split(numbered(9, group="in")) == Spans(Span(0, 9), Span(0, 0))


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=6),
    window=st.integers(1, 40),
    split=st.sampled_from([last_quarter, tuning, leave_groups_out(["0"])]),
)
def test_no_sample_leaks(lengths: list[int], window: int, split: Split) -> None:
    firsts = np.cumsum([0, *lengths]).tolist()
    recordings = [
        numbered(length, device=str(i % 2), group=str(i % 2), first=first)
        for i, (length, first) in enumerate(zip(lengths, firsts, strict=False))
    ]
    devices = local_data(recordings, split, Windowing(window, test_hop=max(1, window // 2)))
    trained = np.concatenate([local.train.x.ravel() for local in devices.values()])
    tested = np.concatenate([local.held_out.x.ravel() for local in devices.values()])
    assert len(np.unique(trained)) == len(trained)
    assert not np.intersect1d(trained, tested).size


def test_devices_come_in_the_order_of_their_names_with_all_their_recordings() -> None:
    recordings = [numbered(8, device="b"), numbered(8, device="a"), numbered(16, device="b", first=8)]
    devices = local_data(recordings, last_quarter, Windowing(2, test_hop=1))
    assert list(devices) == ["a", "b"]
    assert len(devices["b"].train) == 3 + 6
    assert set(devices["b"].train.y) == {3}
