"""`covey statement` and the registry's entry: what is said of a run elsewhere than in a report."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from commands import invoked
from covey.errors import InputError
from covey.identity import public_of
from covey_audit import examining
from covey_audit.ledger_commands import ledger
from covey_audit.registry import MISSING, entry, missing
from covey_audit.report.markdown import as_json, as_markdown
from covey_audit.statement_command import statement
from made_ledger import honest
from memory_ledger import REVIEWER
from report_cases import CASES, audited
from secagg_fleet import ENROLMENT, NOW


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger is of another year than the tests."""
    monkeypatch.setattr(examining, "now", lambda: NOW + 3000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "reviewer.vkey").write_text(REVIEWER.verifier.vkey + "\n")
    (tmp_path / "witnessed").write_bytes(honest().checkpoint or b"")
    return honest().write(tmp_path / "ledger")


def keys(folder: Path) -> tuple[str, ...]:
    return (
        *("--reviewer", str(folder.parent / "reviewer.vkey")),
        *("--witnessed", str(folder.parent / "witnessed")),
        *("--enrolment", public_of(ENROLMENT).hex()),
    )


def run(app: typer.Typer, *arguments: object, status: int = 0) -> str:
    return invoked(app, *arguments, status=status).stdout


def stated(*arguments: object, status: int = 0) -> str:
    app = typer.Typer()
    app.command()(statement)
    return run(app, *arguments, status=status)


def test_a_statement_in_markdown(folder: Path) -> None:
    text = stated(folder, *keys(folder))
    lines = text.splitlines()
    assert lines[0] == "## Privacy"
    assert lines[2].startswith("> **Nothing was found against this ledger.** All that was asked")
    assert "| against | promise about | ε | δ | counting on |" in lines
    assert sum(line.startswith("| ") for line in lines) == 4
    assert "one device | 1.491 | 10⁻⁵ |" in text
    for question in (
        "Setting and trust model",
        "Unit of privacy",
        "What is not covered",
        "What this rests on",
    ):
        assert f"**{question}" in text
    assert honest().checkpoint is not None
    assert "https://doi.org/10.6028/NIST.SP.800-226" in text
    assert "https://arxiv.org/abs/2303.00654" in text


def test_a_statement_in_json(folder: Path) -> None:
    told = json.loads(stated(folder, *keys(folder), "--format", "json"))
    assert (told["format"], told["certified"], told["simulation"], told["level"]) == (
        "covey-privacy-statement/1",
        True,
        False,
        2,
    )
    assert [(each["view"], each["epsilon"]) for each in told["claims"]] == [
        ("server", 1.490233),
        ("settled", 1.353042),
        ("release", 1.303154),
    ]
    assert len(told["answers"]) == 13
    assert told["size"] == 15


def test_without_keys_of_one_s_own_nothing_is_certified(folder: Path) -> None:
    text = stated(folder, status=1)
    assert "> **No ε is certified.**" in text
    assert "| ε (not certified) |" in text
    assert not json.loads(stated(folder, "--format", "json", status=1))["certified"]


def test_a_simulation_is_called_one() -> None:
    text = as_markdown(audited("simulated"))
    assert "> **SIMULATION: nobody is protected.**" in text
    assert "| ε (simulation) |" in text
    told = json.loads(as_json(audited("simulated")))
    assert (told["simulation"], told["certified"]) == (True, False)


def test_without_noise_there_is_no_number() -> None:
    assert "| no bound |" in as_markdown(audited("unprotected"))
    (claim,) = json.loads(as_json(audited("unprotected")))["claims"]
    assert claim["epsilon"] is None


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_a_statement_of_plain_lines(case: str) -> None:
    text = as_markdown(audited(case))
    assert text.endswith("\n")
    assert not [each for each in text if not each.isprintable() and each != "\n"]
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == ["## Privacy"]
    assert not re.search(r"(?<!\\)<(?!https://)", text)
    json.loads(as_json(audited(case)))


def test_hostile_text_makes_no_markup() -> None:
    text = as_markdown(audited("hostile"))
    assert r"\<script\>alert(1)\</script\>" in text
    assert "<script" not in text.replace(r"\<script", "")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


def test_a_self_check_takes_no_keys(folder: Path) -> None:
    with pytest.raises(InputError, match="takes the run's own keys"):
        stated(folder, *keys(folder), "--self-check")
    with pytest.raises(InputError, match="needs a run's folder"):
        stated(folder, "--self-check")


def test_no_ledger_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a ledger nor a run"):
        stated(tmp_path)


