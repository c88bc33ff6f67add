"""U1 as a server may show it: every member's advert is checked before anything is dealt."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from covey import merkle
from covey.errors import MemoryRestored, ProtocolError
from covey.identity import Certificate, Roster, public_of, read_roster, sign, sign_roster
from covey.plan import Suite
from covey.secagg.members import check_memory, leaf, read_advert
from covey.secagg.messages import Advert, Advertised, Cohort, Entry, encode
from secagg_attacks import changed, goes_on, read, refused
from secagg_fleet import ENROLMENT, NOW, Fleet, identity, key, make_plan, name, roster, vectors

VICTIM = 5
OTHER = 7  # a member's position
P = (1 << 255) - 19
LOW_ORDER = (
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    P - 1,
    P,
    P + 1,
)
"""Points of order 1, 2, 4 and 8 on the curve and its twist, and two that have a second spelling."""

SPARSE = Suite(profile="semi-honest-server", cipher="chacha20", bits=32, neighbours=8, threshold=5)


def shown(adverts: Sequence[Advertised], position: int = 3) -> bytes:
    """A cohort of these adverts in this order, under their own root."""
    root = merkle.root([leaf(each) for each in adverts])
    return encode(Cohort(len(adverts), root, position, tuple(map(Entry, range(len(adverts)), adverts))))


def signed(index: int, **changes: Any) -> Callable[[Advertised], Advertised]:
    """The member's own signature on an advert with other fields: what a device that lies can do."""

    def forge(advertised: Advertised) -> Advertised:
        body = encode(msgspec.structs.replace(read(advertised.body, Advert), **changes))
        return Advertised(body, sign(identity(index), "advert", body))

    return forge


def unsigned(**changes: Any) -> Callable[[Advertised], Advertised]:
    """Other fields under the old signature: what a server can do."""
    return lambda advertised: Advertised(changed(advertised.body, Advert, **changes), advertised.signature)


def ready(**options: Any) -> tuple[Fleet, list[Advertised]]:
    sums = Fleet(make_plan(**options), vectors(options.get("size", 12)))
    request = sums.until("share")[VICTIM]
    return sums, [entry.advert for entry in read(request, Cohort).entries]


@pytest.mark.parametrize(
    ("forge", "match"),
    [
        (unsigned(mask_key=key("mine")), r"signature \(advert\)"),
        (unsigned(seal_key=key("mine")), r"signature \(advert\)"),
        (unsigned(commitment=key("mine")), r"signature \(advert\)"),
        (lambda each: Advertised(each.body, bytes(64)), r"signature \(advert\)"),
        (lambda each: Advertised(each.body, sign(identity(2), "advert", each.body)), r"signature \(advert\)"),
        (lambda each: Advertised(each.body, sign(identity(7), "mi", each.body)), r"signature \(advert\)"),
        (signed(7, plan=bytes(32)), "an advert for another plan"),
        (signed(7, device="d999"), "'d999' is not in roster 1"),
        (signed(7, device="d008"), r"signature \(advert\)"),
        (lambda each: Advertised(each.body + b"\0", each.signature), "malformed"),
        (lambda each: Advertised(each.body[:-1], each.signature), "malformed"),
        (lambda _: Advertised(b"", bytes(64)), "malformed"),
    ],
    ids=[
        "mask key substituted",
        "seal key substituted",
        "commitment substituted",
        "unsigned",
        "another's signature",
        "a signature of another kind",
        "of another plan",
        "a stranger's",
        "in another's name",
        "too long",
        "too short",
        "empty",
    ],
)
def test_an_advert_that_is_not_its_members_is_refused(
    forge: Callable[[Advertised], Advertised], match: str
) -> None:
    sums, adverts = ready()
    adverts[OTHER] = forge(adverts[OTHER])
    refused(sums.devices[VICTIM], shown(adverts), match)
    goes_on(sums, VICTIM, sums.requests["share"][VICTIM])


@pytest.mark.parametrize("point", LOW_ORDER)
@pytest.mark.parametrize("field", ["seal_key", "mask_key"])
@pytest.mark.parametrize("top", [0, 1 << 255])
def test_a_key_of_low_order_is_refused_though_its_member_signed_it(point: int, field: str, top: int) -> None:
    sums, adverts = ready()
    low = (point | top).to_bytes(32, "little")
    adverts[OTHER] = signed(7, **{field: low})(adverts[OTHER])
    refused(sums.devices[VICTIM], shown(adverts), "low order, or misspelt")


