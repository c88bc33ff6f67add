"""What a device answers, what it refuses, and what it says when it does."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flwr.app import ConfigRecord, Message, RecordDict

import policed_fleet
from bent_grid import BentGrid
from covey import plan as plans
from covey.delivery import NOT_SET_UP
from covey.errors import StateError
from covey.identity import Certificate, Roster, public_of, read_roster, sign, sign_roster
from covey.plan import PolicyReference
from covey.secagg.messages import Advert, Advertised, decode, encode
from covey.secagg.states import Claim, Me
from covey_client.claims import FileClaims, MemoryClaims
from covey_client.participant import Participant
from covey_io.device_keys import Keys
from covey_strategies.asking import Question
from covey_strategies.protection import Operator, Protection
from covey_strategies.wire import REFUSED, REPLY, read_reply
from digits_fleet import (
    ENROLMENT,
    EXPIRES,
    GRADIENT,
    NOISY,
    OPERATOR,
    STATISTICS,
    TRAIN,
    VALIDATE,
    crowd,
    key,
    masked,
    named,
    operator,
    question,
)
from memory_ledger import REVIEWERS, opened
from policed_fleet import LedgerBook, Run
from policy_texts import ORIGIN
from secagg_fleet import NOW

FLEET = crowd(12)
NODES = list(FLEET.devices)
REAL = operator(NODES, simulation=False)
SECRET: Mapping[str, Any] = {**NOISY, "seeded": False}
NO_MASKS = "this device answers no plan without masks; its owner has not allowed it"
NO_NOISE = "this device answers no plan without noise; its owner has not allowed it"
NO_POLICY = "this device answers no plan without a signed policy; its owner has not allowed it"


def owned(**changes: Any) -> Participant:
    """Node 2's device as a fleet has it: answers protected sums only."""
    return policed_fleet.owned(2, FLEET, **changes)


def asked(protection: Protection | None = None, task: Any = VALIDATE) -> Question:
    """What no policy is named for."""
    return question(task, NODES, minimum=8, protection=protection)


def policed(task: Any = VALIDATE, **changes: Any) -> Question:
    """The first sum of a run under a policy."""
    return Run(FLEET).question(task, **changes)


def reply_of(device: Participant, to: Question, *, grid: BentGrid | None = None) -> Message:
    """What node 2 says to a question's first message."""
    (reply,) = (grid or BentGrid({2: device})).deliver(to.messages()[:1])
    return reply


def refusal(device: Participant, to: Question) -> str:
    reply = reply_of(device, to)
    assert reply.has_error()
    assert reply.error.code == REFUSED
    return str(reply.error.reason)


def changed(**changes: Any) -> Question:
    """A question under a policy with other things in its plan, properly signed and proved."""
    run = Run(FLEET)
    return run.replanned(run.question(VALIDATE), **changes)


# -- only protected sums, unless the owner says otherwise


@pytest.mark.parametrize("task", [TRAIN, VALIDATE, STATISTICS], ids=["train", "validate", "statistics"])
@pytest.mark.parametrize("masks", ["none", "elided"])
@pytest.mark.parametrize("noise", [{}, SECRET], ids=["quiet", "noisy"])
def test_a_plan_without_masks_is_refused(task: Any, masks: str, noise: Mapping[str, Any]) -> None:
    protection = Protection(masks=masks, **noise)  # type: ignore[arg-type]
    assert refusal(owned(), asked(protection, task)) == NO_MASKS
    assert not reply_of(owned(unprotected=True), asked(protection, task)).has_error()


def test_a_plan_without_noise_is_refused() -> None:
    assert refusal(owned(), asked(masked(FLEET))) == NO_NOISE
    assert not reply_of(owned(unprotected=True), asked(masked(FLEET))).has_error()


def test_a_plan_without_a_policy_is_refused() -> None:
    assert refusal(owned(), asked(masked(FLEET, **SECRET))) == NO_POLICY
    assert not reply_of(owned(unprotected=True), asked(masked(FLEET, **SECRET))).has_error()


def test_a_plan_with_all_three_is_answered() -> None:
    assert read_reply(reply_of(owned(), policed()))


def test_a_device_without_keys_takes_no_part_in_masked_sums() -> None:
    to = asked(masked(FLEET, **SECRET))
    assert refusal(owned(keys=None, unprotected=True), to) == "this device has no keys for masked sums"


