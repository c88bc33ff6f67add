"""Inference: the golden logits, clear refusals, and a small process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from numpy.typing import NDArray

from commands import invoked
from covey.errors import CoveyError, InputError, PackageError
from covey.package.archive import pack
from covey.package.keys import new_signing_key
from covey_client.commands import infer
from covey_client.inference import Classifier, Network
from covey_client.slots import install
from packages_fixture import INPUT_SHAPE, LABELS, files, inputs, keys, logits, model, package

ROOT = Path(__file__).parents[2]
X = inputs(5, seed=7)


def classifier(variant: str = "fp32") -> Classifier:
    return Classifier.open(files(), variant)  # type: ignore[arg-type]


def test_it_gives_the_logits_of_the_model_on_standardised_inputs() -> None:
    np.testing.assert_allclose(classifier().predict(X).logits, logits(model(), X), rtol=1e-5, atol=1e-5)


def test_probabilities_and_labels_follow_from_the_logits() -> None:
    prediction = classifier().predict(X)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert prediction.labels == tuple(LABELS[i] for i in prediction.logits.argmax(axis=1))
    np.testing.assert_array_equal(prediction.confidence, prediction.probabilities.max(axis=1))


def test_one_input_is_a_batch_of_one() -> None:
    assert classifier().predict(X[0]).labels == classifier().predict(X[:1]).labels
    assert classifier().predict(X[0]).logits.shape == (1, len(LABELS))


def test_auto_takes_int8_where_there_is_one() -> None:
    assert classifier("auto").variant == "int8"
    assert Classifier.open(files(int8=False)).variant == "fp32"
    with pytest.raises(PackageError, match="no int8 model"):
        Classifier.open(files(int8=False), "int8")


def test_it_opens_an_archive_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "p.covey").write_bytes(package())
    folder = install(package(), tmp_path / "device", keys()[1]).folder
    for source in (tmp_path / "p.covey", folder):
        assert Classifier.open(source).predict(X).labels == classifier("auto").predict(X).labels


def test_files_that_do_not_agree_are_not_opened() -> None:
    with pytest.raises(PackageError, match=r"model\.fp32\.onnx has changed"):
        Classifier.open({**files(), "model.fp32.onnx": model(5)})


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8"])
def test_any_real_numbers_will_do(dtype: str) -> None:
    x = np.arange(16).reshape(INPUT_SHAPE).astype(dtype)
    assert classifier().predict(x).labels == classifier().predict(x.astype(np.float32)).labels


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((8, 2)),
        np.zeros((1, 1, 2, 8)),
        np.zeros((0, 2, 8)),
        np.zeros(()),
        np.zeros(INPUT_SHAPE, bool),
        np.zeros(INPUT_SHAPE, complex),
        np.zeros(INPUT_SHAPE, "U1"),
    ],
)
def test_another_shape_or_type_is_refused_with_the_expected_one(x: NDArray[np.generic]) -> None:
    with pytest.raises(InputError) as caught:
        classifier().predict(x)
    assert "shape (2, 8) or (n, 2, 8)" in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    x = np.zeros(INPUT_SHAPE)
    x[1, 3] = value
    with pytest.raises(InputError, match="finite"):
        classifier().predict(x)


def test_latency_is_measured_in_order() -> None:
    latency = classifier().latency(X[0], repeats=30)
    assert 0 < latency.p50 <= latency.p95 <= latency.p99


def test_a_model_of_other_shapes_is_refused() -> None:
    with pytest.raises(PackageError, match=r"m\.onnx: expected float32 \[1, 2, 9\]"):
        Network("m.onnx", model(), (2, 9), 3)
    with pytest.raises(PackageError, match=r"m\.onnx: ONNX Runtime"):
        Network("m.onnx", b"nothing", INPUT_SHAPE, 3)


def run(*arguments: object) -> str:
    app = typer.Typer()
    app.command()(infer)
    return invoked(app, *arguments).stdout


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A device with a package, its trusted key, an input, and the package file beside it."""
    install(package(), tmp_path, keys()[1])
    (tmp_path / "trusted.pub.pem").write_bytes(keys()[1])
    (tmp_path / "p.covey").write_bytes(package())
    np.save(tmp_path / "x.npy", X)
    return tmp_path


def test_a_device_runs_its_own_package_with_its_own_key(device: Path) -> None:
    lines = run(device, device / "x.npy").splitlines()
    assert [line.split("\t")[1] for line in lines] == list(classifier("auto").predict(X).labels)
    assert run(device, device / "x.npy", "--key", device / "trusted.pub.pem").splitlines() == lines


def test_a_package_file_needs_a_key(device: Path) -> None:
    with pytest.raises(InputError, match="--key"):
        run(device / "p.covey", device / "x.npy")
    assert run(device / "p.covey", device / "x.npy", "--key", device / "trusted.pub.pem")
    (device / "other.pem").write_bytes(new_signing_key()[1])
    for source in (device / "p.covey", device):
        with pytest.raises(PackageError, match="made with the key"):
            run(source, device / "x.npy", "--key", device / "other.pem")


def test_a_tampered_package_is_not_run(device: Path) -> None:
    (device / "p.covey").write_bytes(pack({**files(), "model.int8.onnx": model(9)}))
    (device / "slots/A/model.int8.onnx").write_bytes(model(9))
    for source, options in ((device / "p.covey", ["--key", device / "trusted.pub.pem"]), (device, [])):
        with pytest.raises(PackageError, match=r"model\.int8\.onnx has changed"):
            run(source, device / "x.npy", *options)


def test_json_gives_all_probabilities(device: Path) -> None:
    told = json.loads(run(device, device / "x.npy", "--variant", "fp32", "--json"))
    assert told["variant"] == "fp32"
    assert len(told["predictions"]) == len(X)
    assert len(told["predictions"][0]["probabilities"]) == len(LABELS)


def test_what_is_no_array_is_refused_in_one_line(device: Path) -> None:
    (device / "text.npy").write_text("hello")
    np.save(device / "objects.npy", np.array([{}]), allow_pickle=True)
    np.savez(device / "many.npz", a=X, b=X)
    (device / "empty.npy").write_bytes(b"")
    (device / "open.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + b"{" * 118)
    np.save(device / "shape.npy", np.zeros((3, 3)))
    for name in ("text.npy", "objects.npy", "many.npz", "empty.npy", "open.npy", "shape.npy", "absent.npy"):
        with pytest.raises(CoveyError) as caught:
            run(device, device / name)
        assert caught.value.exit_status == 2
        assert "\n" not in str(caught.value)


CHILD = """
import sys, typer
from covey_client.commands import infer
app = typer.Typer()
app.command()(infer)
app(sys.argv[1:], standalone_mode=False)
heavy = {"torch", "flwr", "scipy", "onnx", "sklearn", "opacus"} & {name.split(".")[0] for name in sys.modules}
assert not heavy, heavy
# Not ru_maxrss: a child begins with its parent's.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_inference_stays_below_120_mebibytes_and_imports_nothing_heavy(device: Path) -> None:
    path = os.pathsep.join(str(ROOT / source) for source in ("core", "client", "audit"))
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(device), str(device / "x.npy")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.splitlines()[-1]) / 1024 <= 120
