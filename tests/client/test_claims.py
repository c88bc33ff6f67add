import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import PlanRefused, StateError
from covey.secagg.states import Claim, Stage
from covey_client.claims import Claims, FileClaims, MemoryClaims
from covey_io import durable

Make = Callable[[Path], Claims]

KINDS: dict[str, Make] = {
    "memory": lambda _: MemoryClaims(),
    "file": lambda path: FileClaims(path / "claims.json"),
}
STAGES: tuple[Stage, ...] = ("advertise", "share", "masked", "consistency", "unmask")


def claim(sum_: int = 1, stage: Stage = "share", request: int = 0, run: str = "run") -> Claim:
    return Claim(run, sum_, stage, bytes([request]) * 32)


@pytest.fixture(params=KINDS)
def claims(request: pytest.FixtureRequest, tmp_path: Path) -> Claims:
    return KINDS[request.param](tmp_path)


def refused(claims: Claims, asked: Claim) -> str:
    with pytest.raises(PlanRefused) as caught:
        claims.claim(asked)
    assert caught.value.blame == "server"
    return caught.value.message


def test_the_same_request_at_a_stage_may_be_answered_again(claims: Claims) -> None:
    claims.claim(claim())
    claims.claim(claim())


@pytest.mark.parametrize("stage", STAGES)
def test_another_request_at_a_stage_is_refused_for_ever(claims: Claims, stage: Stage) -> None:
    claims.claim(claim(stage=stage))
    for _ in range(2):
        assert refused(claims, claim(stage=stage, request=1)) == f"sum 1 was answered before at stage {stage}"


def test_a_plan_is_never_opened_twice_not_even_the_same_one(claims: Claims) -> None:
    """Its seeds were in memory only: a second session would send a second vector."""
    claims.claim(claim(stage="advertise"))
    assert refused(claims, claim(stage="advertise")) == "sum 1 was answered before at stage advertise"


def test_older_sums_are_refused_and_newer_ones_begin_anew(claims: Claims) -> None:
    claims.claim(claim(3))
    claims.claim(claim(5, request=1))
    assert refused(claims, claim(4)) == "sum 4 after sum 5 of one run"
    assert refused(claims, claim(3)) == "sum 3 after sum 5 of one run"
    claims.claim(claim(5, stage="masked"))
    assert refused(claims, claim(5, request=2)) == "sum 5 was answered before at stage share"


def test_runs_are_told_apart(claims: Claims) -> None:
    claims.claim(claim(9, run="one"))
    claims.claim(claim(1, run="other"))
    assert "after sum 9" in refused(claims, claim(8, run="one"))


def test_a_refused_claim_changes_nothing(claims: Claims) -> None:
    claims.claim(claim(2))
    refused(claims, claim(1))
    refused(claims, claim(2, request=1))
    claims.claim(claim(2))


def test_a_check_refuses_what_a_claim_would_and_keeps_nothing(claims: Claims) -> None:
    claims.claim(claim(2, stage="advertise"))
    claims.claim(claim(2, stage="share"))
    for asked in (claim(1), claim(2, stage="advertise"), claim(2, request=1)):
        for refusing in (claims.check, claims.claim):
            with pytest.raises(PlanRefused, match=r"after sum 2|answered before"):
                refusing(asked)
    for fine in (claim(2), claim(2, stage="masked"), claim(3, stage="advertise"), claim(1, run="other")):
        for _ in range(2):
            claims.check(fine)
    claims.check(claim(9, request=1))
    claims.claim(claim(2, stage="masked"))


def test_only_a_newer_roster_is_kept(claims: Claims) -> None:
    assert claims.least_serial == 0
    for serial, least in ((3, 3), (2, 3), (3, 3), (7, 7)):
        claims.saw_roster(serial)
        assert claims.least_serial == least


asked = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from(STAGES[:3]), st.integers(0, 1), st.booleans()), max_size=12
)


