"""From trained parameters to a signed package."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from covey.arrays import Parameters
from covey.examples import Floats, Standardise
from covey.package.archive import pack
from covey.package.contents import Draft, Golden, Variant, assemble
from covey.package.keys import new_signing_key
from covey.package.verify import sign_package
from covey.seeds import generator
from covey_io import durable
from covey_models.export import to_onnx
from covey_models.model import Model
from covey_models.quantise import to_int8
from covey_models.runtime import predictor
from covey_models.training import load

GOLDEN_INPUTS = 4


@dataclass(frozen=True)
class Keys:
    """The key that signs releases, in PEM."""

    private: bytes
    public: bytes


def release_keys(folder: Path) -> Keys:
    """The signing key in `folder`, made there if there is none: release.pem (mode 0600), release.pub.pem.

    The public half is written last: a pair whose making was cut short is made anew, before anything can
    have been signed with it.
    """
    private, public = folder / "release.pem", folder / "release.pub.pem"
    if not public.exists():
        durable.make_folder(folder, mode=0o700)
        secret, shown = new_signing_key()
        durable.replace(private, secret, mode=0o600)
        durable.replace(public, shown)
    return Keys(private.read_bytes(), public.read_bytes())


def export(model: Model, parameters: Parameters, calibration: Floats | None) -> dict[Variant, bytes]:
    """ONNX files by variant.

    Args:
        model: The architecture.
        parameters: Trained.
        calibration: Scaled inputs for int8 activation ranges, (n, *input_shape); None leaves int8 out.
    """
    network = model.build()
    load(network, parameters)
    fp32 = to_onnx(network, model.input_shape)
    return {"fp32": fp32} if calibration is None else {"fp32": fp32, "int8": to_int8(fp32, calibration)}


def identity(model: Model) -> Standardise:
    """The scaling that changes nothing, for a federation that does not standardise."""
    channels = model.input_shape[0]
    return Standardise((0.0,) * channels, (1.0,) * channels)


def golden(model: Model, variants: Mapping[Variant, bytes], preprocessing: Standardise, seed: int) -> Golden:
    """Inputs and outputs for a device's self-test.

    The inputs are published, so none comes from a device: they are drawn as normal noise with the fleet's
    mean and deviation.
    """
    noise = generator(seed, "golden").standard_normal((GOLDEN_INPUTS, *model.input_shape)).astype(np.float32)
    shape = (1, len(preprocessing.mean)) + (1,) * (len(model.input_shape) - 1)
    deviation = np.asarray(preprocessing.deviation, np.float32).reshape(shape)
    inputs = noise * deviation + np.asarray(preprocessing.mean, np.float32).reshape(shape)
    scaled = preprocessing.apply(inputs)
    return Golden(inputs, {variant: predictor(data)(scaled) for variant, data in variants.items()})


def signed_package(draft: Draft, keys: Keys) -> bytes:
    """The archive that a device installs."""
    return pack(sign_package(assemble(draft), keys.private))
