"""How a repository begins and how its keys are exchanged: by several people, each with their own key alone.

init      prepares root and delegations for the keys of a fleet
sign      each adds their signature; the last, who has the online keys, thereby publishes
rotate    prepares the exchange of a key; then sign as above
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from covey.errors import InputError
from covey.rollout.published import PATHS, ROLLOUT
from covey_io.tuf_metadata import DelegatedRole, Delegations, Key, Role, Root, Signer, Targets
from covey_server.tuf_files import Draft, Files
from covey_server.tuf_publishing import DAY, Outcome, carry_out, first, next_version
from covey_server.tuf_roles import DAYS, DELEGATED, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, TOP, Holders

Clock = Callable[[], float]
"""Unix time, seconds."""


def init(
    repo: Path,
    holders: Mapping[str, Holders],
    signers: Sequence[Signer] = (),
    *,
    days: Mapping[str, float] | None = None,
    now: Clock = time.time,
) -> Outcome:
    """Begin a repository: root, delegations, and a rollout role without an instruction.

    Args:
        repo: Its folder; made when it is not there.
        holders: Who holds each role; see `tuf_roles.holders_of`.
        signers: Keys at hand; none to only prepare.
        days: For how long roles are signed each time, where that is not the usual.
        now: The time.

    Raises:
        InputError: There is one already, or one is being prepared.
        CoveyError: A device could not follow.
    """
    files, seconds = (
        Files(repo),
        {role: int((days or {}).get(role, usual) * DAY) for role, usual in DAYS.items()},
    )
    with files.locked():
        if files.current(ROOT) is not None or files.staged() is not None:
            raise InputError(f"{repo} is there already", hint="see: covey keys status")
        at = now()
        draft = Draft(
            {
                ROOT: first(_root(holders), ROOT, at, seconds[ROOT]),
                TARGETS: first(_targets(holders), TARGETS, at, seconds[TARGETS]),
                ROLLOUT: first(Targets(), ROLLOUT, at, seconds[ROLLOUT]),
            }
        )
        return carry_out(files, draft, signers, at)


def sign(repo: Path, signers: Sequence[Signer], *, now: Clock = time.time) -> Outcome:
    """Add signatures to what waits, and publish it once it has enough, by whoever has the online keys.

    Raises:
        InputError: Nothing waits, or something else was published meanwhile.
        CoveyError: A device could not follow.
    """
    files = Files(repo)
    with files.locked():
        draft = files.staged()
        if draft is None:
            raise InputError(f"nothing in {repo} waits for a signature", hint="see: covey keys status")
        found = carry_out(files, draft, signers, now(), staged=True)
        if found.published:
            files.unstage()
        return found


def rotate(
    repo: Path,
    new: Mapping[str, Key],
    signers: Sequence[Signer],
    *,
    old: Key | None = None,
    now: Clock = time.time,
) -> Outcome:
    """Exchange keys: from the next version on, a role is signed by others.

    With the old key at hand too, both sign once, and no device is left behind for a moment. Without it (lost,
    or stolen: exchange snapshot, timestamp and rollout together) devices follow the root.

    Args:
        repo: The repository.
        new: The new public key by role.
        signers: Keys at hand: two roots, or for a delegated role targets; and the new key.
        old: Of a role with several keys, the one that goes.
        now: The time.

    Raises:
        InputError: No such role, several keys and no `old`, or another change is being prepared.
        CoveyError: A device could not follow.
    """
    files, at = Files(repo), now()
    with files.locked():
        if files.staged() is not None:
            raise InputError(
                "another change waits for signatures", hint="covey keys sign, or remove REPO/staged"
            )
        draft = Draft({})
        _check_roles(new)
        if set(new) & set(TOP):
            draft.metadata[ROOT] = next_version(files, ROOT, at)
        if set(new) & {TARGETS, *DELEGATED}:
            draft.metadata[TARGETS] = next_version(files, TARGETS, at)
        for role, key in new.items():
            _exchange(draft, role, key, old)
            if role in DELEGATED and files.current(role) is not None:
                draft.metadata[role] = next_version(files, role, at)
        return carry_out(files, draft, signers, at)


def renew(repo: Path, role: str, signers: Sequence[Signer], *, now: Clock = time.time) -> Outcome:
    """Sign a role anew as it is, before its time is over.

    Raises:
        InputError: No such role, or it has published nothing.
        CoveyError: A device could not follow.
    """
    files, at = Files(repo), now()
    with files.locked():
        files.needed(role)
        if role in {SNAPSHOT, TIMESTAMP}:
            return carry_out(files, Draft({}), signers, at)
        return carry_out(files, Draft({role: next_version(files, role, at)}), signers, at)


def _root(holders: Mapping[str, Holders]) -> Root:
    root = Root(consistent_snapshot=True)
    for role in TOP:
        for key in holders[role].keys:
            root.add_key(key, role)
        root.roles[role].threshold = holders[role].threshold
    return root


def _targets(holders: Mapping[str, Holders]) -> Targets:
    """Delegations that end the search: what one of them does not sign, nobody else may."""
    keys = {key.keyid: key for role in DELEGATED for key in holders[role].keys}
    roles = {
        role: DelegatedRole(
            role,
            [key.keyid for key in holders[role].keys],
            holders[role].threshold,
            terminating=True,
            paths=[path],
        )
        for role, path in PATHS.items()
    }
    return Targets(delegations=Delegations(keys, roles))


def _check_roles(named: Iterable[str]) -> None:
    for role in named:
        if role not in (*TOP, *DELEGATED):
            raise InputError(f"{role!r} is no role", hint=f"one of {', '.join((*TOP, *DELEGATED))}")


def _exchange(draft: Draft, role: str, key: Key, old: Key | None) -> None:
    delegator = draft.metadata[ROOT if role in TOP else TARGETS]
    held: Role = delegator.signed.get_delegated_role(role)
    delegator.signed.revoke_key(_leaving(held, role, old), role)
    delegator.signed.add_key(key, role)


def _leaving(held: Role, role: str, old: Key | None) -> str:
    if old is not None and old.keyid in held.keyids:
        return old.keyid
    if old is None and len(held.keyids) == 1:
        return held.keyids[0]
    raise InputError(
        f"which of the keys of {role} goes?", hint="name one of them: covey keys status shows them"
    )
