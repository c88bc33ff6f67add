"""What a reviewer without `covey[hsm]` is told."""

import sys
from pathlib import Path

import pytest

from covey.errors import InputError
from covey_audit.hsm import open_token


@pytest.mark.parametrize("module", ["pkcs11", "securesystemslib.signer"])
def test_an_extra_that_is_not_installed_is_named(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib.so").touch()
    monkeypatch.setenv("PYKCS11LIB", str(tmp_path / "lib.so"))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match="not installed") as caught:
        open_token("hsm:2", "privacy.example", lambda: "")
    assert caught.value.hint == "pip install 'covey[hsm]'"
