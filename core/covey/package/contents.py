"""The standard files of a package: made by `assemble`, decoded and cross-checked by `read`.

model.fp32.onnx          static batch of 1: float32 (1, *input_shape) to logits (1, classes)
model.int8.onnx          the same, quantised; optional
preprocessing.json       what happens to an input before the model sees it
labels.json              one name per class
golden/inputs.npy        float32 (k, *input_shape), in the sensor's own units
golden/outputs.*.npy     float32 (k, classes): the logits that each variant must give for them
README.md                the model card
manifest.json            name, version, and every other file's digest
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import msgspec
import rfc8785

from covey.errors import PackageError
from covey.examples import Floats, Standardise
from covey.package import manifest as manifests
from covey.package import npy
from covey.package.external_data import refuse_external_data
from covey.package.manifest import Manifest, Variants
from covey.package.names import (
    CARD,
    FP32,
    GOLDEN_INPUTS,
    GOLDEN_OUTPUTS,
    INT8,
    LABELS,
    MANIFEST,
    PREPROCESSING,
)

Variant = Literal["fp32", "int8"]
MODELS: Mapping[Variant, str] = {"fp32": FP32, "int8": INT8}

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Golden:
    """Inputs and the logits that the publisher's machine gave for them.

    Attributes:
        inputs: Raw inputs (before preprocessing), float32, shape (k, *input_shape), k >= 1.
        outputs: Logits by variant, float32, shape (k, classes).
    """

    inputs: Floats
    outputs: Mapping[Variant, Floats]


@dataclass(frozen=True)
class Contents:
    """A package whose files agree with each other. Nothing is said about who made it.

    Attributes:
        manifest: What it says about itself.
        files: Every file, by name.
        preprocessing: Applied to raw inputs before the model.
        golden: Inputs with known outputs, for the self-test on a device.
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    preprocessing: Standardise
    golden: Golden

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The variants of the model that are in the package, int8 last."""
        return _variants(self.manifest)

    def model(self, variant: Variant) -> bytes:
        """The ONNX file of a variant.

        Raises:
            PackageError: The package has no such variant.
        """
        if variant not in self.variants:
            raise PackageError(f"{self.manifest.name} has no {variant} model", hint="choose fp32 or auto")
        return self.files[MODELS[variant]]


@dataclass(frozen=True)
class Draft:
    """What a publisher puts into a package.

    Attributes:
        name: The package's name: lower-case letters, digits, '.', '_', '-'.
        version: Its version.
        model: The architecture's name.
        labels: One name per class, in the order of the logits.
        preprocessing: What a device does to raw inputs.
        models: The ONNX file by variant; "fp32" is required.
        golden: Raw inputs and the logits of every variant in `models`.
        card: The model card, Markdown.
        extra: Further files (provenance, thresholds) by name.
    """

    name: str
    version: str
    model: str
    labels: tuple[str, ...]
    preprocessing: Standardise
    models: Mapping[Variant, bytes]
    golden: Golden
    card: str
    extra: Mapping[str, bytes] = field(default_factory=dict)


def assemble(draft: Draft) -> dict[str, bytes]:
    """The files of a package, ready to sign: content by name, `manifest.json` among it.

    Raises:
        PackageError: The parts do not fit together; names the file at fault.
    """
    files = _parts(draft)
    manifest = Manifest(
        name=draft.name,
        version=draft.version,
        model=draft.model,
        input_shape=draft.golden.inputs.shape[1:],
        labels=draft.labels,
        variants=Variants(int8=INT8 if "int8" in draft.models else None),
        files=manifests.listing(files),
    )
    files[MANIFEST] = manifests.encode(manifest)
    read(files)
    return files


def read(files: Mapping[str, bytes]) -> Contents:
    """Decode a package's files and check that they agree. Checks no signature: see `covey.package.verify`.

    Args:
        files: Content by name; `model.sig` may be among it.

    Raises:
        PackageError: A file is missing, not listed, changed, or does not fit the manifest; names it.
    """
    manifest = manifests.decode(_require(files, MANIFEST))
    manifests.check_listing(manifest, files)
    _require(files, CARD)
    if _decode(files, LABELS, tuple[str, ...]) != manifest.labels:
        raise PackageError(f"{LABELS}: not the labels in {MANIFEST}")
    contents = Contents(manifest, files, _preprocessing(manifest, files), _golden(manifest, files))
    for variant in contents.variants:
        refuse_external_data(MODELS[variant], _require(files, MODELS[variant]))
    if INT8 in files and "int8" not in contents.variants:
        raise PackageError(f"{INT8}: not among the variants in {MANIFEST}")
    return contents


def _parts(draft: Draft) -> dict[str, bytes]:
    """Every file but the manifest."""
    parts = {
        **draft.extra,
        PREPROCESSING: _canonical(draft.preprocessing),
        LABELS: _canonical(draft.labels),
        CARD: draft.card.encode(),
        GOLDEN_INPUTS: npy.encode(draft.golden.inputs),
    }
    for variant, content in draft.models.items():
        parts[MODELS[variant]] = content
        parts[GOLDEN_OUTPUTS[variant]] = npy.encode(draft.golden.outputs[variant])
    return parts


def _canonical(value: object) -> bytes:
    return rfc8785.dumps(msgspec.to_builtins(value))


def _require(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise PackageError(f"{name} is missing", hint="every package holds it: fetch the package again")
    return files[name]


def _decode(files: Mapping[str, bytes], name: str, form: type[_Value]) -> _Value:
    try:
        return msgspec.json.decode(_require(files, name), type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PackageError(f"{name}: {error}") from error


def _variants(manifest: Manifest) -> tuple[Variant, ...]:
    return ("fp32", "int8") if manifest.variants.int8 else ("fp32",)


def _preprocessing(manifest: Manifest, files: Mapping[str, bytes]) -> Standardise:
    scale = _decode(files, PREPROCESSING, Standardise)
    channels = manifest.input_shape[0]
    if len(scale.mean) != channels or len(scale.deviation) != channels:
        raise PackageError(f"{PREPROCESSING}: expected {channels} means and deviations, one per channel")
    if not all(map(math.isfinite, scale.mean)) or not all(0 < d < math.inf for d in scale.deviation):
        raise PackageError(f"{PREPROCESSING}: means must be finite, deviations finite and above 0")
    return scale


def _golden(manifest: Manifest, files: Mapping[str, bytes]) -> Golden:
    inputs = npy.decode(GOLDEN_INPUTS, _require(files, GOLDEN_INPUTS))
    if inputs.shape[1:] != manifest.input_shape or len(inputs) == 0:
        raise PackageError(f"{GOLDEN_INPUTS}: has shape {inputs.shape}, expected (k, {manifest.input_shape})")
    outputs: dict[Variant, Floats] = {}
    for variant in _variants(manifest):
        name = GOLDEN_OUTPUTS[variant]
        outputs[variant] = npy.decode(name, _require(files, name))
        if outputs[variant].shape != (len(inputs), len(manifest.labels)):
            raise PackageError(f"{name}: has shape {outputs[variant].shape}, expected one logit per class")
    return Golden(inputs, outputs)
