"""A device whose disk was put back, or copied: found by what it has signed before, and locked for ever."""

import copy
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message

import policed_fleet
from bent_grid import BentGrid
from covey import plan as plans
from covey.budget import Budget
from covey.delivery import NOT_SET_UP
from covey.errors import PlanRefused, TooFewDevices
from covey.identity import sign
from covey.plan import Plan
from covey.secagg.evidence import show
from covey.secagg.messages import Advert, Advertised, encode
from covey.secagg.stages import Advertising
from covey.secagg.states import Claim
from covey.secagg.terms import Terms
from covey_client.budget import FileJournal
from covey_client.claims import FileClaims
from covey_client.participant import Participant
from covey_client.seeds import SystemSeeds
from covey_strategies.asking import Asking
from covey_strategies.exchange import Settled
from covey_strategies.private_sum import PrivateSum
from covey_strategies.wire import read_reply
from digits_fleet import VALIDATE, crowd, key, masked, named, parameters, question
from policed_fleet import LedgerBook, Run, policed
from secagg_attacks import read

FLEET = crowd(12)
NODES = list(FLEET.devices)
VICTIM = 2


@dataclass
class Remembering(LedgerBook):
    """A book that keeps each device's newest advert, as a server does.

    Attributes:
        plans: Settled.
    """

    plans: list[Plan] = field(default_factory=list)

    def settle(self, plan: Plan, settled: Settled) -> None:
        super().settle(plan, settled)
        assert settled.evidence is not None
        for advertised in settled.evidence.adverts:
            self.adverts[read(advertised.body, Advert).device] = advertised
        self.plans.append(plan)


@dataclass
class Fleet:
    """Devices of which one has a disk, and the run that asks them.

    Attributes:
        folder: The disk of the first.
        book: The server's.
    """

    folder: Path
    book: Remembering = field(default_factory=Remembering)
    others: dict[int, Participant] = field(
        default_factory=lambda: {node: policed_fleet.owned(node, FLEET) for node in NODES[1:]}
    )

    def victim(self, folder: Path | None = None) -> Participant:
        """The device as it starts from its disk."""
        at = folder or self.folder
        claims, journal = FileClaims(at / "claims.json"), FileJournal(at / "budget.jsonl")
        return policed_fleet.owned(VICTIM, FLEET, claims=claims, journal=journal)

    def sum(self, folder: Path | None = None) -> PrivateSum:
        """One more sum, in which the device takes part from a disk."""
        grid = BentGrid({VICTIM: self.victim(folder), **self.others})
        asking: Asking = Run(FLEET, self.book).asking()
        from_all = Run(FLEET, self.book).question(VALIDATE)
        to = replace(from_all, grid=grid)
        return asking.collect(to, grid.send_and_receive(to.messages()))

    def image(self, name: str) -> Path:
        """A copy of the disk."""
        copied = self.folder.with_name(name)
        shutil.copytree(self.folder, copied)
        return copied

    def put_back(self, image: Path) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(image, self.folder)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    FLEET.logs[VICTIM].clear()
    return Fleet(tmp_path / "disk")


def locked(fleet: Fleet, folder: Path | None = None) -> str:
    return fleet.victim(folder).journal.budget.locked


def test_a_device_that_remembers_goes_on(fleet: Fleet) -> None:
    """A new process for every sum; the server shows it what it signed before."""
    for number in range(1, 4):
        found = fleet.sum()
        assert (found.devices, found.refused) == (12, ())
        assert fleet.victim().journal.budget.counter == number
    assert locked(fleet) == ""
    counters = [show_all(fleet, number)[named(VICTIM)] for number in range(3)]
    assert counters == [1, 2, 3]


def show_all(fleet: Fleet, number: int) -> dict[str, int]:
    """Counts in the evidence of a sum."""
    plan, settled = fleet.book.plans[number], fleet.book.settled[number]
    assert settled.evidence is not None
    roster = policed(NODES, fleet.book.policy).roster
    terms = Terms.of(plans.to_bytes(plan))
    return dict(show(settled.evidence, terms, roster, 0, blame="server").counters)


