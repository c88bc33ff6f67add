"""What a lawyer reads: right numbers, and no more promised than is kept."""

from math import exp
from typing import Any

import pytest

from covey.policy.explaining import as_text, explain
from covey.policy.explaining_cost import right_guess
from covey.policy.reading import parse
from policy_texts import policy_text


def sections(**changes: Any) -> dict[str, str]:
    """By the start of the title, all points of a section as one text."""
    policy = parse(policy_text(**changes), "policy.toml")
    return {each.title: " ".join(each.points) for each in explain(policy)}


def told(title: str, **changes: Any) -> str:
    return next(text for each, text in sections(**changes).items() if each.startswith(title))


def test_it_says_who_until_when_and_what_for() -> None:
    text = told(
        "What it is", serial=2, previous="a" * 64, signatures=2, purpose="Detect falls.\nNothing else."
    )
    for part in (
        'Policy "wrist-2027", serial 2, for the devices of fleet "test".',
        f"It replaces the policy whose text has the SHA-256 {'a' * 64}.",
        '"Detect falls. Nothing else." No machine can check',
        "It holds from 2027-01-01 to 2027-12-31, both days included (UTC).",
        "It needs the signature of 2 reviewers",
    ):
        assert part in text


def test_it_says_what_may_be_asked_of_which_model_how_often_and_with_how_much_noise() -> None:
    text = told("What devices may be asked", queries__train__models=["model", "other"])
    for part in (
        "train: take part in training",
        "It is about the models model, other.",
        "train, how often: at most 40 answers of one device in its whole life, and",
        "at most 24 within any stretch of one day.",
        "a sum is opened only if at least 8 devices are in it.",
        "The change that one device asks for is cut to length 1",
        "standard deviation is at least 6 times the most that one device can change the sum",
        "At most 100 examples of one device count.",
        "In its whole life a device gives at most 60 answers",
        "Everything else is refused",
    ):
        assert part in text
    assert "chance" not in text
    assert "statistics" not in text


def test_it_says_that_nothing_limits_the_pace() -> None:
    text = told("What devices may be asked", queries__train__rate_limit="none")
    assert "in its whole life; nothing limits how fast they are asked for." in text


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("control-variates", "one more list as long as the update"),
        ("personal-parameters", "keeps some of the model's numbers for itself"),
        ("clip-indicator", "whether the update was shorter"),
    ],
)
def test_it_says_what_is_asked_beside(option: str, words: str) -> None:
    title = "What devices may be asked"
    assert words in told(title, queries__train__options=[option])
    assert words not in told(title)


def test_it_says_what_a_coin_is() -> None:
    text = told("What devices may be asked", budget__unit="example", queries__train__sampling_rate="0.1")
    assert "with a chance of at most 0.1, by a coin that the device tosses in secret" in text
    assert "The change that one example asks for is cut to length 1" in text


@pytest.mark.parametrize("kind", ["calibrate", "statistics", "drift", "health"])
def test_every_kind_has_words(kind: str) -> None:
    query = {"models": ["model"], "clip": "7", "noise_multiplier": "6", "minimum": 8, "answers": 4}
    text = told("What devices may be asked", queries={kind: query})
    assert text.startswith(f"{kind}: ")
    assert " 7" in text
    assert "{" not in text


def test_the_cap_stands_beside_what_the_noise_alone_allows() -> None:
    text = told("What all answers")
    for part in (
        "The cap: epsilon 8 at delta 1e-5, for one device, over a device's whole life.",
        "epsilon would be about 5.82 at the same delta. That is within the cap",
        "train: one answer costs about 0.66, all 40 about 5.04.",
        "All kinds add up: they touch the same device.",
    ):
        assert part in text


def test_a_cap_that_binds_first_says_how_many_answers_are_left() -> None:
    text = told("What all answers", budget__epsilon="4")
    assert "That is more than the cap: devices stop answering before all permitted answers are given." in text
    assert "if nothing else is asked, the cap leaves room for about 26." in text  # 26/72 fits .373


def test_for_examples_validation_is_apart() -> None:
    text = told("What all answers", budget__unit="example")
    assert "Validation uses other examples than the rest" in text
    assert "epsilon would be about 5.04" in text


