"""`covey infer`: run a verified model package on inputs.

The package's signature is always checked: with the key that is given, or, for a device's folder, with the
key that was put there when the device was set up.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray

from covey.errors import InputError
from covey.package.verify import Package, verify
from covey_client import slots
from covey_client.inference import Choice, Classifier, Prediction
from covey_io.packages import read_key, read_package


class VariantOption(StrEnum):
    """Which model of the package to run."""

    auto = "auto"
    int8 = "int8"
    fp32 = "fp32"


def infer(
    package: Annotated[
        Path, typer.Argument(metavar="PACKAGE", help="A .covey archive, its folder, or a device's folder.")
    ],
    inputs: Annotated[
        Path, typer.Argument(metavar="INPUT.npy", help="One raw input or several, in the sensor's units.")
    ],
    key: Annotated[
        Path | None,
        typer.Option(metavar="PUB.pem", help="The publisher's public key. A device's folder has its own."),
    ] = None,
    variant: Annotated[
        VariantOption,
        typer.Option(help="auto takes what the device has measured, else int8 where there is one."),
    ] = VariantOption.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a verified model package on inputs; print the label and its probability, one line for each.

    A device's folder is one with `current` in it: the package in use is run, checked with the
    trusted.pub.pem in it. The folder is trusted as a whole: it must be this device's own.
    """
    classifier = Classifier(_verified(package, key), _chosen(package, variant))
    prediction = classifier.predict(_read_array(inputs))
    if as_json:
        typer.echo(msgspec.json.encode(_told(classifier, prediction)).decode())
        return
    pairs = zip(prediction.labels, prediction.confidence, strict=True)
    for index, (label, confidence) in enumerate(pairs):
        typer.echo(f"{index}\t{label}\t{confidence:.4f}")


def _verified(path: Path, key: Path | None) -> Package:
    if (path / slots.CURRENT).is_symlink():
        if key is None:
            return slots.installed(path)
        path = slots.current(path)
    if key is None:
        raise InputError(
            "which key do you trust? the package is not run before its signature is checked",
            hint=f"covey infer {path} INPUT.npy --key PUB.pem",
        )
    trusted = read_key(key)
    return verify(read_package(path), trusted)


def _chosen(path: Path, variant: VariantOption) -> Choice:
    """What was asked for; for "auto" on a device, what its self-test measured to be the faster."""
    measured = variant is VariantOption.auto and (path / slots.CURRENT).is_symlink()
    return slots.choice(path) if measured else variant.value


def _read_array(path: Path) -> NDArray[np.generic]:
    try:
        with path.open("rb") as file:
            array: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{path}: {reason}", hint="check the path") from error
    except Exception as error:  # NumPy's header parser fails in all the ways of Python's tokenizer
        hint = "save one array of numbers with numpy.save"
        raise InputError(f"{path}: not a .npy file of numbers", hint=hint) from error
    return array


def _told(classifier: Classifier, prediction: Prediction) -> dict[str, Any]:
    manifest = classifier.contents.manifest
    rows = zip(prediction.labels, prediction.confidence, prediction.probabilities, strict=True)
    return {
        "package": manifest.name,
        "version": manifest.version,
        "variant": classifier.variant,
        "labels": manifest.labels,
        "predictions": [
            {"label": label, "probability": float(confidence), "probabilities": row.tolist()}
            for label, confidence, row in rows
        ],
    }
