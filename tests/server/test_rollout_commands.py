"""`covey rollout` as a person types it, over a real fleet's folder, its ledger and its witness."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from covey.errors import InputError
from covey.ledger import entries
from covey.ledger.entries import RolloutDecision
from covey.ledger.note import Ed25519Signer, read_vkey, signed
from covey.policy.signed import Reviewers
from covey.rollout.instruction import TARGET, Instruction, from_bytes
from covey_audit.reviewer_keys import load_signer, make_key
from covey_io import durable
from covey_io.device_keys import reviewers_json
from covey_io.ledger_files import LedgerFiles
from covey_server.fleet_keys import make_fleet
from covey_server.rollout_commands import rollout

NAMES = [f"pi-{number:02d}" for number in range(10)]
FEDERATION = """
name = "pilot"
[model]
name = "digits"
[federation]
rounds = 2
examples_cap = 64
[privacy]
epsilon = 8
"""
PLAN = f"""
rollout = "wrist-2"
unproven = "advance"
[image]
name = "wrist"
version = "2"
generation = 2
sha256 = "{"cd" * 32}"
bytes = 9
[fallback]
name = "wrist"
version = "1"
generation = 1
sha256 = "{"ab" * 32}"
bytes = 9
[[rings]]
name = "lab"
devices = ["pi-00", "pi-01"]
soak_hours = 0
[[rings]]
name = "all"
percent = 100
soak_hours = 0
[limits]
report_hours = 0.0001
"""


@dataclass
class Fleet:
    """A fleet on the operator's disk."""

    path: Path

    @property
    def operator(self) -> Path:
        return self.path / "keys" / "operator"

    def run(self, *words: object, status: int = 0) -> Result:
        where = ("--server", self.path / "server.toml", "--plain", self.path / "site")
        told = CliRunner().invoke(rollout, [str(each) for each in (*where, *words)], catch_exceptions=False)
        assert told.exit_code == status, told.output
        return told

    def json(self, *words: object, status: int = 0) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.run(*words, "--json", status=status).stdout)
        return found

    @property
    def told(self) -> Instruction:
        return from_bytes((self.path / "site" / TARGET).read_bytes())

    @property
    def decisions(self) -> list[RolloutDecision]:
        found = map(entries.decode, LedgerFiles(self.path / "state" / "runs" / "ledger").lines()[0])
        return [each for each in found if isinstance(each, RolloutDecision)]

    def health(self, *rings: tuple[float, float]) -> Path:
        path = self.path / "health.json"
        about = {"format": "covey-rollout-health/1", "rollout": "wrist-2", "time": int(time.time())}
        counts = [{"succeeded": good, "failed": bad} for good, bad in rings]
        path.write_text(json.dumps({**about, "deviation": 0.0, "rings": counts}))
        return path

    def approved(self, *people: str) -> Path:
        (self.path / "plan.toml").write_text(PLAN)
        self.run("plan", self.path / "plan.toml", "-o", self.path / "plan.json")
        target = self.path / "plan.approved"
        for person in people:
            source = target if target.exists() else self.path / "plan.json"
            self.run("approve", source, "--key", self.path / f"{person}.pem")
        return target


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Ten devices, two approvers who must both sign, a policy, a witness."""
    made = Fleet(tmp_path)
    make_fleet(tmp_path / "keys", "lab", NAMES, 30)
    state = tmp_path / "state"
    (tmp_path / "server.toml").write_text(f'state = "{state}"\noperator = "{made.operator}"\n')
    keys = tuple(make_key(tmp_path / f"{person}.pem", person, None) for person in ("anna", "bo", "eve"))
    durable.replace(made.operator / "approvers.json", reviewers_json(Reviewers(keys[:2], 2)))
    return made


def with_policy(fleet: Fleet) -> None:
    """Under a signed policy a witness watches the ledger."""
    from covey_server.fleet_policy import drafted  # noqa: PLC0415 - slow, and for one test

    (fleet.path / "federation.toml").write_text(FEDERATION)
    text = drafted(
        fleet.path / "federation.toml",
        fleet.operator,
        purpose="To test.",
        days=90,
        spare=0,
        rate_limit="none",
        after=None,
    )
    reviewer = fleet.path / "keys" / "reviewer"
    name = read_vkey((reviewer / "reviewer.vkey").read_text()).name
    signer = load_signer(reviewer / "reviewer.pem", name, lambda: "")
    durable.replace(fleet.operator / "policy", signed(text, signer))


def test_from_a_plan_to_every_device_and_back(fleet: Fleet) -> None:
    with_policy(fleet)
    approved = fleet.approved("anna", "bo")
    started = fleet.run("start", approved)
    assert "approved by anna, bo" in started.stderr
    assert "nobody witnesses" not in started.stderr
    assert "ring lab: open since" in started.stdout
    assert fleet.told.opened == 1
    time.sleep(1.1)  # the time for reports is a second at the least
    assert "ring all: open since" in fleet.run("tick", "--health", fleet.health((2, 0))).stdout
    assert fleet.told.opened == 2
    time.sleep(1.1)
    assert fleet.json("tick", "--health", fleet.health((2, 0), (8, 0)))["state"] == "complete"
    back = fleet.json("rollback", "--reason", "calls every gesture a fall")
    assert (back["state"], back["pending"]) == ("rolled-back", False)
    assert fleet.told.state == "rolled-back"
    said = [(each.action, each.opened, each.approvals, each.serial) for each in fleet.decisions]
    assert said == [("start", 1, 2, 1), ("open", 2, 2, 2), ("complete", 2, 2, 3), ("rollback", 2, 2, 4)]
    assert fleet.decisions[-1].reason == "calls every gesture a fall"
    assert b"\n4\n" in (LedgerFiles(fleet.path / "state" / "runs" / "ledger").head() or b"")


def test_a_bad_release_stops_by_itself(fleet: Fleet) -> None:
    fleet.run("start", fleet.approved("anna", "bo"))
    time.sleep(1.1)
    fleet.run("tick", "--health", fleet.health((2, 0)))
    told = fleet.json("tick", "--health", fleet.health((2, 0), (1, 7)))
    assert told["state"] == "rolled-back"
    assert (fleet.told.state, fleet.decisions[-1].action) == ("rolled-back", "stop")


def test_a_start_wants_everybody_who_must_approve(fleet: Fleet) -> None:
    with pytest.raises(InputError, match="1 of the 2 approvers that are needed have signed"):
        fleet.run("start", fleet.approved("anna", "eve"))
    assert not (fleet.path / "site").exists()
    assert not (fleet.path / "state" / "runs").exists()


def test_without_approvers_in_the_fleet_one_is_enough_and_it_is_said(fleet: Fleet) -> None:
    (fleet.operator / "approvers.json").unlink()
    approved = fleet.approved("eve")
    with pytest.raises(InputError, match="nobody is known who could approve"):
        fleet.run("start", approved)
    told = fleet.run("start", approved, "--approver", fleet.path / "eve.vkey")
    assert "one approval is enough" in told.stderr
    assert "nobody witnesses the ledger" in told.stderr


def test_pause_hold_and_pin_reach_devices_and_are_explained(fleet: Fleet) -> None:
    fleet.run("start", fleet.approved("anna", "bo"))
    assert "should run wrist 2" in fleet.run("explain", "pi-00").stdout
    other = fleet.run("explain", "pi-05").stdout
    assert "should run wrist 1" in other
    assert "is not open yet" in other
    fleet.run("pause")
    assert "does not begin to install it" in fleet.run("explain", "pi-00").stdout
    fleet.run("resume")
    assert "pi-00 is on hold" in fleet.run("hold", "pi-00").stdout
    assert "it is on hold: nothing changes on it" in fleet.run("explain", "pi-00").stdout
    fleet.run("pin", "pi-01", "fallback", "--reason", "compare")
    told = fleet.json("explain", "pi-01")
    assert isinstance(told["image"], dict)
    assert (told["image"]["version"], told["on_hold"]) == ("1", False)
    fleet.run("unhold", "pi-00")
    fleet.run("unpin", "pi-01")
    assert (fleet.told.holds, fleet.told.pins, fleet.told.serial) == ((), (), 7)
    assert "NOT IN THE FLEET'S ROSTER" in fleet.run("explain", "pi-99").stdout
    with pytest.raises(InputError, match="no device 'pi-99'"):
        fleet.run("hold", "pi-99")
    assert not any("pi-0" in each.reason for each in fleet.decisions)


def test_what_is_decided_and_not_published_is_said_and_done_later(fleet: Fleet) -> None:
    fleet.run("start", fleet.approved("anna", "bo"))
    (fleet.path / "site" / "rollout").rename(fleet.path / "away")
    (fleet.path / "site" / "rollout").write_text("in the way")
    with pytest.raises(OSError):  # noqa: PT011 - the folder's own
        fleet.run("abort")
    assert "IS DECIDED AND NOT YET PUBLISHED" in fleet.run("status", status=1).stdout
    (fleet.path / "site" / "rollout").unlink()
    fleet.run("tick")
    assert (fleet.told.state, [each.action for each in fleet.decisions]) == ("aborted", ["start", "abort"])


def test_health_of_something_else_is_refused(fleet: Fleet) -> None:
    fleet.run("start", fleet.approved("anna", "bo"))
    with pytest.raises(InputError, match="about 2 rings, and 1 are open"):
        fleet.run("tick", "--health", fleet.health((1, 0), (1, 0)))
    wrong = fleet.health((1, 0))
    wrong.write_text(wrong.read_text().replace("wrist-2", "wrist-1"))
    with pytest.raises(InputError, match="is about wrist-1, not wrist-2"):
        fleet.run("tick", "--health", wrong)
    wrong.write_text(wrong.read_text().replace("1.0", "NaN").replace('"succeeded": 1', '"succeeded": NaN'))
    with pytest.raises(InputError, match="no health of a rollout"):
        fleet.run("tick", "--health", wrong)


def test_before_anything_was_started(fleet: Fleet) -> None:
    assert fleet.run("status").stdout == "no rollout was ever started\n"
    for words in (("pause",), ("explain", "pi-00"), ("tick", "--health", fleet.health((1, 0)))):
        with pytest.raises(InputError, match="no rollout was ever started"):
            fleet.run(*words)
    fleet.run("tick")


def test_a_plan_is_told_before_it_is_signed_and_nothing_is_overwritten(fleet: Fleet) -> None:
    approved = fleet.approved("anna")
    told = fleet.run("approve", approved, "--key", fleet.path / "bo.pem").stdout
    assert "ring lab: 2 by name" in told
    assert "bo approved wrist-2" in told
    with pytest.raises(InputError, match="exists"):
        fleet.run("approve", fleet.path / "plan.json", "--key", fleet.path / "bo.pem")
    assert fleet.json("plan", fleet.path / "plan.toml")["doubts"] == [
        "ring lab: 2 devices are too few to stop it by themselves"
    ]


def test_a_plan_for_another_fleet_is_refused(fleet: Fleet) -> None:
    fleet.approved()
    text = (fleet.path / "plan.json").read_text().replace('"fleet":"lab"', '"fleet":"other"')
    signers = [load_signer(fleet.path / f"{person}.pem", None, lambda: "") for person in ("anna", "bo")]
    (fleet.path / "plan.approved").write_bytes(signed(text, *signers))
    assert isinstance(signers[0], Ed25519Signer)
    with pytest.raises(InputError, match="the plan is for fleet other, this is lab"):
        fleet.run("start", fleet.path / "plan.approved")


def test_help_is_there_and_imports_nothing_heavy() -> None:
    for command in ("plan", "approve", "start", "status", "tick", "pause", "resume", "abort", "rollback"):
        assert CliRunner().invoke(rollout, [command, "--help"]).exit_code == 0
    program = (
        "import sys; import covey_server.rollout_commands;"
        "print(sorted({'torch', 'flwr', 'numpy', 'tuf', 'msgspec', 'cryptography'} & {*sys.modules}))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
