"""Simulations under a policy: what devices enforce, what the ledger keeps, what is refused half-way."""

import re
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

import small_federation as small
from covey import merkle
from covey import plan as plans
from covey.budget import Budget
from covey.errors import CoveyError, InputError, StateError, TooFewDevices
from covey.ledger.checkpoint import open_checkpoint
from covey.ledger.entries import AnyEntry, Reserve, RunPolicy, Settle, kind_of
from covey.ledger.note import Ed25519Signer, parse, read_vkey, signed
from covey.policy.signed import Reviewers, open_policy
from covey.secagg import evidence
from covey.secagg.messages import Advert, decode
from covey_audit.anchor_files import Given
from covey_audit.examining import examine
from covey_io.settings import convert
from covey_io.witness_client import LocalWitness
from covey_server.coordinator import RoundEnded
from covey_server.run_folder import RunFolder
from covey_server.sum_rows import read_entries
from covey_simulations import run as runs
from covey_simulations.fleet import Fleet
from covey_simulations.roles import run_keys
from covey_simulations.run import simulate
from covey_simulations.settings import SimulationFile
from covey_simulations.world import World, populate, read


@dataclass
class Seen:
    """A display that keeps what it is told, and may stop the run."""

    rounds: list[RoundEnded] = field(default_factory=list)
    stop_after: int = 0

    def stage(self, name: str) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Nothing."""

    def step(self, done: int, total: int) -> None:
        """Nothing."""

    def round_ended(self, ended: RoundEnded) -> None:
        """Keep it."""
        self.rounds.append(ended)
        if ended.round == self.stop_after:
            raise KeyboardInterrupt


def file_of(*overrides: str, rounds: int = 2) -> SimulationFile:
    """The small federation with masks and noise."""
    table: dict[str, Any] = tomllib.loads(small.TOML)
    table["federation"]["rounds"] = rounds
    table["central"]["enabled"] = False
    table["release"]["int8"] = False
    for override in (*small.CROWD, *overrides):
        where, _, value = override.partition("=")
        key, _, name = where.partition(".")
        table[key][name] = tomllib.loads(f"x = {value}")["x"]
    return convert(table, SimulationFile, "small.toml")


@dataclass
class Simulated:
    """A run's folder, and the fleets of all its processes."""

    path: Path
    file: SimulationFile
    fleets: list[Fleet] = field(default_factory=list)

    @property
    def folder(self) -> RunFolder:
        if (self.path / "run.json").exists():
            return RunFolder.open(self.path)
        return RunFolder.create(self.path, msgspec.to_builtins(self.file))

    def run(self, seen: Seen | None = None) -> Any:
        """A process of it."""

        def keeping(scenario: Any, folder: RunFolder) -> World:
            world = populate(scenario, folder)
            self.fleets.append(world.fleet)
            return world

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runs, "populate", keeping)
            return simulate(read(self.file), self.folder, seen or Seen())

    def entries(self) -> list[AnyEntry]:
        return read_entries(self.folder.ledger)

    def kinds(self) -> list[str]:
        return [kind_of(each) for each in self.entries()]

    def reserved(self) -> list[str]:
        """Digests of all plans."""
        return [plans.digest(each.plan) for each in self.entries() if isinstance(each, Reserve)]

    def budgets(self, process: int = -1) -> list[Budget]:
        """Of the devices of a process."""
        return [each.journal.budget for each in self.fleets[process].participants.values()]

    def reviewer(self) -> Ed25519Signer:
        return Ed25519Signer("covey/simulation/reviewer", run_keys(self.path).of("reviewer"))

    def agree(self, change: Callable[[str], str]) -> None:
        """The reviewer signs another policy than the one that is there."""
        path = self.path / "policy"
        path.write_bytes(signed(change(parse(path.read_bytes(), blame="test").text), self.reviewer()))


