"""A device's proof of its own part, and what is no proof."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import made_ledger
from covey import plan as plans
from covey.errors import ProtocolError
from covey.ledger import note
from covey.ledger import proof as proofs
from covey.ledger.entries import Reserve
from covey.ledger.history import History
from covey.ledger.participation import leaf, opening, prove
from covey.ledger.proof import Logged, Proof, check, from_bytes, to_bytes
from covey.policy import reading
from covey.policy.terms import Policy
from made_ledger import RUN

RESERVE, SETTLE, SUM = 5, 6, 2


def policy() -> Policy:
    return reading.parse(note.parse(made_ledger.policy_note(), blame="test").text, "the policy")


def made_proof(device: int = 0) -> Proof:
    made = made_ledger.honest()
    reserve = made.entries[RESERVE]
    assert isinstance(reserve, Reserve)
    lines = made.participants[plans.digest(reserve.plan)].split()
    leaves = [bytes.fromhex(line.decode()) for line in lines]
    opened = opening(made_ledger.salt(device), RUN, SUM)
    place, path = prove(leaves, leaf(opened, f"d{device:03d}"))
    history = History.of(made.lines)
    reserve_, settle = (
        Logged(index=index, line=made.lines[index].decode(), path=history.inclusion(index, history.size))
        for index in (RESERVE, SETTLE)
    )
    return Proof(
        device=f"d{device:03d}",
        opening=opened,
        place=place,
        leaves=len(leaves),
        path=path,
        reserve=reserve_,
        settle=settle,
        checkpoint=(made.checkpoint or b"").decode(),
    )


def test_a_proof_shows_one_sum_of_one_device() -> None:
    proved = check(from_bytes(to_bytes(made_proof())), policy().log_trust())
    assert (proved.device, proved.plan.run, proved.plan.sum) == ("d000", RUN, SUM)
    assert (proved.reserve, proved.settle, proved.members) == (RESERVE, SETTLE, 10)
    assert proved.checkpoint.size == len(made_ledger.honest().lines)


def test_a_proof_can_be_checked_under_a_root_that_is_known_otherwise() -> None:
    assert check(made_proof(), None).checkpoint.root == History.of(made_ledger.honest().lines).root()


CHEATS: list[Callable[[Proof], Proof]] = [
    lambda proof: msgspec.structs.replace(proof, device="d001"),
    lambda proof: msgspec.structs.replace(proof, opening=bytes(32)),
    lambda proof: msgspec.structs.replace(proof, place=proof.place ^ 1),
    lambda proof: msgspec.structs.replace(proof, leaves=proof.leaves + 1),
    lambda proof: msgspec.structs.replace(proof, path=proof.path[1:]),
    lambda proof: msgspec.structs.replace(proof, settle=proof.reserve),
    lambda proof: msgspec.structs.replace(proof, reserve=proof.settle, settle=proof.reserve),
    lambda proof: msgspec.structs.replace(proof, reserve=msgspec.structs.replace(proof.reserve, index=3)),
    lambda proof: msgspec.structs.replace(
        proof, settle=msgspec.structs.replace(proof.settle, line=made_ledger.honest().lines[4].decode())
    ),
]


@pytest.mark.parametrize("cheat", CHEATS)
@pytest.mark.parametrize("known", [True, False])
def test_what_proves_nothing(cheat: Callable[[Proof], Proof], known: bool) -> None:
    with pytest.raises(ProtocolError):
        check(cheat(made_proof()), policy().log_trust() if known else None)


def test_a_settle_of_another_reserve_proves_nothing() -> None:
    made, proof = made_ledger.honest(), made_proof()
    other = Logged(
        index=3, line=made.lines[3].decode(), path=History.of(made.lines).inclusion(3, len(made.lines))
    )
    with pytest.raises(ProtocolError, match="not that of the reserve"):
        check(msgspec.structs.replace(proof, reserve=other), None)


def test_the_size_counts_only_as_it_was_signed() -> None:
    smaller = made_proof().checkpoint.replace("\n15\n", "\n14\n")
    with pytest.raises(ProtocolError):
        check(msgspec.structs.replace(made_proof(), checkpoint=smaller), policy().log_trust())


def test_a_checkpoint_that_nobody_signed_proves_nothing_to_who_knows_the_keys() -> None:
    made = made_ledger.honest()
    forged = made_ledger.head_over(made.lines, log=made_ledger.STRANGER)
    with pytest.raises(ProtocolError):
        check(msgspec.structs.replace(made_proof(), checkpoint=forged.decode()), policy().log_trust())


@given(st.integers(0, 1 << 20), st.integers(1, 255))
@settings(max_examples=80, deadline=None)
def test_a_changed_byte_of_a_proof_proves_nothing_else(place: int, mask: int) -> None:
    data = bytearray(to_bytes(made_proof()))
    data[place % len(data)] ^= mask
    try:
        proved = check(from_bytes(bytes(data)), policy().log_trust())
    except ProtocolError:
        return
    assert proved == check(made_proof(), policy().log_trust())  # white space between members


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b"\xff", b" " * (proofs.MAX_BYTES + 1)])
def test_what_is_no_proof(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        from_bytes(data)
