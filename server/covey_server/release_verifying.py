"""Whether a release is signed, made as it says, and within what a policy allows: all of it offline."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from covey.errors import ConfigError, CoveyError, InputError, PackageError, ProtocolError
from covey.ledger.checkpoint import LogTrust
from covey.ledger.note import Verifier, parse, read_vkey
from covey.package.names import PROVENANCE
from covey.package.provenance import Record, check_provenance, read_provenance
from covey.package.verify import Package
from covey.package.verify import verify as verify_files
from covey.policy import reading
from covey.policy.signed import MAX_BYTES, Reviewers, open_policy
from covey.policy.terms import Policy
from covey_io.input_files import unreadable
from covey_io.packages import read_package, read_public_key


@dataclass(frozen=True)
class Trusted:
    """What a person named; each may be missing but the key.

    Attributes:
        key: The publisher's public key, a file.
        policy: The policy, a file: the signed note or the TOML.
        reviewers: Verifier keys of reviewers, or files with one: the policy must then be signed.
        log: The verifier key of the ledger, or its file; None to take the policy's.
        witnesses: Verifier keys of witnesses, or files.
        cosignatures: Of so many of them; None for all.
    """

    key: Path
    policy: Path | None = None
    reviewers: Sequence[str] = ()
    log: str | None = None
    witnesses: Sequence[str] = ()
    cosignatures: int | None = None


@dataclass(frozen=True)
class Verified:
    """A release that was verified.

    Attributes:
        package: Its content.
        record: How it was made, checked; None where nothing was named to check it by.
        policy: What its ε was held to; None without one.
    """

    package: Package
    record: Record | None
    policy: Policy | None


def verify_release(file: Path, trusted: Trusted) -> Verified:
    """Verify a release.

    Raises:
        PackageError: It is not what it should be.
        ProtocolError: The policy is not signed as it should be.
        InputError: Something that was named cannot be used.
    """
    key = read_public_key(trusted.key)
    policy = None if trusted.policy is None else _policy(trusted.policy, trusted.reviewers)
    if policy is None and trusted.reviewers:
        raise InputError("reviewers sign a policy, and none is named", hint="add --policy FILE")
    trust = _trust(trusted, policy)
    package = verify_files(read_package(file), key)
    if trust is None:
        return Verified(package, None, None)
    found = read_provenance(package)
    if found is None:
        raise PackageError(
            f"{PROVENANCE} is missing: nothing shows what paid for this release",
            hint="ask its publisher for one that covey release build made",
        )
    check_provenance(package, found, policy, trust)
    return Verified(package, found.record, policy)


def _policy(path: Path, reviewers: Sequence[str]) -> Policy:
    data = _read(path)
    if reviewers:
        keys = Reviewers(tuple(_verifier(each) for each in reviewers))
        return open_policy(data, keys, blame="operator").policy
    try:
        text = parse(data, blame="local").text
    except ProtocolError:
        text = _text(path, data)
    return reading.parse(text, str(path))


def _trust(trusted: Trusted, policy: Policy | None) -> LogTrust | None:
    if trusted.log is None:
        if trusted.witnesses:
            raise InputError("witnesses watch a log, and none is named", hint="add --log VKEY, or --policy")
        return None if policy is None else policy.log_trust()
    log = _verifier(trusted.log)
    witnesses = tuple(_verifier(each) for each in trusted.witnesses)
    asked = len(witnesses) if trusted.cosignatures is None else trusted.cosignatures
    return LogTrust(log.name, log, witnesses, asked)


def _verifier(given: str) -> Verifier:
    """A verifier key, as given or from its file."""
    path = Path(given)
    text = given
    if "+" not in given or path.is_file():
        text = _text(path, _read(path)).strip()
    try:
        return read_vkey(text)
    except CoveyError as error:
        raise InputError(f"{given}: {error.message}", hint=error.hint) from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{path} is longer than such a file may be", hint=f"at most {MAX_BYTES:,} bytes")
    return data


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "", "not UTF-8 text") from error
