"""`bom.json`: a CycloneDX 1.6 bill of materials of a release, for tools that read such.

Format: https://cyclonedx.org/docs/1.6/json/. The model is the component that the bill is about; below it
stand the package's files by their digests, and the libraries that made them. The same facts give the same
bytes (RFC 8785): no time stands in it, and its serial number is derived from all the rest (RFC 9562, UUID
version 5).
"""

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import rfc8785

from covey.metrics import wilson
from covey.package.names import BOM, FP32, INT8, MANIFEST, SIGNATURE
from covey.package.provenance_record import Figures, Parent

SPECIFICATION: Final = "1.6"
SCHEMA: Final = "http://cyclonedx.org/schema/bom-1.6.schema.json"
SPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, SCHEMA)

SPDX: Final = frozenset({
    "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0", "MIT", "MPL-2.0"
})  # fmt: skip
"""Identifiers of licences that are written as such (https://spdx.org/licenses/); others go by their name."""

Node = dict[str, Any]


@dataclass(frozen=True)
class BomFacts:
    """What a bill of materials says beside the files' digests.

    Attributes:
        name: The package's name.
        version: Its version.
        summary: What the model decides, from what.
        licence: Of the weights, an SPDX identifier or words.
        task: The kind of task ("classification").
        family: The architecture's short name.
        architecture: Where it comes from.
        inputs: What one input is, in words.
        labels: One name per class.
        data: The data set's name.
        data_words: What to cite for it, how it is licensed, and how it was split.
        privacy: The claim in words.
        limits: Sentences: where the model should not be trusted.
        figures: What was measured, by variant.
        parent: The release before; None for the first.
        libraries: Versions of what made it, by the name that the Python package index knows.
    """

    name: str
    version: str
    summary: str
    licence: str
    task: str
    family: str
    architecture: str
    inputs: str
    labels: tuple[str, ...]
    data: str
    data_words: str
    privacy: str
    limits: tuple[str, ...] = ()
    figures: tuple[Figures, ...] = ()
    parent: Parent | None = None
    libraries: Mapping[str, str] = field(default_factory=dict)


def bom(facts: BomFacts, files: Mapping[str, bytes]) -> bytes:
    """The content of `bom.json`.

    Args:
        facts: What is known.
        files: The package's files; the manifest, the signature and this file itself are left out, since they
            name the bill in turn.
    """
    listed = {name: data for name, data in files.items() if name not in {BOM, MANIFEST, SIGNATURE}}
    content: Node = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "version": 1,
        "metadata": {"component": _model(facts)},
        "components": [*_files(listed, facts), *_libraries(facts.libraries)],
        "dependencies": list(_dependencies(facts, listed)),
    }
    serial = uuid.uuid5(SPACE, hashlib.sha256(rfc8785.dumps(content)).hexdigest())
    return rfc8785.dumps({**content, "serialNumber": f"urn:uuid:{serial}"})


def _model(facts: BomFacts) -> Node:
    node: Node = {
        "type": "machine-learning-model",
        "bom-ref": _reference(facts),
        "name": facts.name,
        "version": facts.version,
        "description": facts.summary,
        "licenses": _licence(facts.licence),
        "modelCard": _card(facts),
    }
    if facts.parent is not None:
        node["pedigree"] = {"ancestors": [_parent(facts.parent)]}
    return node


def _card(facts: BomFacts) -> Node:
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": facts.task,
            "architectureFamily": facts.family,
            "modelArchitecture": facts.architecture,
            "datasets": [{"type": "dataset", "name": facts.data, "description": facts.data_words}],
            "inputs": [{"format": facts.inputs}],
            "outputs": [{"format": f"one logit for each of: {', '.join(facts.labels)}"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": list(_metrics(facts))},
        "considerations": {
            "technicalLimitations": list(facts.limits),
            "ethicalConsiderations": [
                {
                    "name": "What the model may tell of those it was trained on",
                    "mitigationStrategy": facts.privacy,
                }
            ],
        },
    }


def _metrics(facts: BomFacts) -> Iterator[Node]:
    for found in facts.figures:
        of = f"{found.variant}: {found.words}"
        yield {"type": "accuracy", "value": found.accuracy, "slice": of, **_interval(found)}
        for missed in found.missed:
            if missed.share is not None:
                yield {"type": "false negative rate", "value": missed.share, "slice": f"{of}; {missed.label}"}
        if found.latency_us is not None:
            yield {"type": "latency, median, microseconds", "value": str(found.latency_us), "slice": of}


def _interval(found: Figures) -> Node:
    """Wilson's, 95 %, where it is known how many examples there were."""
    if not found.examples:
        return {}
    rate = wilson(float(found.accuracy) * found.examples, found.examples)
    return {"confidenceInterval": {"lowerBound": f"{rate.low:.4f}", "upperBound": f"{rate.high:.4f}"}}


def _files(files: Mapping[str, bytes], facts: BomFacts) -> Iterator[Node]:
    for name in sorted(files):
        node: Node = {
            "type": "file",
            "bom-ref": f"file:{name}",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(files[name]).hexdigest()}],
        }
        if name in {FP32, INT8}:
            node |= {"mime-type": "application/onnx", "licenses": _licence(facts.licence)}
        yield node


def _libraries(versions: Mapping[str, str]) -> Iterator[Node]:
    for name in sorted(versions):
        yield {
            "type": "library",
            "bom-ref": _purl(name, versions[name]),
            "name": name,
            "version": versions[name],
            "purl": _purl(name, versions[name]),
        }


def _dependencies(facts: BomFacts, files: Mapping[str, bytes]) -> Iterator[Node]:
    made_by = [_purl(name, version) for name, version in sorted(facts.libraries.items())]
    yield {"ref": _reference(facts), "dependsOn": [f"file:{name}" for name in sorted(files)]}
    for name in (FP32, INT8):
        if name in files:
            yield {"ref": f"file:{name}", "dependsOn": made_by}


def _parent(parent: Parent) -> Node:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{parent.name}@{parent.version}#{parent.sha256}",
        "name": parent.name,
        "version": parent.version,
        "hashes": [{"alg": "SHA-256", "content": parent.sha256}],
    }


def _licence(words: str) -> list[Node]:
    known = next((each for each in SPDX if each.lower() == words.lower()), None)
    return [{"license": {"id": known} if known else {"name": words}}]


def _reference(facts: BomFacts) -> str:
    return f"model:{facts.name}@{facts.version}"


def _purl(name: str, version: str) -> str:
    """https://github.com/package-url/purl-spec, type pypi: lower case, and "-" for "_"; "+" is escaped."""
    return f"pkg:pypi/{re.sub('_', '-', name.lower())}@{version.replace('+', '%2B')}"
