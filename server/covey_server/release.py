"""From trained parameters to a signed package, and its place in the ledger."""

from dataclasses import dataclass
from pathlib import Path

from covey.arrays import digest
from covey.examples import Standardise
from covey.package.archive import pack
from covey.package.contents import Draft, assemble
from covey.package.keys import load_private_key, new_signing_key, public_pem
from covey.package.verify import sign_package
from covey_io import durable
from covey_models.model import Model
from covey_server.book import RunBook
from covey_server.coordinator import Federated
from covey_server.run_folder import RunFolder
from covey_strategies.protection import Operator


@dataclass(frozen=True)
class Keys:
    """The key that signs releases, in PEM."""

    private: bytes
    public: bytes


def release_keys(folder: Path) -> Keys:
    """The signing key in `folder`, made there if there is none: release.pem (mode 0600), release.pub.pem.

    A private key that is there is kept, whoever put it there; its public half is derived from it.

    Raises:
        InputError: release.pem is not a key that can sign.
    """
    private, public = folder / "release.pem", folder / "release.pub.pem"
    if not private.exists():
        durable.make_folder(folder, mode=0o700)
        durable.replace(private, new_signing_key()[0], mode=0o600)
    shown = public_pem(load_private_key(private.read_bytes()).public_key())
    if not public.exists() or public.read_bytes() != shown:
        durable.replace(public, shown)
    return Keys(private.read_bytes(), shown)


def identity(model: Model) -> Standardise:
    """The scaling that changes nothing, for a federation that does not standardise."""
    channels = model.input_shape[0]
    return Standardise((0.0,) * channels, (1.0,) * channels)


def signed_package(draft: Draft, keys: Keys) -> bytes:
    """The archive that a device installs."""
    return pack(sign_package(assemble(draft), keys.private))


def enter_releases(
    book: RunBook, folder: RunFolder, federated: Federated, package: Path, operator: Operator | None
) -> None:
    """Write down what leaves the server's hands, before anybody is told of it.

    Args:
        book: The run's.
        folder: The run's, with its figures.
        federated: What was trained.
        package: The signed archive.
        operator: Under whose policy; None for a run without masks.
    """
    policy = None if operator is None or operator.policy is None else operator.policy.sha256
    book.release_metrics("metrics.csv", (folder.path / "metrics.csv").read_bytes())
    book.release_model(digest(federated.parameters), package.read_bytes(), policy)
