"""A pilot's keys: what is written is what server and devices read, and private keys are private."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from typer.testing import CliRunner

from covey.errors import InputError
from covey.identity import public_of
from covey.ledger.note import Cosigner, Ed25519Signer, read_vkey, signed
from covey.policy.linting import lint
from covey.policy.reading import parse
from covey.policy.signed import Reviewers, open_policy
from covey_cli.main import run
from covey_io.device_keys import read_keys, read_reviewers
from covey_io.ledger_files import LedgerFiles
from covey_io.witness_client import LocalWitness
from covey_io.witness_store import WitnessFolder
from covey_server.commands import fleet
from covey_server.fleet_keys import Outsiders, make_fleet, origin_of, outsiders_of
from covey_server.key_files import read_ed25519
from covey_server.ledger_writer import writing
from covey_server.operator import read_log, read_operator, read_witnesses

NAMES = ["pi-2", "pi-1", "pi-10"]
ANNA, BO = (Ed25519Signer(name, name.encode().ljust(32, b"-")) for name in ("anna", "bo"))
W1, W2 = (Cosigner(name, name.encode().ljust(32, b"-"), 1).verifier for name in ("w1", "w2"))


def unasked() -> str:
    raise AssertionError("a passphrase was asked for")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "keys"
    make_fleet(made, "lab", NAMES, 30)
    return made


def test_server_and_devices_read_what_was_made(folder: Path) -> None:
    operator = read_operator(folder / "operator", policy=False)
    assert [each.device for each in operator.roster.certificates] == sorted(NAMES)
    assert not operator.roster.simulation
    reviewers = read_reviewers(folder / "operator/reviewers.json")
    assert reviewers
    for certificate in operator.roster.certificates:
        keys = read_keys(folder / "devices" / certificate.device)
        assert keys.me.device == certificate.device
        assert public_of(keys.me.private) == certificate.key
        assert keys.operator == public_of(operator.private)
        assert keys.reviewers == reviewers


def test_the_enrolment_key_is_neither_the_operator_s_nor_with_it(folder: Path) -> None:
    key = read_ed25519(folder / "enrolment/enrolment.key", unasked)
    elsewhere = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "enrolment"]
    pem = (folder / "enrolment/enrolment.key").read_bytes().splitlines()[1]
    for secret in (key.private_bytes_raw(), key.private_bytes_raw().hex().encode(), pem):
        assert not [path for path in elsewhere if secret in path.read_bytes()]
    keys = read_keys(folder / "devices/pi-1")
    assert keys.me.enrolment == key.public_key().public_bytes_raw() != keys.operator


def test_private_keys_are_for_their_owner_only(folder: Path) -> None:
    private = [*folder.rglob("*.key"), *folder.rglob("*.pem"), *folder.rglob("salt")]
    # enrolment, authority, operator, log, tls, witness, reviewer; releases; identity, node, tls, salt
    assert len(private) == 7 + 8 + 4 * len(NAMES)
    assert all(path.stat().st_mode & 0o077 == 0 for path in [folder, *private])


def test_every_secret_is_another(folder: Path) -> None:
    secrets = [path.read_bytes() for path in [*folder.rglob("*.key"), *folder.rglob("salt")]]
    assert len(set(secrets)) == len(secrets) == 6 + 8 + 4 * len(NAMES)


def test_nobody_has_the_key_of_another_role(folder: Path) -> None:
    for secret in [*folder.rglob("*.key"), *folder.rglob("*.pem"), *folder.rglob("salt")]:
        content = secret.read_bytes().strip()
        holders = [path for path in folder.rglob("*") if path.is_file() and content in path.read_bytes()]
        assert holders == [secret]


def test_keys_are_never_overwritten(folder: Path) -> None:
    with pytest.raises(InputError, match="there already"):
        make_fleet(folder, "lab", NAMES, 30)


@pytest.mark.parametrize("names", [["../x"], ["a/b"], ["a\nb"], [""], ["a", "a"], ["x" * 65]])
def test_unusable_names_are_refused_before_anything_is_written(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(InputError):
        make_fleet(tmp_path / "keys", "lab", names, 30)
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("name", ["", "x" * 129])
def test_an_unusable_name_of_the_fleet_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(InputError):
        make_fleet(tmp_path / "keys", name, NAMES, 30)
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    "name", ["lab", "our lab + yours", 'the "lab"', "Zürich, größer", "日本", "a/b:c", "²"]
)
def test_whatever_a_fleet_is_called_its_log_and_witness_have_a_name(tmp_path: Path, name: str) -> None:
    make_fleet(tmp_path / "keys", name, NAMES, 30)
    operator = tmp_path / "keys/operator"
    assert read_vkey((operator / "log.vkey").read_text("utf-8")).name == origin_of(name)
    ((witness, where),) = read_witnesses(operator / "witnesses")
    assert where == LocalWitness((tmp_path / "keys/witness").resolve())
    assert WitnessFolder.open(tmp_path / "keys/witness").key.verifier == witness
    assert list(WitnessFolder.open(tmp_path / "keys/witness").logs) == [origin_of(name)]
    assert read_operator(operator, policy=False).roster.fleet == name


def test_a_reviewer_s_key_is_made_where_none_is_known(folder: Path) -> None:
    made = load_pem_private_key((folder / "reviewer/reviewer.pem").read_bytes(), None)
    assert isinstance(made, Ed25519PrivateKey)
    public = read_vkey((folder / "reviewer/reviewer.vkey").read_text("utf-8"))
    assert made.public_key().public_bytes_raw() == public.key
    assert read_reviewers(folder / "operator/reviewers.json") == Reviewers((public,), 1)


class TestOutsiders:
    """Reviewers and witnesses who bring keys of their own: none is made for them."""

    @pytest.fixture
    def keys(self, tmp_path: Path) -> Path:
        for verifier in (ANNA.verifier, BO.verifier, W1, W2):
            (tmp_path / f"{verifier.name}.vkey").write_text(verifier.vkey + "\n")
        return tmp_path

    def test_their_keys_are_what_operator_and_devices_know(self, keys: Path) -> None:
        addresses = [f"{keys / 'w1.vkey'}=https://w.example:1/a=b", f"{keys / 'w2.vkey'}=/srv/my witness"]
        outsiders = outsiders_of([keys / "anna.vkey", keys / "bo.vkey"], 2, addresses)
        make_fleet(keys / "fleet", "lab", NAMES, 30, outsiders)
        both = Reviewers((ANNA.verifier, BO.verifier), 2)
        assert read_reviewers(keys / "fleet/operator/reviewers.json") == both
        assert read_keys(keys / "fleet/devices/pi-1").reviewers == both
        found = read_witnesses(keys / "fleet/operator/witnesses")
        assert [each for each, _ in found] == [W1, W2]
        assert found[0][1].url == "https://w.example:1/a=b"  # type: ignore[attr-defined]
        assert found[1][1] == LocalWitness(Path("/srv/my witness"))
        assert not (keys / "fleet/reviewer").exists()
        assert not (keys / "fleet/witness").exists()

    @pytest.mark.parametrize(
        ("reviewers", "threshold", "witnesses", "said"),
        [
            ([], 2, [], "one key would be made"),
            (["anna"], 2, [], "2 signatures of 1 reviewers"),
            (["anna", "anna"], 1, [], "one key stands for two"),
            (["w1"], 1, [], "a witness's key cannot sign a policy"),
            (["missing"], 1, [], r"missing\.vkey: FileNotFoundError"),
            ([], 1, ["w1"], "--witness "),
            ([], 1, ["w1="], "--witness "),
            ([], 1, ["missing=http://x"], r"missing\.vkey: FileNotFoundError"),
            ([], 1, ["anna=http://x"], "not a witness's key"),
            ([], 1, ["w1=http://x", "w1=http://y"], "one key stands for two"),
        ],
    )
    def test_what_cannot_be_is_said_before_anything_is_written(
        self, keys: Path, reviewers: list[str], threshold: int, witnesses: list[str], said: str
    ) -> None:
        files = [keys / f"{name}.vkey" for name in reviewers]
        named = [
            f"{keys / name.partition('=')[0]}.vkey{''.join(name.partition('=')[1:])}" for name in witnesses
        ]
        with pytest.raises(InputError, match=said) as caught:
            make_fleet(keys / "fleet", "lab", NAMES, 30, outsiders_of(files, threshold, named))
        assert caught.value.hint
        assert not (keys / "fleet").exists()

    @pytest.mark.parametrize("content", [b"", b"hello", b"\xff", ANNA.verifier.vkey[:-8].encode()])
    def test_a_file_without_a_key_is_refused(self, keys: Path, content: bytes) -> None:
        (keys / "anna.vkey").write_bytes(content)
        with pytest.raises(InputError):
            outsiders_of([keys / "anna.vkey"], 1, [])

    def test_without_any_all_are_made(self) -> None:
        assert outsiders_of([], 1, []) == Outsiders()


FEDERATION = """
name = "pilot"

