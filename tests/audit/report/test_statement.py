"""A privacy statement answers every question, from the audit alone, and never for more than was found."""

from dataclasses import replace
from typing import cast

import pytest

from covey_audit.audited import TuningFacts
from covey_audit.report import words
from covey_audit.report.alike import alike
from covey_audit.report.statement import statement
from report_cases import CASES, audited

KEYS = [
    "setting",
    "unit",
    "covered",
    "released",
    "mechanism",
    "sampling",
    "accounting",
    "parameters",
    "tuning",
    "implementation",
    "data",
    "verification",
    "not-covered",
]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return cast("str", request.param)


def answer(case: str, key: str) -> str:
    found = statement(audited(case))
    return " ".join(next(each.sentences for each in found.answers if each.key == key))


def test_every_question_is_answered(case: str) -> None:
    found = statement(audited(case))
    assert [each.key for each in found.answers] == KEYS
    assert all(each.sentences for each in found.answers)
    assert found.simulation == audited(case).simulation
    assert found.certified == audited(case).certified


@pytest.mark.parametrize(
    ("case", "key", "said"),
    [
        ("honest", "setting", "profile malicious-server): the server, doing anything it likes"),
        ("honest", "setting", "The fleet has 12 enrolled devices"),
        ("honest", "unit", "replaced by zeros (zero-out)"),
        ("honest", "covered", "5 sums (4 opened), as if each device had answered each of them"),
        ("honest", "covered", "4 for train and 1 for validate"),
        ("honest", "released", "1 model and 1 file with figures"),
        ("honest", "mechanism", "Noise of the devices' own: Skellam (Agarwal, Kairouz, Liu"),
        ("honest", "mechanism", "Train (4 sums): the honest devices' noise"),
        ("honest", "mechanism", "standard deviation of at least 6,000 integer units per number"),
        ("honest", "mechanism", "clipped in L2 norm (update ≤ 1) and scaled to at most Δ = 1,000"),
        ("honest", "sampling", "the server knows who takes part. Nothing is sampled"),
        ("honest", "accounting", "ε = 1.491 at order 13. Recomputed: dp-accounting 1.491 and Opacus 1.491."),
        ("honest", "parameters", "C_max = 1 may side with the server, which leaves h = 8 honest devices"),
        ("honest", "parameters", "suite malicious-server, chacha20, modulus 2^32, threshold 7"),
        ("honest", "tuning", "settings are from public data. Its cost is stated apart, as ε = 0 at δ = 0."),
        ("honest", "implementation", "ChaCha20 under a fresh key of its operating system"),
        ("honest", "implementation", "4 sums settled with covey 0.1.0, Python 3.11, NumPy 2.0"),
        ("honest", "verification", "Level 2 of 2"),
        ("honest", "verification", "covers 15 entries, as witnesses saw it at 2027-01-15 08:33 UTC"),
        ("long", "verification", "Level 1 of 2"),
        (
            "long",
            "parameters",
            "Statistics (1 sum), train (200 sums) and validate (40 sums): 12 devices asked",
        ),
        ("long", "tuning", "that is not counted in any ε"),
        ("examples", "unit", "One training example"),
        ("examples", "covered", "Validation sums use other examples than the rest"),
        ("examples", "sampling", "Train (30 sums): each example joins a sum with chance 0.3"),
        ("examples", "sampling", "Amplification by these coins is claimed, in every view"),
        ("two units", "unit", "They are never added."),
        ("two units", "parameters", "Train (30 sums, unit example)"),
        ("simulated", "implementation", "SIMULATION: noise was drawn from a seed."),
        ("unprotected", "setting", "WITHOUT differential privacy"),
        ("unprotected", "setting", "NO MASKS in some sums"),
        ("unprotected", "mechanism", "NO NOISE was added."),
        ("unprotected", "accounting", "no finite ε holds for their unit"),
        ("unprotected", "parameters", "suite none, masks none"),
        ("unanchored", "verification", "under no policy that the reader trusts"),
        ("nothing", "verification", "No signed checkpoint that is trusted covers it."),
        ("only a policy", "mechanism", "no private sum was asked for"),
    ],
)
def test_answers_follow_from_the_audit(case: str, key: str, said: str) -> None:
    assert said in answer(case, key)


def test_nothing_is_said_of_noise_where_there_was_none() -> None:
    assert "ChaCha20" not in answer("unprotected", "implementation")
    assert "operating system" not in answer("simulated", "implementation")
    assert "adds its share of the noise" not in answer("unprotected", "setting")


def test_each_view_is_a_claim_of_its_own() -> None:
    claims = statement(audited("honest")).claims
    assert [each.view for each in claims] == ["server", "settled", "release"]
    assert [words.epsilon(each.epsilon) for each in claims] == ["1.491", "1.354", "1.304"]
    assert "1 enrolled device" in claims[0].against
    (claim,) = statement(audited("unprotected")).claims
    assert (claim.epsilon, claim.rests) == (None, "nothing: some sums had no noise")


def test_tuning_without_an_accounted_cost_is_said_so() -> None:
    tuned = TuningFacts(3, "run-a", "tried ten\nclip norms", None, None)
    found = statement(replace(audited("honest"), tunings=(tuned,)))
    text = next(each.sentences for each in found.answers if each.key == "tuning")
    assert text == ("Run run-a, in the operator's words: tried ten clip norms. Its cost was not accounted.",)


def test_sums_with_the_same_numbers_are_together() -> None:
    train, validate = alike(audited("honest").sums)
    assert (train.kind, train.sums, train.opened, train.multiplier) == ("train", 4, 3, 6.0)
    assert (validate.kind, validate.sums, validate.multiplier) == ("validate", 1, 8.0)
    assert (train.honest, train.threshold, train.length) == (8, (7, 7), 5)
    assert sum(each.sums for each in alike(audited("long").sums)) == 241
    assert alike(()) == ()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3.88051, "3.881"),
        (3.88, "3.880"),
        (0.0000001, "0.001"),
        (0.0, "0.000"),
        (12345.0, "12,345.000"),
        (None, "no bound"),
    ],
)
def test_an_epsilon_is_rounded_up(value: float | None, shown: str) -> None:
    assert words.epsilon(value) == shown


def test_words_of_numbers_and_dates() -> None:
    assert [words.probability(each) for each in (1e-5, 1.3e-12, 0.0)] == ["10⁻⁵", "1.3e-12", "0"]
    assert [words.decimal(each) for each in (60310.2, 0.31627, 5.0, None)] == [
        "60,310",
        "0.3163",
        "5",
        "not known",
    ]
    assert (words.count(1, "entry"), words.count(2, "entry"), words.count(2000, "sum")) == (
        "1 entry",
        "2 entries",
        "2,000 sums",
    )
    assert (words.span([]), words.span([3, 3]), words.span([14, 20])) == ("", "3", "14 to 20")
    assert (words.listed([]), words.listed(["a"]), words.listed(["a", "b", "c"])) == (
        "none",
        "a",
        "a, b and c",
    )
    assert (words.moment(0), words.moment(1 << 53), words.moment(1_800_000_000)) == (
        "not known",
        "not known",
        "2027-01-15 08:00 UTC",
    )
    assert words.one_line("a\n b\u202e" + "c" * 400, 10) == "a b\ufffdccccc…"