def test_noise_from_a_seed_is_for_simulations() -> None:
    real = operator(NODES, simulation=False)
    seeded = asked(masked(FLEET, operator=real, **NOISY))
    for device in (owned(), owned(unprotected=True)):
        assert refusal(device, seeded) == "noise from a seed in a fleet that is no simulation"
    assert not reply_of(owned(unprotected=True), asked(masked(FLEET, **NOISY))).has_error()
    secret = asked(masked(FLEET, operator=real, **SECRET))
    assert not reply_of(owned(unprotected=True), secret).has_error()


# -- whom it believes


def test_another_operators_plan_is_refused() -> None:
    strange = replace(FLEET.operator, private=key("another operator"))
    assert refusal(owned(), asked(masked(FLEET, operator=strange, **SECRET))) == (
        "a signature (plan) that does not hold"
    )


def rostered(enrolment: bytes = ENROLMENT, *, expires: int = EXPIRES, nodes: Any = NODES) -> Operator:
    certificates = tuple(
        Certificate(named(node), public_of(key("identity", node)), expires) for node in nodes
    )
    sent = sign_roster(Roster("digits", 1, expires, True, certificates), enrolment)
    return Operator(OPERATOR, read_roster(sent, public_of(enrolment), now=0, least_serial=0), sent)


@pytest.mark.parametrize(
    ("trusted", "told"),
    [
        (rostered(key("another enrolment")), "a signature (roster) that does not hold"),
        (rostered(expires=1), "expired"),
        (rostered(nodes=NODES[1:]), "is not in roster"),
    ],
    ids=["another enrolment key's", "expired", "without this device"],
)
def test_a_roster_that_does_not_hold_is_refused(trusted: Operator, told: str) -> None:
    assert told in refusal(owned(), asked(masked(FLEET, operator=trusted, **SECRET)))


def test_an_older_roster_than_one_seen_is_refused() -> None:
    """Who was revoked since would be in it."""
    device, run = owned(), Run(FLEET)
    for serial, told in ((5, ""), (4, "serial 4 after 5 was seen"), (5, "")):
        to = replace(run, serial=serial).question(VALIDATE)
        run.book.heads[2] = device.journal.budget.seen[ORIGIN].size if device.journal.budget.seen else 0
        reply = reply_of(device, to)
        assert reply.has_error() == bool(told)
        assert not told or told in str(reply.error.reason)
    assert device.claims.least_serial == 5


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"deadline": 1}, "the plan's deadline was"),
        ({"policy": PolicyReference(sha256="0" * 64, serial=1)}, "the plan appeals to policy 0000"),
        ({"roster": msgspec.structs.replace(REAL.reference, serial=2)}, "for another roster"),
        ({"roster": msgspec.structs.replace(REAL.reference, sha256="0" * 64)}, "another roster"),
        ({"masks": "none", "suite": None, "roster": None}, "a plan without masks in an envelope"),
        ({"model": "wrist"}, "the plan is for model wrist"),
    ],
    ids=["too late", "policy", "another serial", "another roster", "no masks", "another model"],
)
def test_what_a_signed_plan_may_not_say(changes: dict[str, Any], told: str) -> None:
    device = owned()
    assert told in refusal(device, changed(**changes))
    assert device.journal.budget.counter == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"deadline": 1}, "the plan's deadline was"),
        ({"policy": PolicyReference(sha256="0" * 64, serial=1)}, "proves nothing of it"),
    ],
    ids=["too late", "policy"],
)
def test_a_plan_in_clear_is_held_to_the_same_clock_and_proves_no_policy(
    changes: dict[str, Any], told: str
) -> None:
    to = asked(Protection())
    (exchange,) = to.exchanges
    plan = msgspec.structs.replace(exchange.plan, **changes)
    late = replace(to, exchanges=(replace(exchange, plan=plan, sent=plans.to_bytes(plan)),))
    assert told in refusal(owned(unprotected=True), late)


def test_a_signed_plan_under_another_kind_of_message_is_refused() -> None:
    (message, *_) = policed().messages()
    disguised = Message(message.content, 2, "train.advertise")
    (reply,) = BentGrid({2: owned()}).deliver([disguised])
    assert reply.error.reason == "a plan under another kind of message"


