"""A release of each model of the registry: both variants, card, provenance and bill of materials, signed.

The provenance is over the small ledger of the tests, which real machines have made: three sums. The networks
are initialised, not trained: neither an archive's size nor the time to verify it depends on that.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Final

import made_provenance
from covey.arrays import Parameters
from covey.package.archive import pack
from covey.package.bom import BomFacts
from covey.package.contents import Draft, Variant, assemble
from covey.package.keys import new_signing_key
from covey.package.names import BOM, PROVENANCE
from covey.package.provenance_record import Record
from covey.package.verify import sign_package
from covey.rollout.plan import Image
from covey_models.card import CardFacts, card
from covey_models.export import to_onnx
from covey_models.golden import golden
from covey_models.model import Model
from covey_models.observing import probes
from covey_models.quantise import to_int8
from covey_models.registry import find
from covey_models.training import initial, load
from covey_server.release import identity
from covey_server.release_building import libraries, with_provenance

SEED: Final = 1
SUMS: Final = 3
"""Private sums that the provenance accounts for."""


@dataclass(frozen=True)
class Packaged:
    """A signed release.

    Attributes:
        image: As instructions call it.
        archive: The `.covey` file.
        sizes: Bytes of the archive and of its larger parts, by name.
    """

    image: Image
    archive: bytes
    sizes: dict[str, int]


@cache
def keys() -> tuple[bytes, bytes]:
    """The publisher's signing key and its public half, PEM; the same for a whole run."""
    return new_signing_key()


@cache
def packaged(name: str, generation: int = 1) -> Packaged:
    """A release of a model of the registry.

    Args:
        name: The model's.
        generation: Which release of it.

    Raises:
        InputError: No such model.
    """
    model, version = find(name), f"{generation}.0.0"
    record = made_provenance.record(name=name, version=version)
    draft = with_provenance(_draft(model, version, generation), record, _facts(model, record))
    archive = pack(sign_package(assemble(draft), keys()[0]))
    sizes = {
        "archive": len(archive),
        **{str(variant): len(data) for variant, data in draft.models.items()},
        "provenance": len(draft.extra[PROVENANCE]),
        "bom": len(draft.extra[BOM]),
        "card": len(draft.card.encode()),
    }
    return Packaged(_image(name, version, generation, archive), archive, sizes)


def _draft(model: Model, version: str, generation: int) -> Draft:
    network = model.build()
    load(network, _weights(model, generation))
    fp32 = to_onnx(network, model.input_shape)
    models: dict[Variant, bytes] = {"fp32": fp32, "int8": to_int8(fp32, probes(model.input_shape, SEED))}
    scale = identity(model)
    return Draft(
        name=model.name,
        version=version,
        model=model.name,
        labels=model.labels,
        preprocessing=scale,
        models=models,
        golden=golden(model, models, scale, SEED),
        card=_card(model),
    )


def _weights(model: Model, generation: int) -> Parameters:
    """Other ones in each generation, and alike: a device in shadow refuses a model that decides otherwise."""
    return {name: each * (1 + 1e-4 * generation) for name, each in initial(model, SEED).items()}


def _card(model: Model) -> str:
    facts = CardFacts(
        name=model.name,
        summary=model.summary,
        licence=model.licence,
        task="classification",
        architecture=model.source,
        parameters=sum(each.size for each in initial(model, SEED).values()),
        input_shape=model.input_shape,
        input_units=model.input_units,
        labels=model.labels,
        data_name="none",
        calibration="Public inputs.",
        limits=("It was not trained.",),
    )
    return card(facts)


def _facts(model: Model, record: Record) -> BomFacts:
    return BomFacts(
        name=record.name,
        version=record.version,
        summary=model.summary,
        licence=model.licence,
        task="classification",
        family=model.name,
        architecture=model.source,
        inputs=f"float32 {' x '.join(map(str, model.input_shape))}, {model.input_units}",
        labels=model.labels,
        data="none",
        data_words="It was not trained.",
        privacy=record.claim.statement,
        limits=("It was not trained.",),
        figures=record.figures,
        libraries=libraries(),
    )


def _image(name: str, version: str, generation: int, archive: bytes) -> Image:
    return Image(
        name=name,
        version=version,
        generation=generation,
        target=f"models/{name}/{version}.covey",
        sha256=hashlib.sha256(archive).hexdigest(),
        bytes=len(archive),
    )
