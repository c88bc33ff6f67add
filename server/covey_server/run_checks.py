"""What is wrong with a federation, said before anything is started.

The same functions as the ServerApp's own check it: what passes here is not refused there, unless something
changed in between.
"""

from pathlib import Path

from flwr.app import Context, RecordDict

from covey.errors import InputError
from covey.policy.comparing_queries import query_differences
from covey.policy.reading import parse
from covey.policy.terms import Policy
from covey_io import settings
from covey_models.registry import find
from covey_server.app import log_of, protection_of
from covey_server.fleet_policy import drafted
from covey_server.server_file import ServerFile
from covey_server.settings import FederationFile
from covey_strategies.protection import Protection


def checked(path: Path, server: ServerFile) -> FederationFile:
    """A federation that this server can run.

    Args:
        path: Its file.
        server: The server's configuration.

    Raises:
        ConfigError: A key is wrong.
        InputError: The model, a key or the policy is missing, or the federation asks for more than the policy
            allows or for more devices than the roster has.
    """
    file = settings.load(path, FederationFile)
    find(file.model.name)
    context = Context(
        run_id=0,
        node_id=0,
        node_config={},
        state=RecordDict(),
        run_config={"federation": str(path), "runs": str(server.folder.runs), "operator": server.operator},
    )
    protected = protection_of(file, context)
    log_of(protected, context)
    _check_roster(file, protected)
    _check_policy(path, server, protected)
    return file


def _check_roster(file: FederationFile, protected: Protection) -> None:
    if protected.operator is None:
        return
    devices, wanted = len(protected.operator.roster.certificates), file.federation.minimum_devices
    if devices < wanted:
        raise InputError(
            f"the roster has {devices} devices, federation.minimum_devices is {wanted}",
            hint="admit more devices, or lower federation.minimum_devices",
        )


def _check_policy(path: Path, server: ServerFile, protected: Protection) -> None:
    """Compare what the federation asks with what the policy allows; what was asked before is not counted."""
    operator = protected.operator
    if operator is None or operator.policy is None:
        return
    agreed = operator.policy.policy
    for refused in beyond(agreed, _needed(path, server)):
        raise InputError(
            f"{path} asks for more than the policy allows: {refused}",
            hint=f"change it, or agree on a next policy: covey fleet policy {path} {server.operator} "
            f"--after {server.operator}/policy",
        )


def _needed(path: Path, server: ServerFile) -> Policy:
    text = drafted(
        path,
        Path(server.operator),
        purpose="compared",
        days=1,
        spare=0,
        rate_limit="none",
        after=None,
    )
    return parse(text, str(path))


def beyond(agreed: Policy, needed: Policy) -> tuple[str, ...]:
    """In what a federation's own policy is weaker than the one that is agreed on.

    How fast devices answer is left out: the federation waits as long as it must.
    """
    found = (each for each in query_differences(agreed, needed) if each.verdict == "weaker")
    return tuple(each.words for each in found if not each.key.endswith(".rate_limit"))
