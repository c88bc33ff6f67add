"""A Flower Grid whose nodes are in this process: the real ServerApp code, the real ClientApp, no network.

Flower's own simulation runs on Ray and costs ten times as much per message; see docs/adr.
"""

import copy
from collections.abc import Collection, Iterable

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

SERVER = 1  # the server's node id; Flower uses the same


class InProcessGrid(Grid):
    """Delivers each message by calling the ClientApp, in the order of sending.

    Args:
        client_app: Answers for every node; tells them apart by `context.node_id`.
        nodes: Node ids, other than 1; a range costs nothing, however long.
        run_id: Of this run. One run at a time a process: Flower keeps the identity of the running task in
            a global.
    """

    def __init__(self, client_app: ClientApp, nodes: Collection[int], run_id: int = 1) -> None:
        TaskIdentity.run_id = run_id
        TaskIdentity.node_id = SERVER
        TaskIdentity.task_id = SERVER
        self._app = client_app
        self._nodes = nodes
        self._contexts: dict[int, Context] = {}
        self._run = Run.create_empty(run_id)
        self._replies: dict[str, Message] = {}
        self._sent = 0

    def set_run(self, run: Run) -> None:
        """Name the run."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run."""
        return self._run

    def get_node_ids(self) -> Iterable[int]:
        """All nodes; they are always connected."""
        return self._nodes

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A message of this run."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Deliver at once; the replies wait for `pull_messages`."""
        identifiers = []
        for message in messages:
            identifier = f"m{self._sent}"
            self._sent += 1
            self._replies[identifier] = self._deliver(message, identifier)
            identifiers.append(identifier)
        return identifiers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies to the messages named, each once."""
        return [self._replies.pop(identifier) for identifier in message_ids if identifier in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """All replies; nothing here waits, so `timeout` has no effect."""
        del timeout
        return self.pull_messages(self.push_messages(messages))

    def _deliver(self, message: Message, identifier: str) -> Message:
        """Call the app as a node would: on a copy of its own, with an exception answered by an error."""
        received = copy.deepcopy(message)
        received.metadata.__dict__["_message_id"] = identifier  # as Flower's SuperLink does
        try:
            return self._app(received, self._context(message.metadata.dst_node_id))
        except Exception as error:  # noqa: BLE001 - the boundary at which a node's failure becomes a reply
            reason = f"{type(error).__name__}: {error}"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=received)

    def _context(self, node: int) -> Context:
        """A node's own, made when it is first asked."""
        if node not in self._nodes:
            raise KeyError(node)
        if node not in self._contexts:
            self._contexts[node] = Context(self._run.run_id, node, {}, RecordDict(), {})
        return self._contexts[node]
