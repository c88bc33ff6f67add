"""Mel-frequency cepstral coefficients of short sounds.

Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", IEEE
Transactions on Acoustics, Speech, and Signal Processing 28(4), 1980; the sizes of Zhang et al., "Hello Edge",
arXiv:1711.07128: 40 ms frames, one every 20 ms, 40 bands from 20 to 4,000 Hz, 10 coefficients.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from covey.examples import Floats

COEFFICIENTS: Final = 10
_BANDS: Final = 40
_LOWEST, _HIGHEST = 20.0, 4000.0  # Hz
_FRAME, _HOP = 0.04, 0.02  # seconds
_QUIETEST: Final = 1e-6
"""Power below which a band counts as silent, of sounds in -1..1."""


def mfcc(sounds: Floats, rate: int) -> Floats:
    """Coefficients of several sounds of one length.

    Args:
        sounds: Shape (n, samples), in -1..1.
        rate: Samples a second.

    Returns:
        Shape (n, frames, 10); a second has 49 frames.
    """
    frame, hop = int(_FRAME * rate), int(_HOP * rate)
    frames = np.lib.stride_tricks.sliding_window_view(sounds, frame, axis=1)[:, ::hop]
    size = 1 << (frame - 1).bit_length()
    power = np.abs(np.fft.rfft(frames * np.hanning(frame), size)) ** 2 / frame
    energy = np.log(power @ _filters(size, rate).T + _QUIETEST)
    return np.asarray(energy @ _cosines().T, np.float32)


def _filters(size: int, rate: int) -> NDArray[np.float64]:
    """Triangles that are evenly spaced on the mel scale, shape (bands, size / 2 + 1)."""
    mels = np.linspace(_mel(_LOWEST), _mel(_HIGHEST), _BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    low, centre, high = (edges[start : start + _BANDS, np.newaxis] for start in range(3))
    rising, falling = (frequencies - low) / (centre - low), (high - frequencies) / (high - centre)
    return np.clip(np.minimum(rising, falling), 0, None)


def _mel(frequency: float) -> float:
    return float(2595 * np.log10(1 + frequency / 700))


def _cosines() -> NDArray[np.float64]:
    """The orthonormal cosine transform (DCT-II), its first rows: shape (coefficients, bands)."""
    rows, columns = np.arange(COEFFICIENTS)[:, np.newaxis], np.arange(_BANDS)
    cosines: NDArray[np.float64] = np.cos(np.pi / _BANDS * (columns + 0.5) * rows) * np.sqrt(2 / _BANDS)
    cosines[0] /= np.sqrt(2)
    return cosines
