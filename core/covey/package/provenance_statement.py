"""`provenance.json`: an in-toto Statement whose predicate is SLSA provenance with one field of our own.

    in-toto Statement v1    https://github.com/in-toto/attestation/tree/main/spec/v1
    SLSA provenance v1      https://slsa.dev/spec/v1.0/provenance (extension fields carry their vendor's name)

All of it but the subjects follows from our own record, `covey_release`: what tools that know SLSA read there
is what a device checks here. The package's signature covers the file; it has none of its own.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
import rfc8785

from covey.errors import PackageError
from covey.package.bundle import STATEMENT_TYPE
from covey.package.manifest import Sha256
from covey.package.names import PROVENANCE
from covey.package.provenance_record import Record

PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "https://covey.invalid/release/v1"
BUILDER: Final = "https://covey.invalid/release/build"
"""Names, not addresses (RFC 2606): who built is known by the package's signature."""
MAX_PROVENANCE: Final = 4 << 20


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Base of the Statement's parts."""


class Digest(_Strict, frozen=True, kw_only=True, omit_defaults=True):
    """A digest set with one member."""

    sha256: Sha256 | None = None
    git_commit: str | None = None


class Resource(_Strict, frozen=True, kw_only=True):
    """Something that is known by its digest."""

    name: str
    digest: Digest


class BuildDefinition(_Strict, frozen=True, kw_only=True):
    """What was built from what."""

    build_type: Literal["https://covey.invalid/release/v1"] = BUILD_TYPE
    external_parameters: dict[str, str]
    internal_parameters: dict[str, str] = {}
    resolved_dependencies: tuple[Resource, ...]


class Builder(_Strict, frozen=True, kw_only=True):
    """What built it."""

    id: Literal["https://covey.invalid/release/build"] = BUILDER
    version: dict[str, str]


class Metadata(_Strict, frozen=True, kw_only=True):
    """Which run of it."""

    invocation_id: str


class RunDetails(_Strict, frozen=True, kw_only=True):
    """Who built it."""

    builder: Builder
    metadata: Metadata


class Predicate(_Strict, frozen=True, kw_only=True):
    """SLSA provenance, and our own record."""

    build_definition: BuildDefinition
    run_details: RunDetails
    covey_release: Record = msgspec.field(name="covey_release")


class Provenance(_Strict, frozen=True, kw_only=True):
    """The content of `provenance.json`.

    Attributes:
        subject: The models, by file name.
        predicate: How they came about.
    """

    kind: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type", default=STATEMENT_TYPE)
    subject: Annotated[tuple[Resource, ...], msgspec.Meta(min_length=1, max_length=8)]
    predicate_type: Literal["https://slsa.dev/provenance/v1"] = PREDICATE_TYPE
    predicate: Predicate

    @property
    def record(self) -> Record:
        """Our own part."""
        return self.predicate.covey_release

    @property
    def subjects(self) -> dict[str, str]:
        """SHA-256 of each model, by file name."""
        return {each.name: each.digest.sha256 or "" for each in self.subject}


def provenance_of(models: Mapping[str, str], record: Record) -> Provenance:
    """The provenance of a release.

    Args:
        models: SHA-256 of each model, by file name.
        record: How it came about.
    """
    definition = BuildDefinition(
        external_parameters={"name": record.name, "run": record.run, "version": record.version},
        resolved_dependencies=tuple(_dependencies(record)),
    )
    details = RunDetails(
        builder=Builder(version={"covey": record.code.version}),
        metadata=Metadata(invocation_id=f"{record.run}/{record.version}"),
    )
    return Provenance(
        subject=tuple(_resource(name, sha256) for name, sha256 in sorted(models.items())),
        predicate=Predicate(build_definition=definition, run_details=details, covey_release=record),
    )


def encode(provenance: Provenance) -> bytes:
    """The one spelling of `provenance.json` (RFC 8785).

    Raises:
        PackageError: No reader would accept it; says which field.
    """
    data = rfc8785.dumps(msgspec.to_builtins(provenance))
    decode(data)
    return data


def decode(data: bytes) -> Provenance:
    """Read `provenance.json` strictly. Whether it is true is `covey.package.provenance`'s.

    Raises:
        PackageError: Too large, malformed, not in its one spelling, or SLSA's fields say another thing than
            our own record.
    """
    if len(data) > MAX_PROVENANCE:
        raise PackageError(f"{PROVENANCE}: {len(data)} bytes, at most {MAX_PROVENANCE}")
    try:
        found = msgspec.json.decode(data, type=Provenance)
        again = rfc8785.dumps(msgspec.to_builtins(provenance_of(found.subjects, found.record)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, rfc8785.CanonicalizationError) as error:
        raise PackageError(f"{PROVENANCE}: {error}", hint="build the release again") from error
    if again != data:
        raise PackageError(
            f"{PROVENANCE}: not in canonical form (RFC 8785), or at odds with itself",
            hint="build the release again",
        )
    return found


def _dependencies(record: Record) -> list[Resource]:
    """What went into it that has a digest."""
    found = []
    if record.parent is not None:
        found.append(_resource(f"parent {record.parent.name} {record.parent.version}", record.parent.sha256))
    if record.policy is not None:
        found.append(_resource("policy", record.policy))
    if record.code.commit is not None:
        found.append(Resource(name="covey", digest=Digest(git_commit=record.code.commit)))
    return found


def _resource(name: str, sha256: str) -> Resource:
    return Resource(name=name, digest=Digest(sha256=sha256))
