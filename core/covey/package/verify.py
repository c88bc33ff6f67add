"""The two ways in: a publisher signs a package, everyone else verifies it.

`verify` is an allow-list: it accepts exactly the files that were signed, each unchanged, and `model.sig`.
The upstream tool skips `.git*`, so that a file added as `.git/hook` still verifies there; not here.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from covey.errors import PackageError
from covey.package import contents, signature
from covey.package.contents import Contents
from covey.package.keys import fingerprint, load_private_key, load_public_key
from covey.package.manifest import differences
from covey.package.names import SIGNATURE, check_sizes


@dataclass(frozen=True)
class Package(Contents):
    """A verified package. The only way to get one is `verify`.

    Attributes:
        fingerprint: The key that signed it: SHA-256 of its public half in PEM, in hexadecimal.
    """

    fingerprint: str


def sign_package(files: Mapping[str, bytes], private_key_pem: bytes) -> dict[str, bytes]:
    """Sign the files of a package.

    Args:
        files: From `covey.package.contents.assemble`. A signature among them is replaced.
        private_key_pem: The publisher's key, ECDSA P-256.

    Returns:
        The files and `model.sig`: the same bytes for the same files and key.

    Raises:
        PackageError: The files are not a package; nothing malformed gets signed.
        InputError: The key cannot be used.
    """
    key = load_private_key(private_key_pem)
    unsigned = {name: content for name, content in files.items() if name != SIGNATURE}
    manifest = contents.read(unsigned).manifest
    return {**unsigned, SIGNATURE: signature.sign(manifest.name, _digests(unsigned), key)}


def verify(files: Mapping[str, bytes], public_key_pem: bytes) -> Package:
    """Verify the files of a package.

    Args:
        files: Every file there is, by name, `model.sig` among them.
        public_key_pem: The key that is trusted to publish, ECDSA P-256.

    Raises:
        PackageError: Not signed by this key, or a file was changed, added, removed, cut or renamed; the
            message names it and says which.
        InputError: The key cannot be used.
    """
    key = load_public_key(public_key_pem)
    check_sizes((name, len(content)) for name, content in files.items())
    if SIGNATURE not in files:
        raise PackageError(f"{SIGNATURE} is missing: the package is not signed", hint="ask its publisher")
    signed = signature.verify(files[SIGNATURE], key)
    found = _digests({name: content for name, content in files.items() if name != SIGNATURE})
    if problems := differences(signed, found, where="signed"):
        raise PackageError(problems, hint="fetch the package again from its publisher")
    read = contents.read(files)
    return Package(read.manifest, read.files, read.preprocessing, read.golden, fingerprint(key))


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
