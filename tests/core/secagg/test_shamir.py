import hashlib
from contextlib import suppress
from fractions import Fraction
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covey.secagg.shamir import PRIME, combine, element, split, weights
from covey.stream import Stream

SECRET = bytes(range(32))

# RFC 8439, appendix A.1, test vector 1: the ChaCha20 keystream of the zero key and nonce.
KEYSTREAM = bytes.fromhex(
    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a37"
    "6a43b8f41518a11cc387b669b2ee6586"
)


def stream(name: object = "") -> Stream:
    return Stream(hashlib.sha256(repr(name).encode()).digest())


def is_prime(number: int) -> bool:
    """Miller and Rabin's test; a composite passes all 24 bases with a chance below 4^-24."""
    odd = number - 1
    twos = (odd & -odd).bit_length() - 1
    odd >>= twos
    for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89):
        power = pow(base, odd, number)
        if power not in {1, number - 1} and all(
            (power := power * power % number) != number - 1 for _ in range(twos - 1)
        ):
            return False
    return True


def interpolated(points: dict[int, int]) -> int:
    """The value at zero, by Lagrange's formula over the rationals."""
    value = sum(
        (y * prod((Fraction(other, other - x) for other in points if other != x), start=Fraction(1)))
        for x, y in points.items()
    )
    whole = Fraction(value)
    return whole.numerator * pow(whole.denominator, -1, PRIME) % PRIME


def shares_of(values: list[int]) -> list[bytes]:
    return [value.to_bytes(33, "big") for value in values]


def test_the_prime_is_the_least_above_every_secret() -> None:
    assert [offset for offset in range(298) if is_prime((1 << 256) + offset)] == [297]


def test_the_coefficients_are_the_keystream_reduced() -> None:
    slope = int.from_bytes(KEYSTREAM[:48], "big") % PRIME
    secret = int.from_bytes(SECRET, "big")
    shares = split(SECRET, 2, [1, 2, 300], Stream(bytes(32)))
    assert shares == shares_of([(secret + x * slope) % PRIME for x in (1, 2, 300)])


def test_a_share_worked_out_by_hand() -> None:
    # 7 + 5x + 3x² at 1, 2, 3: Lagrange's factors are 3, -3, 1.
    assert weights([1, 2, 3]) == [3, PRIME - 3, 1]
    assert combine(shares_of([15, 29, 49]), weights([1, 2, 3])) == (7).to_bytes(32, "big")


@given(st.binary(min_size=32, max_size=32), st.integers(2, 70), st.data())
@settings(max_examples=60)
def test_any_t_shares_give_the_secret(secret: bytes, threshold: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(threshold, 90))
    xs = data.draw(st.lists(st.integers(1, 600), min_size=size, max_size=size, unique=True))
    shares = dict(zip(xs, split(secret, threshold, xs, stream(secret)), strict=True))
    chosen = data.draw(st.permutations(xs))[: data.draw(st.integers(threshold, size))]
    assert combine([shares[x] for x in chosen], weights(chosen)) == secret


@given(st.binary(min_size=32, max_size=32), st.integers(2, 12))
def test_fewer_fit_every_secret(secret: bytes, threshold: int) -> None:
    xs = list(range(1, threshold + 1))
    shares = split(secret, threshold, xs, stream(secret))
    other = hashlib.sha256(secret).digest()
    # t - 1 shares and any other secret lie on one polynomial: it differs only in the share nobody has.
    points = {x: element(share) for x, share in zip(xs[:-1], shares[:-1], strict=True)}
    rest = weights(xs)
    known = sum(factor * points[x] for factor, x in zip(rest, points, strict=False))
    missing = (int.from_bytes(other, "big") - known) * pow(rest[-1], -1, PRIME) % PRIME
    assert combine([*shares[:-1], *shares_of([missing])], rest) == other


