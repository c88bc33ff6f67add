"""Over HTTP: servers that are slow, endless, cut off, or know no ranges; and good ones."""

import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from covey.errors import InputError
from covey.rollout.plan import Image
from covey_client.repository_http import Patience
from covey_client.source import SourceRefused, SourceUnreachable
from covey_server.fleet_keys import make_fleet
from tuf_world import ARCHIVE, Handler, World, made_world, served

HASTY = Patience(silence=0.5, grace=1, least_rate=200_000)
CUTS = [0, 1, 100, 4096, 65_535, 65_536, 65_537, len(ARCHIVE) - 1]


def unwatched(_there: int, _all: int) -> None:
    pass


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = made_world(tmp_path_factory.mktemp("world"))
    world.instruct(1, world.publish("1.0", 1))
    return world


@pytest.fixture
def image(made: World) -> Image:
    return made.image("1.0", 1)


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "part"
    assert len(list(tmp_path.iterdir())) <= 1


class Ranging(Handler):
    """As nginx: answers a range from its first byte to the end."""

    def answer(self) -> None:
        wanted = self.headers.get("Range")
        if not wanted:
            super().answer()
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206)
        self.send_header("Content-Range", self.content_range(start, len(content)))
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])

    def content_range(self, start: int, length: int) -> str:
        return f"bytes {start}-{length - 1}/{length}"


class OtherRange(Ranging):
    def content_range(self, _start: int, length: int) -> str:
        return f"bytes 7-{length - 1}/{length}"


def cutting(at: int) -> type[SimpleHTTPRequestHandler]:
    """Hangs up after so many bytes of a target, once; then as `Ranging`."""
    left = [at]

    class Cutting(Ranging):
        def answer(self) -> None:
            if "/models/" not in self.path or not left:
                super().answer()
                return
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: left.pop()])
            self.close_connection = True

    return Cutting


class TestCutOff:
    @pytest.mark.parametrize("at", CUTS)
    def test_what_came_is_kept_and_the_rest_is_asked_for(
        self, made: World, image: Image, part: Path, at: int
    ) -> None:
        with served(made.repo, cutting(at)) as (address, asked):
            device = made.device(address)
            with pytest.raises(SourceUnreachable):
                device.fetch(image, part, unwatched)
            assert part.stat().st_size == at
            device.fetch(image, part, unwatched)
            assert part.read_bytes() == ARCHIVE
            ranges = [wanted for path, wanted in asked if "/models/" in path]
            assert ranges == ["", f"bytes={at}-" if at else ""]

    def test_a_server_without_ranges(self, made: World, image: Image, part: Path) -> None:
        part.write_bytes(ARCHIVE[:1000])
        with served(made.repo) as (address, asked):
            made.device(address).fetch(image, part, unwatched)
            assert asked[-1][1] == "bytes=1000-"
        assert part.read_bytes() == ARCHIVE

    def test_another_range_than_asked(self, made: World, image: Image, part: Path) -> None:
        part.write_bytes(ARCHIVE[:1000])
        with served(made.repo, OtherRange) as (address, _), pytest.raises(SourceUnreachable):
            made.device(address).fetch(image, part, unwatched)
        assert part.read_bytes() == ARCHIVE[:1000]

    def test_chunked_answers(self, made: World, image: Image, part: Path) -> None:
        cut = [False]

        class Chunked(Handler):
            def answer(self) -> None:
                path = Path(self.translate_path(self.path))
                if not path.is_file():
                    super().answer()
                    return
                content = path.read_bytes()
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for start in range(0, len(content), 5000):
                    piece = content[start : start + 5000]
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                if cut[0]:
                    self.close_connection = True
                else:
                    self.wfile.write(b"0\r\n\r\n")

        with served(made.repo, Chunked) as (address, _):
            made.device(address, cache="chunked").fetch(image, part, unwatched)
            assert part.read_bytes() == ARCHIVE
            cut[0] = True
            with pytest.raises(SourceUnreachable):
                made.device(address, cache="chunked-too").check()


def endless(where: str, *, announced: bool) -> type[SimpleHTTPRequestHandler]:
    class Endless(Handler):
        def answer(self) -> None:
            if where not in self.path:
                super().answer()
                return
            self.send_response(200)
            if announced:
                self.send_header("Content-Length", str(1 << 40))
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(1 << 16))
            except OSError:
                self.close_connection = True

    return Endless


