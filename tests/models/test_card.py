import dataclasses

import pytest
import yaml  # type: ignore[import-untyped]
from huggingface_hub import ModelCard, ModelCardData
from hypothesis import given
from hypothesis import strategies as st

from covey.metrics import wilson
from covey_models.card import CardFacts, Measured, card
from covey_models.front_matter import flow

FACTS = CardFacts(
    name='a "quoted": name',
    summary="Which of two things it is, from one number",
    licence="BSD-3-Clause",
    task="image-classification",
    architecture="One layer",
    parameters=4_143,
    input_shape=(1, 8, 8),
    input_units="grey level 0..1",
    labels=("yes | no", "<b>"),
    data_name="Digits: the 'UCI' ones #3",
    data_citation="Alpaydin, 1998",
    data_licence="CC-BY-4.0",
    data_split="the last quarter",
    devices=20,
    rounds=60,
    strategy="FedAdam, rate 0.03",
    masks="on",
    noise="none",
    fp32=Measured(wilson(951, 1000), (wilson(30, 500), wilson(19, 500)), 17_246),
    int8=Measured(wilson(949, 1000), (wilson(31, 500), wilson(20, 500)), 7_783),
    calibration="smallest and largest value over 64 generated inputs",
    limits=("Ten subjects, all adults", "Never tried in the cold."),
)
BARE = dataclasses.replace(
    FACTS,
    task="time-series-classification",
    licence="EUPL-1.2",
    data_citation=None,
    devices=None,
    rounds=None,
    masks=None,
    noise=None,
    fp32=None,
    int8=None,
    calibration=None,
    limits=(),
)


def parsed(facts: CardFacts) -> ModelCardData:
    data = ModelCard(card(facts)).data
    assert isinstance(data, ModelCardData)
    return data


def test_the_hub_reads_back_what_was_written() -> None:
    data = parsed(FACTS)
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "bsd-3-clause",
        "onnx",
        "image-classification",
    )
    assert data.metrics == ["accuracy"]
    assert data.tags is not None
    assert {"covey", "federated-learning"} <= set(data.tags)
    assert data.model_name == FACTS.name
    results = data.eval_results or []
    assert [(each.metric_name, each.metric_value) for each in results] == [
        ("Accuracy (fp32)", 0.951),
        ("Accuracy (int8)", 0.949),
    ]
    assert {each.dataset_name for each in results} == {FACTS.data_name}
    assert {each.dataset_type for each in results} == {"digits-the-uci-ones-3"}


def test_the_body_states_figures_with_their_intervals() -> None:
    text = card(FACTS)
    assert "| float32 | 95.1 % (93.6 % to 96.3 %) | 1,000 | 17,246 bytes |" in text
    assert "| int8 | 94.9 % (93.4 % to 96.1 %) | 1,000 | 7,783 bytes |" in text
    assert "| yes \\| no | 6.0 % (4.2 % to 8.4 %) | 6.2 % (4.4 % to 8.7 %) |" in text
    assert "| &lt;b> |" in text
    assert "Noise: none" in text
    assert "the server saw sums only" in text
    assert "no ε is claimed" in text
    assert "int8 calibration: smallest and largest value over 64 generated inputs" in text


def test_what_is_unknown_is_said_to_be() -> None:
    text, data = card(BARE), parsed(BARE)
    assert "| float32 | not measured |" in text
    assert "| yes \\| no | not measured | not measured |" in text
    assert "Devices: not stated" in text
    assert "Noise: not stated" in text
    assert "None" not in text
    assert data.eval_results is None
    assert data.pipeline_tag is None
    assert (data.license, data.license_name) == ("other", "EUPL-1.2")


def test_a_measurement_without_examples_is_none() -> None:
    nothing = Measured(wilson(0, 0), (wilson(0, 0), wilson(0, 0)), 10)
    facts = dataclasses.replace(FACTS, fp32=nothing, int8=nothing)
    assert "nan" not in card(facts)
    assert parsed(facts).eval_results is None


@pytest.mark.parametrize(
    ("masks", "told"),
    [
        ("on", "yes: the server saw sums only"),
        ("elided", "**no**: a simulation skipped them, with every number as it would be with them"),
        ("none", "**no**: the server could see each device's update"),
        (None, "not stated"),
    ],
)
def test_masks_are_never_left_unsaid(masks: str | None, told: str) -> None:
    assert f"- Masks (secure aggregation): {told}\n" in card(dataclasses.replace(FACTS, masks=masks))


def test_a_claim_of_privacy_is_the_runs_own_or_none() -> None:
    assert "- Differential privacy: no ε is claimed\n" in card(FACTS)
    claim = "ε = 3.2 against the server, 2.9 for the release, δ = 1e-05, unit device"
    text = card(dataclasses.replace(FACTS, noise="skellam", privacy=claim))
    assert f"- Noise: skellam\n- Differential privacy: {claim}\n" in text


def test_synthetic_data_is_called_so() -> None:
    assert "**synthetic**" in card(dataclasses.replace(FACTS, synthetic=True))
    assert "synthetic" not in card(FACTS)


def test_one_rate_for_each_label() -> None:
    assert FACTS.fp32 is not None
    short = dataclasses.replace(FACTS.fp32, false_negatives=())
    with pytest.raises(ValueError, match="fp32: 0 rates for 2 labels"):
        dataclasses.replace(FACTS, fp32=short)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_yaml(text: str) -> None:
    assert yaml.safe_load(flow(text)) == text
    assert parsed(dataclasses.replace(FACTS, name=text or "x")).model_name == (text or "x")


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_any_number_survives_yaml(value: float) -> None:
    assert yaml.safe_load(flow({"a": [value, "b"]})) == {"a": [value, "b"]}