SUMS = ["round.reserve", "round.settle"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    made = Simulated(tmp_path_factory.mktemp("policed") / "small", file_of())
    made.run()
    return made


class TestDone:
    def test_its_ledger_has_roster_policy_sums_and_releases(self, done: Simulated) -> None:
        assert done.kinds() == ["enrol", "run.policy", *SUMS * 5, "metrics.release", "model.release"]
        assert done.folder.ledger.path == done.path / "ledger"

    def test_policy_and_keys_are_beside_it(self, done: Simulated) -> None:
        reviewer = read_vkey((done.path / "keys/reviewer.vkey").read_text())
        opened = open_policy((done.path / "policy").read_bytes(), Reviewers((reviewer,)), blame="test")
        assert opened.policy.simulation
        assert {kind: each.answers for kind, each in opened.policy.queries.items()} == {
            "train": 2,
            "validate": 2,
            "statistics": 1,
        }
        (entry,) = (each for each in done.entries() if isinstance(each, RunPolicy))
        assert entry.policy.encode() == (done.path / "policy").read_bytes()
        assert (done.path / "keys/simulation.key").stat().st_mode & 0o077 == 0

    def test_its_head_is_witnessed_and_covers_everything(self, done: Simulated) -> None:
        data = done.folder.ledger.head()
        assert data
        operator = done.fleets[0].operator
        assert operator
        assert operator.policy
        head = open_checkpoint(data, operator.policy.policy.log_trust(), blame="test").checkpoint
        lines, _ = done.folder.ledger.lines()
        assert (head.size, head.root) == (len(lines), merkle.root(lines))
        assert LocalWitness(done.path / "witness").latest(head.origin) == data

    def test_every_device_reserved_every_plan_of_it(self, done: Simulated) -> None:
        for budget in done.budgets():
            assert list(budget.reserved) == done.reserved()
            assert (budget.counter, budget.locked, budget.unsettled) == (5, "", frozenset())

    def test_every_plan_appeals_to_the_policy(self, done: Simulated) -> None:
        operator = done.fleets[0].operator
        policy = operator and operator.policy
        assert policy
        for entry in done.entries():
            if isinstance(entry, Reserve):
                named = plans.from_bytes(entry.plan).policy
                assert named
                assert named.sha256 == policy.sha256


class TestBeyond:
    """A coordinator that asks for more than was agreed gets no answer."""

    def test_a_device_answers_no_third_round_of_two(self, tmp_path: Path) -> None:
        made = Simulated(tmp_path / "small", file_of(rounds=3))
        populate(read(made.file), made.folder)
        made.agree(lambda text: text.replace("answers = 3\n", "answers = 2\n", 1))  # of train
        with pytest.raises(TooFewDevices, match=r"round 3: .* budget: 2 answers to train were given"):
            made.run()
        folder = made.folder
        assert [row["round"] for row in folder.rows()] == [1, 2]
        assert folder.sum_rows()[-1]["event"] == "abort"
        assert "the policy allows 2" in folder.sum_rows()[-1]["reason"]
        for budget in made.budgets():
            assert [each.kind for each in budget.reserved.values()].count("train") == 2
        log = min((made.path / "devices").iterdir()).read_text()
        assert log.splitlines()[-1].startswith("refused: budget: 2 answers to train were given")

    def test_a_device_answers_no_forty_first_round(self, tmp_path: Path) -> None:
        overrides = ("federation.validate_every=100", "federation.standardise=false", "data.examples=240")
        noise = [f"privacy.{kind}_multiplier=2.0" for kind in ("train", "statistics", "validate")]
        made = Simulated(
            tmp_path / "small", file_of(*overrides, *noise, 'federation.weighting="devices"', rounds=41)
        )
        populate(read(made.file), made.folder)
        made.agree(lambda text: text.replace("answers = 41\n", "answers = 40\n", 1))
        with pytest.raises(TooFewDevices, match=r"round 41: .* budget: 40 answers to train were given"):
            made.run()
        assert len(made.folder.rows()) == 40
        assert {budget.counter for budget in made.budgets()} == {40}

    @pytest.mark.parametrize(
        ("was", "becomes", "said"),
        [
            ('noise_multiplier = "0.3"', 'noise_multiplier = "0.4"', "the plan's noise has a variance"),
            ('clip = "10"', 'clip = "9"', "lets a row weigh"),
            ("minimum = 8", "minimum = 9", "opens a sum of 8 answers, the policy asks 9"),
            ('models = ["digits"]', 'models = ["other"]', "the plan asks about model 'digits'"),
            ("corrupt = 1 ", "corrupt = 2 ", "assumes 1 corrupt devices, the policy 2"),
            (
                'unit = "device"',
                'unit = "example"',
                "protects one device, the policy promises it for one example",
            ),
        ],
    )
    def test_what_the_policy_does_not_allow_is_not_even_asked(
        self, tmp_path: Path, was: str, becomes: str, said: str
    ) -> None:
        made = Simulated(tmp_path / "small", file_of())
        populate(read(made.file), made.folder)
        made.agree(lambda text: text.replace(was, becomes))
        with pytest.raises(InputError) as caught:
            made.run()
        assert said in caught.value.message
        assert "ask the reviewers for another policy" in caught.value.hint

    def test_an_epsilon_that_is_used_up_ends_the_answers(self, tmp_path: Path) -> None:
        made = Simulated(tmp_path / "small", file_of())
        populate(read(made.file), made.folder)
        made.agree(lambda text: re.sub('epsilon = "[0-9.]+"', 'epsilon = "60"', text))
        with pytest.raises(
            TooFewDevices, match=r"budget: with this answer epsilon would be .* the policy allows 60"
        ):
            made.run()
        assert {budget.counter for budget in made.budgets()} < {1, 2, 3, 4}


@pytest.fixture(scope="module")
def gone_on(tmp_path_factory: pytest.TempPathFactory, done: Simulated) -> Simulated:
    """A run that was interrupted after round 1, in a process that is gone, and then ended."""
    made = Simulated(tmp_path_factory.mktemp("gone") / "small", done.file)
    with pytest.raises(KeyboardInterrupt):
        made.run(Seen(stop_after=1))
    shutil.copytree(made.path, made.path.with_name("stopped"))
    made.run()
    return made


class TestGoneOn:
    def test_it_ends_with_the_same_model(self, gone_on: Simulated, done: Simulated) -> None:
        models = [small.summary(each.path)["model_sha256"] for each in (gone_on, done)]
        assert models[0] == models[1]

    def test_it_appends_to_the_same_ledger(self, gone_on: Simulated) -> None:
        before = (gone_on.path.with_name("stopped") / "ledger/entries.jsonl").read_bytes()
        assert (gone_on.path / "ledger/entries.jsonl").read_bytes().startswith(before)
        assert gone_on.kinds() == ["enrol", "run.policy", *SUMS * 5, "metrics.release", "model.release"]
        serials = [row["sum"] for row in gone_on.folder.sum_rows() if row["event"] == "reserve"]
        assert serials == [1, 2, 3, 4, 5]

    def test_it_is_the_same_fleet_with_the_same_keys_and_witness(self, gone_on: Simulated) -> None:
        first, second = gone_on.fleets
        assert first.operator == second.operator
        assert first.log.signer.verifier == second.log.signer.verifier
        assert first.log.trust == second.log.trust
        for one, other in zip(first.participants.values(), second.participants.values(), strict=True):
            assert one.keys == other.keys

    def test_devices_count_on_so_that_no_count_is_signed_twice(self, gone_on: Simulated) -> None:
        counted: dict[str, list[int]] = {}
        for settle in gone_on.entries():
            if isinstance(settle, Settle):
                data = gone_on.folder.ledger.evidence(settle.plan)
                assert data
                for each in evidence.from_bytes(data, blame="test").adverts:
                    advert = decode(each.body, Advert, blame="test", limit=len(each.body))
                    counted.setdefault(advert.device, []).append(advert.counter)
        assert len(counted) == 12
        for counts in counted.values():
            assert counts == [1, 2, 3, 4, 5]

    def test_what_is_asked_again_is_agreed_to_first(
        self, gone_on: Simulated, done: Simulated, tmp_path: Path
    ) -> None:
        made = self._stopped(gone_on, tmp_path)
        (made.path / "checkpoints/round-000001.ckpt").unlink()  # as if it had been stopped in the round
        made.run()
        assert made.kinds() == ["enrol", "run.policy", *SUMS * 3, "run.policy", *SUMS * 4, *made.kinds()[-2:]]
        first, second = (each.policy.encode() for each in made.entries() if isinstance(each, RunPolicy))
        assert second == (made.path / "policy").read_bytes()
        reviewers = Reviewers((made.reviewer().verifier,))
        before, after = (open_policy(note, reviewers, blame="test") for note in (first, second))
        assert (after.policy.serial, after.policy.previous) == (2, before.sha256)
        assert after.policy.queries["train"].answers == before.policy.queries["train"].answers + 2
        assert small.summary(made.path)["model_sha256"] == small.summary(done.path)["model_sha256"]
        audited = examine(made.path, Given(), self_check=True)
        assert [each.code for each in audited.findings if each.severity != "note"] == []

    def test_a_validation_that_is_asked_again_after_the_last_round_is_agreed_to_too(
        self, gone_on: Simulated, tmp_path: Path
    ) -> None:
        shutil.copytree(gone_on.path, tmp_path / "small", symlinks=True)
        made = Simulated(tmp_path / "small", gone_on.file)
        (made.path / "summary.json").unlink()
        made.run()
        assert made.kinds()[-4:] == ["run.policy", *SUMS, "model.release"]
        audited = examine(made.path, Given(), self_check=True)
        assert [each.code for each in audited.findings if each.severity != "note"] == []

    def test_a_damaged_or_changed_ledger_stops_it_and_is_left_as_it_is(
        self, gone_on: Simulated, tmp_path: Path
    ) -> None:
        made = self._stopped(gone_on, tmp_path)
        path = made.path / "ledger/entries.jsonl"
        path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:-3]) + b"\n")
        before = path.read_bytes()
        with pytest.raises(StateError, match=r"entries\.jsonl is not what .*checkpoint was announced for"):
            made.run()
        assert path.read_bytes() == before

    def test_a_ledger_that_was_put_back_is_refused(self, gone_on: Simulated, tmp_path: Path) -> None:
        made = self._stopped(gone_on, tmp_path)
        (made.path / "ledger/checkpoint").unlink()
        path = made.path / "ledger/entries.jsonl"
        path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:4]) + b"\n")
        with pytest.raises(StateError, match=r"a witness|the witness"):
            made.run()

    @pytest.mark.parametrize("name", ["keys/simulation.key", "witness/witness.key"])
    def test_what_is_gone_is_not_made_a_second_time(
        self, gone_on: Simulated, tmp_path: Path, name: str
    ) -> None:
        made = self._stopped(gone_on, tmp_path)
        (made.path / name).unlink()
        with pytest.raises(StateError, match=f"{name} is missing") as caught:
            made.run()
        assert "put it back" in caught.value.hint
        assert not (made.path / name).exists()

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("keys/simulation.key", b"hello"),
            ("keys/simulation.key", b"ab" * 31),
            ("roster", b"hello"),
            ("roster", None),
            ("policy", b"hello"),
            ("policy", None),
            ("witness/witness.key", b"hello"),
            ("witness/witness.vkey", b"hello"),
        ],
    )
    def test_what_is_damaged_is_named(
        self, gone_on: Simulated, tmp_path: Path, name: str, content: bytes | None
    ) -> None:
        made = self._stopped(gone_on, tmp_path)
        whole = bytearray((made.path / name).read_bytes())
        whole[len(whole) // 2] ^= 1
        (made.path / name).write_bytes(bytes(whole) if content is None else content)
        with pytest.raises(CoveyError) as caught:
            made.run()
        assert name in caught.value.message
        assert caught.value.hint

    def test_a_policy_that_another_signed_is_refused(self, gone_on: Simulated, tmp_path: Path) -> None:
        made = self._stopped(gone_on, tmp_path)
        text = parse((made.path / "policy").read_bytes(), blame="test").text
        stranger = Ed25519Signer("covey/simulation/reviewer", bytes(32))
        (made.path / "policy").write_bytes(signed(text, stranger))
        with pytest.raises(StateError, match="policy is not what the run has signed"):
            made.run()

    def _stopped(self, gone_on: Simulated, folder: Path) -> Simulated:
        shutil.copytree(gone_on.path.with_name("stopped"), folder / "small")
        return Simulated(folder / "small", gone_on.file)


@pytest.mark.parametrize(
    "overrides",
    [
        ['privacy.masks="elided"'],
        ["privacy.noise=false"],
        ["privacy.masks=false", "privacy.noise=false"],
    ],
)
def test_without_masks_or_noise_a_run_has_a_ledger_and_no_policy(
    tmp_path: Path, overrides: list[str]
) -> None:
    made = Simulated(tmp_path / "small", file_of(*overrides, rounds=1))
    made.run()
    assert made.kinds() == ["enrol", *SUMS * 3, "metrics.release", "model.release"]
    assert not (made.path / "policy").exists()
    assert {budget.counter for budget in made.budgets()} == {0}
    reserves = [each for each in made.entries() if isinstance(each, Reserve)]
    assert all(plans.from_bytes(each.plan).policy is None for each in reserves)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            [f"privacy.{kind}_multiplier=0.01" for kind in ("train", "statistics", "validate")],
            "no policy promises",
        ),
        (["privacy.delta=0.5"], "delta"),
    ],
)
def test_what_no_policy_could_hold_is_said_before_anything_is_written(
    overrides: list[str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read(file_of(*overrides))
