"""A fleet's TUF repository with every key at hand, a clock that a test sets, and a server for the files."""

import functools
import hashlib
import shutil
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from covey.ledger.note import Ed25519Signer, signed
from covey.rollout import instruction as instructions
from covey.rollout.instruction import Instruction
from covey.rollout.plan import Image, Ring, RolloutPlan, to_text
from covey_client.repository import Repository
from covey_client.repository_http import Patience
from covey_io.tuf_metadata import CryptoSigner, Signer, SSlibKey
from covey_server import tuf_ceremony, tuf_repository
from covey_server.key_files import new_p256
from covey_server.tuf_publishing import Outcome
from covey_server.tuf_roles import DELEGATED, NAME, ONLINE, ROOT, ROOT_KEYS, TARGETS, Holders
from http_thread import in_a_thread

DAY = 86_400
ARCHIVE = bytes(range(256)) * 400
PEOPLE = Ed25519Signer("anna", b"a" * 32)
PATIENCE = Patience(silence=5, grace=10)


def new_signer(name: str, *, ed25519: bool = False) -> CryptoSigner:
    key = Ed25519PrivateKey.generate() if ed25519 else new_p256()
    public = SSlibKey.from_crypto(key.public_key())
    public.unrecognized_fields[NAME] = name
    return CryptoSigner(key, public)


@dataclass
class World:
    """See the module."""

    folder: Path
    at: float = field(default_factory=time.time)
    keys: dict[str, CryptoSigner] = field(default_factory=dict)

    @property
    def repo(self) -> Path:
        return self.folder / "repo"

    def now(self) -> float:
        return self.at

    def signers(self, *names: str) -> list[Signer]:
        return [self.keys[name] for name in names or self.keys]

    @property
    def online(self) -> list[Signer]:
        return self.signers(*ONLINE)

    @property
    def root(self) -> bytes:
        return (self.repo / "metadata/1.root.json").read_bytes()

    def holders(self) -> dict[str, Holders]:
        single = {
            role: Holders((self.keys[role].public_key,))
            for role in (*DELEGATED, TARGETS, "snapshot", "timestamp")
        }
        return {ROOT: Holders(tuple(self.keys[name].public_key for name in ROOT_KEYS), 2), **single}

    def image(self, version: str, generation: int, archive: bytes = ARCHIVE, name: str = "motion") -> Image:
        return Image(
            name=name,
            version=version,
            generation=generation,
            target=f"models/{name}/{version}.covey",
            sha256=hashlib.sha256(archive).hexdigest(),
            bytes=len(archive),
        )

    def publish(self, version: str, generation: int, floor: int = 1, archive: bytes = ARCHIVE) -> Image:
        image = self.image(version, generation, archive)
        outcome = tuf_repository.publish_model(
            self.repo, archive, image, floor, self.signers("models", *ONLINE), now=self.now
        )
        assert outcome.published, outcome
        return image

    def instruct(self, serial: int, image: Image, *signers: Signer) -> bytes:
        data = instruction(serial, image)
        found = tuf_repository.publish_instruction(self.repo, data, signers or self.online, now=self.now)
        assert found.published, found
        return data

    def refresh(self) -> None:
        assert tuf_repository.refresh(self.repo, self.online, now=self.now).published

    def rotate(self, *roles: str, without_old: bool = False) -> Outcome:
        """Exchange the keys of roles, signed by everybody, or by everybody but the old keys' holders."""
        new = {role: new_signer(f"{role}-new") for role in roles}
        others = [key for name, key in self.keys.items() if not without_old or name not in roles]
        public = {role: each.public_key for role, each in new.items()}
        found = tuf_ceremony.rotate(self.repo, public, [*others, *new.values()], now=self.now)
        self.keys.update(new)
        return found

    def device(self, address: str | None = None, **options: Any) -> Repository:
        """A device with a cache of its own, that keeps between calls of one name."""
        cache = self.folder / options.pop("cache", "device")
        return Repository(
            options.pop("root", self.root),
            cache,
            address or str(self.repo),
            options.pop("now", self.now),
            patience=options.pop("patience", PATIENCE),
            **options,
        )


def instruction(serial: int, image: Image) -> bytes:
    plan = RolloutPlan(
        fleet="lab",
        rollout=f"r{serial}",
        image=image,
        fallback=None,
        rings=(Ring(name="all", share=10_000),),
    )
    note = signed(to_text(plan), PEOPLE).decode()
    return instructions.to_bytes(
        Instruction(fleet="lab", serial=serial, plan=note, opened=1, state="running")
    )


def made_world(folder: Path) -> World:
    """A repository that was begun with all keys, and holds no release yet."""
    world = World(folder)
    for name in (*ROOT_KEYS, TARGETS, "models", *ONLINE):
        world.keys[name] = new_signer(name)
    for name in ("policy", "roster"):
        world.keys[name] = new_signer(name, ed25519=True)
    assert tuf_ceremony.init(world.repo, world.holders(), world.signers(), now=world.now).published
    return world


def copied(world: World, folder: Path) -> World:
    """The same fleet in another folder, to change."""
    other = World(folder, world.at, dict(world.keys))
    shutil.copytree(world.repo, other.repo)
    return other


class Handler(SimpleHTTPRequestHandler):
    """Static files with one connection for many requests, and a log of what was asked."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        asked: list[tuple[str, str]] = self.server.asked  # type: ignore[attr-defined]
        asked.append((self.path, self.headers.get("Range", "")))
        self.answer()

    def answer(self) -> None:
        """For a handler that answers otherwise."""
        super().do_GET()


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    asked: list[tuple[str, str]]

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is no fault of the server."""


@contextmanager
def served(
    folder: Path,
    handler: type[SimpleHTTPRequestHandler] = Handler,
    certificate: tuple[Path, Path] | None = None,
) -> Iterator[tuple[str, list[Any]]]:
    """Address of a web server over a folder, and what it is asked, as (path, range)."""
    server = QuietServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    server.asked = []
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with in_a_thread(server):
        scheme = "http" if certificate is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}", server.asked
