import hashlib

import pytest

from covey.errors import InputError
from covey.noise.discrete_gaussian import discrete_gaussian
from covey.noise.draw import Mechanism, draw, table
from covey.noise.skellam import skellam
from covey.noise.table import reach
from noise_laws import plain_draw, plain_thresholds, scaled_gaussian, scaled_skellam

KEY = bytes(range(32))
ZEROS = bytes(32)

KNOWN = [
    ("skellam", 1, ZEROS, "2c0fee9c3702e7557247f9cb3cdddee3a9928ff4dc26ad9ea80c742e8c2a8e95"),
    ("skellam", 100, KEY, "d6410e934297f9aef79eaf869e0873876059e206330a60eba384d8c29a1363a2"),
    ("skellam", 2924, KEY, "966396e137958485f117d0203cbd32690873defbb6b689becf9162e0276674a1"),
    ("skellam", 1 << 22, KEY, "6ca450db9139c9ae566c771880ab0ddc45ef4600d88f076195bbab36ddedcef8"),
    ("discrete-gaussian", 1, ZEROS, "7d592bf2aebf9665eceacf8d198fd88d7352904e3ae5ca824637a92c11a80e9d"),
    ("discrete-gaussian", 100, KEY, "d47b354dbd2a4d9cab206509016ee76fcd797d1b9f17d8879b889cabcde32a3b"),
    ("discrete-gaussian", 2924, KEY, "60658065b4255bb30b17c3c29cb953a4200c1f39f884d24b270317f42d4ffb2a"),
    ("discrete-gaussian", 1 << 22, KEY, "14f66df5eca4b50a314c764d43aa8c729fc273aca4ce68bade2857df31570447"),
]


def digest(values: list[int]) -> str:
    return hashlib.sha256(b"".join(value.to_bytes(8, "little", signed=True) for value in values)).hexdigest()


def plainly(mechanism: Mechanism, variance: int, length: int, key: bytes) -> list[int]:
    law = scaled_skellam if mechanism == "skellam" else scaled_gaussian
    scaled = law(variance, reach(variance))
    return plain_draw(*plain_thresholds(scaled), key, length)


@pytest.mark.parametrize(
    ("mechanism", "variance", "key", "known"),
    KNOWN,
    ids=[f"{name}-{variance}" for name, variance, *_ in KNOWN],
)
def test_known_answers_of_a_plain_implementation(
    mechanism: Mechanism, variance: int, key: bytes, known: str
) -> None:
    drawn = draw(mechanism, variance, 20_000, key)
    assert digest(drawn.tolist()) == known
    assert digest(plainly(mechanism, variance, 20_000, key)) == known


def test_the_same_key_draws_the_same_noise_and_another_key_other_noise() -> None:
    first, again, other = (draw("skellam", 900, 1000, key) for key in (KEY, KEY, bytes(32)))
    assert first.tolist() == again.tolist()
    assert abs(float((first * other).mean())) < 4 * 900 / 1000**0.5


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    assert draw("skellam", 50, 10, KEY).tolist() == draw("skellam", 50, 100, KEY)[:10].tolist()


def test_mechanisms_by_name() -> None:
    assert table("skellam", 12) is skellam(12)
    assert table("discrete-gaussian", 12) is discrete_gaussian(12)


def test_values_are_signed_64_bit_integers() -> None:
    drawn = draw("discrete-gaussian", 9, 100, KEY)
    assert drawn.dtype.str in {"<i8", ">i8"}
    assert drawn.min() < 0 < drawn.max()


def test_a_variance_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match="outside 0"):
        draw("skellam", -1, 10, KEY)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        draw("skellam", 1, 10, b"short")
