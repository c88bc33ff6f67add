"""A data file that an installed package carries: found without an import, and held to its digest."""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from covey.errors import DataError


@dataclass(frozen=True)
class CarriedFile:
    """A file inside a package.

    Attributes:
        what: The data, as in "the wrist data".
        package: By its import name.
        inside: The file's path below the package.
        release: Package and version whose file is expected.
        sha256: Of the file, hexadecimal.
        provider: What to do where it is missing.
    """

    what: str
    package: str
    inside: str
    release: str
    sha256: str
    provider: str

    def path(self) -> Path:
        """Where the installed package keeps it.

        Raises:
            DataError: The package is not installed.
        """
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise DataError(
                f"{self.what} comes with the package {self.package}, which is missing", hint=self.provider
            )
        return Path(spec.submodule_search_locations[0]) / self.inside

    def read(self, path: Path, *, told: str = "", again: str = "") -> bytes:
        """The content of a file that must be this one.

        Args:
            path: The file.
            told: To be added where it is another.
            again: What to do then; empty for `provider`.

        Raises:
            DataError: It cannot be read, or is another.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}", hint=self.provider) from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise DataError(
                f"{path}: not the file that {self.release} carries: its SHA-256 differs{told}",
                hint=again or self.provider,
            )
        return content
