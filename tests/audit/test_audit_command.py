"""`covey audit`: what a reviewer sees, and the exit status."""

import json
from functools import partial
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import made_ledger
import policy_texts
from commands import invoked
from covey.claim import privacy_of
from covey.errors import CoveyError, InputError
from covey.identity import public_of
from covey.ledger import entries as ledger
from covey.ledger.note import Ed25519Signer
from covey.plan import from_bytes
from covey.spending import Asked, Ended
from covey_audit import audit_commands, examining
from covey_audit.audit_commands import audit as app
from covey_io.witness_client import HttpWitness, LocalWitness
from covey_io.witness_server import WitnessServer
from covey_io.witness_store import WitnessFolder
from http_thread import in_a_thread
from made_ledger import Made
from memory_ledger import LOG, REVIEWER
from secagg_fleet import ENROLMENT, NOW


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (audit_commands, examining):
        monkeypatch.setattr(module, "now", lambda: NOW + 3000)


run = partial(invoked, app)


@pytest.fixture
def keys(tmp_path: Path) -> list[str]:
    """A reviewer's own key, enrolment key and checkpoint from the witness, as arguments."""
    (tmp_path / "reviewer.vkey").write_text(REVIEWER.verifier.vkey + "\n")
    (tmp_path / "witnessed").write_bytes(made_ledger.honest().checkpoint or b"")
    given = {
        "--reviewer": tmp_path / "reviewer.vkey",
        "--enrolment": public_of(ENROLMENT).hex(),
        "--witnessed": tmp_path / "witnessed",
    }
    return [str(each) for pair in given.items() for each in pair]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made_ledger.honest().write(tmp_path / "ledger")


def test_a_clean_ledger_exits_with_0_and_says_what_it_cost(folder: Path, keys: list[str]) -> None:
    printed = run(folder, *keys).stdout
    first, *_ = printed.splitlines()
    assert first == "Nothing was found against this ledger"
    assert "epsilon, server   1.491, within the policy's 8" in printed
    assert "as settled        1.354" in printed
    assert "train             4 of 40 allowed; epsilon 1.388 by themselves" in printed
    assert "This rests on\n  - The reviewers' keys are yours, 1 of: reviewer.example." in printed
    rests = "  - The checkpoint given as --witnessed came from the witness itself, and is its newest.\n"
    assert rests in printed
    assert "  - The enrolment key that you gave certifies real devices, each once.\n" in printed
    assert "Critical" not in printed
    assert "Warnings" not in printed


def test_the_command_may_be_named(folder: Path, keys: list[str]) -> None:
    assert run("ledger", folder, *keys).stdout == run(folder, *keys).stdout
    assert run(*keys, folder).stdout == run(folder, *keys).stdout


def test_what_is_asked_at_an_address_rests_on_who_answers_there(
    folder: Path, tmp_path: Path, keys: list[str]
) -> None:
    WitnessFolder.make(tmp_path / "w", policy_texts.WITNESS_NAME, (LOG.verifier,))
    (tmp_path / "w" / "witness.key").write_text(policy_texts.WITNESS.hex())
    (tmp_path / "w" / "witness.vkey").write_text(made_ledger.WITNESS.vkey)
    server = WitnessServer(WitnessFolder.open(tmp_path / "w"), "127.0.0.1", 0, lambda _: None)
    with in_a_thread(server):
        HttpWitness(server.url).cosign(0, (), made_ledger.honest().checkpoint or b"")
        printed = run(folder, *keys[:4], "--witnessed", server.url).stdout
    assert "The witness itself answers at the address given as --witnessed, with its newest" in printed
    assert "The checkpoint given as --witnessed" not in printed


