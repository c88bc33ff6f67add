"""The parts of a package must fit together."""

import io
from contextlib import suppress
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from covey.errors import PackageError
from covey.examples import Floats, Standardise
from covey.package import manifest as manifests
from covey.package import npy
from covey.package.contents import Draft, Golden, assemble, read
from covey.package.names import CARD as CARD_FILE
from covey.package.names import GOLDEN_INPUTS, INT8, MANIFEST, PREPROCESSING
from covey.package.names import LABELS as LABELS_FILE
from packages_fixture import CARD, INPUT_SHAPE, LABELS, SCALE, inputs, model, unsigned

X = inputs()
DRAFT = Draft(
    name="motion",
    version="1.0.0",
    model="tiny",
    labels=LABELS,
    preprocessing=SCALE,
    models={"fp32": model()},
    golden=Golden(X, {"fp32": np.zeros((4, 3), np.float32)}),
    card=CARD,
)


def relisted(files: dict[str, bytes], **changes: bytes) -> dict[str, bytes]:
    """`files` with a manifest that lists them as they are."""
    merged = {**files, **changes}
    manifest = manifests.decode(files[MANIFEST])
    merged[MANIFEST] = manifests.encode(msgspec.structs.replace(manifest, files=manifests.listing(merged)))
    return merged


def test_what_is_assembled_reads_back() -> None:
    contents = read(unsigned())
    assert contents.manifest.labels == LABELS
    assert contents.manifest.input_shape == INPUT_SHAPE
    assert contents.preprocessing == SCALE
    assert contents.variants == ("fp32", "int8")
    np.testing.assert_array_equal(contents.golden.inputs, X)


def test_the_manifest_is_canonical_json_that_lists_every_other_file() -> None:
    files = unsigned()
    manifest = manifests.decode(files[MANIFEST])
    assert {file.name for file in manifest.files} == set(files) - {MANIFEST}
    assert files[MANIFEST].startswith(b'{"files":[{"bytes":')
    with pytest.raises(PackageError, match="canonical"):
        manifests.decode(files[MANIFEST] + b"\n")


def test_int8_is_optional() -> None:
    contents = read(assemble(DRAFT))
    assert contents.variants == ("fp32",)
    with pytest.raises(PackageError, match="no int8 model"):
        contents.model("int8")


def test_further_files_are_listed() -> None:
    files = assemble(replace(DRAFT, extra={"provenance.json": b"{}"}))
    assert "provenance.json" in {file.name for file in manifests.decode(files[MANIFEST]).files}


@pytest.mark.parametrize("name", sorted(unsigned()))
def test_every_standard_file_is_needed(name: str) -> None:
    files = {key: value for key, value in unsigned().items() if key != name}
    with pytest.raises(PackageError, match=name):
        read(files)
    if name != MANIFEST:
        with pytest.raises(PackageError, match=name):
            read(relisted(files))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"name": "Motion\x1b[2J"}, MANIFEST),
        ({"labels": ("a", "a", "b")}, MANIFEST),
        ({"labels": ("a", "b")}, "golden/outputs.fp32.npy"),
        ({"labels": ("a", "b", "c\n")}, MANIFEST),
        ({"preprocessing": Standardise((0.0,), (1.0,))}, PREPROCESSING),
        ({"preprocessing": Standardise((0.0, 0.0), (1.0, 0.0))}, PREPROCESSING),
        ({"golden": Golden(X[:0], {"fp32": np.zeros((0, 3), np.float32)})}, GOLDEN_INPUTS),
        ({"golden": Golden(X, {"fp32": np.full((4, 3), np.nan, np.float32)})}, "golden/outputs.fp32.npy"),
        ({"extra": {"../x": b""}}, "../x"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, object], name: str) -> None:
    with pytest.raises(PackageError) as caught:
        assemble(replace(DRAFT, **change))  # type: ignore[arg-type]
    assert name in str(caught.value)


def test_a_model_that_the_manifest_does_not_name_is_refused() -> None:
    with pytest.raises(PackageError, match=INT8):
        read(relisted(assemble(DRAFT), **{INT8: b"x"}))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (LABELS_FILE, b'["a","b","c"]'),
        (LABELS_FILE, b"\xff"),
        (PREPROCESSING, b'{"type":"other"}'),
        (GOLDEN_INPUTS, b"no array"),
        (GOLDEN_INPUTS, npy.encode(X) + b"\0"),
        (GOLDEN_INPUTS, npy.encode(X[:, :1])),
    ],
)
def test_a_listed_file_with_other_content_is_refused(name: str, content: bytes) -> None:
    with pytest.raises(PackageError, match=name):
        read(relisted(unsigned(), **{name: content}))


def test_the_card_is_kept_as_written() -> None:
    assert unsigned()[CARD_FILE].decode() == CARD


def test_arrays_of_another_type_are_refused() -> None:
    data = npy.encode(X).replace(b"<f4", b"<i4")
    with pytest.raises(PackageError, match="float32"):
        npy.decode("golden/inputs.npy", data)


@given(arrays(np.float32, array_shapes(min_dims=0, max_dims=4), elements=st.floats(-1e6, 1e6, width=32)))
@settings(deadline=None)
def test_arrays_survive_and_numpy_reads_them(array: Floats) -> None:
    data = npy.encode(array)
    for back in (npy.decode("a.npy", data), np.load(io.BytesIO(data))):
        np.testing.assert_array_equal(back, array)
        assert back.shape == array.shape


@given(st.data())
@settings(deadline=None)
def test_a_mutated_array_is_refused_or_is_an_array(data: st.DataObject) -> None:
    mutated = bytearray(npy.encode(X))
    mutated[data.draw(st.integers(0, 140))] = data.draw(st.integers(0, 255))
    with suppress(PackageError):
        npy.decode("a.npy", bytes(mutated))


def test_an_array_that_claims_to_be_huge_is_refused() -> None:
    huge = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**8, 10**8)}
    np.lib.format.write_array_header_1_0(huge, header)
    with pytest.raises(PackageError, match="bytes of values"):
        npy.decode("a.npy", huge.getvalue())
