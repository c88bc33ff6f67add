"""Takes a change of a TUF repository from a draft to what devices see, with whatever keys are at hand.

A draft that lacks signatures waits in REPO/staged; nobody ever needs all keys in one place. One that is
complete gets a new snapshot and timestamp, is tried by a client, and is written so that a device which asks
in the middle sees the old state or the new.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tuf.api.exceptions import UnsignedMetadataError

from covey.errors import InputError
from covey_io.tuf_metadata import Metadata, MetaFile, Role, Signer, Snapshot, Targets, Timestamp
from covey_server.tuf_dry_run import dry_run
from covey_server.tuf_files import METADATA, TARGET_FILES, AnyMetadata, Draft, Files
from covey_server.tuf_roles import DAYS, DELEGATED, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, TOP, called

PERIOD: Final = "x-covey-seconds"
"""In each role's metadata: for how long it is signed, so that who renews it need not be told again."""
DAY: Final = 86_400


@dataclass(frozen=True)
class Outcome:
    """What became of a change.

    Attributes:
        published: Whether devices see it. If not, it waits in REPO/staged.
        waiting: In plain words, what it still needs.
    """

    published: bool
    waiting: tuple[str, ...] = ()


def carry_out(  # noqa: PLR0913 - two have defaults
    files: Files,
    draft: Draft,
    signers: Sequence[Signer],
    now: float,
    *,
    staged: bool = False,
    keep: bool = True,
) -> Outcome:
    """Sign with what is at hand, then publish if that is enough, else keep the draft.

    Args:
        files: The repository, held by `locked`.
        draft: The change.
        signers: Each signs what its role lets it.
        now: Unix time, seconds.
        staged: Whether the draft is what waits already.
        keep: Whether a draft that lacks signatures is to wait for them.

    Raises:
        CoveyError: A device could not follow; nothing is published and nothing staged.
        InputError: Something else was published since the draft was made, or another change waits already.
    """
    _check_versions(files, draft)
    if not staged and ROOT in draft.metadata:
        _check_nothing_waits(files)
    for role, metadata in draft.metadata.items():
        _sign(metadata, signers, _eligible(files, draft, role))
    waiting = still_missing(files, draft)
    if not waiting:
        whole = _with_online(files, draft, signers, now)
        waiting = tuple(_waiting(files, whole, (SNAPSHOT, TIMESTAMP)))
        if not waiting:
            _publish(files, whole, now)
            return Outcome(published=True)
    if keep:
        if not staged:
            _check_nothing_waits(files)
        files.stage(draft)
    return Outcome(published=False, waiting=waiting)


def still_missing(files: Files, draft: Draft) -> tuple[str, ...]:
    """Which signatures a draft still needs, in plain words; snapshot and timestamp apart."""
    return tuple(_waiting(files, draft, draft.metadata))


def next_version(files: Files, role: str, now: float, hold: int | None = None) -> AnyMetadata:
    """A role's next version, unsigned; the first of a delegated role is empty.

    Args:
        files: The repository.
        role: Its name.
        now: Unix time, seconds.
        hold: It holds so many seconds this once; None for its usual time.
    """
    current = files.current(role)
    if current is None:
        return _renewed(Targets(), role, 1, now)
    signed = deepcopy(current.signed)
    return _renewed(signed, role, signed.version + 1, now, hold)


def first(signed: Any, role: str, now: float, seconds: int | None = None) -> AnyMetadata:
    """A role's first version, unsigned.

    Args:
        signed: Its content.
        role: Its name.
        now: Unix time, seconds.
        seconds: Holds so long; None for the usual time.
    """
    if seconds is not None:
        signed.unrecognized_fields[PERIOD] = seconds
    return _renewed(signed, role, 1, now)


def period(metadata: AnyMetadata, role: str) -> int:
    """Seconds for which a role is signed anew each time."""
    found = metadata.signed.unrecognized_fields.get(PERIOD)
    return found if isinstance(found, int) and found > 0 else DAYS[role] * DAY


def _renewed(signed: Any, role: str, version: int, now: float, hold: int | None = None) -> AnyMetadata:
    metadata = Metadata(signed)
    seconds = period(metadata, role)
    signed.unrecognized_fields[PERIOD] = seconds
    signed.version = version
    signed.expires = datetime.fromtimestamp(now, UTC) + timedelta(seconds=hold or seconds)
    return metadata


def _check_nothing_waits(files: Files) -> None:
    if files.staged() is not None:
        raise InputError(
            "another change waits for signatures already", hint="covey keys sign, or remove REPO/staged"
        )


def _check_versions(files: Files, draft: Draft) -> None:
    for role, metadata in draft.metadata.items():
        current = files.current(role)
        least = 0 if current is None else current.signed.version
        again = current is not None and current.to_bytes() == metadata.to_bytes()
        if metadata.signed.version != least + 1 and not again:
            raise InputError(
                f"{role} was prepared as version {metadata.signed.version}, and {least} is published",
                hint="remove REPO/staged and prepare the change again",
            )


def _with_online(files: Files, draft: Draft, signers: Sequence[Signer], now: float) -> Draft:
    """The draft with the snapshot that lists it and the timestamp that names the snapshot, signed."""
    whole = Draft(dict(draft.metadata), draft.targets)
    snapshot = _snapshot(files, draft, now)
    if not snapshot.signatures:
        whole.metadata[SNAPSHOT] = snapshot
        _sign(snapshot, signers, _eligible(files, whole, SNAPSHOT))
    timestamp = _next_timestamp(files, draft, snapshot, now)
    whole.metadata[TIMESTAMP] = timestamp
    _sign(timestamp, signers, _eligible(files, whole, TIMESTAMP))
    return whole