def test_a_folder_called_as_the_command_is_audited_too(
    folder: Path, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    expected = run("ledger/", *keys, "--json").stdout.replace('"ledger/"', '"ledger"')
    assert run("ledger", *keys, "--json").stdout == expected
    assert run("ledger", "ledger", *keys, "--json").stdout == expected
    assert "no-key-of-yours" in run("ledger", status=1).stdout
    monkeypatch.chdir(folder)
    assert "Missing argument 'PATH'" in run("ledger", *keys, status=2).output


def test_without_keys_it_exits_with_1_and_says_why(folder: Path) -> None:
    printed = run(folder, status=1).stdout
    assert "No ε is certified" in printed.splitlines()[0]
    assert "no-key-of-yours" in printed
    assert "NOTHING OF YOUR OWN" in printed


def test_findings_exit_with_1_worst_first_with_entry_and_next_step(tmp_path: Path, keys: list[str]) -> None:
    made = made_ledger.honest().replanned(9, noise=None)
    printed = run(made.write(tmp_path / "bad"), *keys, status=1).stdout
    assert printed.startswith("Do not rely on this ledger: 4 critical findings\n")
    where = printed.index("\nCritical\n")
    shown = printed[where:]
    assert "  ledger-forked: the witness's checkpoint over 15 entries has another root" in shown
    assert "  no-noise (entry 9): asked for without noise\n    next: no differential privacy holds" in shown
    assert "epsilon, server   no bound" in printed


def test_findings_that_say_the_same_stand_together(tmp_path: Path, keys: list[str]) -> None:
    made = made_ledger.honest()
    for index in (3, 5, 7, 9):
        made = made.replanned(index, model="another")
    printed = run(made.write(tmp_path / "bad"), *keys, status=1).stdout
    assert "plan-outside-policy (entries 3, 5, 7, 9): the plan asks about model 'another'" in printed


def test_a_hostile_name_cannot_drive_the_terminal(tmp_path: Path) -> None:
    made = made_ledger.honest()
    hostile = made.edited(8, reason="\x1b[2J\u202egone")
    hostile = hostile.edited(2, run="\x1b]0;x\x07", words="\x1b[31m\u202e", epsilon=None, delta=None)
    printed = run(hostile.write(tmp_path / "bad"), status=1).stdout
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "tuning-unaccounted" in printed


def test_json_is_one_object_with_all_of_it(folder: Path, keys: list[str]) -> None:
    facts = json.loads(run(folder, *keys, "--json").stdout)
    assert (facts["exit_status"], facts["certified"], facts["level"]) == (0, True, 2)
    assert facts["costs"][0]["epsilon"] == {"server": 1.490233, "settled": 1.353042, "release": 1.303154}
    assert facts["ledger"]["size"] == 15
    assert [each["outcome"] for each in facts["sums"]].count("opened") == 4
    assert facts["findings"] == []


def test_a_report_is_written_and_named(folder: Path, keys: list[str], tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    printed = run(folder, *keys, "--report", report).stdout
    assert f"report: {report}" in printed
    assert "<html" in report.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="is a folder"):
        run(folder, "--report", tmp_path)


def test_the_readers_policy_and_earlier_checkpoint(folder: Path, keys: list[str], tmp_path: Path) -> None:
    (tmp_path / "policy").write_bytes(made_ledger.policy_note())
    (tmp_path / "kept").write_bytes(made_ledger.head_over(made_ledger.honest().lines[:5], NOW + 300))
    run(folder, *keys, "--policy", tmp_path / "policy", "--previous", tmp_path / "kept")


def test_a_witnesss_folder_is_asked(folder: Path, tmp_path: Path, keys: list[str]) -> None:
    WitnessFolder.make(tmp_path / "w", policy_texts.WITNESS_NAME, (LOG.verifier,))
    (tmp_path / "w" / "witness.key").write_text(policy_texts.WITNESS.hex())
    (tmp_path / "w" / "witness.vkey").write_text(made_ledger.WITNESS.vkey)
    witness = WitnessFolder.open(tmp_path / "w")
    given = [*keys[:4], "--witnessed", str(tmp_path / "w")]
    with pytest.raises(CoveyError, match="has never seen ledger"):
        run(folder, *given)
    assert isinstance(LocalWitness(witness.folder).cosign(0, (), made_ledger.honest().checkpoint or b""), str)
    rests = "The folder given as --witnessed is the witness's own: no copy of it, and no older state."
    assert rests in run(folder, *given).stdout
    cut = made_ledger.honest()
    shorter = cut.resealed(cut.entries[:9]).write(tmp_path / "short")
    assert "ledger-rolled-back (entry 8)" in run(shorter, *given, status=1).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threshold", "2"], "a threshold needs reviewers"),
        (["--enrolment", "00"], "not an Ed25519 public key"),
        (["--enrolment", "0" * 64], "not an Ed25519 public key"),
        (["--reviewer", "nobody"], "no public key"),
        (["--policy", "missing"], "missing"),
        (["--previous", "missing"], "missing"),
        (["--witnessed", "missing"], "missing"),
        (["--witnessed", "ftp://x"], "no witness's address"),
        (["--self-check"], "a self-check needs a run's folder"),
    ],
)
def test_what_cannot_be_read_exits_with_2(folder: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        run(folder, *arguments)
    assert caught.value.exit_status == 2
    assert caught.value.hint


def test_no_option_shows_a_private_key_given_by_mistake(folder: Path, tmp_path: Path) -> None:
    pem = write_key(tmp_path / "anna.pem", REVIEWER).read_text("ascii")
    (tmp_path / "anna.hex").write_text(REVIEWER.private.hex() + "00")
    secrets = pem.splitlines()[1][:12], REVIEWER.private.hex()[:12]
    given = [tmp_path / "anna.pem", tmp_path / "anna.hex", pem, pem * 9]
    for option in ("--reviewer", "--enrolment", "--policy", "--witnessed", "--previous"):
        for each in given if option in {"--reviewer", "--enrolment"} else given[:2]:
            with pytest.raises(CoveyError) as caught:
                run(folder, option, each)
            said = f"{caught.value}{caught.value.hint}".replace(str(each), "")
            assert all(secret not in said for secret in secrets), (option, said)
            if each in given[2:]:
                assert pem not in f"{caught.value}"


def test_a_folder_without_a_ledger_exits_with_2(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a ledger nor a run"):
        run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        run(tmp_path)
    (tmp_path / "run.json").write_text('{"run":"run-a"}')
    with pytest.raises(InputError, match="none is there"):
        run(tmp_path)


def test_junk_for_a_checkpoint_of_the_readers_exits_with_2(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(InputError, match="checkpoint cannot be used"):
        run(folder, "--witnessed", tmp_path / "junk")


# A run's folder


def summary(made: Made, **changes: object) -> bytes:
    """What a run's summary says."""
    asked = [
        (Asked.of(from_bytes(entry.plan)), made.entries[index + 1])
        for index, entry in enumerate(made.entries)
        if isinstance(entry, ledger.Reserve)
    ]
    ended = [
        Ended(end.members.survivors, end.members.sharing) if isinstance(end, ledger.Settle) else None
        for _, end in asked
    ]
    sums = [(each, end) for (each, _), end in zip(asked, ended, strict=True)]
    privacy = msgspec.to_builtins(privacy_of(sums, 1e-5))
    facts: dict[str, object] = {"privacy": privacy, "simulation": False, "model_sha256": made_ledger.model(3)}
    for key, value in changes.items():
        (privacy if key in privacy else facts)[key] = value
    return msgspec.json.encode(facts)


def run_folder(made: Made, path: Path, **changes: object) -> Path:
    made.write(path / "ledger")
    (path / "run.json").write_text(json.dumps({"run": made_ledger.RUN, "ledger": "ledger"}))
    (path / "summary.json").write_bytes(summary(made, **changes))
    (path / "metrics.csv").write_bytes(b"csv")
    (path / "wrist.covey").write_bytes(b"package")
    return path


def test_a_runs_files_are_compared_with_its_ledger(tmp_path: Path, keys: list[str]) -> None:
    assert "Nothing was found" in run(run_folder(made_ledger.honest(), tmp_path / "run"), *keys).stdout


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon_server": 1.4},
        {"epsilon_server": 1.5},
        {"epsilon_server": None},
        {"epsilon_release": 0.1},
        {"sums": {"train": 3, "validate": 1}},
        {"unopened": 0},
        {"masks": "none"},
        {"noise": "discrete-gaussian"},
        {"simulated": True},
        {"statement": "epsilon is 1"},
        {"unit": "example"},
        {"delta": 1e-6},
        {"delta": 7.0},
        {"model_sha256": "0" * 64},
    ],
)
def test_a_summary_that_says_otherwise(changes: dict[str, object], tmp_path: Path, keys: list[str]) -> None:
    path = run_folder(made_ledger.honest(), tmp_path / "run", **changes)
    facts = json.loads(run(path, *keys, "--json", status=1).stdout)
    assert {each["code"] for each in facts["findings"]} == {"summary-differs"}


def test_a_summary_of_another_run(tmp_path: Path, keys: list[str]) -> None:
    path = run_folder(made_ledger.honest(), tmp_path / "run")
    (path / "run.json").write_text('{"run":"run-b"}')
    found = json.loads(run(path, *keys, "--json", status=1).stdout)["findings"]
    assert {each["code"] for each in found} == {"summary-differs", "release-unlogged"}


def test_a_summary_that_is_none_exits_with_2(tmp_path: Path, keys: list[str]) -> None:
    path = run_folder(made_ledger.honest(), tmp_path / "run")
    (path / "summary.json").write_bytes(b"{}")
    with pytest.raises(InputError, match="cannot be read"):
        run(path, *keys)


@pytest.mark.parametrize(("name", "entry"), [("wrist.covey", 13), ("metrics.csv", 14)])
def test_files_that_are_not_those_released(name: str, entry: int, tmp_path: Path, keys: list[str]) -> None:
    path = run_folder(made_ledger.honest(), tmp_path / "run")
    (path / name).write_bytes(b"another")
    (found,) = json.loads(run(path, *keys, "--json", status=1).stdout)["findings"]
    assert (found["code"], found["entry"]) == ("release-differs", entry)


def test_files_whose_release_was_never_entered(tmp_path: Path, keys: list[str]) -> None:
    made = made_ledger.honest()
    path = run_folder(made.resealed(made.entries[:13]), tmp_path / "run")
    codes = [each["code"] for each in json.loads(run(path, *keys, "--json", status=1).stdout)["findings"]]
    assert codes.count("release-unlogged") == 2


def test_a_self_check_takes_the_runs_own_and_certifies_nothing(tmp_path: Path) -> None:
    made = made_ledger.honest()
    path = run_folder(made, tmp_path / "run")
    (path / "policy").write_bytes(made_ledger.policy_note())
    (path / "keys").mkdir()
    (path / "keys" / "reviewer.vkey").write_text(REVIEWER.verifier.vkey)
    (path / "keys" / "enrolment.pub").write_text(public_of(ENROLMENT).hex())
    facts = json.loads(run(path, "--self-check", "--json", status=1).stdout)
    assert {each["code"] for each in facts["findings"]} == {"self-check", "no-witness-asked"}
    assert (facts["certified"], facts["level"]) == (False, 0)
    assert facts["trusts"][0].startswith("NOTHING OF YOUR OWN")
    rests = "The enrolment key that lies in the run certifies real devices, each once."
    assert facts["trusts"][1] == rests
    assert not any("--witnessed" in each for each in facts["trusts"])
    with pytest.raises(InputError, match="takes the run's own keys"):
        run(path, "--self-check", "--enrolment", "0" * 64)


def test_a_self_check_finds_another_policy_than_the_runs(tmp_path: Path) -> None:
    path = run_folder(made_ledger.honest(), tmp_path / "run")
    (path / "policy").write_bytes(made_ledger.policy_note(budget__answers=61))
    assert "policy-not-yours" in run(path, "--self-check", status=1).stdout


# Waivers


def write_key(path: Path, signer: Ed25519Signer) -> Path:
    key = Ed25519PrivateKey.from_private_bytes(signer.private)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.with_suffix(".vkey").write_text(signer.verifier.vkey)
    return path


def test_a_waiver_that_is_written_is_one_that_counts(tmp_path: Path) -> None:
    made = made_ledger.honest().edited(2, epsilon=None, delta=None)
    folder = made.write(tmp_path / "ledger")
    out, key = tmp_path / "waiver", write_key(tmp_path / "r.pem", REVIEWER)
    wanted = ["waive", folder, "tuning-unaccounted", "--entry", 2, "--key", key, "--out", out]
    assert "signed by reviewer.example" in run(*wanted, "--words", "Ours.").stdout
    entry = ledger.Waiver(time=NOW + 1000, note=out.read_text())
    again = made.resealed([*made.entries, entry])
    reviewer = REVIEWER.verifier.vkey
    (tmp_path / "seen").write_bytes(again.checkpoint or b"")
    given = ["--reviewer", reviewer, "--witnessed", tmp_path / "seen"]
    printed = run(again.write(tmp_path / "again"), *given).stdout
    assert "accepted: reviewer.example: Ours." in printed


def test_a_second_reviewer_signs_the_first_ones_waiver(tmp_path: Path) -> None:
    folder = made_ledger.honest().edited(2, epsilon=None, delta=None).write(tmp_path / "ledger")
    second = Ed25519Signer("second.example", policy_texts.SECOND_REVIEWER)
    out = tmp_path / "waiver"
    for signer, words in ((REVIEWER, ["--words", "Ours."]), (second, [])):
        key = write_key(tmp_path / f"{signer.name}.pem", signer)
        run("waive", folder, "tuning-unaccounted", "--entry", 2, "--key", key, "--out", out, *words)
    assert out.read_text().count("\N{EM DASH} ") == 2
    with pytest.raises(InputError, match="another waiver"):
        run("waive", folder, "tuning-unaccounted", "--entry", 2, "--key", key, "--out", out, "--words", "No.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-code", "--words", "x"], "there is no finding"),
        (["ledger-changed", "--words", "x"], "cannot be accepted"),
        (["tuning-unaccounted", "--entry", "15", "--words", "x"], "none is number 15"),
        (["tuning-unaccounted", "--entry", "2", "--words", "x"], "finds no tuning-unaccounted at entry 2;"),
        (
            ["evidence-missing", "--words", "x"],
            "finds no evidence-missing without an entry; it was made with no",
        ),
    ],
)
def test_what_cannot_be_waived(arguments: list[str], words: str, tmp_path: Path) -> None:
    folder = made_ledger.honest().write(tmp_path / "ledger")
    key = write_key(tmp_path / "r.pem", REVIEWER)
    with pytest.raises(InputError, match=words):
        run("waive", folder, *arguments, "--key", key, "--out", tmp_path / "waiver")