REQUIRED = {
    "basic": {
        "name",
        "data_curators",
        "description",
        "intended_use",
        "data_product_type",
        "data_product_region",
        "publication_date",
    },
    "administrative": {"status", "registry_authors", "tier"},
}
ALLOWED = {
    "basic": REQUIRED["basic"] | {"data_product_sector"},
    "dp_variant": {"variant_name", "data_domain", "unprotected_quantities"},
    "privacy_loss": {
        "privacy_unit",
        "privacy_unit_details",
        "number_of_privacy_units",
        "privacy_parameters",
        "privacy_parameters_details",
    },
    "deployment_model": {
        "model_name",
        "model_name_details",
        "trust_assumptions",
        "actors",
        "release_type",
        "release_type_details",
        "data_source_type",
        "data_source_type_details",
        "access_type",
        "access_type_details",
    },
    "implementation": {
        "preprocessing_and_hyperparameter_tuning",
        "mechanisms",
        "composition",
        "post_processing",
        "justification",
        "utility",
        "additional_information",
    },
    "administrative": REQUIRED["administrative"] | {"evidence_sources"},
}
"""Fields of the registry's schema at the commit that covey_audit.registry names; it allows no others."""
CHOICES: dict[tuple[str, str], set[Any]] = {
    ("basic", "data_product_type"): {"Summary statistics", "Machine learning model"},
    ("dp_variant", "variant_name"): {"Approximate DP"},
    ("deployment_model", "model_name"): {"Local", "Central", "Shuffle", "Federated", "Varies"},
    ("deployment_model", "release_type"): {"One release", "Many releases"},
    ("deployment_model", "access_type"): {"Interactive", "Non-interactive"},
    ("administrative", "status"): {"Draft"},
    ("administrative", "tier"): {1, 2, 3},
}


@pytest.mark.parametrize("case", CASES)
def test_a_registry_entry_has_the_schema_s_fields(case: str) -> None:
    found: dict[str, Any] = json.loads(msgspec.json.encode(entry(audited(case))))
    assert set(found) == {"url_slug", "deployment"}
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", found["url_slug"])
    deployment = found["deployment"]
    assert set(deployment) == set(ALLOWED)
    for part, fields in deployment.items():
        assert REQUIRED.get(part, set()) <= set(fields) <= ALLOWED[part]
    for (part, field), values in CHOICES.items():
        assert deployment[part][field] in values
    assert set(deployment["privacy_loss"]["privacy_parameters"]) <= {"epsilon", "delta", "rho"}
    assert deployment["basic"]["data_curators"]


@pytest.mark.parametrize("case", CASES)
def test_a_registry_entry_has_no_epsilon_that_is_not_certified(case: str) -> None:
    parameters = entry(audited(case))["deployment"]["privacy_loss"]["privacy_parameters"]
    found = audited(case)
    assert bool(parameters) == (found.certified and bool(found.costs))


def test_a_registry_entry_says_what_the_ledger_knows() -> None:
    found = entry(audited("honest"))["deployment"]
    assert found["basic"]["name"] == "model of fleet test"
    assert found["basic"]["intended_use"] == "Recognise six activities from a wrist sensor."
    assert found["basic"]["publication_date"] == "2027-01-15"
    assert found["privacy_loss"]["privacy_parameters"] == {"epsilon": 1.490233, "delta": 1e-5}
    assert found["privacy_loss"]["number_of_privacy_units"] == 12
    assert "zero-out" in found["privacy_loss"]["privacy_unit_details"]
    assert "Skellam" in found["implementation"]["mechanisms"]
    examples = entry(audited("examples"))["deployment"]
    assert "number_of_privacy_units" not in examples["privacy_loss"]
    assert entry(audited("simulated"))["deployment"]["basic"]["name"].startswith("SIMULATION, no deployment")


def test_what_a_person_has_to_fill_in_is_named(folder: Path) -> None:
    found = entry(audited("honest"))
    places = list(missing(found))
    assert "deployment.basic.data_curators[0].data_curator_name" in places
    assert "deployment.administrative.registry_authors[0]" in places
    assert json.dumps(found).count(MISSING) == len(places)
    result = CliRunner().invoke(ledger, ["export", str(folder), *keys(folder), "--format", "registry"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads(msgspec.json.encode(found))
    assert all(each in result.stderr for each in places)


def test_findings_of_a_registry_s_audit_are_told(folder: Path) -> None:
    result = CliRunner().invoke(ledger, ["export", str(folder), "--format", "registry"])
    assert result.exit_code == 1
    assert "the audit has findings: covey audit" in result.stderr
    assert json.loads(result.stdout)["deployment"]["privacy_loss"]["privacy_parameters"] == {}
