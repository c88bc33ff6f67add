"""What a release is, in plain words and as plain data."""

from collections.abc import Iterator
from typing import Any

import msgspec

from covey.package.contents import MODELS, Contents
from covey.package.names import BOM, SIGNATURE
from covey.package.provenance import read_provenance
from covey.package.provenance_record import Figures, Quantisation, Record
from covey.package.signature import signer_hint

WITHOUT = "not stated: it carries no provenance.json"


def lines(package: Contents) -> list[tuple[str, str]]:
    """Topic and words, a line each. Nothing of it is checked but that the parts fit together.

    Raises:
        PackageError: The provenance or the signature is malformed.
    """
    found = read_provenance(package)
    return [*_package(package), *(_made(found.record) if found else [("made", WITHOUT)])]


def facts(package: Contents) -> dict[str, Any]:
    """The same for scripts: manifest, claimed key, and our own part of the provenance, or null.

    Raises:
        PackageError: As above.
    """
    found = read_provenance(package)
    return {
        "signature": "not checked",
        "claimed_key": _claimed_key(package),
        "manifest": msgspec.to_builtins(package.manifest),
        "release": None if found is None else msgspec.to_builtins(found.record),
        "bill_of_materials": BOM in package.files,
    }


def _package(package: Contents) -> Iterator[tuple[str, str]]:
    manifest = package.manifest
    yield "release", f"{manifest.name} {manifest.version}"
    key = _claimed_key(package)
    yield "signature", f"claims the key {key[:16]}; NOT CHECKED" if key else "none: it is not signed"
    for variant in package.variants:
        yield f"model {variant}", f"{manifest.model}, {len(package.files[MODELS[variant]]):,} bytes"
    yield "all files", f"{len(package.files)}, {sum(map(len, package.files.values())):,} bytes"
    yield "answers", ", ".join(manifest.labels)
    yield "bill of materials", "CycloneDX 1.6, bom.json" if BOM in package.files else "none"


def _made(record: Record) -> Iterator[tuple[str, str]]:
    yield "made from", f"run {record.run}, rounds {record.first_round} to {record.last_round}"
    yield "made by", f"covey {record.code.version}, {_commit(record)}"
    yield "follows", _parent(record)
    yield "took part", f"at most {record.participants} devices in one sum"
    yield "under policy", record.policy or "none"
    yield "budget", record.claim.statement
    yield (
        "sums",
        f"{sum(len(each.at) for each in record.sums)} asked for, the last in entry {record.budget.index}",
    )
    yield "int8", _quantised(record.quantisation)
    for figures in record.figures:
        yield f"measured {figures.variant}", _measured(figures)
    yield "gate", "not asked" if record.gate is None else record.gate.words
    if record.gate is not None:
        yield from (("", check.words) for check in record.gate.checks)


def _measured(figures: Figures) -> str:
    words = f"{float(figures.accuracy) * 100:.2f} % right on {figures.words}"
    return words if figures.latency_us is None else f"{words}; {figures.latency_us:,} µs an input, median"


def _quantised(how: Quantisation) -> str:
    if how.method == "none":
        return "none"
    words = f"{how.method}; {how.calibration}" if how.calibration else how.method
    if not how.layers:
        return words
    worst = ", ".join(f"{layer.name} {layer.sensitivity}" for layer in how.layers[:3])
    return f"{words} Most sensitive ({how.measure}): {worst}"


def _commit(record: Record) -> str:
    return f"commit {record.code.commit}" if record.code.commit else "no commit known"


def _parent(record: Record) -> str:
    if record.parent is None:
        return "none: the first, or it names none"
    return f"{record.parent.name} {record.parent.version} ({record.parent.sha256[:16]})"


def _claimed_key(package: Contents) -> str | None:
    data = package.files.get(SIGNATURE)
    return signer_hint(data) if data is not None else None
