"""A plan as a person writes it, and what is doubtful about it."""

import hashlib
from pathlib import Path

import pytest

from covey.errors import ConfigError, InputError
from covey.identity import Certificate, Roster
from covey.rollout.plan import Limits, RolloutPlan, Window, token
from covey_server.rollout_draft import doubts, drafted, longest_gap
from covey_server.rollout_words import plan_lines
from packages_fixture import package
from rollout_plans import plan, tokens

ROSTER = Roster("lab", 1, 9, False, tuple(Certificate(f"pi-{n:02d}", bytes([n]) * 32, 9) for n in range(40)))
FIELDS = f'name = "wrist"\nversion = "1"\nsha256 = "{"ab" * 32}"\nbytes = 9\n'
TEXT = f"""
rollout = "wrist-2"
[image]
generation = 7
{FIELDS.replace('"1"', '"2"').replace("ab", "cd")}
[fallback]
generation = 6
{FIELDS}
[[rings]]
name = "lab"
devices = ["pi-00", "pi-01"]
soak_hours = 2
minimum_reports = 2
[[rings]]
name = "all"
percent = 100
[limits]
most_failed_percent = 2.5
report_hours = 24
[[windows]]
days = ["sat", "sun"]
begins = "22:00"
ends = "04:00"
"""


def read(tmp_path: Path, text: str = TEXT) -> RolloutPlan:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return drafted(path, ROSTER)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert (found.fleet, found.rollout) == ("lab", "wrist-2")
    assert (found.image.target, found.image.generation) == ("models/wrist/2.covey", 7)
    lab, everybody = found.rings
    assert lab.members == (token("lab", "pi-00"), token("lab", "pi-01"))
    assert (lab.share, lab.soak_seconds, lab.minimum_reports) == (0, 7200, 2)
    assert (everybody.share, everybody.soak_seconds) == (10_000, 3600)
    assert found.limits == Limits(most_failed=25, report_seconds=86_400)
    assert found.windows == (Window(days=("sat", "sun"), begins=1320, ends=240),)


@pytest.mark.parametrize(
    ("old", "new", "error", "match"),
    [
        ('"pi-01"]', '"pi-99"]', InputError, "no device 'pi-99'"),
        ("percent = 100", "percent = 50", ConfigError, "leaves devices out"),
        ("percent = 100", "percent = 101", ConfigError, "percent"),
        ('name = "all"', 'name = "lab"', ConfigError, "two rings of one name"),
        ("22:00", "24:00", ConfigError, "begins"),
        ("soak_hours", "soak", ConfigError, "soak"),
        ('rollout = "wrist-2"', 'rollout = "Wrist 2"', ConfigError, "rollout"),
        ("bytes = 9\n\n[fallback]", "\n[fallback]", ConfigError, "expected archive, or"),
        ("bytes = 9\n\n[fallback]", "bytes = 0\n[fallback]", InputError, "no image can be called so"),
        ('name = "wrist"\nversion = "1"', 'name = "arm"\nversion = "1"', ConfigError, "another model"),
        ("generation = 7", 'generation = 7\narchive = "gone.covey"', InputError, "gone.covey"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, old: str, new: str, error: type[Exception], match: str
) -> None:
    assert old in TEXT
    with pytest.raises(error, match=match):
        read(tmp_path, TEXT.replace(old, new, 1))


def test_an_image_is_read_from_its_archive(tmp_path: Path) -> None:
    (tmp_path / "new.covey").write_bytes(package("1.3.0"))
    text = TEXT.replace("generation = 7", 'generation = 7\narchive = "new.covey"')
    image = read(tmp_path, text[: text.index("[fallback]")] + text[text.index("[[rings]]") :]).image
    assert (image.version, image.generation, image.bytes) == ("1.3.0", 7, len(package("1.3.0")))
    assert image.sha256 == hashlib.sha256(package("1.3.0")).hexdigest()


def test_doubts_are_told_to_who_approves() -> None:
    fleet = tokens(40)
    found = list(doubts(plan(limits=Limits(), fallback=None), fleet))
    assert "ring lab: 2 devices cannot show a share below the limit, 29 can: it waits for ever" in found[0]
    assert "ring lab: 2 devices are too few to stop it by themselves" in found
    assert found[-1] == "there is nothing to return to: it can be aborted, and not rolled back"
    assert any("ring lab: it has 0 devices and wants 1 reports" in each for each in doubts(plan(), []))
    weekly = plan(windows=(Window(days=("mon",), begins=0, ends=60),))
    assert any("windows are 167.0 h apart" in each for each in doubts(weekly, fleet))


@pytest.mark.parametrize(
    ("windows", "hours"),
    [
        ((), 0),
        ((Window(days=("mon",), begins=0, ends=0),), 144),
        ((Window(days=("sun",), begins=1380, ends=60),), 166),
        ((Window(days=("mon", "thu"), begins=600, ends=660),), 95),
        ((Window(days=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), begins=5, ends=5),), 0),
    ],
)
def test_the_longest_wait_for_a_window(windows: tuple[Window, ...], hours: int) -> None:
    assert longest_gap(windows) == hours * 60


def test_a_plan_in_words_says_what_is_signed(tmp_path: Path) -> None:
    said = "\n".join(plan_lines(read(tmp_path), tokens(40)))
    for each in (
        "rollout wrist-2 for fleet lab",
        "wrist 2, generation 7, 9 bytes",
        "falls back to wrist 1, generation 6",
        "ring lab: 2 by name: 2 devices more; soaks 2 h, at least 2 reports",
        "stops above 2.5 % failed at 95 % confidence",
        "wait for a new plan",
        "sat sun 22:00 to 04:00 UTC",
    ):
        assert each in said
    assert "devices more" not in "\n".join(plan_lines(read(tmp_path), None))