def test_a_key_has_one_spelling() -> None:
    """Else one key could stand for two members: X25519 ignores the top bit."""
    sums, adverts = ready()
    twin = bytearray(read(adverts[2].body, Advert).mask_key)
    twin[31] |= 0x80
    adverts[OTHER] = signed(7, mask_key=bytes(twin))(adverts[OTHER])
    refused(sums.devices[VICTIM], shown(adverts), "misspelt")


@pytest.mark.parametrize("field", ["seal_key", "mask_key", "commitment"])
def test_two_members_with_one_key_are_refused(field: str) -> None:
    sums, adverts = ready()
    twin = getattr(read(adverts[2].body, Advert), field)
    adverts[OTHER] = signed(7, **{field: twin})(adverts[OTHER])
    refused(sums.devices[VICTIM], shown(adverts), "two members with one key")


def test_a_key_serves_one_purpose() -> None:
    sums, adverts = ready()
    mask_key = read(adverts[OTHER].body, Advert).mask_key
    adverts[OTHER] = signed(7, seal_key=mask_key)(adverts[OTHER])
    refused(sums.devices[VICTIM], shown(adverts), "two members with one key")


def test_a_member_stands_in_u1_once_and_in_order_of_names() -> None:
    sums, adverts = ready()
    again = signed(7, seal_key=KEYS[0], mask_key=KEYS[1], commitment=key("c"))(adverts[7])
    for wrong in ([*adverts[:8], again, *adverts[9:]], [*adverts[:7], adverts[8], adverts[7], *adverts[9:]]):
        refused(sums.devices[VICTIM], shown(wrong), "out of order, or one twice")


KEYS = tuple(bytes([9 + each]) + bytes(31) for each in range(2))
"""Points of large order."""


def test_a_device_does_not_go_on_without_its_own_advert_as_it_sent_it() -> None:
    sums, adverts = ready()
    own = adverts[3]
    replayed = signed(3, seal_key=KEYS[0])(own)  # what an earlier session of it might have said
    for wrong in (
        shown([*adverts[:3], replayed, *adverts[4:]]),
        shown([*adverts[:3], *adverts[4:]]),
        shown(adverts, position=4),
        shown(adverts, position=60),
    ):
        refused(sums.devices[VICTIM], wrong, "own advert is missing or changed")


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_cohort_below_the_minimum_is_refused(size: int) -> None:
    sums, adverts = ready()
    few = [adverts[3], *(each for place, each in enumerate(adverts) if place != 3)][:size]
    refused(sums.devices[VICTIM], shown(few, position=0), "the minimum is 8")


def test_a_cohort_above_the_plans_is_refused() -> None:
    """Noise and modulus are planned for so many."""
    large = Fleet(make_plan(12, signed=roster(14)), vectors(14), signed=roster(14))
    large.begin(set())
    adverts = [read(data, Advertised) for _, data in large.replies["advertise"]]
    refused(large.devices[VICTIM], shown(adverts), "the most 12")


def test_all_members_are_shown_and_are_those_of_the_root() -> None:
    sums, _ = ready()
    request = sums.requests["share"][VICTIM]
    cohort = read(request, Cohort)
    device = sums.devices[VICTIM]
    refused(device, changed(request, Cohort, root=bytes(32)), "not those of the root")
    refused(device, changed(request, Cohort, entries=cohort.entries[:-1]), "11 members are shown, not 12")
    refused(device, changed(request, Cohort, size=11), "12 members are shown, not 11")
    last = msgspec.structs.replace(cohort.entries[-1], position=40)
    refused(device, changed(request, Cohort, entries=(*cohort.entries[:-1], last)), "not all members")
    shuffled = (*cohort.entries[1:], cohort.entries[0])
    refused(device, changed(request, Cohort, entries=shuffled), "in order")


# --- certificates


def with_roster(**changes: Any) -> tuple[Fleet, bytes]:
    """A fleet whose roster lacks what `changes` say about d007; and the cohort that shows it all the same."""
    certificates = [
        Certificate(name(i), public_of(identity(i)), NOW + 1_000_000) for i in range(12) if i != 7 or changes
    ]
    if changes:
        certificates[7] = msgspec.structs.replace(certificates[7], **changes)
    signed_roster = sign_roster(
        Roster("test", 1, NOW + 1_000_000, simulation=True, certificates=tuple(certificates)), ENROLMENT
    )
    sums = Fleet(make_plan(signed=signed_roster), vectors(12), signed=signed_roster)
    sums.begin({node for node in sums.devices if node == 9})
    advert = msgspec.structs.replace(
        read(read(sums.replies["advertise"][0][1], Advertised).body, Advert),
        device="d007",
        seal_key=KEYS[0],
        mask_key=KEYS[1],
        commitment=key("c"),
    )
    body = encode(advert)
    own = Advertised(body, sign(identity(7), "advert", body))
    adverts = [read(data, Advertised) for _, data in sums.replies["advertise"]]
    return sums, shown([*adverts[:7], own, *adverts[7:]])