def test_a_disk_that_was_put_back_is_found_and_locked(fleet: Fleet) -> None:
    fleet.sum()
    image = fleet.image("image")
    fleet.sum()
    fleet.put_back(image)
    found = fleet.sum()
    assert found.devices == 11
    told = "this device has signed answer 2 of its life, its memory counts 2"
    (refused,) = found.refused
    assert refused == f"node {VICTIM}: {told}"
    assert locked(fleet) == told
    assert FLEET.logs[VICTIM] == [f"locked: {told}"]


def test_a_locked_device_answers_no_later_plan_also_after_a_restart(fleet: Fleet) -> None:
    fleet.sum()
    image = fleet.image("image")
    fleet.sum()
    fleet.put_back(image)
    fleet.sum()
    reserved = fleet.victim().journal.budget.counter
    for _ in range(2):
        found = fleet.sum()
        (refused,) = found.refused
        assert refused.startswith(
            f"node {VICTIM}: this device answers nothing any more: this device has signed"
        )
    assert fleet.victim().journal.budget.counter == reserved
    assert FLEET.logs[VICTIM][-1].startswith("refused: this device answers nothing any more")


def test_a_locked_device_answers_no_plan_in_clear_either(fleet: Fleet) -> None:
    fleet.sum()
    image = fleet.image("image")
    fleet.sum()
    fleet.put_back(image)
    fleet.sum()
    device = replace(fleet.victim(), unprotected=True)
    (reply,) = BentGrid({VICTIM: device}).deliver(question(VALIDATE, NODES).messages()[:1])
    assert str(reply.error.reason).startswith("this device answers nothing any more")


def test_a_server_that_hides_what_it_showed_once_does_not_get_on(fleet: Fleet) -> None:
    """The same session, asked again without the advert: the device is locked by then."""
    fleet.sum()
    image = fleet.image("image")
    fleet.sum()
    fleet.put_back(image)
    device = fleet.victim()
    grid = BentGrid({VICTIM: device, **fleet.others})
    (exchange,) = Run(FLEET, fleet.book).question(VALIDATE).exchanges
    exchange = exchange.received(grid.deliver(exchange.first_messages()))
    assert exchange.behind == (VICTIM,)  # what was put back has seen less of the ledger, too
    adverts = grid.deliver(exchange.messages())
    state = exchange.state
    assert isinstance(state, Advertising)
    hidden = replace(exchange, state=replace(state, before={}))
    for asked, told in (
        (exchange, "has signed answer 2"),
        (hidden, "this device answers nothing any more"),
    ):
        shown = grid.deliver(asked.received(adverts).messages())
        (reply,) = [each for each in shown if each.metadata.src_node_id == VICTIM]
        assert told in str(reply.error.reason)


@pytest.mark.parametrize("first", ["disk", "clone"])
def test_of_two_clones_the_second_is_found(fleet: Fleet, first: str) -> None:
    """Whichever comes first: from then on the other is one behind."""
    fleet.sum()
    fleet.image("clone")
    disks = [fleet.folder, fleet.folder.with_name("clone")]
    if first == "clone":
        disks.reverse()
    assert fleet.sum(disks[0]).devices == 12
    assert fleet.sum(disks[1]).devices == 11
    assert locked(fleet, disks[0]) == ""
    assert "has signed answer 2 of its life" in locked(fleet, disks[1])
    assert fleet.sum(disks[0]).devices == 12


def test_a_server_that_hides_it_leaves_the_same_count_twice_in_the_evidence(fleet: Fleet) -> None:
    """What the device cannot know, a reviewer sees."""
    fleet.sum()
    image = fleet.image("image")
    fleet.sum()
    fleet.put_back(image)
    fleet.book.adverts.clear()
    assert fleet.sum().devices == 12
    counts = [show_all(fleet, number) for number in range(3)]
    assert [each[named(VICTIM)] for each in counts] == [1, 2, 2]
    assert [each[named(3)] for each in counts] == [1, 2, 3]


def test_a_device_that_forgot_everything_is_found(fleet: Fleet) -> None:
    fleet.sum()
    shutil.rmtree(fleet.folder)
    (refused,) = fleet.sum().refused
    assert "has signed answer 1 of its life, its memory counts 1" in refused
    assert locked(fleet)


# -- a server that shows something else


