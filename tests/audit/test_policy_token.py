"""A policy signed by a key on a token, with SoftHSM as the token."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from covey.errors import InputError
from covey.ledger.note import ECDSA_P256, Verifier, read_vkey
from covey.policy.signed import Reviewers, open_policy
from covey_audit import policy_signing, reviewer_keys
from covey_audit.hsm import open_token
from covey_audit.policy_commands import policy
from policy_texts import policy_text

NOW = 1_800_000_000
PIN = "648219"
LIBRARIES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
LIBRARY = next((each for each in LIBRARIES if Path(each).is_file()), "")
NAME = "privacy.example"

pytestmark = pytest.mark.skipif(
    not LIBRARY or shutil.which("softhsm2-util") is None, reason="needs SoftHSM: apt install softhsm2"
)


@dataclass(frozen=True)
class Token:
    """A token with a P-256 key of id 2 and a P-384 key of id 3."""

    folder: Path

    @property
    def pin_file(self) -> str:
        return str(self.folder / "pin")


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Token]:
    """One for the process: the library reads its configuration once."""
    pkcs11 = pytest.importorskip("pkcs11", reason="needs covey[hsm]")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n", "utf-8")
    (folder / "pin").write_text(f"{PIN}\n", "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        patch.setenv("PYKCS11LIB", LIBRARY)
        for label in ("reviews", "spare"):
            _initialise(label)
        opened = pkcs11.lib(LIBRARY).get_token(token_label="reviews")
        with opened.open(rw=True, user_pin=PIN) as session:
            for identifier, curve in ((b"\2", "secp256r1"), (b"\3", "secp384r1")):
                _make_key(session, identifier, curve)
        yield Token(folder)


def _initialise(label: str) -> None:
    command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "1234", "--pin", PIN]
    subprocess.run(command, check=True, capture_output=True)


def _make_key(session: object, identifier: bytes, curve: str) -> None:
    import pkcs11  # noqa: PLC0415 - an extra
    from pkcs11.util.ec import encode_named_curve_parameters  # noqa: PLC0415 - an extra

    parameters = session.create_domain_parameters(  # type: ignore[attr-defined]
        pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}, local=True
    )
    parameters.generate_keypair(store=True, id=identifier, label=curve)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(policy_signing, "now", lambda: NOW)
    Path("policy.toml").write_text(policy_text(), "utf-8")


def run(*arguments: str, answers: str | None = None) -> Result:
    result = CliRunner().invoke(policy, arguments, input=answers, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def public_half(token: Token) -> Verifier:
    arguments = ["--name", NAME, "--pkcs11", "hsm:2?label=reviews", "--pin-file", token.pin_file]
    return read_vkey(run("key", "token.vkey", *arguments).stdout)


def sign(token: Token, *more: str, uri: str = "hsm:2?label=reviews") -> Result:
    return run("sign", "policy.toml", "--pkcs11", uri, "--name", NAME, "--pin-file", token.pin_file, *more)


def test_a_policy_is_signed_by_a_token_and_opens_on_a_device(token: Token) -> None:
    verifier = public_half(token)
    assert verifier.algorithm == ECDSA_P256
    assert Path("token.vkey").read_text("ascii") == f"{verifier.vkey}\n"
    assert f"signed policy.signed as {NAME}" in sign(token).stdout
    opened = open_policy(Path("policy.signed").read_bytes(), Reviewers((verifier,)), blame="server")
    assert opened.signers == (verifier,)
    assert opened.text == policy_text()
    assert "checked" in run("show", "policy.signed", "--reviewer", "token.vkey").stdout


def test_a_token_is_one_of_two_people(token: Token) -> None:
    verifier = public_half(token)
    Path("policy.toml").write_text(policy_text(signatures=2), "utf-8")
    assert "1 of 2 signatures" in sign(token).stdout
    run("key", "legal.pem", "--name", "legal.example")
    run("sign", "policy.signed", "--key", "legal.pem", "--add")
    legal = read_vkey(Path("legal.vkey").read_text("ascii"))
    data = Path("policy.signed").read_bytes()
    assert open_policy(data, Reviewers((verifier, legal), 2), blame="server").signers == (verifier, legal)


def test_the_pin_is_asked_once_and_not_shown(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviewer_keys, "someone_is_there", lambda: True)
    verifier = public_half(token)
    arguments = ["--pkcs11", "hsm:2?label=reviews", "--name", NAME]
    result = run("sign", "policy.toml", *arguments, answers=f"{PIN}\n")
    assert result.stderr.count("PIN of the token") == 1
    assert PIN not in result.output
    opened = open_policy(Path("policy.signed").read_bytes(), Reviewers((verifier,)), blame="server")
    assert opened.signers == (verifier,)


def refused(token: Token, uri: str, pin: str = PIN, name: str = NAME) -> InputError:
    Path("pin").write_text(pin, "utf-8")
    with pytest.raises(InputError) as caught:
        run("sign", "policy.toml", "--pkcs11", uri, "--name", name, "--pin-file", "pin")
    assert not Path("policy.signed").exists()
    assert pin not in str(caught.value)
    assert token.folder.exists()
    return caught.value


def test_a_wrong_pin_is_told(token: Token) -> None:
    error = refused(token, "hsm:2?label=reviews", pin="999999")
    assert error.message == "the token says PinIncorrect"
    assert "check the PIN" in error.hint


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("hsm:2?label=gone", "No PKCS#11 token found for label gone"),
        ("hsm:2", "Multiple PKCS#11 tokens found"),
        ("hsm:9?label=reviews", "could not find ECDSA key on the PKCS#11 token"),
        ("hsm:3?label=reviews", "the token's key is for ecdsa-sha2-nistp384"),
        ("pkcs11:token=reviews", "names no key on a token"),
        ("hsm:two", "names no key on a token"),
        ("hsm:-1", "names no key on a token"),
        ("hsm:٣", "names no key on a token"),
        ("hsm:2?label=reviews&pin=1", "names no key on a token"),
        ("hsm://reviews/2", "names no key on a token"),
        ("", "names no key on a token"),
    ],
)
def test_a_key_that_is_not_there_is_told(token: Token, uri: str, told: str) -> None:
    assert told in refused(token, uri).message


def test_a_name_must_be_able_to_stand_in_a_signature(token: Token) -> None:
    assert "cannot name a key" in refused(token, "hsm:2?label=reviews", name="two words").message


@pytest.mark.parametrize("library", [None, "", "/nowhere/lib.so"])
def test_the_library_must_be_named(
    token: Token, library: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library is None:
        monkeypatch.delenv("PYKCS11LIB")
    else:
        monkeypatch.setenv("PYKCS11LIB", library)
    error = refused(token, "hsm:2?label=reviews")
    assert error.message == "PYKCS11LIB does not name the token's PKCS #11 library"


def test_a_signature_that_does_not_hold_is_not_written(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = open_token("hsm:2?label=reviews", NAME, lambda: PIN)
    other = open_token("hsm:2?label=reviews", NAME, lambda: PIN)
    assert signer.verifier.holds(b"text", signer.sign(b"text"))
    monkeypatch.setattr(type(other.token), "sign", lambda *_: type("S", (), {"signature": "00"}))
    with pytest.raises(InputError, match="does not hold"):
        other.sign(b"text")
    assert token.folder.exists()
