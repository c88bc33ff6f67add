"""The same laws sampled without any rounding, by rational coin tosses: slow, the reference for the tables.

Poisson: Flajolet, Pelletier, Soria, SODA 2011, "On Buffon machines and numbers", §2.3 (von Neumann schema).
Discrete Gaussian: Canonne, Kamath, Steinke, NeurIPS 2020, arXiv 2004.00010, algorithms 1 to 3.
"""

from itertools import count
from math import factorial, isqrt
from typing import Final

from covey.stream import Stream

_REFILL: Final = 64


class Dice:
    """Exactly uniform integers from a stream's bits."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._pool, self._left = stream, 0, 0

    def below(self, bound: int) -> int:
        """Uniform in [0, bound), bound ≥ 1, by rejection."""
        while (value := self._bits((bound - 1).bit_length())) >= bound:
            pass
        return value

    def chance(self, numerator: int, denominator: int) -> bool:
        """True with probability numerator / denominator."""
        return self.below(denominator) < numerator

    def _bits(self, number: int) -> int:
        while self._left < number:
            self._pool |= int.from_bytes(self._stream.take(_REFILL), "little") << self._left
            self._left += 8 * _REFILL
        value = self._pool & ((1 << number) - 1)
        self._pool >>= number
        self._left -= number
        return value


def skellam(dice: Dice, variance: int) -> int:
    """One value of the Skellam law of total variance `variance`."""
    return sum(_poisson_of_half(dice) - _poisson_of_half(dice) for _ in range(variance))


def discrete_gaussian(dice: Dice, variance: int) -> int:
    """One value of the discrete Gaussian of parameter v = `variance` ≥ 1 (algorithm 3)."""
    scale = isqrt(variance) + 1
    while True:
        value = _discrete_laplace(dice, scale)
        # Accepted with probability exp(-(|Y| - v/t)²/(2v)), t the scale.
        if _chance_exp_minus(dice, (abs(value) * scale - variance) ** 2, 2 * variance * scale**2):
            return value


def _poisson_of_half(dice: Dice) -> int:
    """Poisson of mean λ = 1/2: a geometric N, P(N = n) = (1-λ)·λⁿ, kept with probability 1/N!."""
    while True:
        number = next(n for n in count() if dice.chance(1, 2))
        if dice.chance(1, factorial(number)):
            return number


def _discrete_laplace(dice: Dice, scale: int) -> int:
    """P(Y = y) proportional to exp(-|y|/scale) (algorithm 2 with s = 1)."""
    while True:
        remainder = dice.below(scale)
        if not _chance_exp_minus(dice, remainder, scale):
            continue
        value = remainder + scale * next(n for n in count() if not _chance_exp_minus(dice, 1, 1))
        negative = dice.chance(1, 2)
        if value or not negative:  # zero has no second sign
            return -value if negative else value


def _chance_exp_minus(dice: Dice, numerator: int, denominator: int) -> bool:
    """True with probability exp(-numerator/denominator) (algorithm 1)."""
    whole, rest = divmod(numerator, denominator)
    return all(_chance_exp_minus_part(dice, 1, 1) for _ in range(whole)) and _chance_exp_minus_part(
        dice, rest, denominator
    )


def _chance_exp_minus_part(dice: Dice, numerator: int, denominator: int) -> bool:
    """The same for a ratio of at most 1."""
    failed = next(k for k in count(1) if not dice.chance(numerator, k * denominator))
    return failed % 2 == 1
