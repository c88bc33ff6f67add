"""A device's own keys and its admission on disk: made once, never replaced, and finished after a crash."""

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from covey.enrolment import Admitted, Asked, read_admission, read_request
from covey.errors import CoveyError, InputError, ProtocolError, StateError
from covey.identity import public_of
from covey_io import durable
from covey_io.device_enrolment import accept, is_enrolled, make_request, own_admission, own_request
from covey_io.device_keys import read_keys
from enrolment_papers import ENROLMENT, OPERATOR, admitted
from memory_ledger import REVIEWER, SECOND

SECRETS = ("identity.key", "salt", "node.key", "tls.key")
ANSWERED = (
    "admission.json",
    "tls.crt",
    "ca.crt",
    "server",
    "operator.pub",
    "enrolment.pub",
    "reviewers.json",
    "device.json",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def asked(folder: Path) -> Asked:
    return make_request(folder, "pi-07")


def answer(asked: Asked, key: bytes = ENROLMENT, **changes: Any) -> Admitted:
    return read_admission(admitted(asked, key, **changes))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestRequest:
    def test_it_is_the_same_however_often_it_is_made(self, folder: Path, asked: Asked) -> None:
        before = contents(folder)
        assert make_request(folder, "pi-07") == asked == own_request(folder)
        assert contents(folder) == before
        assert read_request((folder / "request.json").read_bytes()) == asked

    def test_secrets_are_for_their_owner_only_and_not_in_it(self, folder: Path, asked: Asked) -> None:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for name in SECRETS:
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
            assert (folder / name).read_bytes().strip() not in asked.data

    def test_the_keys_are_what_openssh_and_tls_read(self, folder: Path, asked: Asked) -> None:
        node = load_ssh_private_key((folder / "node.key").read_bytes(), None)
        assert isinstance(node, EllipticCurvePrivateKey)
        assert node.curve.name == "secp384r1"
        tls = load_pem_private_key((folder / "tls.key").read_bytes(), None)
        assert isinstance(tls, EllipticCurvePrivateKey)
        assert tls.curve.name == "secp256r1"
        assert (folder / "node.pub").read_text() == f"{asked.request.node} pi-07\n"

    @pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
    def test_openssh_itself_reads_the_supernodes_key(self, folder: Path, asked: Asked) -> None:
        command = ["ssh-keygen", "-y", "-P", "", "-f", str(folder / "node.key")]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        assert found.stdout.strip() == asked.request.node

    def test_before_it_is_enrolled_a_device_may_choose_another_name(self, folder: Path, asked: Asked) -> None:
        other = make_request(folder, "pi-08")
        assert other.request.device == "pi-08"
        assert (other.identity, other.tls, other.request.node) == (
            asked.identity,
            asked.tls,
            asked.request.node,
        )

    def test_once_it_is_enrolled_it_may_not(self, folder: Path, asked: Asked) -> None:
        accept(folder, answer(asked))
        assert make_request(folder, "pi-07") == asked
        with pytest.raises(InputError, match="another device of a fleet") as caught:
            make_request(folder, "pi-08")
        assert "--keys" in caught.value.hint
        assert own_request(folder) == asked

    def test_a_name_that_cannot_be_makes_no_keys(self, folder: Path) -> None:
        with pytest.raises(InputError):
            make_request(folder, "../pi")
        assert not folder.exists()

    @pytest.mark.parametrize("name", ["request.json", "node.key", "tls.key", "identity.key"])
    def test_a_damaged_file_is_said_and_not_replaced(self, folder: Path, name: str) -> None:
        make_request(folder, "pi-07")
        if name != "request.json":
            (folder / "request.json").unlink()
        (folder / name).write_bytes(b"secret-words")
        with pytest.raises((StateError, InputError), match=name) as caught:
            make_request(folder, "pi-07")
        assert "secret-words" not in str(caught.value)
        assert (folder / name).read_bytes() == b"secret-words"

    @pytest.mark.parametrize("writes", range(1, 6))
    def test_what_a_power_cut_left_is_gone_on_with(
        self, folder: Path, writes: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cut_after(writes, monkeypatch)
        with pytest.raises(PowerCutError):
            make_request(folder, "pi-07")
        monkeypatch.undo()
        before = {name: (folder / name).read_bytes() for name in SECRETS if (folder / name).exists()}
        made = make_request(folder, "pi-07")
        assert {name: (folder / name).read_bytes() for name in before} == before
        assert own_request(folder) == made


class TestAccept:
    def test_the_folder_is_what_a_device_reads(self, folder: Path, asked: Asked) -> None:
        assert not is_enrolled(folder)
        accept(folder, answer(asked))
        assert is_enrolled(folder)
        keys = read_keys(folder)
        assert keys.me.device == "pi-07"
        assert public_of(keys.me.private) == asked.identity
        assert (keys.me.enrolment, keys.operator) == (public_of(ENROLMENT), public_of(OPERATOR))
        assert keys.reviewers is not None
        assert keys.reviewers.keys == (REVIEWER.verifier,)
        assert (folder / "server").read_text() == "https://fleet.example\n"
        ca, tls = (
            x509.load_pem_x509_certificate((folder / name).read_bytes()) for name in ("ca.crt", "tls.crt")
        )
        tls.verify_directly_issued_by(ca)
        others = {"node.pub", "request.json", ".admission.json.lock"}
        assert {path.name for path in folder.iterdir()} == {*SECRETS, *ANSWERED, *others}

    def test_twice_is_once(self, folder: Path, asked: Asked) -> None:
        accept(folder, answer(asked))
        before = contents(folder)
        accept(folder, own_admission(folder) or answer(asked))
        assert contents(folder) == before

    def test_a_newer_one_renews_certificate_and_server_only(self, folder: Path, asked: Asked) -> None:
        accept(folder, answer(asked))
        before = contents(folder)
        accept(folder, answer(asked, server="https://new.example"))
        changed = {name for name, data in contents(folder).items() if data != before[name]}
        assert changed == {"admission.json", "tls.crt", "server"}

    @pytest.mark.parametrize(
        "changes",
        [
            {"operator": "11" * 32},
            {"reviewers": (SECOND.verifier.vkey,)},
            {"reviewers": (REVIEWER.verifier.vkey, SECOND.verifier.vkey)},
            {"fleet": "another"},
        ],
    )
    def test_whom_it_believes_is_never_changed(
        self, folder: Path, asked: Asked, changes: dict[str, Any]
    ) -> None:
        accept(folder, answer(asked))
        before = contents(folder)
        with pytest.raises(InputError, match="enrolled already"):
            accept(folder, answer(asked, **changes))
        assert contents(folder) == before

    def test_nor_by_another_fleet(self, folder: Path, asked: Asked) -> None:
        accept(folder, answer(asked))
        with pytest.raises(InputError, match="enrolled already"):
            accept(folder, answer(asked, OPERATOR))
        shutil.copy(folder / "device.json", folder / "kept")
        (folder / "admission.json").unlink()  # a folder that was made by hand
        with pytest.raises(InputError, match="enrolled already"):
            accept(folder, answer(asked))

    def test_one_for_other_keys_is_refused(self, folder: Path, asked: Asked, tmp_path: Path) -> None:
        other = make_request(tmp_path / "other", "pi-07")
        with pytest.raises(ProtocolError, match="answers another request"):
            accept(folder, answer(other))
        assert not is_enrolled(folder)
        assert asked == own_request(folder)

    def test_without_a_request_there_is_nothing_to_answer(self, asked: Asked, tmp_path: Path) -> None:
        for empty in (tmp_path / "nowhere", tmp_path):
            with pytest.raises(InputError, match="no request") as caught:
                accept(empty, answer(asked))
            assert "covey device request" in caught.value.hint

    @pytest.mark.parametrize("writes", range(8))
    def test_what_a_power_cut_left_is_not_enrolled_and_is_gone_on_with(
        self, folder: Path, asked: Asked, writes: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = answer(asked)
        cut_after(writes, monkeypatch)
        with pytest.raises(PowerCutError):
            accept(folder, found)
        monkeypatch.undo()
        assert not is_enrolled(folder)
        with pytest.raises(CoveyError):
            read_keys(folder)
        accept(folder, found)
        assert read_keys(folder).me.device == "pi-07"

    def test_a_damaged_admission_is_said(self, folder: Path, asked: Asked) -> None:
        accept(folder, answer(asked))
        text = json.loads((folder / "admission.json").read_bytes())
        (folder / "admission.json").write_text(json.dumps(text | {"key": "00" * 32}))
        with pytest.raises(StateError, match="admission"):
            own_admission(folder)
        (folder / "admission.json").write_bytes(b"x" * 100_000)
        with pytest.raises(StateError, match="admission"):
            own_admission(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_keys_of_another_user_are_said(folder: Path) -> None:
    make_request(folder, "pi-07")
    (folder / "request.json").chmod(0)
    with pytest.raises(InputError, match="PermissionError"):
        own_request(folder)


class PowerCutError(Exception):
    """Nothing after it happens."""


def cut_after(writes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many files are still written."""
    left = [writes]
    real = durable.replace

    def replace(path: Path, data: bytes, *, mode: int = 0o644) -> None:
        if not left[0]:
            raise PowerCutError
        left[0] -= 1
        real(path, data, mode=mode)

    monkeypatch.setattr(durable, "replace", replace)
