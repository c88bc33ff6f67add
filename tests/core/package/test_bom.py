"""The bill of materials: valid for those who read such, the same every time, and true to the files."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from covey.package.bom import BomFacts, bom
from covey.package.provenance_record import Parent
from made_provenance import files, record
from packages_fixture import LABELS

PARENT = Parent(name="motion", version="0.9.0", sha256="a" * 64)
FACTS = BomFacts(
    name="motion",
    version="1.0.0",
    summary="Tells three motions apart.",
    licence="Apache-2.0",
    task="classification",
    family="tiny",
    architecture="One convolution.",
    inputs="float32 2 x 8, g",
    labels=LABELS,
    data="Motions",
    data_words="Generated; CC-BY-4.0.",
    privacy="ε = 1.491 against the server",
    limits=("Trained in a simulation.",),
    figures=record().figures,
    libraries={"torch": "2.13.0+cpu", "onnx_runtime": "1.32.0"},
)


def read(data: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(data)
    return decoded


@pytest.mark.parametrize("int8", [True, False])
@pytest.mark.parametrize("parent", [None, PARENT])
@pytest.mark.parametrize("licence", ["apache-2.0", "on request"])
def test_it_is_valid(int8: bool, parent: Parent | None, licence: str) -> None:
    facts = replace(FACTS, parent=parent, licence=licence)
    made = bom(facts if int8 else replace(facts, figures=()), files(record(), int8=int8))
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.decode())
    assert fault is None, fault


def test_the_validator_does_refuse() -> None:
    bent = bom(FACTS, files(record())).replace(b'"SHA-256"', b'"SHA-257"')
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bent.decode()) is not None


def test_files_stand_in_it_by_their_digests() -> None:
    package = files(record())
    found = {
        each["name"]: each["hashes"][0]["content"]
        for each in read(bom(FACTS, package))["components"]
        if each["type"] == "file"
    }
    assert found == {
        name: hashlib.sha256(data).hexdigest() for name, data in package.items() if name != "manifest.json"
    }
    assert {"model.fp32.onnx", "model.int8.onnx", "provenance.json"} <= set(found)


def test_what_is_said_of_the_model() -> None:
    model = read(bom(replace(FACTS, parent=PARENT), files(record())))["metadata"]["component"]
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert model["pedigree"]["ancestors"][0]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert [(each["type"], each["value"]) for each in metrics] == [
        ("accuracy", "0.92"),
        ("false negative rate", "0.125"),
        ("latency, median, microseconds", "120"),
        ("accuracy", "0.91"),
        ("latency, median, microseconds", "80"),
    ]
    assert metrics[0]["confidenceInterval"] == {"lowerBound": "0.9015", "upperBound": "0.9353"}


def test_libraries_are_named_as_the_index_knows_them() -> None:
    components = read(bom(FACTS, files(record())))["components"]
    assert [each["purl"] for each in components if each["type"] == "library"] == [
        "pkg:pypi/onnx-runtime@1.32.0",
        "pkg:pypi/torch@2.13.0%2Bcpu",
    ]


def test_the_same_facts_give_the_same_bytes_and_others_another_serial_number() -> None:
    package = files(record())
    assert bom(FACTS, package) == bom(FACTS, dict(reversed(package.items())))
    other = replace(FACTS, limits=())
    assert read(bom(FACTS, package))["serialNumber"] != read(bom(other, package))["serialNumber"]