def test_a_waiver_needs_words(tmp_path: Path) -> None:
    folder = made_ledger.honest().edited(2, epsilon=None, delta=None).write(tmp_path / "ledger")
    key = write_key(tmp_path / "r.pem", REVIEWER)
    with pytest.raises(InputError, match="a waiver without words"):
        run("waive", folder, "tuning-unaccounted", "--entry", 2, "--key", key, "--out", tmp_path / "waiver")


def test_a_waiver_is_refused_that_no_finding_has(tmp_path: Path, keys: list[str]) -> None:
    made = made_ledger.honest().replanned(9, noise=None)
    folder = made.write(tmp_path / "ledger")
    key, out = write_key(tmp_path / "r.pem", REVIEWER), tmp_path / "waiver"
    wanted = ["waive", folder, "no-noise", "--key", key, "--out", out, "--words", "Ours."]
    with pytest.raises(
        InputError, match=r"finds no no-noise at entry 7;.*with the keys and files given"
    ) as caught:
        run(*wanted, "--entry", 7, *keys)
    assert caught.value.hint == "it finds it at entry 9"
    assert not out.exists()
    run(*wanted, "--entry", 9, *keys)
    assert out.exists()


def test_what_only_own_keys_show_is_waived_with_them(tmp_path: Path, keys: list[str]) -> None:
    other = tmp_path / "policy"
    other.write_bytes(made_ledger.policy_note(budget__answers=61))
    key, out = write_key(tmp_path / "r.pem", REVIEWER), tmp_path / "waiver"
    run_folder(made_ledger.honest(), tmp_path / "run")
    wanted = ["waive", tmp_path / "run", "policy-not-yours", "--key", key, "--out", out, "--words", "Known."]
    given = json.loads(run(tmp_path / "run", *keys, "--policy", other, "--json", status=1).stdout)
    (entry,) = {each["entry"] for each in given["findings"] if each["code"] == "policy-not-yours"}
    at = [] if entry is None else ["--entry", entry]
    with pytest.raises(InputError, match="with no key of yours, and with the run's own"):
        run(*wanted, *at)
    run(*wanted, *at, *keys, "--policy", other)
    out.unlink()
    (tmp_path / "run" / "policy").write_bytes(other.read_bytes())
    run(*wanted, *at)  # a self-check finds it


def test_the_ledger_of_a_fleet_stands_beside_its_runs(tmp_path: Path, keys: list[str]) -> None:
    made_ledger.honest().write(tmp_path / "ledger")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps({"run": made_ledger.RUN, "ledger": "../ledger"}))
    run(tmp_path / "run", *keys)