def test_a_revoked_device_is_no_member() -> None:
    sums, request = with_roster()
    refused(sums.devices[VICTIM], request, "'d007' is not in roster 1")


def test_an_expired_certificate_is_none() -> None:
    sums, request = with_roster(not_after=NOW - 1)
    refused(sums.devices[VICTIM], request, "the certificate of 'd007' has expired")


def test_a_key_that_was_replaced_in_the_roster_signs_nothing() -> None:
    sums, request = with_roster(key=public_of(key("a new device")))
    refused(sums.devices[VICTIM], request, r"signature \(advert\)")


def test_blame_falls_on_who_showed_the_advert() -> None:
    sums, adverts = ready()
    read_in = read_roster(sums.signed, public_of(ENROLMENT), now=NOW, least_serial=0)
    with pytest.raises(ProtocolError, match="node 9") as caught:
        read_advert(unsigned(plan=bytes(32))(adverts[0]), sums.terms, read_in, NOW, blame="node 9")
    assert caught.value.blame == "node 9"


# --- what the device has signed before


def counted(counter: int, plan: bytes = b"p" * 32, signer: bytes | None = None) -> Advertised:
    """An advert of device 3 that counts so many plans."""
    body = encode(Advert(plan, name(3), b"s" * 32, b"m" * 32, b"c" * 32, counter, b"l" * 32))
    return Advertised(body, sign(signer or identity(3), "advert", body))


def check(before: Advertised | None, own: Advertised) -> None:
    check_memory(before, own, public_of(identity(3)))


@pytest.mark.parametrize("counter", [5, 6])
def test_a_device_whose_memory_was_put_back_sees_it(counter: int) -> None:
    with pytest.raises(MemoryRestored, match=f"signed answer {counter} of its life, its memory counts 5"):
        check(counted(counter, b"q" * 32), counted(5))


def test_a_device_that_goes_on_is_shown_its_past() -> None:
    check(None, counted(5))
    check(counted(4, b"q" * 32), counted(5))


def test_a_server_cannot_lock_a_device_with_what_it_was_just_sent() -> None:
    with pytest.raises(ProtocolError, match="own advert is shown as an earlier one") as caught:
        check(counted(5), counted(5))
    assert not isinstance(caught.value, MemoryRestored)
    assert caught.value.blame == "server"


def test_a_server_cannot_lock_a_device_with_a_count_of_its_own() -> None:
    with pytest.raises(ProtocolError, match="does not hold") as caught:
        check(counted(9, b"q" * 32, signer=identity(4)), counted(5))
    assert not isinstance(caught.value, MemoryRestored)


# --- the sparse graph


def sparse() -> tuple[Fleet, bytes]:
    sums = Fleet(make_plan(20, minimum=12, suite=SPARSE), vectors(20))
    return sums, sums.until("share")[VICTIM]


def test_a_graph_that_the_server_chose_is_refused() -> None:
    """Other members, each proved to be one, but not those that the ring gives."""
    sums, request = sparse()
    cohort = read(request, Cohort)
    known = {entry.position for entry in cohort.entries}
    far = next(place for place in range(20) if place not in known)
    theirs = read(sums.requests["share"][far + 2], Cohort)
    stranger = next(entry for entry in theirs.entries if entry.position == far)
    dropped = next(entry for entry in cohort.entries if entry.position != 3)
    entries = (*(entry for entry in cohort.entries if entry != dropped), stranger)
    wrong = tuple(sorted(entries, key=lambda entry: entry.position))
    refused(sums.devices[VICTIM], changed(request, Cohort, entries=wrong), "not the neighbours")


def test_neighbours_are_proved_to_be_under_the_root_at_their_places() -> None:
    sums, request = sparse()
    cohort = read(request, Cohort)
    first = cohort.entries[0]
    for wrong in (
        msgspec.structs.replace(first, path=()),
        msgspec.structs.replace(first, path=cohort.entries[1].path),
        msgspec.structs.replace(first, path=(*first.path, bytes(32))),
    ):
        entries = (wrong, *cohort.entries[1:])
        refused(sums.devices[VICTIM], changed(request, Cohort, entries=entries), "not under the root")
    refused(sums.devices[VICTIM], changed(request, Cohort, size=19), "not under the root")
    refused(sums.devices[VICTIM], changed(request, Cohort, entries=cohort.entries[1:]), "8 members are shown")
    goes_on(sums, VICTIM, request)