class TestEndless:
    @pytest.mark.parametrize("announced", [True, False])
    @pytest.mark.parametrize(
        "where", ["2.root.json", "timestamp.json", "snapshot.json", "models.json", "instruction.json"]
    )
    def test_metadata(self, made: World, tmp_path: Path, where: str, *, announced: bool) -> None:
        with served(made.repo, endless(where, announced=announced)) as (address, _):
            with pytest.raises(SourceRefused, match="more than"):
                made.device(address, cache=str(tmp_path / "c")).check()
            assert sum(path.stat().st_size for path in tmp_path.rglob("*")) < 1 << 20

    @pytest.mark.parametrize("announced", [True, False])
    def test_an_archive(self, made: World, image: Image, part: Path, *, announced: bool) -> None:
        with served(made.repo, endless("/models/", announced=announced)) as (address, _):
            with pytest.raises(SourceRefused, match="more than"):
                made.device(address).fetch(image, part, unwatched)
            assert not part.exists()


def slow(where: str, *, head: bool) -> type[SimpleHTTPRequestHandler]:
    """A byte every 50 ms: never silent, and never done."""

    class Slow(Handler):
        def answer(self) -> None:
            if where not in self.path:
                super().answer()
                return
            begin = b"HTTP/1.1 200 OK\r\nX: " if head else b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
            try:
                self.wfile.write(begin)
                for _ in range(200):
                    self.wfile.write(b"x")
                    time.sleep(0.05)
            except OSError:
                pass
            self.close_connection = True

    return Slow


class TestSlow:
    @pytest.mark.parametrize("head", [True, False])
    @pytest.mark.parametrize("where", ["timestamp.json", "/models/"])
    def test_a_trickle(self, made: World, image: Image, part: Path, where: str, *, head: bool) -> None:
        with served(made.repo, slow(where, head=head)) as (address, _):
            began = time.monotonic()
            with pytest.raises(SourceUnreachable, match="slow"):
                made.device(address, patience=HASTY).fetch(image, part, unwatched)
            assert time.monotonic() - began < 4

    def test_silence(self, made: World, image: Image, part: Path) -> None:
        class Silent(Handler):
            def answer(self) -> None:
                time.sleep(1.5)
                self.close_connection = True

        with served(made.repo, Silent) as (address, _), pytest.raises(SourceUnreachable, match="slow"):
            made.device(address, patience=HASTY).fetch(image, part, unwatched)

    def test_one_who_is_quick_enough(self, made: World, image: Image, part: Path) -> None:
        with served(made.repo) as (address, _):
            made.device(address, patience=HASTY).fetch(image, part, unwatched)


@pytest.mark.parametrize("status", [301, 302, 401, 404, 500, 503])
def test_a_status_is_no_file(made: World, tmp_path: Path, status: int) -> None:
    class Refusing(Handler):
        def answer(self) -> None:
            if self.path.endswith("timestamp.json"):
                self.send_response(status)
                self.send_header("Location", "/metadata/1.root.json")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            super().answer()

    with served(made.repo, Refusing) as (address, _), pytest.raises(SourceUnreachable, match=str(status)):
        made.device(address, cache=str(tmp_path / "c")).check()


def test_a_connection_that_was_closed_between_two_requests(made: World, tmp_path: Path) -> None:
    """A server may close one that is kept open, at any moment."""

    class Closing(Handler):
        def answer(self) -> None:
            super().answer()
            self.wfile.flush()
            self.close_connection = True  # without having said so

    with served(made.repo, Closing) as (address, _):
        assert made.device(address, cache=str(tmp_path / "c")).check()


def test_old_http(made: World, tmp_path: Path) -> None:
    class Old(Handler):
        protocol_version = "HTTP/1.0"

    with served(made.repo, Old) as (address, _):
        assert made.device(address, cache=str(tmp_path / "c")).check()


def test_no_nonsense(made: World, tmp_path: Path) -> None:
    class Nonsense(Handler):
        def answer(self) -> None:
            self.wfile.write(b"hello\r\n\r\n")
            self.close_connection = True

    class Portal(Handler):
        """Signs in to a wireless network."""

        def answer(self) -> None:
            page = b"<html>Welcome</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

    cases: tuple[tuple[type[Any], type[Exception]], ...] = (
        (Nonsense, SourceUnreachable),
        (Portal, SourceRefused),
    )
    for handler, expected in cases:
        with served(made.repo, handler) as (address, _), pytest.raises(expected):
            made.device(address, cache=str(tmp_path / "c")).check()


def test_encrypted_and_certified_by_the_fleet_s_own_authority(made: World, tmp_path: Path) -> None:
    for name in ("fleet", "other"):
        make_fleet(tmp_path / name, "lab", [], 30)
    operator = tmp_path / "fleet/operator"
    with served(made.repo, certificate=(operator / "tls.crt", operator / "tls.key")) as (address, asked):
        device = made.device(address, cache=str(tmp_path / "c"), ca=operator / "ca.crt")
        assert device.check()
        asked.clear()
        assert device.check()
        assert len(asked) == 2
        for ca in (tmp_path / "other/operator/ca.crt", None):
            with pytest.raises(SourceUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
                made.device(address, cache=str(tmp_path / "c"), ca=ca).check()
    with pytest.raises(InputError, match="No such file"):
        made.device(address, ca=tmp_path / "missing")
