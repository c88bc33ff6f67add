"""`covey release`, from a finished run to a release that is verified against the policy that paid for it."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import finished_run
import made_ledger
import memory_ledger
import policy_texts
import secagg_fleet
from commands import invoked
from covey.arrays import digest
from covey.errors import ConfigError, InputError, PackageError, ProtocolError
from covey.gate import GateLimits, counts_of, decide
from covey.package import manifest as manifests
from covey.package.archive import pack, unpack
from covey.package.contents import read
from covey.package.keys import new_signing_key
from covey.package.names import BOM, MANIFEST, PROVENANCE
from covey.package.provenance import read_provenance
from covey.package.verify import sign_package
from covey_models.quantise import to_int8_weights
from covey_server import gating
from covey_server.key_files import new_p256, write_private
from covey_server.release_commands import release as app
from covey_server.run_folder import GATE
from finished_run import Finished

run = partial(invoked, app)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Read only."""
    return finished_run.finished(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def built(made: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of it, not signed. Read only."""
    out = tmp_path_factory.mktemp("built") / "lab.covey"
    run("build", made.path, "--out", out, "--version", "1.0.0")
    return out


@pytest.fixture
def signed(made: Finished, built: Path, tmp_path: Path) -> Path:
    """A signed copy."""
    out = tmp_path / "signed.covey"
    shutil.copy(built, out)
    run("sign", out, "--key", made.private)
    return out


def verify(made: Finished, file: Path, *more: object, status: int = 0) -> str:
    arguments = ("--key", made.public, "--policy", made.policy, *more)
    return str(run("verify", file, *arguments, status=status).stdout)


def bent(made: Finished, file: Path, **changes: bytes) -> Path:
    """Other files, listed and signed as a publisher would who lies."""
    files = {**unpack(file.read_bytes()), **{name.replace("_", "."): data for name, data in changes.items()}}
    old = manifests.decode(files[MANIFEST])
    files[MANIFEST] = manifests.encode(msgspec.structs.replace(old, files=manifests.listing(files)))
    file.write_bytes(pack(sign_package(files, made.private.read_bytes())))
    return file


def test_a_release_is_built_signed_and_verified(made: Finished, signed: Path) -> None:
    said = verify(made, signed).splitlines()
    assert said[0] == "verified: lab 1.0.0, 12 files"
    assert said[2] == f"made from run {made.run}, whose last sum is entry 5 of its ledger"
    assert said[3] == "ε = 1.088 at δ = 1e-05 (unit device); the policy allows 8"
    told = json.loads(verify(made, signed, "--json"))
    assert (told["provenance"], told["epsilon"], told["policy_epsilon"]) == ("checked", "1.088", "8")


def test_what_is_built_is_what_the_run_left(made: Finished, built: Path) -> None:
    package = read(unpack(built.read_bytes()))
    own = read(unpack((made.path / "lab.covey").read_bytes()))
    assert [package.model(each) for each in ("fp32", "int8")] == [
        own.model(each) for each in ("fp32", "int8")
    ]
    found = read_provenance(package)
    assert found is not None
    record = found.record
    assert (record.first_round, record.last_round, record.participants) == (1, 2, made_ledger.SIZE)
    how = record.quantisation
    assert (how.method, how.calibration, len(how.layers)) == ("static", "Public probes.", 3)
    sensitivities = [float(each.sensitivity) for each in how.layers]
    assert sensitivities == sorted(sensitivities, reverse=True)
    assert sensitivities[-1] > 0
    assert [(each.variant, each.accuracy, each.latency_us) for each in record.figures] == [
        ("fp32", "0.920000", None),
        ("int8", "0.910000", 42),
    ]
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(package.files[BOM].decode())
    assert fault is None, fault


def test_building_twice_gives_the_same_bytes(made: Finished, built: Path, tmp_path: Path) -> None:
    run("build", made.path, "--out", tmp_path / "again", "--version", "1.0.0")
    assert (tmp_path / "again").read_bytes() == built.read_bytes()


@pytest.mark.parametrize(
    ("option", "variants", "method"),
    [("--fp32-only", ("fp32",), "none"), ("--weights-only", ("fp32", "int8"), "weights-only")],
)
def test_other_variants(
    made: Finished, tmp_path: Path, option: str, variants: tuple[str, ...], method: str
) -> None:
    told = json.loads(
        run("build", made.path, option, "--out", tmp_path / "r", "--name", "x", "--json").stdout
    )
    assert (told["name"], told["version"]) == ("x", made.run)
    package = read(unpack((tmp_path / "r").read_bytes()))
    found = read_provenance(package)
    assert found is not None
    assert (package.variants, found.record.quantisation.method) == (variants, method)
    assert [each.variant for each in found.record.figures] == ["fp32"]
    with pytest.raises(InputError, match="exclude each other"):
        run("build", made.path, "--fp32-only", "--weights-only", status=2)


def test_a_parent_is_named_by_its_archive(made: Finished, signed: Path, tmp_path: Path) -> None:
    out = tmp_path / "next.covey"
    run("build", made.path, "--out", out, "--fp32-only", "--version", "2.0.0", "--parent", signed)
    assert "follows           lab 1.0.0 (" in run("show", out).stdout
    with pytest.raises(InputError, match="is no archive"):
        run("build", made.path, "--out", out, "--parent", tmp_path, status=2)


def test_show_says_what_it_is(built: Path, signed: Path, made: Finished) -> None:
    said = run("show", built).stdout
    assert "signature         none: it is not signed" in said
    assert f"made from         run {made.run}, rounds 1 to 2" in said
    assert "took part         at most 12 devices in one sum" in said
    assert "measured fp32     92.00 % right on" in said
    assert "gate              not asked" in said
    assert "int8              static; Public probes. Most sensitive (relative L2 error" in said
    assert "NOT CHECKED" in run("show", signed).stdout
    told = json.loads(run("show", signed, "--json").stdout)
    assert told["release"]["run"] == made.run
    assert (told["signature"], told["bill_of_materials"]) == ("not checked", True)
    bare = run("show", made.path / "lab.covey").stdout
    assert "not stated: it carries no provenance.json" in bare


def test_diff_says_what_changed(built: Path, tmp_path: Path) -> None:
    other = finished_run.finished(tmp_path / "other", seed=2, int8=False)
    out = tmp_path / "new.covey"
    run("build", other.path, "--out", out, "--version", "2.0.0")
    told = json.loads(run("diff", built, out, "--json").stdout)
    changes = {(each["topic"], each["name"]): each for each in told["changes"]}
    assert changes["package", "version"]["new"] == "2.0.0"
    assert changes["size", "int8 model, bytes"]["new"] == "none"
    assert all("moved by" in each["change"] for key, each in changes.items() if key[0] == "layers")
    assert any(key[0] == "layers" for key in changes)
    assert "2.0.0" in run("diff", built, out).stdout
    same = run("diff", built, built).stdout
    words = same.split()
    assert (words[0], len(same.splitlines())) == (words[2], 1)
    assert len(run("diff", built, built, "--all").stdout.splitlines()) > len(same.splitlines())


def test_a_changed_release_is_not_verified(made: Finished, signed: Path, tmp_path: Path) -> None:
    files = unpack(signed.read_bytes())
    files["README.md"] += b"and more\n"
    signed.write_bytes(pack(files))
    with pytest.raises(PackageError, match=r"README\.md has changed") as caught:
        verify(made, signed)
    assert caught.value.exit_status == 1
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(new_signing_key()[1])
    with pytest.raises(PackageError, match="made with the key"):
        run("verify", signed, "--key", stranger)


def test_a_signature_alone_says_that_nothing_else_was_checked(made: Finished, signed: Path) -> None:
    assert "provenance NOT CHECKED" in run("verify", signed, "--key", made.public).stdout
    with pytest.raises(InputError, match="which key do you trust"):
        run("verify", signed)


def test_without_provenance_a_policy_cannot_be_kept(made: Finished) -> None:
    with pytest.raises(PackageError, match=r"provenance\.json is missing") as caught:
        verify(made, made.path / "lab.covey")
    assert caught.value.exit_status == 1


def test_a_publisher_who_lies_is_found_out(made: Finished, signed: Path) -> None:
    data = unpack(signed.read_bytes())[PROVENANCE]
    lower = data.replace(b'"epsilon_server":"1.088"', b'"epsilon_server":"0.500"')
    assert lower != data
    with pytest.raises(PackageError, match=r"states ε = 0\.500, its sums cost 1\.088"):
        verify(made, bent(made, signed, provenance_json=lower))


def test_a_policy_that_allows_less_is_kept(made: Finished, signed: Path, tmp_path: Path) -> None:
    strict = tmp_path / "strict.toml"
    text = made.policy.read_text("utf-8").rpartition("\n\n")[0] + "\n"
    assert 'epsilon = "8"' in text
    strict.write_text(text.replace('epsilon = "8"', 'epsilon = "1"'), "utf-8")
    with pytest.raises(PackageError, match=r"cost ε = 1\.088 at δ = 1e-5, the policy allows 1\b"):
        run("verify", signed, "--key", made.public, "--policy", strict)


def test_the_policy_must_be_signed_where_reviewers_are_named(
    made: Finished, signed: Path, tmp_path: Path
) -> None:
    reviewer = memory_ledger.REVIEWERS.keys[0]
    word = policy_texts.vkey(reviewer.name, memory_ledger.REVIEWER.private, 1)
    verify(made, signed, "--reviewer", word)
    stranger = policy_texts.vkey(made_ledger.STRANGER.name, made_ledger.STRANGER.private, 1)
    (tmp_path / "stranger.vkey").write_text(stranger + "\n")
    with pytest.raises(ProtocolError):
        verify(made, signed, "--reviewer", tmp_path / "stranger.vkey")
    with pytest.raises(InputError, match="reviewers sign a policy"):
        run("verify", signed, "--key", made.public, "--reviewer", word)


def test_the_ledgers_own_key_may_be_named(made: Finished, signed: Path) -> None:
    log = policy_texts.vkey(memory_ledger.LOG.name, memory_ledger.LOG.private, 1)
    witness = policy_texts.vkey(policy_texts.WITNESS_NAME, policy_texts.WITNESS, 4)
    key = ("--key", made.public)
    assert "held to no policy" in run("verify", signed, *key, "--log", log, "--witness", witness).stdout
    other = policy_texts.vkey(policy_texts.WITNESS_NAME, secagg_fleet.key("another"), 4)
    with pytest.raises(PackageError, match="0 of 1 cosignatures"):
        run("verify", signed, *key, "--log", log, "--witness", other)
    with pytest.raises(InputError, match="witnesses watch a log"):
        run("verify", signed, *key, "--witness", witness)
    with pytest.raises(InputError):
        run("verify", signed, *key, "--log", "no+key")


def test_what_cannot_be_read(made: Finished, signed: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        run("verify", signed, "--key", made.public, "--policy", tmp_path / "missing")
    (tmp_path / "odd").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        run("verify", signed, "--key", made.public, "--policy", tmp_path / "odd")
    with pytest.raises(InputError, match="is not a run"):
        run("build", tmp_path)


def test_an_encrypted_key_signs_with_its_passphrase(built: Path, tmp_path: Path) -> None:
    out, key, secret = tmp_path / "r.covey", tmp_path / "k.pem", tmp_path / "passphrase"
    shutil.copy(built, out)
    write_private(key, new_p256(), "correct horse")
    secret.write_text("correct horse\n")
    assert "signed by the key" in run("sign", out, "--key", key, "--passphrase-file", secret).stdout
    secret.write_text("wrong horse\n")
    with pytest.raises(InputError, match="cannot be read"):
        run("sign", out, "--key", key, "--passphrase-file", secret)


def test_nothing_is_signed_whose_provenance_is_of_other_models(made: Finished, signed: Path) -> None:
    files = unpack(signed.read_bytes())
    forged = files[PROVENANCE].replace(b'"version":"1.0.0"', b'"version":"1.0.1"')
    forged = forged.replace(b"/1.0.0", b"/1.0.1")
    bent(made, signed, provenance_json=forged)
    before = signed.read_bytes()
    with pytest.raises(PackageError, match="of another release or of other models"):
        run("sign", signed, "--key", made.private)
    assert signed.read_bytes() == before


@pytest.fixture
def own(made: Finished, tmp_path: Path) -> Finished:
    """A copy that a test may bend."""
    return replace(made, path=shutil.copytree(made.path, tmp_path / "own"))


def judged(own: Finished, right: int, only_old: int, only_new: int) -> None:
    """Write down what a gate does that devices told so much of 10,000 examples; the old model had 9,500."""
    cells = [10_000, 9_500, right, only_old, only_new, *[1_000, 50, 51] * 10]
    report = decide(counts_of(cells, [str(each) for each in range(10)], (), 0), GateLimits())
    package = read(unpack((own.path / "lab.covey").read_bytes()))
    compared = gating.files(package.model(package.variants[-1]), None)
    (own.path / gating.COMPARED).write_text(digest(compared))
    (own.path / GATE).write_bytes(msgspec.json.encode(report))


def test_a_run_whose_gate_did_not_pass_is_not_released(own: Finished, tmp_path: Path) -> None:
    judged(own, 9_000, 540, 40)
    with pytest.raises(InputError, match="nothing is released: the gate failed; accuracy drop"):
        run("build", own.path, "--out", tmp_path / "r")
    assert not (tmp_path / "r").exists()
    judged(own, 9_490, 40, 30)
    run("build", own.path, "--out", tmp_path / "r")
    assert "gate              the gate passed" in run("show", tmp_path / "r").stdout
    with pytest.raises(InputError, match="compared other files"):
        run("build", own.path, "--out", tmp_path / "s", "--weights-only")


def test_a_gates_verdict_is_on_the_files_that_devices_compared(own: Finished, tmp_path: Path) -> None:
    """A package that was put in the run's place afterwards: its fp32 is the run's, its int8 is not."""
    judged(own, 9_490, 40, 30)
    package = read(unpack((own.path / "lab.covey").read_bytes()))
    fp32 = package.model("fp32")
    own.path.joinpath("lab.covey").write_bytes(
        finished_run.packed({"fp32": fp32, "int8": to_int8_weights(fp32)})
    )
    with pytest.raises(InputError, match="compared other files"):
        run("build", own.path, "--out", tmp_path / "r")


def test_a_verdict_that_says_nothing_of_its_files_releases_nothing(own: Finished, tmp_path: Path) -> None:
    judged(own, 9_490, 40, 30)
    (own.path / gating.COMPARED).unlink()
    with pytest.raises(InputError, match="compared other files"):
        run("build", own.path, "--out", tmp_path / "r")


def test_a_run_with_a_gate_is_not_released_without_its_verdict(tmp_path: Path) -> None:
    made = finished_run.finished(tmp_path, gate=True)
    with pytest.raises(InputError, match=r"gate\.json, the gate's verdict, is missing"):
        run("build", made.path, "--out", tmp_path / "r")


def test_an_unfinished_run_is_not_released(own: Finished, tmp_path: Path) -> None:
    (own.path / "summary.json").unlink()
    with pytest.raises(InputError, match="is not finished"):
        run("build", own.path, "--out", tmp_path / "r")


def test_a_ledger_that_does_not_show_what_paid_makes_no_release(own: Finished, tmp_path: Path) -> None:
    ledger = own.path / "ledger" / "entries.jsonl"
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:-2]))
    with pytest.raises(InputError, match="covers no whole run"):
        run("build", own.path, "--out", tmp_path / "r")
