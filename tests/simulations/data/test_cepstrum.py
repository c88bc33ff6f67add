import numpy as np
import pytest
import scipy.fft

from covey.examples import Floats
from covey_simulations.data.cepstrum import _cosines, _filters, mfcc

RATE = 22_050


def tone(frequency: float, loudness: float = 0.5) -> Floats:
    return np.asarray(loudness * np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE), np.float32)


def test_a_second_has_49_frames_of_10() -> None:
    found = mfcc(np.zeros((3, RATE), np.float32), RATE)
    assert found.shape == (3, 49, 10)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_the_cosine_transform_is_scipys() -> None:
    energy = np.random.default_rng(0).normal(size=(5, 40))
    expected = scipy.fft.dct(energy, norm="ortho")[:, :10]
    np.testing.assert_allclose(energy @ _cosines().T, expected, atol=1e-12)


@pytest.mark.parametrize("frequency", [200.0, 1000.0, 3500.0])
def test_a_tone_is_in_its_own_band(frequency: float) -> None:
    filters = _filters(1024, RATE)
    band = filters[:, round(frequency * 1024 / RATE)].argmax()
    centres = np.fft.rfftfreq(1024, 1 / RATE)[filters.argmax(1)]
    assert abs(centres - frequency).argmin() == band


def test_louder_changes_the_first_coefficient_and_hardly_the_others() -> None:
    quiet, loud = mfcc(np.stack([tone(440, 0.3), tone(440, 0.9)]), RATE)
    assert (loud[:, 0] > quiet[:, 0] + 1).all()
    assert np.abs(mfcc(np.stack([tone(440), tone(2000)]), RATE)[:, :, 1:]).max() > 2
    assert abs(loud[:, 0] - quiet[:, 0]).mean() > 3 * abs(loud[:, 1:] - quiet[:, 1:]).mean()


def test_sounds_do_not_depend_on_one_another() -> None:
    both = mfcc(np.stack([tone(440), tone(880)]), RATE)
    np.testing.assert_allclose(both[1], mfcc(tone(880)[np.newaxis], RATE)[0], atol=1e-4)
