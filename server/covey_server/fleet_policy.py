"""A draft of a fleet's policy, from the federation's file and the operator's folder."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from covey.errors import InputError, ProtocolError
from covey.identity import public_of
from covey.ledger.checkpoint import LogTrust
from covey.ledger.note import read_vkey
from covey.policy.signed import open_policy
from covey_io import settings
from covey_io.device_keys import read_reviewers
from covey_io.input_files import read_file
from covey_models.registry import find, from_file
from covey_server import algorithms
from covey_server.operator import HINT, read_operator, read_witnesses
from covey_server.policy_draft import Frame, draft
from covey_server.privacy import protection
from covey_server.settings import FederationFile


def drafted(  # noqa: PLR0913 - what a policy says beside what the federation asks
    federation: Path,
    folder: Path,
    *,
    purpose: str,
    days: int,
    spare: int,
    rate_limit: str,
    after: Path | None,
) -> str:
    """The draft's text.

    Args:
        federation: The federation's TOML.
        folder: The operator's.
        purpose: In words.
        days: The policy holds so long from today, UTC.
        spare: Sums of each kind more than a run asks.
        rate_limit: Of each kind of query.
        after: The signed policy that this one replaces.

    Raises:
        InputError: A file is missing or is not what it should be, or the federation adds no noise.
    """
    file = settings.load(federation, FederationFile)
    algorithms.check_fleet(file)
    operator = read_operator(folder, policy=False)
    model = from_file(Path(file.model.file)) if file.model.file else find(file.model.name)
    protected = protection(file, model, operator, seeded=False)
    reviewers = read_reviewers(folder / "reviewers.json")
    if reviewers is None:
        raise InputError(f"{folder / 'reviewers.json'} is missing", hint=HINT)
    serial, previous = (1, "")
    if after is not None:
        try:
            before = open_policy(read_file(after), reviewers, blame="local")
        except ProtocolError as error:
            raise InputError(f"{after}: {error.message}", hint=error.hint) from error
        serial, previous = before.policy.serial + 1, before.sha256
    today = datetime.now(UTC).date()
    frame = Frame(
        fleet=operator.roster.fleet,
        purpose=purpose,
        operator=public_of(operator.private).hex(),
        enrolment=(folder / "enrolment.pub").read_text("ascii").strip(),
        log=_trust(folder),
        valid_from=today.isoformat(),
        valid_until=(today + timedelta(days=days)).isoformat(),
        rate_limit=rate_limit,
        signatures=reviewers.threshold,
        simulation=operator.roster.simulation,
        serial=serial,
        previous=previous,
        spare=spare,
    )
    return draft(file, model, protected, len(operator.roster.certificates), frame)


def _trust(folder: Path) -> LogTrust:
    """The log's key, and every witness that has an address; one must cosign."""
    log = read_vkey(read_file(folder / "log.vkey").decode("utf-8", "replace").strip())
    witnesses = tuple(key for key, _ in read_witnesses(folder / "witnesses"))
    return LogTrust(log.name, log, witnesses, min(1, len(witnesses)))