def _snapshot(files: Files, draft: Draft, now: float) -> AnyMetadata:
    """The next one, or the one that is published if it still says all, and long enough."""
    current = files.current(SNAPSHOT)
    if (
        current is not None
        and not (draft.metadata or draft.hold)
        and not is_half_over(current, SNAPSHOT, now)
    ):
        return current
    if current is None:
        made = first(Snapshot(), SNAPSHOT, now)
    else:
        made = next_version(files, SNAPSHOT, now, draft.hold)
    for role in (TARGETS, *DELEGATED):
        if role in draft.metadata:
            made.signed.meta[f"{role}.json"] = _meta(draft.metadata[role])
    return made


def _next_timestamp(files: Files, draft: Draft, snapshot: AnyMetadata, now: float) -> AnyMetadata:
    current = files.current(TIMESTAMP)
    if current is None:
        made = first(Timestamp(), TIMESTAMP, now)
    else:
        made = next_version(files, TIMESTAMP, now, draft.hold)
    made.signed.snapshot_meta = _meta(snapshot)
    return made


def _meta(metadata: AnyMetadata) -> MetaFile:
    """With length and digest: files of different states cannot be mixed, even by who signed them."""
    data = metadata.to_bytes()
    return MetaFile.from_data(metadata.signed.version, data, ["sha256"])


def is_half_over(metadata: AnyMetadata, role: str, now: float) -> bool:
    """Whether less than half of the time is left for which a role is signed each time."""
    return bool(metadata.signed.expires.timestamp() - now < period(metadata, role) / 2)


def _eligible(files: Files, draft: Draft, role: str) -> set[str]:
    """Whose signatures may count: under who delegates now, and under who will.

    While a key is exchanged, both sign: a device that knows one of the two follows.
    """
    delegators = (files.current(_delegator(role)), draft.metadata.get(_delegator(role)))
    return {key for each in delegators if each is not None for key in _role(each, role).keyids}


def _sign(metadata: AnyMetadata, signers: Sequence[Signer], eligible: set[str]) -> None:
    for signer in signers:
        key = signer.public_key.keyid
        if key in eligible and key not in metadata.signatures:
            metadata.sign(signer, append=True)


def _role(delegator: AnyMetadata, role: str) -> Role:
    try:
        found: Role = delegator.signed.get_delegated_role(role)
    except ValueError:
        return Role([], 1)
    return found


def _delegator(role: str) -> str:
    return ROOT if role in TOP else TARGETS


def _waiting(files: Files, draft: Draft, roles: Iterable[str]) -> Iterator[str]:
    for role in roles:
        metadata = draft.metadata.get(role)
        for delegator in _must_accept(files, draft, role):
            if metadata is not None and (missing := _missing(delegator, role, metadata)):
                yield missing
                break


def _must_accept(files: Files, draft: Draft, role: str) -> Iterator[AnyMetadata]:
    """Who must find enough signatures: who will delegate, and of a root the one before as well."""
    name = _delegator(role)
    yield draft.metadata.get(name) or files.needed(name)
    before = files.current(ROOT)
    if role == ROOT and before is not None:
        yield before


def _missing(delegator: AnyMetadata, role: str, metadata: AnyMetadata) -> str:
    signed = delegator.signed
    found = signed.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    if found.verified:
        return ""
    names = ", ".join(called(key) for key in found.unsigned.values())
    return f"{role}: {found.missing} more of {names}"


def _verifies(delegator: AnyMetadata, role: str, metadata: AnyMetadata) -> bool:
    try:
        delegator.signed.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError:
        return False
    return True


def _publish(files: Files, draft: Draft, now: float) -> None:
    content = {f"{METADATA}/{_file(role, each)}": each.to_bytes() for role, each in draft.metadata.items()}
    targets = {f"{TARGET_FILES}/{name}": data for name, data in draft.targets.items()}
    dry_run(files.repo, content | targets, now)
    if ROOT in draft.metadata:  # several files that hold only together: what is stopped can be finished
        own = {role: each for role, each in draft.metadata.items() if role not in (SNAPSHOT, TIMESTAMP)}
        files.stage(Draft(own, draft.targets))
    order = sorted(draft.metadata, key=_order(files, draft).index)
    for name, data in targets.items():
        files.write(name, data)
    for role in order:
        files.write(f"{METADATA}/{_file(role, draft.metadata[role])}", draft.metadata[role].to_bytes())
    if ROOT in draft.metadata:
        files.unstage()


def _file(role: str, metadata: AnyMetadata) -> str:
    return f"{TIMESTAMP}.json" if role == TIMESTAMP else f"{metadata.signed.version}.{role}.json"


def _order(files: Files, draft: Draft) -> tuple[str, ...]:
    """In which roles are written: nothing is named before it is there.

    A new root goes last if what is written before it also holds under the root before: then a device follows
    at any moment. Without the old key that cannot be; then root goes first, and a device that asks in the
    moment between two files asks again later.
    """
    before = files.current(ROOT)
    known = (TARGETS, SNAPSHOT, TIMESTAMP)
    smooth = before is not None and all(
        _verifies(before, role, draft.metadata[role]) for role in known if role in draft.metadata
    )
    versioned = (*DELEGATED, TARGETS, SNAPSHOT)
    return (*versioned, TIMESTAMP, ROOT) if smooth else (*versioned, ROOT, TIMESTAMP)
