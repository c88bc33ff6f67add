"""Opening a masked sum: secrets from shares, masks from secrets, and who lied if that fails.

For each member of U3 the self mask goes; for each member of U2 that is not in U3 the pair masks that
survivors added for it. A secret that its shares do not give is traced with the dealer's signed commitments: a
share that differs from them is its holder's fault, shares that all match and give another secret are the
dealer's.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from covey import ring
from covey.encode import Integers
from covey.errors import ProtocolError
from covey.noise.contribution import removable
from covey.plan import noise_shares
from covey.secagg import shamir
from covey.secagg.dealing import mask_keys
from covey.secagg.keys import commitment, share_commitment
from covey.secagg.masks import Mask, add_masks
from covey.secagg.messages import Advert, Deal, OpenShare, Revealed
from covey.secagg.terms import Terms

Secret = Literal["r", "b"]

Blamed = tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Inputs:
    """What the last stage has; everything by position in U1.

    Attributes:
        terms: The session.
        adverts: Of all members.
        graph: Neighbours of each.
        u2: Who shared keys.
        u3: Who is in the sum.
        total: The sum of U3's masked vectors.
        deals: By dealer, then holder.
        reveals: By holder.
    """

    terms: Terms
    adverts: Sequence[Advert]
    graph: Sequence[tuple[int, ...]]
    u2: tuple[int, ...]
    u3: tuple[int, ...]
    total: ring.Ring
    deals: Mapping[int, Mapping[int, Deal]]
    reveals: Mapping[int, Revealed]


@dataclass(frozen=True)
class Opening:
    """An opened sum.

    Attributes:
        total: int64, centred.
        noise_left: Survivors whose removable noise is still in the sum.
        blamed: Positions of holders whose shares were not what they had been dealt, and why.
    """

    total: Integers
    noise_left: int
    blamed: Blamed


@dataclass(frozen=True)
class Unopened:
    """A sum that cannot be opened.

    Attributes:
        reason: In one line.
        blamed: As in `Opening`, and dealers whose shares are worth nothing.
    """

    reason: str
    blamed: Blamed


def open_sum(inputs: Inputs, *, workers: int) -> Opening | Unopened:
    """The sum over U3, unless a secret cannot be had: then nothing is opened.

    Args:
        inputs: What has arrived.
        workers: Threads that expand masks.
    """
    terms, recovery = inputs.terms, Recovery(inputs)
    try:
        masks = [*_self_masks(inputs, recovery), *_pair_masks(inputs, recovery)]
    except ProtocolError as error:
        return Unopened(error.message, tuple(recovery.blamed))
    total = inputs.total.copy()
    add_masks(total, masks, terms.suite.cipher, workers=workers)
    noise_left = _remove_noise(total, inputs)
    return Opening(ring.centre(total, terms.suite.bits), noise_left, tuple(recovery.blamed))


def _self_masks(inputs: Inputs, recovery: "Recovery") -> Iterable[Mask]:
    """To be taken off: one for each member of U3."""
    for member in inputs.u3:
        yield Mask(inputs.terms.self_mask(recovery.secret("b", member)), -1)


def _pair_masks(inputs: Inputs, recovery: "Recovery") -> Iterable[Mask]:
    """To be taken off: those that survivors added for a device that dropped out after sharing its keys."""
    survivors = frozenset(inputs.u3)
    for gone in sorted(set(inputs.u2) - survivors):
        keys = mask_keys(inputs.terms, recovery.secret("r", gone))
        own = gone, keys.public
        for other in inputs.graph[gone]:
            if other in survivors:
                key = inputs.adverts[other].mask_key
                shared = keys.agree(key, blame=inputs.adverts[other].device)
                yield inputs.terms.pair_mask(shared, own, (other, key))


def _remove_noise(total: ring.Ring, inputs: Inputs) -> int:
    """Take out, in place, what survivors revealed; returns how many did not."""
    plan, dropped = inputs.terms.plan, len(inputs.u2) - len(inputs.u3)
    variances = noise_shares(plan, len(inputs.u2))
    if plan.noise is None or dropped + 1 >= len(variances):
        return 0
    left = 0
    for member in inputs.u3:
        seed = inputs.reveals[member].noise if member in inputs.reveals else None
        if seed is None:
            left += 1
            continue
        noise = removable(plan.noise.mechanism, variances, plan.length, seed=seed, dropped=dropped)
        np.subtract(total, ring.wrap(noise), out=total)
    return left


class Recovery:
    """Secrets from revealed shares; remembers who revealed wrong ones.

    Args:
        inputs: The last stage's.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._threshold = inputs.terms.threshold(len(inputs.adverts))
        self._weights: dict[tuple[int, ...], list[int]] = {}
        self._shares: dict[Secret, dict[int, dict[int, OpenShare]]] = {
            "r": _by_dealer((holder, inputs.reveals[holder].r) for holder in sorted(inputs.reveals)),
            "b": _by_dealer((holder, inputs.reveals[holder].b) for holder in sorted(inputs.reveals)),
        }
        self.blamed: list[tuple[int, str]] = []

    def secret(self, kind: Secret, dealer: int) -> bytes:
        """A dealer's r or b.

        Raises:
            ProtocolError: Too few right shares, or the dealer's shares give another secret than it committed
                to.
        """
        holders = list(self._shares[kind].get(dealer, ()))
        found = self._combined(kind, dealer, holders[: self._threshold])
        if found is not None:
            return found
        # Nobody else has seen a commitment to the share that a dealer kept: it comes last.
        honest = [holder for holder in holders if holder != dealer and self._matches(kind, dealer, holder)]
        honest += [dealer] * (dealer in holders)
        found = self._combined(kind, dealer, honest[: self._threshold])
        if found is not None:
            return found
        raise self._lost(kind, dealer, len(honest))

    def _lost(self, kind: Secret, dealer: int, right: int) -> ProtocolError:
        name = self._inputs.adverts[dealer].device
        if right < self._threshold:
            return ProtocolError(
                f"{right} right shares of {name}'s {kind}, {self._threshold} are needed", blame="local"
            )
        fault = f"dealt shares of another {kind} than it committed to, or changed its own"
        self.blamed.append((dealer, fault))
        return ProtocolError(f"{name} {fault}", blame=name)

    def _combined(self, kind: Secret, dealer: int, holders: Sequence[int]) -> bytes | None:
        """The secret that these shares give, if there are enough and it is the one committed to."""
        if len(holders) < self._threshold:
            return None
        xs = tuple(holder + 1 for holder in holders)
        if xs not in self._weights:
            self._weights[xs] = shamir.weights(xs)
        try:
            found = shamir.combine(
                [self._share(kind, dealer, holder).share for holder in holders], self._weights[xs]
            )
        except ValueError:
            return None
        return found if self._is_committed(kind, dealer, found) else None

    def _is_committed(self, kind: Secret, dealer: int, secret: bytes) -> bool:
        advert = self._inputs.adverts[dealer]
        if kind == "b":
            return hmac.compare_digest(commitment(secret), advert.commitment)
        return hmac.compare_digest(mask_keys(self._inputs.terms, secret).public, advert.mask_key)

    def _matches(self, kind: Secret, dealer: int, holder: int) -> bool:
        """Whether a holder revealed what it was dealt; one that did not is blamed."""
        share, deal = self._share(kind, dealer, holder), self._inputs.deals[dealer][holder]
        committed = deal.commitment_r if kind == "r" else deal.commitment_b
        if hmac.compare_digest(share_commitment(kind, holder + 1, share.share, share.blind), committed):
            return True
        name = self._inputs.adverts[dealer].device
        self.blamed.append((holder, f"revealed another share of {name}'s {kind} than it was dealt"))
        return False

    def _share(self, kind: Secret, dealer: int, holder: int) -> OpenShare:
        return self._shares[kind][dealer][holder]


def _by_dealer(revealed: Iterable[tuple[int, Iterable[OpenShare]]]) -> dict[int, dict[int, OpenShare]]:
    """By dealer, then holder in the order given: on a sparse graph few of many members hold its shares."""
    found: dict[int, dict[int, OpenShare]] = {}
    for holder, shares in revealed:
        for share in shares:
            found.setdefault(share.position, {})[holder] = share
    return found
