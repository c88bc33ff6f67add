"""What a newer policy makes weaker or stronger."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.identity import public_of
from covey.policy.comparing import chain_faults, differences
from covey.policy.reading import parse
from covey.policy.signed import digest
from covey.policy.terms import Policy
from policy_texts import ENROLMENT, LOG, OPERATOR, ORIGIN, WITNESS, WITNESS_NAME, policy_text, vkey

FIRST, SECOND, THIRD = (vkey(f"w{i}.example", key, 4) for i, key in enumerate((WITNESS, OPERATOR, ENROLMENT)))
QUERY = {"models": ["model"], "clip": "1", "noise_multiplier": "6", "minimum": 8, "answers": 4}
OPPOSITE = {"weaker": "stronger", "stronger": "weaker", "changed": "changed"}


def read(**changes: Any) -> Policy:
    return parse(policy_text(**changes), "policy.toml")


def found(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each.verdict, each.key) for each in differences(read(**old), read(**new))]


WEAKER: list[tuple[dict[str, Any], str, str]] = [
    ({"valid_from": "~2026-12-31"}, "valid_from", "it holds from 2026-12-31 instead of 2027-01-01"),
    ({"valid_until": "~2028-01-01"}, "valid_until", "it holds until 2028-01-01 instead of 2027-12-31"),
    ({"simulation": True}, "simulation", "it is a simulation's: noise may be seeded"),
    (
        {"budget__unit": "example"},
        "budget.unit",
        "it promises for one example instead of one device: epsilon means something else",
    ),
    ({"budget__epsilon": "8.1"}, "budget.epsilon", "answers may cost epsilon 8.1 instead of 8"),
    ({"budget__delta": "1e-4"}, "budget.delta", "the promise holds up to a delta of 1e-4 instead of 1e-5"),
    ({"budget__answers": 1061}, "budget.answers", "a device may answer 1,061 times in all instead of 60"),
    (
        {"assumptions__dropouts": "0.4"},
        "assumptions.dropouts",
        "a share of 0.4 of the asked devices may be missing instead of 0.3",
    ),
    (
        {"assumptions__profiles": ["malicious-server", "semi-honest-server"]},
        "assumptions.profiles",
        "sums may now be protected by profile semi-honest-server",
    ),
    (
        {"queries__statistics": QUERY},
        "queries.statistics",
        "devices may be asked for statistics, 4 times; before, not at all",
    ),
    (
        {"queries__train__models": ["model", "other"]},
        "queries.train.models",
        'train may now be about model "other"',
    ),
    (
        {"queries__train__clip": "2"},
        "queries.train.clip",
        "one row of a train answer may weigh 2 instead of 1 (noise grows with it)",
    ),
    (
        {"queries__train__noise_multiplier": "5.9"},
        "queries.train.noise_multiplier",
        "the noise multiplier of train sums is 5.9 instead of 6",
    ),
    (
        {"queries__train__minimum": 7},
        "queries.train.minimum",
        "a train sum opens with 7 devices in it instead of 8",
    ),
    (
        {"queries__train__answers": 60},
        "queries.train.answers",
        "a device may answer train 60 times instead of 40",
    ),
    (
        {"queries__train__rate_limit": "25 per day"},
        "queries.train.rate_limit",
        "a device may answer train 25 per day instead of 24 per day",
    ),
    (
        {"queries__train__rate_limit": "none"},
        "queries.train.rate_limit",
        "a device may answer train as fast as it is asked instead of 24 per day",
    ),
]


@pytest.mark.parametrize(("changes", "key", "words"), WEAKER)
def test_more_allowed_or_less_assumed_is_weaker_and_the_other_way_stronger(
    changes: dict[str, Any], key: str, words: str
) -> None:
    (difference,) = differences(read(), read(**changes))
    assert (difference.verdict, difference.key, difference.words) == ("weaker", key, words)
    assert found(changes, {}) == [("stronger", key)]


def test_fewer_corrupt_devices_assumed_is_weaker() -> None:
    assert found({"assumptions__corrupt": 2}, {}) == [("weaker", "assumptions.corrupt")]
    (told,) = differences(read(assumptions__corrupt=2), read())
    assert told.words == "it reckons with 1 device on the server's side instead of 2"


def test_fewer_signatures_needed_is_weaker() -> None:
    assert found({"signatures": 2}, {}) == [("weaker", "signatures")]


def test_one_more_option_is_weaker() -> None:
    new = {"queries__train__options": ["clip-indicator"]}
    assert found({}, new) == [("weaker", "queries.train.options")]
    assert found(new, {}) == [("stronger", "queries.train.options")]
    (told,) = differences(read(), read(**new))
    assert told.words == "train may now ask for clip-indicator"


def test_more_coins_are_weaker() -> None:
    old = {"budget__unit": "example", "queries__train__sampling_rate": "0.1"}
    assert found(old, old | {"queries__train__sampling_rate": "0.2"}) == [
        ("weaker", "queries.train.sampling_rate")
    ]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"name": "other"}, "name"),
        ({"fleet": "other"}, "fleet"),
        ({"purpose": "Something else altogether."}, "purpose"),
        ({"keys__operator": public_of(LOG).hex()}, "keys.operator"),
        ({"keys__enrolment": public_of(LOG).hex()}, "keys.enrolment"),
        ({"ledger__origin": "other.example"}, "ledger.origin"),
        ({"ledger__log": vkey(ORIGIN, OPERATOR)}, "ledger.log"),
        ({"ledger__witnesses": [vkey("other.example", WITNESS, 4)]}, "ledger.witnesses"),
        ({"assumptions__profiles": ["malicious-server"]}, ""),
    ],
)
def test_what_is_neither_more_nor_less_is_changed_both_ways(changes: dict[str, Any], key: str) -> None:
    expected = [("changed", key)] if key else []
    assert found({}, changes) == found(changes, {}) == expected


def test_a_profile_that_is_replaced_is_told_twice() -> None:
    assert found({}, {"assumptions__profiles": ["semi-honest-server"]}) == [
        ("weaker", "assumptions.profiles"),
        ("changed", "assumptions.profiles"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        (([FIRST], 1), ([FIRST, SECOND], 1), "weaker"),  # one more may be the one that signs
        (([FIRST], 1), ([FIRST, SECOND], 2), "stronger"),
        (([FIRST, SECOND], 2), ([FIRST, SECOND], 1), "weaker"),
        (([FIRST, SECOND], 2), ([SECOND], 1), "weaker"),
        (([FIRST, SECOND], 1), ([SECOND], 1), "stronger"),
        (([FIRST], 1), ([SECOND], 1), "changed"),
        (([FIRST, SECOND], 2), ([FIRST, SECOND, THIRD], 2), "weaker"),
        (([FIRST, SECOND], 1), ([FIRST, SECOND, THIRD], 2), "stronger"),
        (([FIRST], 0), ([FIRST, SECOND], 0), "changed"),
        (([FIRST], 1), ([FIRST], 0), "weaker"),
    ],
)
def test_witnesses_are_weaker_if_every_old_note_would_still_do(
    old: tuple[list[str], int], new: tuple[list[str], int], verdict: str
) -> None:
    before = {"ledger__witnesses": old[0], "ledger__cosignatures": old[1]}
    after = {"ledger__witnesses": new[0], "ledger__cosignatures": new[1]}
    assert found(before, after) == [(verdict, "ledger.witnesses")]
    assert found(after, before) == [(OPPOSITE[verdict], "ledger.witnesses")]


def test_the_order_of_witnesses_means_nothing() -> None:
    assert found({"ledger__witnesses": [FIRST, SECOND]}, {"ledger__witnesses": [SECOND, FIRST]}) == []


def test_a_witness_is_named_with_the_id_of_its_key() -> None:
    (told,) = differences(read(), read(ledger__cosignatures=0))
    assert told.words == f"plans need no witness instead of 1 of the witnesses {WITNESS_NAME}+312dd8a9"


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ("24 per day", "1 per hour", "stronger"),
        ("24 per day", "24 per minute", "weaker"),
        ("24 per day", "1 per minute", "changed"),  # 24 at once, or one a minute all day
        ("24 per day", "2 per hour", "changed"),  # faster in an hour, and 48 in a day
        ("168 per week", "24 per day", "stronger"),
        ("100 per week", "24 per day", "changed"),
    ],
)
def test_a_rate_is_weaker_if_it_allows_all_that_the_other_did(old: str, new: str, verdict: str) -> None:
    before, after = {"queries__train__rate_limit": old}, {"queries__train__rate_limit": new}
    assert found(before, after) == [(verdict, "queries.train.rate_limit")]
    assert found(after, before) == [(OPPOSITE[verdict], "queries.train.rate_limit")]


def test_another_spelling_of_a_number_is_no_difference() -> None:
    assert found({}, {"budget__epsilon": "8.00", "budget__delta": "0.00001"}) == []


def test_what_is_weaker_comes_first() -> None:
    changes = {"name": "other", "budget__epsilon": "7", "budget__delta": "1e-4", "queries__train": None}
    verdicts = [verdict for verdict, _ in found({}, changes)]
    assert verdicts == ["weaker", "changed", "stronger", "stronger"]


def spread(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "name": spread("a", "b"),
        "purpose": spread("Find out one thing.", "Find out another thing."),
        "valid_from": spread("~2026-01-01", "~2027-01-02"),
        "valid_until": spread("~2027-06-01", "~2029-01-01"),
        "simulation": st.booleans(),
        "signatures": spread(1, 2, 3),
        "budget__epsilon": spread("1", "8", "8.0", "9"),
        "budget__delta": spread("1e-6", "1e-4"),
        "budget__answers": spread(10, 60, 100),
        "assumptions__corrupt": spread(1, 2, 3),
        "assumptions__dropouts": spread("0.1", "0.3", "0.5"),
        "assumptions__profiles": spread(
            ["malicious-server"], ["semi-honest-server"], ["malicious-server", "semi-honest-server"]
        ),
        "ledger__witnesses": spread([FIRST], [FIRST, SECOND], [SECOND, THIRD], [FIRST, SECOND, THIRD]),
        "ledger__cosignatures": spread(0, 1),
        "queries__train__models": spread(["a"], ["a", "b"], ["c"]),
        "queries__train__clip": spread("1", "2"),
        "queries__train__noise_multiplier": spread("5", "7"),
        "queries__train__minimum": spread(6, 9),
        "queries__train__answers": spread(5, 50),
        "queries__train__rate_limit": spread("none", "24 per day", "1 per hour", "2 per hour", "9 per week"),
        "queries__validate": spread(None, QUERY),
        "queries__statistics": spread(None, QUERY),
    },
)


@given(POLICIES)
def test_a_policy_does_not_differ_from_itself(changes: dict[str, Any]) -> None:
    policy, sha256 = read(**changes), digest(policy_text(**changes))
    assert differences(policy, policy) == ()
    assert list(chain_faults(policy, policy, sha256, sha256)) == []


@given(POLICIES, POLICIES)
def test_exchanging_the_policies_exchanges_weaker_and_stronger(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    there, back = found(first, second), found(second, first)
    assert sorted(there) == sorted((OPPOSITE[verdict], key) for verdict, key in back)


@given(POLICIES, POLICIES)
def test_policies_without_a_difference_are_equal_but_for_spelling(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    if found(first, second) == []:
        old, new = ({**each, "budget__epsilon": "8"} for each in (first, second))
        assert read(**old) == read(**new)


OLD_SHA = digest(policy_text())


def chain(**changes: Any) -> list[str]:
    return list(chain_faults(read(), read(**changes), OLD_SHA, digest(policy_text(**changes))))


def test_the_next_policy_names_the_one_before() -> None:
    assert chain(serial=2, previous=OLD_SHA) == []
    assert chain() == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"serial": 2, "previous": "a" * 64},
            f"previous is {'a' * 16}, but the older policy's SHA-256 is {OLD_SHA}",
        ),
        (
            {"serial": 3, "previous": OLD_SHA},
            "serial 3 is not the next after 1: compare it with the one before it",
        ),
        ({"name": "other"}, "serial 1 does not follow serial 1: write 2"),
        (
            {"serial": 2, "previous": OLD_SHA, "fleet": "other"},
            "they are for different fleets, 'test' and 'other'",
        ),
    ],
)
def test_a_broken_chain_is_told(changes: dict[str, Any], told: str) -> None:
    assert chain(**changes) == [told]


def test_an_older_policy_does_not_follow_a_newer_one() -> None:
    newer, older = read(serial=2, previous=OLD_SHA), read()
    assert list(chain_faults(newer, older, "b" * 64, OLD_SHA)) == [
        "serial 1 does not follow serial 2: write 3"
    ]