@given(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=9, unique=True), st.data())
def test_the_weights_are_lagranges(xs: list[int], data: st.DataObject) -> None:
    element_of = st.integers(0, PRIME - 1)
    ys = data.draw(st.lists(element_of, min_size=len(xs), max_size=len(xs)))
    total = sum(y * weight for y, weight in zip(ys, weights(xs), strict=True)) % PRIME
    assert total == interpolated(dict(zip(xs, ys, strict=True)))


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32, (1).to_bytes(32, "big")])
def test_the_extreme_secrets_come_back(secret: bytes) -> None:
    shares = split(secret, 3, [1, 2, 3], stream())
    assert combine(shares, weights([1, 2, 3])) == secret


def test_the_longest_polynomials_come_back() -> None:
    xs = range(1, 501)
    shares = split(SECRET, 266, xs, stream())
    assert combine(shares[-266:], weights(xs[-266:])) == SECRET


@given(st.integers(0, 8 * 33 - 1), st.integers(0, 3))
def test_a_share_with_one_bit_changed_never_gives_the_secret(bit: int, which: int) -> None:
    shares = split(SECRET, 4, [1, 2, 3, 4], stream())
    shares[which] = (int.from_bytes(shares[which], "big") ^ 1 << bit).to_bytes(33, "big")
    with suppress(ValueError):  # no element, or no 32 bytes: refused
        assert combine(shares, weights([1, 2, 3, 4])) != SECRET


def test_swapped_shares_do_not_give_the_secret() -> None:
    one, two = split(SECRET, 2, [1, 2], stream())
    assert combine([two, one], weights([1, 2])) != SECRET


def test_another_stream_gives_other_shares_of_the_same_secret() -> None:
    first, second = (split(SECRET, 2, [1, 2], stream(name)) for name in "ab")
    assert first != second
    assert combine(first, weights([1, 2])) == combine(second, weights([1, 2])) == SECRET


def test_the_same_stream_gives_the_same_shares() -> None:
    assert split(SECRET, 5, range(1, 9), stream()) == split(SECRET, 5, range(1, 9), stream())


def test_two_secrets_from_one_stream_have_unrelated_polynomials() -> None:
    shared = stream()
    first, second = (split(SECRET, 2, [1, 2], shared) for _ in range(2))
    assert first != second


@pytest.mark.parametrize("value", [PRIME, PRIME + 1, (1 << 264) - 1])
def test_what_is_no_element_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="not a share"):
        combine([bytes(33), *shares_of([value])], weights([1, 2]))


@pytest.mark.parametrize("size", [0, 32, 34])
def test_a_share_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="not a share"):
        element(bytes(size))


def test_the_largest_element_is_a_share() -> None:
    assert element(shares_of([PRIME - 1])[0]) == PRIME - 1


@pytest.mark.parametrize("value", [1 << 256, PRIME - 1])
def test_a_value_that_no_secret_has_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="do not combine to 32 bytes"):
        combine(shares_of([value, value]), weights([1, 2]))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_shares_as_weights(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} shares for 2 weights"):
        combine([bytes(33)] * count, weights([1, 2]))


@pytest.mark.parametrize("xs", [[], [0, 1], [-1, 1], [1, 1], [1, PRIME], [1, PRIME + 1]])
def test_places_that_give_the_secret_away_or_coincide_are_refused(xs: list[int]) -> None:
    with pytest.raises(ValueError, match="different places"):
        weights(xs)
    with pytest.raises(ValueError, match=r"different places|a threshold of 2 among 0"):
        split(SECRET, 2, xs, stream())


@pytest.mark.parametrize("threshold", [-1, 0, 1, 4])
def test_a_threshold_that_protects_nothing_or_cannot_be_met_is_refused(threshold: int) -> None:
    with pytest.raises(ValueError, match=f"a threshold of {threshold} among 3 shares"):
        split(SECRET, threshold, [1, 2, 3], stream())


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"a secret of {size} bytes"):
        split(bytes(size), 2, [1, 2], stream())


def test_every_polynomial_is_used_to_its_full_degree() -> None:
    shares = split(SECRET, 3, [1, 2, 3], stream())
    assert combine(shares[:2], weights([1, 2])) != SECRET
