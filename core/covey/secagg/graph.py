"""Who shares masks with whom, and how many shares open a secret.

Small cohorts use the complete graph and a quorum so large that two of them always share an honest device.
Large ones use a random ring in which each device is joined to its nearest neighbours on both sides (a Harary
graph, James Bell et al., CCS 2020, eprint 2020/704, section 3): secure against a server that follows the
protocol, while one that chooses who drops out after seeing the ring can cut an arc out of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb
from typing import Final

from covey.errors import InputError
from covey.stream import Stream

MOST_NEIGHBOURS: Final = 512
"""The largest degree that `parameters` tries: beyond it several complete cohorts cost less."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Members on a ring, each joined to the nearest ones on either side, or each to all others.

    Attributes:
        degree: k, neighbours of each: even, or all others.
        ring: Positions of members in ring order.
        places: The inverse: each member's place on the ring.
    """

    degree: int
    ring: tuple[int, ...]
    places: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of members."""
        return len(self.ring)

    def neighbours(self, position: int) -> tuple[int, ...]:
        """Positions joined to `position`, sorted. Of two members both are each other's neighbours or neither.

        Raises:
            IndexError: There is no such member.
        """
        if not 0 <= position < self.size:
            raise IndexError(f"member {position} of {self.size}")
        place = self.places[position]
        return tuple(sorted(self.ring[(place + step) % self.size] for step in self._steps()))

    def _steps(self) -> Iterator[int]:
        if self.degree == self.size - 1:
            return iter(range(1, self.size))
        half = self.degree // 2
        return (step for step in range(-half, half + 1) if step)


def complete(size: int) -> Graph:
    """Everybody joined to everybody."""
    return Graph(size - 1, tuple(range(size)), tuple(range(size)))


def harary(size: int, degree: int, seed: bytes) -> Graph:
    """Neighbours on a random ring.

    Args:
        size: n, the number of members.
        degree: k, even, 2 ≤ k < size.
        seed: 32 bytes that no single party can choose; every member computes the same graph from it.

    Raises:
        ValueError: Another degree, or another length of the seed.
    """
    if degree % 2 or not 2 <= degree < size:  # noqa: PLR2004 - one neighbour on either side
        raise ValueError(f"a ring of {size} with {degree} neighbours each")
    ring = _shuffled(size, seed)
    places = sorted(range(size), key=ring.__getitem__)
    return Graph(degree, tuple(ring), tuple(places))


def _shuffled(size: int, seed: bytes) -> list[int]:
    """A uniform permutation: Fisher and Yates's, from the last place down (Knuth, 3.4.2, algorithm P)."""
    words, ring = _words(Stream(seed)), list(range(size))
    for last in range(size - 1, 0, -1):
        other = _below(last + 1, words)
        ring[last], ring[other] = ring[other], ring[last]
    return ring


def _words(stream: Stream) -> Iterator[int]:
    while True:
        yield from stream.words64(1024).tolist()


def _below(bound: int, words: Iterator[int]) -> int:
    """A uniform integer in [0, bound): words past the last whole multiple of the bound are passed over."""
    unbiased = (1 << 64) // bound * bound
    return next(word for word in words if word < unbiased) % bound


def quorum(size: int, corrupt: int) -> int:
    """On the complete graph, how many shares open a secret and how many votes a sum: floor((n + C) / 2) + 1.

    Two groups of so many, t, among n members have 2t - n > C members in common, so an honest one, and an
    honest device answers one question only: no server gets t answers to two.

    Args:
        size: n, the members of the session.
        corrupt: C, the most of them that the server may control.

    Raises:
        ValueError: A number is negative.
    """
    if min(size, corrupt) < 0:
        raise ValueError(f"{corrupt} corrupt devices among {size}")
    return (size + corrupt) // 2 + 1


@dataclass(frozen=True, slots=True)
class GraphParameters:
    """What a sparse graph needs.

    Attributes:
        neighbours: k, of each member; even.
        threshold: t, how many of a member's neighbours open its secrets.
    """

    neighbours: int
    threshold: int


def parameters(  # noqa: PLR0913 - the numbers of the theorem
    size: int, corrupt: int, dropped: int, *, sigma: int = 40, eta: int = 20, majority: bool = False
) -> GraphParameters:
    """The least degree that keeps every honest device's mask secret and every sum recoverable.

    Bell et al., section 3, in exact integers: but for a chance of 2^-sigma the honest survivors stay
    connected and no device has t corrupt neighbours; but for one of 2^-eta each keeps t that answer, even
    if all who drop out are others.

    Args:
        size: n, members of the session.
        corrupt: C, how many of them the server may control.
        dropped: D, how many may drop out.
        sigma: Bits of security; 80 where a server could try many seeds for the graph.
        eta: Bits of correctness.
        majority: Also t > k/2: then honest neighbours alone never give t answers to both questions.

    Raises:
        InputError: No degree up to 512 does.
    """
    if min(corrupt, dropped) >= 0 and corrupt + dropped < size:
        for degree in range(2, min(size, MOST_NEIGHBOURS + 1), 2):
            threshold = max(_most(size, degree, corrupt, sigma + 1) + 1, degree // 2 + 1 if majority else 2)
            recoverable = threshold <= degree - _most(size, degree, dropped, eta)
            if recoverable and _is_connected(size, degree, corrupt + dropped, sigma + 1):
                return GraphParameters(degree, threshold)
    raise InputError(
        f"no sparse graph over {size} devices survives {corrupt} corrupt ones and {dropped} drop-outs",
        hint="plan for fewer of them, or use cohorts of at most 500 on the complete graph",
    )


def _is_connected(size: int, degree: int, lost: int, bits: int) -> bool:
    """Whether losing `lost` members cuts the ring with a chance below 2^-bits.

    A cut needs degree/2 neighbouring places lost on the ring in two spots: n(n-k-1)/2 pairs of spots, each
    wholly lost with a chance of C(lost, k) / C(n, k).
    """
    pairs = size * (size - degree - 1)
    return (pairs * comb(lost, degree) << bits) < 2 * comb(size, degree) or pairs == 0


def _most(size: int, degree: int, marked: int, bits: int) -> int:
    """The least x so that more than x of a member's neighbours are marked with a chance ≤ 2^-bits / n.

    The neighbours are `degree` of the n - 1 others without replacement. Counted in ways, from the most
    that can be marked down: x are in C(marked, x)·C(unmarked, k - x) ways of C(n - 1, k).
    """
    unmarked = size - 1 - marked
    allowed = comb(size - 1, degree) // (size << bits)
    most = min(marked, degree)
    ways, beyond = comb(marked, most) * comb(unmarked, degree - most), 0
    for count in range(most, -1, -1):
        beyond += ways
        if beyond > allowed:
            return count
        ways = ways * count * (unmarked - degree + count) // ((marked - count + 1) * (degree - count + 1))
    return 0