def shown(fleet: Fleet, before: Advertised) -> Message:
    """What the device says that is shown this as its own advert of before."""
    fleet.book.adverts = {named(VICTIM): before}
    grid = BentGrid({VICTIM: fleet.victim(), **fleet.others})
    (exchange,) = Run(FLEET, fleet.book).question(VALIDATE).exchanges
    after = exchange.received(grid.deliver(exchange.first_messages()))
    (reply,) = [each for each in grid.deliver(after.messages()) if each.metadata.src_node_id == VICTIM]
    return reply


def advert(counter: int, private: bytes, kind: str = "advert") -> Advertised:
    body = encode(Advert(b"p" * 32, named(VICTIM), b"s" * 32, b"m" * 32, b"c" * 32, counter, b"l" * 32))
    return Advertised(body, sign(private, kind, body))


OWN = key("identity", VICTIM)


def test_only_what_the_device_signed_itself_can_lock_it(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can lock it by showing what another one signed, or what it signed for something else."""
    fleet.sum()
    monkeypatch.setattr("covey.secagg.requests.verify", lambda *_, **__: None)  # a server that shows anything
    theirs = fleet.book.adverts[named(3)]
    for strange in (
        theirs,
        advert(99, key("identity", 3)),
        advert(99, OWN, "deal"),
        Advertised(b"", bytes(64)),
    ):
        reply = shown(fleet, strange)
        assert reply.error.reason == "a signature (advert) that does not hold"
    assert locked(fleet) == ""
    assert read_reply(shown(fleet, advert(1, OWN)))


def test_what_the_device_signed_itself_locks_it(fleet: Fleet) -> None:
    reply = shown(fleet, advert(1, OWN))
    assert reply.error.reason == "this device has signed answer 1 of its life, its memory counts 1"
    assert locked(fleet)


def test_a_greater_count_locks_it_too(fleet: Fleet) -> None:
    fleet.sum()
    assert "has signed answer 7 of its life, its memory counts 2" in str(
        shown(fleet, advert(7, OWN)).error.reason
    )


# -- plans that name no policy


def test_plans_without_a_policy_are_not_counted() -> None:
    """Devices in an experiment have signed count 0 before, again and again: that is no restored disk."""
    devices = {node: policed_fleet.owned(node, FLEET, unprotected=True) for node in NODES}
    book = Remembering(bend=lambda _: None)
    run = replace(Run(FLEET, book).asking(), protection=masked(FLEET))
    for _ in range(3):
        grid = BentGrid(devices)
        to = run.question(grid, 1, VALIDATE, parameters(), NODES)
        found = run.collect(to, grid.send_and_receive(to.messages()))
        assert (found.devices, found.refused) == (12, ())
    assert all(device.journal.budget == Budget() for device in devices.values())


# -- what becomes of a plan that was begun


def begun(fleet: Fleet, stages: int, run: str = "run") -> tuple[BentGrid, Any, str]:
    """A plan taken so many stages far; its grid, the exchange, and the plan's digest."""
    grid = BentGrid({VICTIM: fleet.victim(), **fleet.others})
    (exchange,) = Run(FLEET, fleet.book, run).question(VALIDATE).exchanges
    sent = exchange.first_messages()
    for _ in range(stages):
        exchange = exchange.received(grid.deliver(sent))
        sent = exchange.messages()
    fleet.book.heads.update(dict.fromkeys(NODES, fleet.book.ledger.size))
    return grid, exchange, plans.digest(exchange.sent)


@pytest.mark.parametrize("stages", [1, 2])
def test_a_plan_whose_vector_never_left_is_given_back_and_never_answered(fleet: Fleet, stages: int) -> None:
    """Its session is alive in another process all the while."""
    grid, exchange, digest = begun(fleet, stages)
    assert fleet.victim().journal.budget.unsettled == {digest}
    fleet.sum()
    budget = fleet.victim().journal.budget
    assert digest not in budget.reserved
    assert (len(budget.reserved), budget.counter, budget.unsettled) == (1, 2, frozenset())
    replied = [each for each in grid.deliver(exchange.messages()) if each.metadata.src_node_id == VICTIM]
    assert [each.has_error() for each in replied] == [True]
    plan = exchange.plan
    with pytest.raises(PlanRefused, match=r"answered before at stage masked|after sum"):
        fleet.victim().claims.claim(Claim(plan.run, plan.sum, "masked", key("the vector")))


def test_a_claim_keeps_a_vector_back_also_where_the_journal_does_not(fleet: Fleet) -> None:
    """Of another run, so that no newer sum of its own stands in the way."""
    grid, exchange, digest = begun(fleet, 2, run="other")
    reserve = fleet.victim().journal.budget.reserved[digest]
    fleet.sum()
    fleet.victim().journal.write([reserve])  # as if it had never been given back
    (reply,) = [each for each in grid.deliver(exchange.messages()) if each.metadata.src_node_id == VICTIM]
    assert reply.error.reason == "sum 1 was answered before at stage masked"


@pytest.mark.parametrize("stages", [3, 4])
def test_a_plan_whose_vector_left_stays_spent(fleet: Fleet, stages: int) -> None:
    """However the sum went on, and if the device heard no more of it."""
    _, _, digest = begun(fleet, stages)
    assert fleet.victim().journal.budget.unsettled == {digest}
    fleet.sum()
    budget = fleet.victim().journal.budget
    assert digest in budget.reserved
    assert (len(budget.reserved), budget.counter, budget.unsettled) == (2, 2, frozenset())


def test_a_plan_that_was_given_back_is_refused_before_it_is_reserved_again(fleet: Fleet) -> None:
    """A server cannot use it up that way."""
    _, exchange, _ = begun(fleet, 1, run="other")
    again = copy.deepcopy(exchange.cohort)
    fleet.sum()
    before = fleet.victim().journal.budget
    fleet.book.heads.update(dict.fromkeys(again, before.seen["covey.example/wrist"].size))
    for _ in range(2):
        (reply,) = BentGrid({VICTIM: fleet.victim()}).deliver(exchange.first_messages()[:1])
        assert reply.has_error() or len(read_reply(reply)) < 20
    assert fleet.victim().journal.budget == before


def test_a_device_that_fell_over_while_it_computed_gives_back_what_it_reserved(fleet: Fleet) -> None:
    """The same plan again is refused at once: others would wait for its vector, which cannot leave."""

    class Falling(SystemSeeds):
        def session(self) -> bytes:
            raise OSError(5, "Input/output error")

    (exchange,) = Run(FLEET, fleet.book).question(VALIDATE).exchanges
    falling = BentGrid({VICTIM: replace(fleet.victim(), seeds=Falling())})
    (reply,) = falling.deliver(exchange.first_messages()[:1])
    assert reply.error.reason == NOT_SET_UP
    assert len(fleet.victim().journal.budget.unsettled) == 1
    for _ in range(2):
        fleet.book.heads[VICTIM] = 1
        (reply,) = BentGrid({VICTIM: fleet.victim()}).deliver(exchange.first_messages()[:1])
        assert reply.error.reason == "sum 1 was answered before at stage masked"
        budget = fleet.victim().journal.budget
        assert (budget.reserved, budget.unsettled, budget.counter) == ({}, frozenset(), 1)
    assert fleet.sum().devices == 12


def test_a_settled_plan_is_settled_by_the_last_stage(fleet: Fleet) -> None:
    fleet.sum()
    budget = fleet.victim().journal.budget
    assert (len(budget.reserved), budget.unsettled) == (1, frozenset())


# -- when it is full


def test_a_full_budget_says_so_to_its_owner_in_one_line_and_nothing_leaves(fleet: Fleet) -> None:
    fleet.book.policy = policed_fleet.policy(budget__answers=1)
    fleet.sum()
    claims = (fleet.folder / "claims.json").read_bytes()
    told = "budget: 1 answers were given, the policy allows 1 in all"
    with pytest.raises(TooFewDevices, match=f"first refusal: node {VICTIM}: {told}"):
        fleet.sum()
    assert FLEET.logs[VICTIM] == [f"refused: {told}"]
    assert (fleet.folder / "claims.json").read_bytes() == claims
    budget = fleet.victim().journal.budget
    assert (budget.counter, len(budget.reserved)) == (1, 1)
    assert {seen.size for seen in budget.seen.values()} == {2}