def test_refusals_do_not_depend_on_data() -> None:
    """Devices with other data, and one whose data cannot be read, say the same."""

    class Unreadable:
        @property
        def train(self) -> Any:
            raise ValueError("patient 17")

        held_out = train

    other = [
        owned(device=replace(FLEET.devices[2], data=FLEET.devices[5].data)),
        owned(device=replace(FLEET.devices[2], data=Unreadable())),
    ]
    for to in (asked(masked(FLEET)), changed(model="wrist"), asked()):
        assert len({refusal(each, to) for each in (owned(), *other)}) == 1


# -- once


@pytest.mark.parametrize(
    "protection", [Protection(**NOISY), masked(FLEET, **SECRET)], ids=["clear", "masked"]
)
def test_a_plan_that_arrives_twice_gets_the_same_bytes(protection: Protection) -> None:
    device = owned(unprotected=True)
    grid, to = BentGrid({2: device}), asked(protection)
    first, second = (read_reply(reply_of(device, to, grid=grid)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    "protection", [Protection(**NOISY), masked(FLEET, **SECRET)], ids=["clear", "masked"]
)
def test_another_plan_of_the_same_sum_is_refused(protection: Protection) -> None:
    """Two answers with one noise, or with two, would tell more than was accounted for."""
    device = owned(unprotected=True)
    grid = BentGrid({2: device})
    reply_of(device, asked(protection), grid=grid)
    for task in (TRAIN, STATISTICS):
        reply = reply_of(device, asked(protection, task), grid=grid)
        assert reply.error.reason == "sum 1 was answered before at stage advertise"


@pytest.mark.parametrize(
    "protection", [Protection(**NOISY), masked(FLEET, **SECRET)], ids=["clear", "masked"]
)
def test_a_restarted_device_opens_no_plan_again(protection: Protection, tmp_path: Path) -> None:
    """Its memory is empty and its process new; what stands on its disk is all it knows."""
    path, to = tmp_path / "claims.json", asked(protection)
    assert not reply_of(owned(unprotected=True, claims=FileClaims(path)), to).has_error()
    for _ in range(2):
        again = owned(unprotected=True, claims=FileClaims(path))
        assert refusal(again, to) == "sum 1 was answered before at stage advertise"


def test_nothing_is_sent_that_could_not_be_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    class Full(MemoryClaims):
        def claim(self, claim: Claim) -> None:
            raise OSError(28, f"No space left for {claim.run} on /home/alice")

    for protection in (Protection(**NOISY), masked(FLEET, **SECRET)):
        assert refusal(owned(unprotected=True, claims=Full()), asked(protection)) == NOT_SET_UP
        assert "/home/alice" in capsys.readouterr().err


def test_damaged_claims_are_told_to_the_owner_only(capsys: pytest.CaptureFixture[str]) -> None:
    class Damaged(MemoryClaims):
        @property
        def least_serial(self) -> int:
            raise StateError("/home/alice/claims.json is damaged")

    assert refusal(owned(claims=Damaged()), asked(masked(FLEET, **SECRET))) == NOT_SET_UP
    assert "damaged" in capsys.readouterr().err


# -- what day it is


def test_peers_are_held_to_the_day_that_witnesses_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device without a clock would take part with a peer whose certificate has run out."""
    clock = SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda _: None, time=lambda: 1.0)
    for module in ("covey_client.participant", "covey_strategies.exchange"):
        monkeypatch.setattr(f"{module}.time", clock)
    certificates = tuple(
        Certificate(named(node), public_of(key("identity", node)), NOW - 1 if node == 7 else EXPIRES)
        for node in NODES
    )
    sent = sign_roster(Roster("digits", 1, EXPIRES, False, certificates), ENROLMENT)
    roster = read_roster(sent, public_of(ENROLMENT), now=0, least_serial=0)
    book = LedgerBook()
    trusted = replace(policed_fleet.policed(NODES, book.policy), roster=roster, roster_sent=sent)
    devices = {node: policed_fleet.owned(node, FLEET) for node in NODES}
    grid = BentGrid(devices)
    (exchange,) = Run(FLEET, book).question(VALIDATE, operator=trusted).exchanges
    adverts = grid.deliver(exchange.first_messages())
    (own,) = [each for each in adverts if each.has_error()]
    assert own.metadata.src_node_id == 7  # it knows what day it is, too; one that lies does not care
    seal, mask = (X25519PrivateKey.generate().public_key().public_bytes_raw() for _ in range(2))
    body = encode(
        Advert(bytes.fromhex(plans.digest(exchange.sent)), named(7), seal, mask, bytes(32), 1, bytes(32))
    )
    lie = encode(Advertised(body, sign(key("identity", 7), "advert", body)))
    asked = next(each for each in exchange.first_messages() if each.metadata.dst_node_id == 7)
    others = [each for each in adverts if each is not own]
    lying = Message(RecordDict({REPLY: ConfigRecord({REPLY: lie})}), reply_to=asked)
    after = exchange.received([*others, lying])
    assert len(after.messages()) == 12  # the server's clock is behind as well
    for reply in grid.deliver([each for each in after.messages() if each.metadata.dst_node_id != 7]):
        assert "expired" in str(reply.error.reason)


# -- which policy


def test_a_policy_is_in_force_once_it_was_seen_whatever_became_of_the_plan() -> None:
    """A server shows the newer one once, is refused, and goes back to the one that allows more."""
    first = policed_fleet.policy()
    stricter: dict[str, Any] = {"serial": 2, "previous": opened(first).sha256, "budget__epsilon": "0.001"}
    device, book = owned(), LedgerBook()
    for run, policy, told in (
        ("a", first, ""),
        ("b", policed_fleet.policy(**stricter), "the policy allows 0.001"),
        ("c", first, "policy 1 after policy 2 came into force"),
    ):
        book.policy = policy
        reply = reply_of(device, Run(FLEET, book, run).question(VALIDATE))
        book.heads.update(dict.fromkeys(NODES, book.ledger.size))
        assert reply.has_error() == bool(told)
        assert not told or told in str(reply.error.reason)


# -- two plans at once


def test_a_server_cannot_lock_a_fleet_with_what_was_signed_for_a_later_plan() -> None:
    """The advert for the second plan counts more than the first one's, and that is no restored disk."""
    devices = {node: policed_fleet.owned(node, FLEET) for node in NODES}
    book, grids = LedgerBook(), (BentGrid(devices), BentGrid(devices))
    exchanges = []
    for run, grid in zip("ab", grids, strict=True):
        to = Run(FLEET, book, run).question(VALIDATE)
        adverts = grid.deliver(to.messages())
        assert not any(each.has_error() for each in adverts)
        book.heads.update(dict.fromkeys(NODES, book.ledger.size))
        exchanges.append((to.exchanges[0], adverts))
    (first, adverts), (second, later) = exchanges
    for each in later:
        shown = decode(read_reply(each), Advertised, blame="test", limit=1000)
        book.adverts[named(each.metadata.src_node_id)] = shown
    for reply in grids[0].deliver(first.received(adverts).messages()):
        assert reply.error.reason == "this plan was given up when another one came"
    assert not any(each.journal.budget.locked for each in devices.values())
    book.adverts.clear()
    for reply in grids[1].deliver(second.received(later).messages()):
        assert read_reply(reply)


# -- how long it takes


def test_only_sampled_steps_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    now = iter(range(0, 1000, 7))  # every look at the clock is seven seconds later
    clock = SimpleNamespace(monotonic=lambda: float(next(now)), sleep=slept.append, time=lambda: 1.0)
    monkeypatch.setattr("covey_client.participant.time", clock)
    assert not reply_of(owned(pad_seconds=5.0), policed()).has_error()
    assert slept == []
    examples = replace(Run(FLEET), book=LedgerBook(policy=policed_fleet.policy(budget__unit="example")))
    coins = examples.question(GRADIENT, unit="example")
    assert not reply_of(owned(pad_seconds=5.0), coins).has_error()
    assert slept == [3.0]  # to ten seconds
    assert not reply_of(owned(), coins).has_error()
    assert slept == [3.0]


def test_a_participants_keys_are_not_shown() -> None:
    device = owned()
    assert device.keys is not None
    me = Me(named(2), key("identity", 2), public_of(ENROLMENT))
    assert device.keys == Keys(me, public_of(OPERATOR), key("salt", 2), REVIEWERS)
    for secret in (key("identity", 2), key("salt", 2)):
        assert secret.hex() not in repr(device)
        assert repr(secret) not in repr(device)