@pytest.mark.parametrize(
    ("epsilon", "factor", "guess"),
    [
        ("0.1", "at most 1.11 times", "at most 52.50% of the time. Without"),
        ("1", "at most 2.72 times", "at most 73.11% of the time. Without"),
        ("4", "at most 54.60 times", "at most 98.21% of the time. Without"),
        (
            "5",
            "at most 148.42 times",
            "at most 99.34% of the time; the cap alone does not rule out near certainty.",
        ),
        ("8", "at most 2,980.96 times", "at most 99.97% of the time; the cap alone does not rule out"),
        ("10", "at most 22,026.47 times", "possibly always: the cap alone does not rule out near certainty"),
        ("100", "at most hundreds of millions of times", "possibly always"),
        ("1000", "at most hundreds of millions of times", "possibly always"),
    ],
)
def test_the_numbers_for_a_person_are_rounded_up_and_never_soothing(
    epsilon: str, factor: str, guess: str
) -> None:
    text = told("What these numbers mean", budget__epsilon=epsilon)
    assert factor in text
    assert guess in text


def test_the_guess_is_the_best_that_the_two_inequalities_leave() -> None:
    """Along TPR ≤ e^ε·FPR + δ and 1 - FPR ≤ e^ε·(1 - TPR) + δ, searched on a grid."""
    epsilon, delta = 1.5, 0.01
    best = 0.0
    for step in range(100_001):
        false = step / 100_000
        true = min(1.0, exp(epsilon) * false + delta, 1 - (1 - false - delta) / exp(epsilon))
        best = max(best, (true + 1 - false) / 2)
    assert best <= right_guess(epsilon, delta)
    assert best == pytest.approx(right_guess(epsilon, delta), abs=1e-4)


@pytest.mark.parametrize(
    ("delta", "odds"), [("1e-5", "one in 100,000"), ("3e-5", "one in 33,333"), ("0.1", "one in 10")]
)
def test_delta_is_odds_that_are_never_too_small(delta: str, odds: str) -> None:
    assert f"may still differ by up to {odds}." in told("What these numbers mean", budget__delta=delta)


def test_the_unit_is_said_to_be_no_person() -> None:
    assert "someone with two has less protection" in told("What these numbers mean")
    text = told("What these numbers mean", budget__unit="example")
    assert "for all of them together these numbers promise far less, and possibly nothing" in text


def test_every_assumption_is_named() -> None:
    text = told("What this rests on", assumptions__corrupt=3)
    for part in (
        "number at most 3. With more, the promise does not hold.",
        "up to 30% of the asked devices missing",
        "The server may do anything it likes",
        "None of them proves it to anyone",
        "The enrolment key",
        "1 of its witnesses (witness.example/w1) confirmed that it only ever grew",
    ):
        assert part in text
    assert "FOLLOWS THE PROTOCOL" not in text
    assert "overlap" not in text
    assert "Examples do not overlap" in told("What this rests on", budget__unit="example")


def test_weak_assumptions_are_shouted() -> None:
    assert "NO WITNESS" in told("What this rests on", ledger__cosignatures=0)
    profiles = ["semi-honest-server"]
    text = told("What this rests on", assumptions__profiles=profiles)
    assert "FOLLOWS THE PROTOCOL" in text
    assert "anything it likes" not in text


def test_a_simulation_says_first_that_it_protects_nobody() -> None:
    assert told("What it is", simulation=True).startswith("A SIMULATION'S POLICY.")
    assert "SIMULATION" not in told("What it is")


def test_what_is_not_promised_stands_last() -> None:
    titles = list(sections())
    assert titles[-1] == "What is NOT promised"
    for part in (
        "Who takes part",
        "later policy",
        "settings",
        "copied or restored",
        "about people in general",
    ):
        assert part in told("What is NOT promised")


def test_a_policy_that_allows_nothing_says_so() -> None:
    assert told("What devices may be asked", queries=None).startswith("Nothing:")
    assert "Nothing may be asked" in told("What all answers", queries=None)


@pytest.mark.parametrize("unit", ["device", "example"])
def test_no_word_claims_too_much(unit: str) -> None:
    policy = parse(policy_text(budget__unit=unit), "policy.toml")
    text = as_text(explain(policy)).lower()
    for word in ("anonym", "guarantee", "cannot be identified", "impossible", "fully", "safe", "secure"):
        assert word not in text
    assert text.isascii()
    assert "{" not in text
