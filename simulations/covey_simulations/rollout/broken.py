"""A release that is deliberately bad: signed and well-formed, and its models are not those that were tested.

It is what a broken export or a mix-up of files gives. Nothing but running it shows that; so a device's
self-test must, before anybody is served by it.
"""

import hashlib
from collections.abc import Mapping

import msgspec

from covey.package.archive import pack, unpack
from covey.package.contents import MODELS, Contents, Draft, Variant, assemble, read
from covey.package.names import CARD, PROVENANCE
from covey.package.provenance import encode, provenance_of, read_provenance
from covey.package.verify import sign_package
from covey_models.export import to_onnx
from covey_models.model import Model
from covey_models.training import initial, load


def _provenance(good: Contents, models: Mapping[Variant, bytes], version: str) -> dict[str, bytes]:
    """What the publisher believes: the good one's history, for these files."""
    found = read_provenance(good)
    if found is None:
        return {}
    digests = {MODELS[variant]: hashlib.sha256(data).hexdigest() for variant, data in models.items()}
    record = msgspec.structs.replace(found.record, version=version)
    return {PROVENANCE: encode(provenance_of(digests, record))}


def broken(package: bytes, model: Model, version: str, private_key_pem: bytes, seed: int) -> bytes:
    """A package like another, with untrained models under the trained ones' golden answers.

    Args:
        package: The good one.
        model: Its architecture.
        version: Of the bad one.
        private_key_pem: Signs it: the publisher was deceived, or careless.
        seed: Decides the untrained weights.
    """
    good = read(unpack(package))
    network = model.build()
    load(network, initial(model, seed))
    untrained = to_onnx(network, model.input_shape)
    models: Mapping[Variant, bytes] = dict.fromkeys(good.variants, untrained)
    draft = Draft(
        name=good.manifest.name,
        version=version,
        model=good.manifest.model,
        labels=good.manifest.labels,
        preprocessing=good.preprocessing,
        models=models,
        golden=good.golden,
        card=good.files[CARD].decode(),
        extra=_provenance(good, models, version),
    )
    return pack(sign_package(assemble(draft), private_key_pem))
