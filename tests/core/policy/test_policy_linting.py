"""Every remark that a policy can get, and that a good one gets none but notes."""

from typing import Any

import pytest

from covey.identity import public_of
from covey.policy.linting import SEVERITIES, lint
from covey.policy.reading import parse
from policy_texts import ENROLMENT, LOG, OPERATOR, ORIGIN, WITNESS, WITNESS_NAME, policy_text, vkey

NOW = 1_800_000_000  # January 2027
LAST = 1_830_297_599  # the last second of 2027


def remarks(now: int | None = NOW, /, **changes: Any) -> list[tuple[str, str]]:
    found = lint(parse(policy_text(**changes), "policy.toml"), now)
    assert [SEVERITIES.index(each.severity) for each in found] == sorted(
        SEVERITIES.index(each.severity) for each in found
    )
    return [(each.severity, each.key) for each in found]


ONE_SIGNATURE = ("note", "signatures")


def test_a_good_policy_gets_no_more_than_a_note() -> None:
    assert remarks() == [ONE_SIGNATURE]
    assert remarks(signatures=2) == []


@pytest.mark.parametrize(
    ("changes", "severity", "key"),
    [
        ({"valid_until": "~2028-02-05"}, "warning", "valid_until"),  # 401 days
        ({"simulation": True}, "warning", "simulation"),
        ({"purpose": "AI"}, "warning", "purpose"),
        ({"purpose": "FILL IN: what it is for."}, "error", "purpose"),
        ({"fleet": "FILL IN: the fleet"}, "error", "fleet"),
        ({"queries__train__models": ["model", "FILL IN: it"]}, "error", "queries.train.models"),
        ({"budget__epsilon": "10.1"}, "warning", "budget.epsilon"),
        ({"budget__epsilon": "5"}, "warning", "budget.epsilon"),  # all answers cost 5.82
        ({"budget__delta": "1.1e-4"}, "warning", "budget.delta"),
        ({"budget__unit": "example"}, "note", "budget.unit"),
        ({"budget__answers": 61}, "note", "budget.answers"),
        (
            {"assumptions__profiles": ["malicious-server", "semi-honest-server"]},
            "warning",
            "assumptions.profiles",
        ),
        ({"assumptions__dropouts": "0.51"}, "warning", "assumptions.dropouts"),
        ({"keys__enrolment": public_of(LOG).hex()}, "error", "keys.enrolment"),
        ({"ledger__witnesses": [vkey(WITNESS_NAME, OPERATOR, 4)]}, "error", "ledger.witnesses"),
        ({"ledger__witnesses": [vkey(WITNESS_NAME, ENROLMENT, 4)]}, "error", "ledger.witnesses"),
        ({"ledger__cosignatures": 0}, "warning", "ledger.cosignatures"),
        ({"ledger__origin": "other.example"}, "warning", "ledger.origin"),
        (
            {"queries__validate__sampling_rate": "0.5", "budget__unit": "example"},
            "error",
            "queries.validate.sampling_rate",
        ),
        ({"queries__train__minimum": 501}, "error", "queries.train.minimum"),
        ({"queries__train__noise_multiplier": "0.5"}, "error", "queries.train.noise_multiplier"),
        ({"queries__train__answers": 61}, "warning", "queries.train.answers"),
        ({"queries__train__rate_limit": "none"}, "warning", "queries.train.rate_limit"),
        ({"queries": {}}, "warning", "queries"),
        ({"queries__validate__options": ["clip-indicator"]}, "warning", "queries.validate.options"),
    ],
)
def test_a_remark_names_its_key(changes: dict[str, Any], severity: str, key: str) -> None:
    found = remarks(**changes)
    assert (severity, key) in found
    assert (severity, key) not in remarks()


def test_a_limit_itself_gets_no_remark() -> None:
    changes: dict[str, Any] = {
        "valid_until": "~2028-02-04",
        "budget__epsilon": "10",
        "budget__delta": "1e-4",
        "assumptions__dropouts": "0.5",
        "queries__train__minimum": 500,
        "queries__train__answers": 60,
        "budget__answers": 80,
    }
    assert remarks(**changes) == [ONE_SIGNATURE]


def test_the_operators_key_for_the_ledger_is_worth_a_look() -> None:
    assert ("warning", "ledger.log") in remarks(ledger__log=vkey(ORIGIN, OPERATOR))


def test_a_policy_that_is_over_is_an_error() -> None:
    assert ("error", "valid_until") in remarks(LAST + 1)
    assert ("error", "valid_until") not in remarks(LAST)
    assert ("error", "valid_until") not in remarks(None)


@pytest.mark.parametrize("kind", ["drift"])
def test_a_kind_that_no_plan_asks_is_noted(kind: str) -> None:
    query = {"models": ["model"], "clip": "1", "noise_multiplier": "9", "minimum": 8, "answers": 1}
    found = remarks(NOW, **{f"queries__{kind}": query, "budget__answers": 61})
    assert found == [ONE_SIGNATURE, ("note", f"queries.{kind}")]


def test_both_witness_keys_are_looked_at() -> None:
    found = remarks(ledger__witnesses=[vkey("a", WITNESS, 4), vkey("b", OPERATOR, 4)])
    assert found.count(("error", "ledger.witnesses")) == 1
