"""`covey policy`, as reviewers and lawyers use it."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from covey.errors import ConfigError, CoveyError, InputError, ProtocolError
from covey.ledger.note import Ed25519Signer, Verifier, holders, parse, read_vkey, signed
from covey.policy.reading import parse as parse_policy
from covey.policy.signed import Reviewers, digest, open_policy
from covey_audit import policy_commands, policy_signing, reviewer_keys
from covey_audit.policy_commands import policy
from policy_texts import OPERATOR, policy_text

NOW = 1_800_000_000  # 15 January 2027
NEXT = {"serial": 2, "previous": digest(policy_text())}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a policy, on a day on which it holds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(policy_commands, "now", lambda: NOW)
    monkeypatch.setattr(policy_signing, "now", lambda: NOW)
    write("policy.toml")
    return tmp_path


def write(file: str, /, **changes: Any) -> None:
    Path(file).write_text(policy_text(**changes), "utf-8")


def run(*arguments: str, status: int = 0, answers: str | None = None) -> Result:
    """Run a command at 80 columns on a dumb terminal; an error of ours passes through."""
    environment = {"TERM": "dumb", "COLUMNS": "80", "NO_COLOR": "1"}
    result = CliRunner().invoke(policy, arguments, input=answers, env=environment, catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result


def told(*arguments: str, status: int = 0) -> str:
    """What a command printed, with its lines joined."""
    return " ".join(run(*arguments, status=status).stdout.split())


def refused(*arguments: str, kind: type[CoveyError] = InputError) -> CoveyError:
    with pytest.raises(kind) as caught:
        run(*arguments)
    assert "\n" not in caught.value.message
    return caught.value


def make_key(stem: str) -> Verifier:
    return read_vkey(run("key", f"{stem}.pem", "--name", f"{stem}.example").stdout)


def opened(file: str, *keys: Verifier, threshold: int = 1) -> tuple[Verifier, ...]:
    return open_policy(Path(file).read_bytes(), Reviewers(keys, threshold), blame="local").signers


def test_a_new_policy_is_a_template_that_asks_to_be_filled_in() -> None:
    assert "covey policy lint new.toml" in run("new", "new.toml").stdout
    assert "64 hexadecimal digits" in refused("lint", "new.toml", kind=ConfigError).message
    text = Path("new.toml").read_text("utf-8")
    filled = text.replace("FILL IN: the operator's key", "a" * 64)
    assert filled != text
    assert "exists" in refused("new", "new.toml").message
    assert Path("new.toml").read_text("utf-8") == text


def test_the_template_filled_in_is_a_policy_that_lint_has_no_fault_with() -> None:
    run("new", "new.toml")
    text = Path("new.toml").read_text("utf-8")
    model = parse_policy(policy_text(), "")
    for gap, filling in {
        "the fleet": "test",
        "what the answers are for, and what they are not for.": "Recognise activities, and nothing else.",
        "the operator's key": model.keys.operator,
        "the enrolment key": model.keys.enrolment,
        "the ledger's name": model.ledger.origin,
        "the ledger's key, a line NAME+ID+KEY": model.ledger.log,
        "the witness's key, a line NAME+ID+KEY": model.ledger.witnesses[0],
        "the model": "wrist-motion",
    }.items():
        assert f'"FILL IN: {gap}"' in text
        text = text.replace(f'"FILL IN: {gap}"', f'"{filling}"')
    Path("new.toml").write_text(text, "utf-8")
    remarks = json.loads(run("lint", "new.toml", "--json").stdout)["remarks"]
    assert [each["severity"] for each in remarks] == ["note"]
    half = text.replace('fleet = "test"', 'fleet = "FILL IN: the fleet"')
    Path("half.toml").write_text(half, "utf-8")
    assert "error: fleet: it is still the template's" in told("lint", "half.toml", status=1)


def test_lint_finds_errors_and_says_so_by_its_status() -> None:
    assert told("lint", "policy.toml").endswith("no errors")
    write("policy.toml", queries__train__noise_multiplier="0.5", signatures=2)
    text = told("lint", "policy.toml", status=1)
    assert text.startswith("error: queries.train.noise_multiplier: one answer costs more than budget.epsilon")
    assert text.endswith("do not sign it yet")
    found = json.loads(run("lint", "policy.toml", "--json", status=1).stdout)
    assert found["errors"] is True
    assert found["remarks"][0]["key"] == "queries.train.noise_multiplier"


def test_lint_has_nothing_to_remark_on_a_good_policy() -> None:
    write("policy.toml", signatures=2)
    assert told("lint", "policy.toml") == "nothing to remark"


def test_lint_knows_what_day_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_commands, "now", lambda: NOW + 400 * 86_400)
    assert "error: valid_until: 2027-12-31 is over" in told("lint", "policy.toml", status=1)


def test_explain_prints_plain_words_in_eighty_columns() -> None:
    text = run("explain", "policy.toml").stdout
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
    assert "What is NOT promised" in text
    assert digest(policy_text()) in text
    assert "Signatures were not checked" in text


def test_explain_as_json_has_the_same_points() -> None:
    found = json.loads(run("explain", "policy.toml", "--json").stdout)
    assert found["sha256"] == digest(policy_text())
    assert found["sections"][-1]["title"] == "What is NOT promised"
    assert found["by_noise_alone"]["together"] == pytest.approx(5.81, abs=0.01)


def test_signed_and_draft_are_the_same_policy_to_every_command() -> None:
    make_key("privacy")
    run("sign", "policy.toml", "--key", "privacy.pem")
    for command in ("lint", "explain"):
        assert told(command, "policy.signed") == told(command, "policy.toml")
    assert told("diff", "policy.signed", "policy.toml") == "no difference"


def test_a_key_has_a_private_half_for_its_owner_and_a_public_one_for_all() -> None:
    verifier = make_key("privacy")
    assert verifier.name == "privacy.example"
    assert Path("privacy.vkey").read_text("ascii") == f"{verifier.vkey}\n"
    assert stat.S_IMODE(Path("privacy.pem").stat().st_mode) == 0o600
    assert b"ENCRYPTED" not in Path("privacy.pem").read_bytes()
    assert "not encrypted" in run("key", "other.pem", "--name", "a").stderr


def test_no_key_is_written_over() -> None:
    make_key("privacy")
    before = Path("privacy.pem").read_bytes()
    assert "privacy.pem exists" in refused("key", "privacy.pem", "--name", "a").message
    assert Path("privacy.pem").read_bytes() == before
    Path("privacy.pem").unlink()
    assert "privacy.vkey exists" in refused("key", "privacy.pem", "--name", "a").message
    assert not Path("privacy.pem").exists()


@pytest.mark.parametrize("name", ["", "two words", "a+b", "a\tb"])
def test_a_key_needs_a_name_that_can_stand_in_a_signature(name: str) -> None:
    assert "cannot name a key" in refused("key", "k.pem", "--name", name).message
    assert not Path("k.pem").exists()


def test_sign_signs_the_file_byte_for_byte() -> None:
    verifier = make_key("privacy")
    Path("policy.toml").write_text(policy_text() + "\n# a note\n\n", "utf-8")
    text = told("sign", "policy.toml", "--key", "privacy.pem")
    assert text.startswith("signed policy.signed as privacy.example")
    note = parse(Path("policy.signed").read_bytes(), blame="local")
    assert note.text.encode() == Path("policy.toml").read_bytes()
    assert holders(note, (verifier,), blame="local") == (verifier,)
    assert opened("policy.signed", verifier) == (verifier,)


def test_two_people_sign_one_after_the_other() -> None:
    write("policy.toml", signatures=2)
    first, second = make_key("privacy"), make_key("legal")
    assert "1 of 2 signatures" in told("sign", "policy.toml", "--key", "privacy.pem")
    with pytest.raises(ProtocolError, match="signed by 1"):
        opened("policy.signed", first, second, threshold=2)
    assert "of 2 signatures" not in told("sign", "policy.signed", "--key", "legal.pem", "--add")
    assert opened("policy.signed", first, second, threshold=2) == (first, second)


def test_one_person_twice_is_one() -> None:
    first, second = make_key("privacy"), make_key("legal")
    run("sign", "policy.toml", "--key", "privacy.pem")
    run("sign", "policy.signed", "--key", "privacy.pem", "--add")
    assert len(parse(Path("policy.signed").read_bytes(), blame="local").signatures) == 1
    error = refused(
        "show",
        "policy.signed",
        *("--reviewer", first.vkey, "--reviewer", second.vkey, "--threshold", "2"),
        kind=ProtocolError,
    )
    assert "signed by 1 of the reviewers it needs 2" in error.message
    assert error.exit_status == 1


def test_what_is_signed_is_never_written_over() -> None:
    make_key("privacy")
    run("sign", "policy.toml", "--key", "privacy.pem")
    before = Path("policy.signed").read_bytes()
    assert "policy.signed exists" in refused("sign", "policy.toml", "--key", "privacy.pem").message
    assert "is signed already" in refused("sign", "policy.signed", "--key", "privacy.pem").message
    assert "no signature to add to" in refused("sign", "policy.toml", "--key", "privacy.pem", "--add").message
    assert Path("policy.signed").read_bytes() == before
    run("sign", "policy.toml", "--key", "privacy.pem", "--out", "again")
    assert Path("again").read_bytes() == before
    run("sign", "policy.signed", "--key", "privacy.pem", "--add", "--out", "more")
    assert Path("more").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "kind", "status", "words"),
    [
        ({"budget__epsilon": 8.0}, ConfigError, 2, "between quotation marks"),
        ({"queries__train__noise_multiplier": "0.5"}, CoveyError, 1, "is not signed"),
        ({"valid_from": "~2026-01-01", "valid_until": "~2026-12-31"}, CoveyError, 1, "is not signed"),
    ],
)
def test_what_is_no_policy_or_has_an_error_is_not_signed(
    changes: dict[str, Any], kind: type[CoveyError], status: int, words: str
) -> None:
    make_key("privacy")
    write("policy.toml", **changes)
    error = refused("sign", "policy.toml", "--key", "privacy.pem", kind=kind)
    assert words in error.message
    assert error.exit_status == status
    assert not Path("policy.signed").exists()


def test_a_text_that_cannot_stand_in_a_note_is_not_signed() -> None:
    make_key("privacy")
    Path("policy.toml").write_text(policy_text().rstrip("\n"), "utf-8")
    assert "ends in a newline" in refused("sign", "policy.toml", "--key", "privacy.pem").message


def test_whom_the_policy_watches_does_not_sign_it() -> None:
    verifier = make_key("privacy")
    write("policy.toml", keys__operator=verifier.key.hex())
    error = refused("sign", "policy.toml", "--key", "privacy.pem", kind=CoveyError)
    assert "this key in another office" in error.message
    assert error.exit_status == 1
    write("policy.toml", ledger__witnesses=[Verifier("witness.example", 4, verifier.key).vkey])
    refused("sign", "policy.toml", "--key", "privacy.pem", kind=CoveyError)
    assert not Path("policy.signed").exists()


def test_an_encrypted_key_takes_its_passphrase_from_a_file() -> None:
    Path("pass").write_text("correct horse\nsecond line\n", "utf-8")
    Path("wrong").write_text("incorrect horse\n", "utf-8")
    run("key", "k.pem", "--name", "privacy.example", "--passphrase-file", "pass")
    assert b"ENCRYPTED" in Path("k.pem").read_bytes()
    error = refused("sign", "policy.toml", "--key", "k.pem", "--passphrase-file", "wrong")
    assert error.message == "k.pem: the passphrase is wrong"
    run("sign", "policy.toml", "--key", "k.pem", "--passphrase-file", "pass")
    verifier = read_vkey(Path("k.vkey").read_text("ascii"))
    assert opened("policy.signed", verifier) == (verifier,)


def test_an_encrypted_key_asks_a_person_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nobody is there to ask" in refused("key", "k.pem", "--name", "a", "--encrypt").message
    monkeypatch.setattr(policy_signing, "someone_is_there", lambda: True)
    monkeypatch.setattr(reviewer_keys, "someone_is_there", lambda: True)
    run("key", "k.pem", "--name", "privacy.example", "--encrypt", answers="horse\nhorse\n")
    result = run("sign", "policy.toml", "--key", "k.pem", answers="horse\n")
    assert "passphrase of k.pem" in result.stderr
    assert "horse" not in result.output
    monkeypatch.setattr(reviewer_keys, "someone_is_there", lambda: False)
    error = refused("sign", "policy.toml", "--key", "k.pem", "--out", "other")
    assert error.hint == "add --passphrase-file FILE"


def test_a_key_that_is_not_encrypted_asks_nothing() -> None:
    make_key("privacy")
    run("sign", "policy.toml", "--key", "privacy.pem", answers="")


EC_KEY = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not a private key in PEM"),
        (b"\xff\x00", "not a private key in PEM"),
        (b"x" * 70_000, "longer than any key"),
        (
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "the passphrase is wrong",
        ),
    ],
)
def test_a_key_that_cannot_be_read_is_refused_without_showing_it(content: bytes, told: str) -> None:
    Path("bad.pem").write_bytes(content)
    Path("pass").write_text("secret", "utf-8")
    error = refused("sign", "policy.toml", "--key", "bad.pem", "--name", "a", "--passphrase-file", "pass")
    assert told in error.message
    assert "secret" not in str(error)


def test_a_key_of_another_kind_is_refused() -> None:
    subprocess.run([*EC_KEY, "ec.pem"], check=True, capture_output=True)
    error = refused("sign", "policy.toml", "--key", "ec.pem", "--name", "a")
    assert error.message == "ec.pem: not an Ed25519 key"


def test_the_name_is_the_public_halfs_or_given() -> None:
    verifier = make_key("privacy")
    Path("privacy.vkey").rename("elsewhere.vkey")
    assert "--name" in refused("sign", "policy.toml", "--key", "privacy.pem").hint
    run("sign", "policy.toml", "--key", "privacy.pem", "--name", "privacy.example")
    assert opened("policy.signed", verifier) == (verifier,)


def test_a_public_half_of_another_key_is_noticed() -> None:
    make_key("privacy")
    make_key("legal")
    Path("legal.vkey").rename("privacy.vkey")
    error = refused("sign", "policy.toml", "--key", "privacy.pem")
    assert "privacy.pem is not the private half of legal.example in privacy.vkey" in error.message


def test_a_signature_needs_exactly_one_key() -> None:
    make_key("privacy")
    assert refused("sign", "policy.toml").message == "whose key signs?"
    both = refused("sign", "policy.toml", "--key", "privacy.pem", "--pkcs11", "hsm:2")
    assert both.message == "whose key signs?"
    assert "--name" in refused("sign", "policy.toml", "--pkcs11", "hsm:2").hint


def test_show_says_what_was_checked_and_what_was_not() -> None:
    verifier = make_key("privacy")
    assert "signed by NOBODY: this is a draft" in told("show", "policy.toml")
    run("sign", "policy.toml", "--key", "privacy.pem")
    unchecked = told("show", "policy.signed")
    assert "NOT CHECKED; it claims privacy.example" in unchecked
    assert verifier.vkey not in unchecked
    checked = told("show", "policy.signed", "--reviewer", "privacy.vkey")
    assert "signed by 1 of the reviewers named (the policy needs 1): checked" in checked
    assert checked.endswith(verifier.vkey)
    assert "NOT CHECKED" not in checked


def test_show_as_json() -> None:
    verifier = make_key("privacy")
    run("sign", "policy.toml", "--key", "privacy.pem")
    found = json.loads(run("show", "policy.signed", "--json").stdout)
    assert found["signatures"] == {"checked": False, "hold": [], "claimed": ["privacy.example"], "needed": 1}
    assert found["sha256"] == digest(policy_text())
    assert found["policy"]["budget"]["epsilon"] == "8"
    checked = json.loads(run("show", "policy.signed", "--reviewer", verifier.vkey, "--json").stdout)
    assert checked["signatures"]["hold"] == [verifier.vkey]


@pytest.mark.parametrize(
    ("now", "told_now"),
    [(1_798_761_599, "not yet in force"), (1_798_761_600, "in force"), (1_830_297_600, "over")],
)
def test_show_knows_what_day_it_is(now: int, told_now: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_commands, "now", lambda: now)
    assert f"2027-01-01 to 2027-12-31 ({told_now})" in told("show", "policy.toml")


def test_show_says_how_fast_answers_may_be_asked_for() -> None:
    assert ", 24 per day" in told("show", "policy.toml")
    write("policy.toml", queries__train__rate_limit="none")
    assert "noise multiplier 6, no rate limit" in told("show", "policy.toml")


def test_show_refuses_what_the_named_reviewer_did_not_sign() -> None:
    make_key("privacy")
    make_key("legal")
    draft = refused("show", "policy.toml", "--reviewer", "legal.vkey", kind=CoveyError)
    assert (draft.message, draft.exit_status) == ("policy.toml is not signed", 1)
    run("sign", "policy.toml", "--key", "privacy.pem")
    error = refused("show", "policy.signed", "--reviewer", "legal.vkey", kind=ProtocolError)
    assert "signed by none of the reviewers named; it needs 1" in error.message
    data = Path("policy.signed").read_bytes()
    Path("policy.signed").write_bytes(data.replace(b'epsilon = "8"', b'epsilon = "9"'))
    error = refused("show", "policy.signed", "--reviewer", "privacy.vkey", kind=ProtocolError)
    assert "does not hold" in error.message


@pytest.mark.parametrize("given", ["nonsense", "policy.toml", "."])
def test_show_takes_only_public_keys_as_reviewers(given: str) -> None:
    assert "is no public key" in refused("show", "policy.toml", "--reviewer", given).message


def test_a_private_key_given_as_a_reviewers_is_not_shown() -> None:
    make_key("anna")
    pem = Path("anna.pem").read_text("ascii")
    secret = pem.splitlines()[1]
    Path("anna.hex").write_text(bytes(range(32)).hex())
    for given in ("anna.pem", pem, pem * 9, "anna.hex", bytes(range(32)).hex(), secret):
        error = refused("show", "policy.toml", "--reviewer", given)
        said = f"{error}{error.hint}"
        assert "no public key" in said
        assert secret[:12] not in said
        assert bytes(range(6)).hex() not in said
    error = refused("show", "policy.toml", "--reviewer", "anna.pem")
    assert error.message == "anna.pem: that is no public key: it looks like a private one"
    assert error.hint == "give the .vkey file, and show the private key to nobody"


def test_a_reviewers_file_that_is_not_there_is_named() -> None:
    error = refused("show", "policy.toml", "--reviewer", "nobody.vkey")
    assert error.message == "nobody.vkey is no public key, and no file"


def test_diff_says_what_is_weaker_and_by_its_status() -> None:
    write("next.toml", **NEXT, queries__train__answers=60, queries__train__minimum=9)
    lines = run("diff", "policy.toml", "next.toml", status=1).stdout.splitlines()
    assert lines[0] == "weaker: a device may answer train 60 times instead of 40"
    assert lines[-1] == "stronger: a train sum opens with 9 devices in it instead of 8"


def test_diff_is_content_with_what_is_only_stronger() -> None:
    write("next.toml", **NEXT, queries__train__answers=30)
    assert "stronger: a device may answer train 30 times instead of 40" in told(
        "diff", "policy.toml", "next.toml"
    )


def test_diff_notices_a_broken_chain() -> None:
    write("next.toml", name="other")
    text = told("diff", "policy.toml", "next.toml", status=1)
    assert text.startswith("order: serial 1 does not follow serial 1: write 2")
    found = json.loads(run("diff", "policy.toml", "next.toml", "--json", status=1).stdout)
    assert found["chain"] == ["serial 1 does not follow serial 1: write 2"]
    assert [each["key"] for each in found["differences"]] == ["name"]


def test_diff_of_a_policy_with_itself_is_empty() -> None:
    assert told("diff", "policy.toml", "policy.toml") == "no difference"


@pytest.mark.parametrize(
    "command", [["lint"], ["explain"], ["show"], ["diff", "policy.toml"], ["sign", "--key", "x"]]
)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"", "the first line of a policy"),
        (b"x" * 70_000, "longer than a policy may be"),
        (b"text\n\n\xe2\x80\x94 name broken\n", "a malformed note"),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(
    command: list[str], content: bytes | None, words: str
) -> None:
    if content is not None:
        Path("bad").write_bytes(content)
    assert words in refused(*command, "bad", kind=CoveyError).message


def test_a_signed_file_with_another_text_is_no_policy() -> None:
    Path("bad").write_bytes(signed("covey.example\n0\nAAAA\n", Ed25519Signer("a", OPERATOR)))
    assert "the first line of a policy" in refused("show", "bad", kind=ConfigError).message


@pytest.mark.parametrize("command", ["new", "key", "lint", "explain", "sign", "show", "diff"])
def test_every_command_shows_an_example_and_its_exit_statuses(command: str) -> None:
    text = run(command, "--help").stdout
    assert f"covey policy {command} " in text
    assert "Exit status 0" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_command_line_imports_nothing_heavy_before_it_works() -> None:
    code = (
        "import sys, covey_audit.policy_commands;"
        "heavy = {'numpy', 'torch', 'flwr', 'securesystemslib', 'pkcs11', 'rich', 'jinja2'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"
