"""Private keys on disk: a passphrase when there is one, and no content in any message."""

from pathlib import Path

import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from covey.errors import InputError
from covey_server import key_files
from covey_server.key_files import (
    is_encrypted,
    new_p256,
    new_passphrase,
    passphrase,
    read_ed25519,
    read_p256,
    write_private,
)
from made_fleet import unasked

SECRET = "correct horse"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(key_files.ENVIRONMENT, raising=False)


@pytest.mark.parametrize("secret", [None, SECRET])
def test_keys_come_back(tmp_path: Path, secret: str | None) -> None:
    ed25519, p256 = Ed25519PrivateKey.generate(), new_p256()
    get = unasked if secret is None else (lambda: SECRET)
    for name, key in (("a", ed25519), ("b", p256)):
        write_private(tmp_path / "keys" / name, key, secret)
        assert (tmp_path / "keys" / name).stat().st_mode & 0o077 == 0
        assert is_encrypted((tmp_path / "keys" / name).read_bytes()) == (secret is not None)
    assert read_ed25519(tmp_path / "keys/a", get).private_bytes_raw() == ed25519.private_bytes_raw()
    assert read_p256(tmp_path / "keys/b", get).private_numbers() == p256.private_numbers()
    with pytest.raises(InputError, match="another kind"):
        read_p256(tmp_path / "keys/a", get)
    with pytest.raises(InputError, match="another kind"):
        read_ed25519(tmp_path / "keys/b", get)


def test_a_wrong_passphrase_is_said_and_shows_nothing(tmp_path: Path) -> None:
    write_private(tmp_path / "key", new_p256(), SECRET)
    with pytest.raises(InputError, match="not with this passphrase") as caught:
        read_p256(tmp_path / "key", lambda: "wrong-words")
    assert "wrong-words" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"secret-words", b"\xff", b"-----BEGIN PRIVATE KEY-----\nsecret-words\n"]
)
def test_what_is_no_key_is_said_and_not_shown(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "key").write_bytes(data)
    with pytest.raises(InputError, match="no private key in PEM") as caught:
        read_p256(tmp_path / "key", unasked)
    assert "secret-words" not in str(caught.value)
    with pytest.raises(InputError, match="FileNotFoundError"):
        read_p256(tmp_path / "missing", unasked)


class TestPassphrase:
    def test_it_comes_from_a_file_before_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("from a file\nsecond line\n")
        monkeypatch.setenv(key_files.ENVIRONMENT, "from the environment")
        for file, found in ((tmp_path / "file", "from a file"), (None, "from the environment")):
            assert passphrase(file)() == found
            assert new_passphrase(file, ask=True) == found

    def test_without_any_a_new_key_has_none_and_an_old_one_asks(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert new_passphrase(None, ask=False) is None
        with pytest.raises(InputError, match="nobody is there to ask") as caught:
            passphrase(None)()
        assert "--passphrase-file" in caught.value.hint
        with pytest.raises(InputError, match="nobody is there to ask"):
            new_passphrase(None, ask=True)
        asked: list[object] = []

        def prompt(*_: object, **options: object) -> str:
            asked.append(options)
            return SECRET

        monkeypatch.setattr(typer, "prompt", prompt)
        monkeypatch.setattr(key_files, "_check_someone", lambda: None)
        get = passphrase(None)
        assert get() == get() == SECRET
        assert new_passphrase(None, ask=True) == SECRET
        assert asked == [
            {"hide_input": True, "err": True},
            {"hide_input": True, "confirmation_prompt": True, "err": True},
        ]

    @pytest.mark.parametrize("text", ["", "\n", "short\n"])
    def test_one_that_protects_nothing_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "file").write_text(text)
        with pytest.raises(InputError):
            new_passphrase(tmp_path / "file", ask=False)
        with pytest.raises(InputError):
            new_passphrase(tmp_path / "missing", ask=False)