@given(asked)
def test_a_device_that_restarts_at_any_time_refuses_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, Stage, int, bool]]
) -> None:
    """In memory and on disk alike; `True` in a step is a restart before it."""
    path = tmp_path_factory.mktemp("claims") / "claims.json"
    memory, file = MemoryClaims(), FileClaims(path)
    for sum_, stage, request, restarts in steps:
        if restarts:
            file = FileClaims(path)
        outcomes = []
        for each in (memory, file):
            try:
                each.claim(claim(sum_, stage, request))
                outcomes.append("")
            except PlanRefused as error:
                outcomes.append(error.message)
        assert outcomes[0] == outcomes[1]


# -- on disk


def test_claims_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "claims.json"
    first = FileClaims(path)
    first.saw_roster(4)
    first.claim(claim(2))
    second = FileClaims(path)
    assert second.least_serial == 4
    assert "sum 1 after sum 2" in refused(second, claim(1))
    assert "answered before" in refused(second, claim(2, request=1))
    second.claim(claim(2))


def test_a_claim_is_durable_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "claims.json"
    claims = FileClaims(path)
    claims.claim(claim(1))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(durable, "replace", full)
        with pytest.raises(OSError, match="No space"):
            claims.claim(claim(2))
        with pytest.raises(OSError, match="No space"):  # it was not taken for kept
            claims.claim(claim(2))
    claims.claim(claim(1))
    claims.claim(claim(2))
    assert "after sum 2" in refused(FileClaims(path), claim(1))


def test_a_claim_of_a_process_that_was_killed_is_made_durable_before_it_is_relied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vector that leaves on a claim that a power cut then undoes would be given back to the budget."""
    path, synced = tmp_path / "claims.json", list[Path]()
    FileClaims(path).claim(claim(1))

    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(durable, "sync_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            FileClaims(path).claim(claim(1, stage="masked"))
    monkeypatch.setattr(durable, "sync_folder", synced.append)
    FileClaims(path).claim(claim(1, stage="masked"))
    assert synced == [tmp_path]


def test_a_claim_that_another_process_made_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Two runs at once: what the one claimed was lost to the other, and its reserve given back."""
    path = tmp_path / "claims.json"
    one, other = FileClaims(path), FileClaims(path)
    one.claim(claim(1, stage="masked", run="a"))
    other.claim(claim(1, stage="masked", run="b"))
    for claims in (one, other, FileClaims(path)):
        for run in "ab":
            assert "answered before" in refused(claims, claim(1, stage="masked", request=1, run=run))


RACE = """
import sys
from pathlib import Path
from covey.errors import PlanRefused
from covey.secagg.states import Claim
from covey_client.claims import FileClaims
path, own = Path(sys.argv[1]), bytes([int(sys.argv[2])]) * 32
claims = FileClaims(path)
sys.stdin.readline()
won = 0
for serial in range(1, 21):
    try:
        claims.claim(Claim("run", serial, "masked", own))
        won += 1
    except PlanRefused:
        pass
print(won)
"""


def test_of_processes_that_claim_at_once_one_wins(tmp_path: Path) -> None:
    """One vector of a sum leaves, or none: never two, and never one that was given back."""
    path = tmp_path / "claims.json"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2, 3)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    won = sum(int(child.communicate(timeout=120)[0]) for child in children)
    assert all(child.returncode == 0 for child in children)
    assert won <= 20
    last = FileClaims(path)
    assert "after sum 20" in refused(last, claim(19, stage="masked"))
    assert "answered before" in refused(last, claim(20, stage="masked"))


def test_nothing_secret_is_written(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    FileClaims(path).claim(claim(1))
    assert json.loads(path.read_bytes()) == {
        "roster": 0,
        "runs": {"run": {"sum": 1, "stages": {"share": "00" * 32}}},
    }


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"roster": "a"}', b"\xff\xfe", b'{"more": 1}'])
def test_a_device_whose_memory_is_damaged_answers_nothing(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "claims.json"
    path.write_bytes(data)
    with pytest.raises(StateError, match=r"claims\.json is damaged") as caught:
        FileClaims(path)
    assert caught.value.hint
    assert path.read_bytes() == data