[model]
name = "digits"

[federation]
rounds = 3

[privacy]
epsilon = 8
"""


@pytest.fixture
def pilot(tmp_path: Path) -> Path:
    (tmp_path / "federation.toml").write_text(FEDERATION)
    make_fleet(tmp_path / "keys", "the lab", [f"pi-{number:02d}" for number in range(12)], 30)
    return tmp_path


def drafted(pilot: Path, *options: str) -> str:
    found = CliRunner().invoke(
        fleet,
        ["policy", str(pilot / "federation.toml"), str(pilot / "keys/operator"), *options],
        catch_exceptions=False,
    )
    assert found.exit_code == 0
    return found.stdout


PURPOSE = ("--purpose", 'Read "digits" that people wrote by hand.')


class TestPolicyCommand:
    def test_what_is_drafted_and_signed_is_what_the_server_reads(self, pilot: Path) -> None:
        text = drafted(pilot, *PURPOSE, "--rate-limit", "24 per day", "--days", "10")
        policy = parse(text, "draft")
        assert not [remark for remark in lint(policy) if remark.severity == "error"]
        assert policy.purpose == PURPOSE[1]
        assert policy.fleet == "the lab"
        assert policy.valid_until.seconds - policy.valid_from.seconds == 10 * 24 * 3600
        sign(pilot, text)
        operator = read_operator(pilot / "keys/operator", policy=True)
        assert operator.policy
        log = read_log(pilot / "keys/operator", operator.policy)
        with writing(LedgerFiles(pilot / "ledger"), log, lambda: 1) as ledger:
            assert ledger.announce().checkpoint.origin == "covey/the-lab"

    def test_spare_sums_and_serial_are_the_asker_s(self, pilot: Path) -> None:
        bare, spare = (parse(drafted(pilot, *PURPOSE, "--spare", n), "draft") for n in ("0", "2"))
        assert {kind: each.answers + 2 for kind, each in bare.queries.items()} == {
            kind: each.answers for kind, each in spare.queries.items()
        }
        sign(pilot, drafted(pilot, *PURPOSE))
        after = parse(drafted(pilot, *PURPOSE, "--after", str(pilot / "keys/operator/policy")), "draft")
        reviewers = read_reviewers(pilot / "keys/operator/reviewers.json")
        assert reviewers
        first = open_policy((pilot / "keys/operator/policy").read_bytes(), reviewers, blame="test")
        assert (after.serial, after.previous) == (2, first.sha256)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ((), "what are the answers for?"),
            (("--purpose", "  "), "what are the answers for?"),
            ((*PURPOSE, "--after", "missing"), "missing: no such file"),
            ((*PURPOSE, "--after", "federation.toml"), "federation.toml: a malformed note"),
            ((*PURPOSE, "--rate-limit", "often"), "rate_limit"),
        ],
    )
    def test_what_is_wrong_is_said_in_a_line(
        self,
        pilot: Path,
        options: tuple[str, ...],
        said: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(pilot)
        assert run(["fleet", "policy", "federation.toml", "keys/operator", *options]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert said in told.err
        assert "Traceback" not in told.err

    @pytest.mark.parametrize("name", ["log.vkey", "witnesses", "reviewers.json", "enrolment.pub"])
    def test_a_missing_file_is_named(self, pilot: Path, name: str) -> None:
        (pilot / "keys/operator" / name).unlink()
        with pytest.raises(InputError) as caught:
            drafted(pilot, *PURPOSE)
        assert name in str(caught.value) or name == "enrolment.pub"


def sign(pilot: Path, text: str) -> None:
    """As the reviewer would."""
    key = load_pem_private_key((pilot / "keys/reviewer/reviewer.pem").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    name = read_vkey((pilot / "keys/reviewer/reviewer.vkey").read_text("utf-8")).name
    signer = Ed25519Signer(name, key.private_bytes_raw())
    (pilot / "keys/operator/policy").write_bytes(signed(text, signer))


def test_the_command_says_what_goes_where(tmp_path: Path) -> None:
    found = CliRunner().invoke(fleet, ["init", str(tmp_path / "keys"), *NAMES])
    assert found.exit_code == 0
    assert "keep offline" in found.output
    assert f"{tmp_path}/keys/reviewer" in found.output
    assert f"{tmp_path}/keys/witness" in found.output
    assert "covey fleet policy" in found.output
    assert read_operator(tmp_path / "keys/operator", policy=False).roster.fleet == "fleet"


def test_the_command_takes_the_keys_of_others(tmp_path: Path) -> None:
    for verifier in (ANNA.verifier, BO.verifier, W1):
        (tmp_path / verifier.name).write_text(verifier.vkey)
    options = ["--reviewer", f"{tmp_path}/anna", "--reviewer", f"{tmp_path}/bo", "--threshold", "2"]
    options += ["--witness", f"{tmp_path}/w1=https://w.example"]
    found = CliRunner().invoke(fleet, ["init", str(tmp_path / "keys"), *NAMES, *options])
    assert found.exit_code == 0
    assert "/reviewer " not in found.output
    assert "/witness " not in found.output
    both = read_reviewers(tmp_path / "keys/operator/reviewers.json")
    assert both == Reviewers((ANNA.verifier, BO.verifier), 2)
