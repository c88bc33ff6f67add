"""Asking a witness: in a folder, over HTTP, and one that answers nonsense."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from covey.errors import CoveyError, InputError, StateError
from covey.ledger.checkpoint import LogTrust, cosignatures_in, open_checkpoint, with_cosignatures
from covey.ledger.witness import MAX_REQUEST_BYTES
from covey_io import witness_server
from covey_io.witness_client import MAX_ANSWER_BYTES, Answer, Conflict, HttpWitness, LocalWitness, Witness
from covey_io.witness_server import WitnessServer
from covey_io.witness_store import WitnessFolder
from http_thread import in_a_thread
from witnessed_log import FORK, HISTORY, LOG, ORIGIN, asked, signed


@dataclass
class Running:
    """A witness's server in a thread."""

    server: WitnessServer
    said: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def post(self, body: bytes, path: str = "/add-checkpoint") -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("POST", path, body)
            response = connection.getresponse()
            return response.status, response.headers["Content-Type"], response.read()
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        """What the server answers to bytes, until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            received = b""
            while piece := connection.recv(4096):
                received += piece
            return received


@contextmanager
def running(folder: WitnessFolder, host: str = "127.0.0.1") -> Iterator[Running]:
    said: list[str] = []
    server = WitnessServer(folder, host, 0, said.append)
    with in_a_thread(server):
        yield Running(server, said)


@pytest.fixture
def folder(tmp_path: Path) -> WitnessFolder:
    return WitnessFolder.make(tmp_path / "witness", "w.example", (LOG.verifier,))


@pytest.fixture
def served(folder: WitnessFolder) -> Iterator[Running]:
    with running(folder) as server:
        yield server


@pytest.fixture(params=["folder", "http"])
def witness(request: pytest.FixtureRequest, folder: WitnessFolder) -> Witness:
    if request.param == "folder":
        return LocalWitness(folder.folder)
    served: Running = request.getfixturevalue("served")
    return HttpWitness(served.server.url)


def ask(witness: Witness, old: int, new: int, history: object = HISTORY) -> Answer:
    chosen = FORK if history is FORK else HISTORY
    return witness.cosign(old, chosen.consistency(old, new), signed(new, chosen))


def trust(folder: WitnessFolder) -> LogTrust:
    return LogTrust(ORIGIN, LOG.verifier, (folder.key.verifier,), 1)


def test_a_growing_log_gets_cosignatures_that_open(witness: Witness, folder: WitnessFolder) -> None:
    before = int(time.time())
    for old, new in ((0, 1), (1, 7), (7, 50)):
        answer = ask(witness, old, new)
        assert isinstance(answer, str)
        lines = cosignatures_in(answer, signed(new), trust(folder).witnesses)
        opened = open_checkpoint(with_cosignatures(signed(new), lines), trust(folder), blame="server")
        assert opened.checkpoint.size == new
        assert before <= opened.time <= time.time()
        assert witness.latest(ORIGIN) == opened.note


def test_nothing_is_the_latest_of_an_unknown_log(witness: Witness) -> None:
    assert witness.latest("example.com/other log?&=ü") is None
    assert witness.latest(ORIGIN) is None


def test_a_witness_that_saw_more_says_how_much(witness: Witness) -> None:
    ask(witness, 0, 7)
    assert ask(witness, 0, 20) == Conflict(7)
    assert ask(witness, 3, 3) == Conflict(7)


def test_a_fork_is_an_error_that_no_asking_again_mends(witness: Witness) -> None:
    ask(witness, 0, 20)
    with pytest.raises(StateError, match="another log of 20 entries under this name: a fork") as caught:
        ask(witness, 20, 20, FORK)
    assert caught.value.hint
    with pytest.raises(StateError, match="does not continue what the witness saw of it: 30 leaves") as caught:
        ask(witness, 20, 30, FORK)
    assert caught.value.hint


def test_a_refusal_says_what_to_do(witness: Witness) -> None:
    with pytest.raises(CoveyError, match=r"refused \(403\): .*does not hold") as caught:
        witness.cosign(0, (), signed(3).replace(b"\n3\n", b"\n4\n"))
    assert caught.value.hint
    with pytest.raises(CoveyError, match=r"refused \(404\): no log 'example.com/other'") as caught:
        witness.cosign(0, (), signed(3).replace(ORIGIN.encode(), b"example.com/other"))
    assert "covey witness add-log" in caught.value.hint
    with pytest.raises(CoveyError, match=r"refused \(400\)") as caught:
        witness.cosign(0, (), b"no note")
    assert "versions" in caught.value.hint


def test_a_log_that_is_added_is_cosigned_at_once(witness: Witness, folder: WitnessFolder) -> None:
    (folder.folder / "logs").write_text("")
    with pytest.raises(CoveyError, match="404"):
        ask(witness, 0, 3)
    folder.add_log(LOG.verifier)
    assert isinstance(ask(witness, 0, 3), str)


# What goes over the line.


def test_answers_are_as_the_specification_has_them(served: Running) -> None:
    status, kind, body = served.post(asked(0, 7))
    assert (status, kind) == (200, "text/plain; charset=utf-8")
    assert body.decode().startswith("— w.example ")
    assert body.endswith(b"\n")
    assert served.post(asked(0, 20)) == (409, "text/x.tlog.size", b"7\n")
    assert served.said == [
        f"cosigned {ORIGIN} at 7 entries",
        "refused (409): 7 leaves were seen, not 0",
    ]


def test_one_connection_serves_many_requests(served: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    try:
        for old, new in ((0, 1), (1, 2), (2, 3)):
            connection.request("POST", "/add-checkpoint", asked(old, new))
            response = connection.getresponse()
            assert (response.status, response.getheader("Connection")) == (200, None)
            response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /add-checkpoint HTTP/1.1\r\n\r\n", b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_REQUEST_BYTES + 1), b"413"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"413"),
        (b"POST /elsewhere HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"404"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /latest HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /latest?origin=a&origin=b HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /latest?origin=%FF HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /../witness.key HTTP/1.1\r\n\r\n", b"404"),
        (b"PUT /add-checkpoint HTTP/1.1\r\n\r\n", b"501"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
)
def test_other_requests_are_refused(served: Running, head: bytes, status: bytes) -> None:
    answer = served.raw(head)
    # to a line that is no HTTP, http.server answers with a page and without a head
    assert answer.split(b" ", 2)[1] == status or b"Error code: " + status in answer
    assert b"Traceback" not in answer
    assert b"Python" not in answer
    assert served.post(asked(0, 1))[0] == 200  # and it goes on


def test_a_caller_that_hangs_up_asks_for_nothing(served: Running, folder: WitnessFolder) -> None:
    body = asked(0, 7)
    half = b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (len(body) + 1) + body
    assert served.raw(half) == b""
    assert folder.latest(ORIGIN) is None


def test_a_caller_that_does_not_wait_is_no_trouble(served: Running, folder: WitnessFolder) -> None:
    body = asked(0, 7)
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=10)
    connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    connection.close()
    deadline = time.monotonic() + 20
    while folder.latest(ORIGIN) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert served.post(asked(7, 8))[0] == 200
    assert not [line for line in served.said if "unexpected" in line]


def test_a_silent_caller_is_cut_off(folder: WitnessFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness_server._Handler, "timeout", 0.1)
    with (
        running(folder) as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=10) as silent,
    ):
        assert silent.recv(1) == b""


def test_there_is_room_for_so_many_connections_only(
    folder: WitnessFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_server, "MOST_CONNECTIONS", 2)
    with running(folder) as served:
        held = [socket.create_connection(("127.0.0.1", served.port), timeout=10) for _ in range(2)]
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as third:
            assert third.recv(1) == b""
        for each in held:
            each.close()
        deadline = time.monotonic() + 20
        while True:  # their threads end in a moment
            try:
                assert served.post(asked(0, 1))[0] == 200
                break
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < deadline
                time.sleep(0.01)


def test_a_damaged_memory_is_told_to_the_owner_not_to_the_caller(
    served: Running, folder: WitnessFolder
) -> None:
    path = next((folder.folder / "latest").iterdir())
    path.write_bytes(b"")
    status, _, body = served.post(asked(0, 1))
    assert (status, body) == (500, b"the witness cannot answer\n")
    assert str(path) in served.said[-1]
    with pytest.raises(CoveyError, match=r"refused \(500\)") as caught:
        HttpWitness(served.server.url).latest(ORIGIN)
    assert "owner" in caught.value.hint


def test_a_disk_that_fails_cosigns_nothing(served: Running, folder: WitnessFolder) -> None:
    path = next((folder.folder / "latest").iterdir())
    blocked = path.with_name(f".{path.name}.tmp")
    blocked.mkdir()
    assert served.post(asked(0, 1))[0] == 500
    blocked.rmdir()
    assert served.post(asked(0, 1))[0] == 200


def test_a_stranger_does_not_drive_the_owners_terminal(served: Running) -> None:
    status, _, _ = served.post(asked(0, 1).replace(ORIGIN.encode(), "evil\u009b2J\u202e".encode()))
    assert status == 404
    assert all(char.isprintable() for line in served.said for char in line)


def test_it_listens_on_addresses_of_both_kinds(folder: WitnessFolder) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with running(folder, "::1") as served:
        assert isinstance(ask(HttpWitness(served.server.url), 0, 1), str)


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_an_address_that_cannot_be_listened_on_is_said(folder: WitnessFolder, host: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(InputError, match="cannot listen on") as caught,
    ):
        WitnessServer(folder, host, taken.getsockname()[1], print)
    assert "--port" in caught.value.hint


# A witness that is none.


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that says the same to everybody, once."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(10)
                received = b""
                while not received.endswith(b"\n") or b"\r\n\r\n" not in received:
                    received += connection.recv(65536)
                try:
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/prefix/"
        thread.join()


def http_answer(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d Status\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"", "no answer from the witness"),
        (b"SSH-2.0-something\r\n", "no answer from the witness"),
        (http_answer(200, b"x" * (MAX_ANSWER_BYTES + 1)), "more than"),
        (http_answer(409, b""), r"refused \(409\)"),
        (http_answer(409, b"seven\n"), r"refused \(409\)"),
        (http_answer(409, b"07\n"), r"refused \(409\)"),
        (http_answer(409, b"\xff\n"), r"refused \(409\)"),
        (http_answer(302, b""), r"refused \(302\)"),
        (http_answer(599, b"\x1b[2Jhello\n"), r"refused \(599\): \[2Jhello"),
    ],
)
def test_an_answer_that_is_none_is_an_error_in_one_line(answer: bytes, fault: str) -> None:
    with answering(answer) as url, pytest.raises(CoveyError, match=fault) as caught:
        ask(HttpWitness(url, timeout=10), 0, 3)
    assert caught.value.hint
    assert str(caught.value).isprintable()


def test_an_answer_that_is_no_text_is_left_to_the_check_of_its_lines() -> None:
    with answering(http_answer(200, b"\xff")) as url:
        assert ask(HttpWitness(url, timeout=10), 0, 3) == "\N{REPLACEMENT CHARACTER}"


def test_a_latest_checkpoint_is_not_without_end() -> None:
    with (
        answering(http_answer(200, b"x" * ((1 << 20) + 1))) as url,
        pytest.raises(CoveyError, match="more than"),
    ):
        HttpWitness(url, timeout=10).latest(ORIGIN)


def test_a_witness_that_is_silent_or_not_there_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(CoveyError, match="no answer from the witness: timed out"):
            ask(HttpWitness(url, timeout=0.05), 0, 3)
    with pytest.raises(CoveyError, match="no answer from the witness: Connection refused") as caught:
        ask(HttpWitness(url), 0, 3)
    assert "covey witness serve" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "witness.example",
        "ftp://witness.example",
        "https://",
        "http://host:port",
        "http://host:99999",
        "http://host:0",
        "http://host/?query",
        "http://host/#part",
        "http://user:password@host/",
        "http://hôst/",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="no witness's address") as caught:
        HttpWitness(url)
    assert "https://HOST" in caught.value.hint
