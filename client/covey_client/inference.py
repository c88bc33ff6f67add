"""Run a package's model on a device: ONNX Runtime on one core, small, never waiting for anyone.

    classifier = Classifier(slots.installed(device_folder))  # verified again with the device's trusted key
    classifier.predict(x).labels

Inputs are raw, in the sensor's own units; the package's preprocessing is applied here.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from covey.errors import InputError, PackageError
from covey.examples import Floats
from covey.package import contents
from covey.package.contents import MODELS, Contents, Variant
from covey_io.packages import read_package

Choice = Literal["auto", "int8", "fp32"]


@dataclass(frozen=True)
class Prediction:
    """What a model says about n inputs.

    Attributes:
        logits: float32, shape (n, classes).
        probabilities: Softmax of the logits, float32, shape (n, classes). Not calibrated.
        labels: The most probable class of each input; the first of equals.
    """

    logits: Floats
    probabilities: Floats
    labels: tuple[str, ...]

    @property
    def confidence(self) -> Floats:
        """Probability of each input's label, float32, shape (n,)."""
        best: Floats = self.probabilities.max(axis=1)
        return best


@dataclass(frozen=True)
class Latency:
    """Percentiles of the time from raw input to label, in microseconds."""

    p50: float
    p95: float
    p99: float


class Network:
    """One ONNX model in memory, run one input at a time."""

    def __init__(self, name: str, model: bytes, input_shape: tuple[int, ...], classes: int) -> None:
        """Load a model.

        Args:
            name: Its file name, for messages.
            model: The ONNX file.
            input_shape: Shape of one input.
            classes: Number of logits.

        Raises:
            PackageError: Not a model that ONNX Runtime can run, or of other shapes.
        """
        self._session = _load(name, model)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if [i.shape for i in inputs] != [[1, *input_shape]] or [o.shape for o in outputs] != [[1, classes]]:
            raise PackageError(f"{name}: expected float32 {[1, *input_shape]} to {[1, classes]}")
        if {each.type for each in (*inputs, *outputs)} != {"tensor(float)"}:
            raise PackageError(f"{name}: expected float32 in and out")
        self._name, self._input = name, inputs[0].name
        self._run_options = ort.RunOptions()

    def stop(self) -> None:
        """End what runs in another thread between two operators, and whatever is run from now on."""
        self._run_options.terminate = True

    def logits(self, x: Floats) -> Floats:
        """Logits of preprocessed inputs: float32 (n, *input_shape) to (n, classes), n >= 1."""
        # Static batch of one: a dynamic batch axis costs more than the loop (see the design, quantisation).
        rows = [self._run(row[np.newaxis]) for row in x]
        joined: Floats = np.concatenate(rows)
        return joined

    def _run(self, one: Floats) -> Floats:
        try:
            logits: Floats = self._session.run(None, {self._input: one}, self._run_options)[0]
        except Exception as error:  # ONNX Runtime's errors have no base class of their own
            raise PackageError(f"{self._name}: ONNX Runtime cannot run it: {_first_line(error)}") from error
        return logits


class Classifier:
    """A package's model with its preprocessing and its labels.

    Attributes:
        contents: The package.
        variant: Which of its models runs.
    """

    def __init__(self, package: Contents, variant: Choice = "auto") -> None:
        """Load the model of a package that was read or verified.

        Raises:
            PackageError: No such variant, or not a model that runs.
        """
        self.contents = package
        self.variant: Variant = package.variants[-1] if variant == "auto" else variant
        manifest = package.manifest
        self._network = Network(
            MODELS[self.variant], package.model(self.variant), manifest.input_shape, len(manifest.labels)
        )

    @classmethod
    def open(cls, source: Path | Mapping[str, bytes], variant: Choice = "auto") -> Self:
        """Load the model of a package that somebody has verified.

        Checks that the files agree with their manifest, not who signed them: give it
        `covey_client.slots.current(device_folder)`, or use `covey_client.slots.installed`.

        Args:
            source: A `.covey` archive, an unpacked folder, or files by name.
            variant: "auto" takes int8 where the package has it.

        Raises:
            PackageError: The files do not agree, or there is no such variant.
            InputError: No such file, or not a package.
        """
        files = read_package(source) if isinstance(source, Path) else source
        return cls(contents.read(files), variant)

    def predict(self, x: NDArray[np.generic]) -> Prediction:
        """Classify raw inputs.

        Args:
            x: One input, shape input_shape, or several, shape (n, *input_shape) with n >= 1; any real
                number type.

        Raises:
            InputError: Another shape or type, or a value that is not finite.
        """
        logits = self._network.logits(self.contents.preprocessing.apply(self._batch(x)))
        names = self.contents.manifest.labels
        labels = tuple(names[index] for index in logits.argmax(axis=1))
        return Prediction(logits, _softmax(logits), labels)

    def stop(self) -> None:
        """End a prediction in another thread, with PackageError, and every later one: it takes too long."""
        self._network.stop()

    def latency(self, x: NDArray[np.generic], repeats: int = 200) -> Latency:
        """Measure `predict` on one input, after a tenth as many runs to warm up.

        Args:
            x: One raw input, shape input_shape.
            repeats: Timed runs, >= 1; p99 means little below a hundred.
        """
        for _ in range(repeats // 10):
            self.predict(x)
        times = [self._timed(x) for _ in range(repeats)]
        p50, p95, p99 = np.percentile(times, (50, 95, 99))
        return Latency(float(p50), float(p95), float(p99))

    def _timed(self, x: NDArray[np.generic]) -> float:
        start = time.perf_counter_ns()
        self.predict(x)
        return (time.perf_counter_ns() - start) / 1e3

    def _batch(self, x: NDArray[np.generic]) -> Floats:
        shape = self.contents.manifest.input_shape
        batch = x[np.newaxis] if x.shape == shape else x
        if batch.shape[1:] != shape or len(batch) == 0 or x.dtype.kind not in "fiu":
            raise InputError(
                f"inputs of shape {x.shape} and type {x.dtype}",
                hint=f"{self.contents.manifest.name} takes numbers of shape {shape} or (n, {str(shape)[1:]}",
            )
        with np.errstate(over="ignore"):  # becomes infinite, and is told below
            floats = batch.astype(np.float32)
        if not np.isfinite(floats).all():
            raise InputError("an input holds a value that is not a finite number", hint="drop or repair it")
        return floats


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return result


def _load(name: str, model: bytes) -> ort.InferenceSession:
    try:
        return ort.InferenceSession(model, _options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no base class of their own
        raise PackageError(f"{name}: ONNX Runtime cannot run it: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _options() -> ort.SessionOptions:
    """One thread, no spinning and no arena: the device has other work, and little memory."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only: they come back as exceptions
    return options
