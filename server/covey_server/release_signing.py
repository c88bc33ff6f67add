"""Signing an archive with a key on disk."""

from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from covey.errors import InputError, PackageError
from covey.package.archive import pack
from covey.package.contents import MODELS, Contents, read
from covey.package.keys import fingerprint
from covey.package.names import PROVENANCE
from covey.package.provenance import read_provenance
from covey.package.verify import sign_package
from covey_io import durable
from covey_io.packages import read_package
from covey_server.key_files import Passphrase, read_p256


def sign_archive(path: Path, key: Path, secret: Passphrase) -> str:
    """Replace an archive by the same with a signature.

    Args:
        path: The archive.
        key: The private key's file, ECDSA P-256 in PEM.
        secret: Asked only if the key is encrypted.

    Returns:
        The key's fingerprint.

    Raises:
        InputError: No archive, or not such a key.
        PackageError: The files are no package, or its provenance is not of its models.
    """
    if not path.is_file():
        raise InputError(f"{path} is no archive", hint="name a .covey file")
    files = read_package(path)
    check_subjects(read(files))
    private = read_p256(key, secret)
    if not isinstance(private.curve, SECP256R1):
        raise InputError(f"{key}: a {private.curve.name} key cannot sign a package", hint="use one on P-256")
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    durable.replace(path, pack(sign_package(files, pem)))
    return fingerprint(private.public_key())


def check_subjects(package: Contents) -> None:
    """Refuse a provenance that is of other models, or of another release. Without one nothing is refused.

    Raises:
        PackageError: Says what does not fit.
    """
    found = read_provenance(package)
    if found is None:
        return
    manifest, record = package.manifest, found.record
    digests = {MODELS[each]: sha256(package.model(each)).hexdigest() for each in package.variants}
    if (record.name, record.version) != (manifest.name, manifest.version) or found.subjects != digests:
        raise PackageError(
            f"{PROVENANCE}: it is of another release or of other models", hint="build it again"
        )
