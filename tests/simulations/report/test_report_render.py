import re
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import msgspec
import numpy as np
import pytest

from covey_server.summary import Privacy, Spread, Summary, VirtualClock
from covey_simulations.report import render as render_module
from covey_simulations.report import summary
from covey_simulations.report.facts import (
    Beside,
    Clock,
    DeviceResult,
    ReportFacts,
    Round,
    SentKind,
    VariantResult,
)
from covey_simulations.report.protection import ProtectedKind, Protection
from covey_simulations.report.render import render
from html_page import HOSTILE, Colour, Page, contrast, schemes

LABELS = ("pendulum", "abduction", "forward elevation", "internal rotation", "row")
CSS = Path(render_module.__file__).with_name("report.css").read_text(encoding="utf-8")


def a_round(number: int, accuracy: float | None = None, loss: float = 1.5) -> Round:
    return Round(number, loss, accuracy, devices=20, seconds=0.4)


def some_devices(count: int) -> tuple[DeviceResult, ...]:
    return tuple(
        DeviceResult(
            f"s{n // 2:02d}-{('left', 'right')[n % 2]}", f"s{n // 2:02d}", 200, 50, 0.8 + n % 17 / 100
        )
        for n in range(count)
    )


def lone_devices(count: int) -> tuple[DeviceResult, ...]:
    names = [f"device-{n:04d}" for n in range(count)]
    return tuple(
        DeviceResult(name, name, 60, n % 30, (n % 7 / 20 + 0.7) if n % 30 else None)
        for n, name in enumerate(names)
    )


def some_privacy(
    masks: str = "none", noise: str = "none", *, simulated: bool = False, **changes: Any
) -> Privacy:
    noisy = noise != "none"
    privacy = Privacy(
        masks=masks,
        noise=noise,
        simulated=simulated and noisy,
        unit="example",
        delta=1e-5,
        epsilon_server=4.0 if noisy else None,
        epsilon_release=3.889 if noisy else None,
        sums={"train": 100, "validate": 50},
        unopened=2,
        statement="as it is",
    )
    return msgspec.structs.replace(privacy, **changes)


def some_protection(*, noisy: bool = False) -> Protection:
    return Protection(
        kinds=(
            ProtectedKind("train", 101, 2, 7.328 if noisy else None, 1.0, 20, 14, 1),
            ProtectedKind("validate", 50, 0, 2.317 if noisy else None, 1.0, 20, 14, 1),
        ),
        spent=tuple((n, 0.4 * n**0.5) for n in range(1, 101)) if noisy else (),
        count_noise=2.374 if noisy else 0.0,
        accuracy_noise=0.0141 if noisy else 0.0,
    )


def some_run(*, noisy: bool = False) -> Beside:
    """A run to stand beside another."""
    summary = Summary(
        name="open-run",
        simulation=True,
        model="wrist-other",
        rounds=150,
        devices=20,
        privacy=some_privacy("elided", "skellam" if noisy else "none"),
        accuracy_federated=0.983,
        accuracy_central=0.984,
        accuracy_fp32=0.983,
        accuracy_int8=0.981,
        model_sha256="ab" * 32,
        package="runs/open-run/open-run.covey",
        package_bytes=52_700,
        latency_p50_us=28.0,
        seconds=75.0,
    )
    rounds = tuple(a_round(n, 0.5 + n / 400) for n in range(10, 151, 10))
    return Beside(summary, rounds, 2_660_000, "runs/open-run")


PRIVATE: dict[str, Any] = {
    "privacy": some_privacy("on", "skellam", simulated=True),
    "protection": some_protection(noisy=True),
    "accuracy_exact": 0.9551,
}
"""What a private run changes."""


def some_facts(**changes: Any) -> ReportFacts:
    confusion = np.diag([90, 80, 70, 60, 50]).astype(np.float64)
    confusion[3, 4] = 12
    facts = ReportFacts(
        name="a wrist run",
        when="2026-03-02T14:31",
        version="0.1.0",
        machine="a machine, 2 threads",
        seconds={"data": 1.23, "training": 41.7},
        seed=4711,
        data="wrist",
        data_notes=("Ten subjects.", "The last quarter is held out."),
        data_citation="Burns et al., 2018",
        data_licence="BSD-3-Clause",
        synthetic=False,
        model="wrist-motion",
        model_summary="Which exercise is being done",
        model_parameters=5431,
        model_source="Howard et al.",
        strategy="fedadam, learning rate 0.01",
        labels=LABELS,
        rounds=tuple(a_round(n, 0.2 + n / 150 if n % 2 == 0 else None, 2 - n / 60) for n in range(1, 101)),
        accuracy_federated=0.9531,
        accuracy_exact=0.9531,
        accuracy_central=0.9642,
        confusion=confusion,
        devices=some_devices(20),
        variants={
            "fp32": VariantResult(0.9531, 24810, 82.3, 97.1),
            "int8": VariantResult(0.9511, 14902, 61.4, 70.2),
        },
        calibration="Activation ranges by a private sum over 20 devices.",
        calibration_pooled=False,
        gate="",
        sent=(
            SentKind("train", 100, 5433, 21732, 0, 2173200, (("update", 5431, 4.0), ("loss", 1, 20.0))),
            SentKind("novel", 50, 26, 104, 0, 5200, (("confusion", 25, 200.0), ("other", 1, 7.0))),
        ),
        privacy=some_privacy(),
        protection=some_protection(),
        beside=None,
        failures=("s03-left: round 41: contributed nothing",),
        package="wrist-motion-1.covey",
        package_bytes=37105,
        package_sha256="9f86" * 16,
        key_fingerprint="SHA256:uNiVztksCsDhcc0u9e8BrqHWJZQ0",
        package_files={"manifest.json": 4210, "model.onnx": 24810},
        model_sha256="2c26" * 16,
        config='[run]\nname = "wrist"\n',
        commands={"covey package show x.covey": "see what is in the package"},
    )
    return replace(facts, **changes)


def hostile(value: Any) -> Any:
    """The same facts with every string hostile."""
    match value:
        case str():
            return HOSTILE
        case tuple():
            return tuple(hostile(part) for part in value)
        case dict():
            return {key if key in {"fp32", "int8"} else HOSTILE: hostile(part) for key, part in value.items()}
        case Privacy() | Summary():
            strings = {
                f: hostile(getattr(value, f)) for f in ("model", "name", "package") if hasattr(value, f)
            }
            return msgspec.structs.replace(value, **strings)
        case (
            DeviceResult()
            | Round()
            | VariantResult()
            | SentKind()
            | ProtectedKind()
            | Protection()
            | Beside()
            | Clock()
            | ReportFacts()
        ):
            return replace(value, **{f.name: hostile(getattr(value, f.name)) for f in fields(value)})
        case _:
            return value


def some_clock(joules: tuple[float, ...] = (0.4, 1.2, 2.0, 2600.0)) -> Clock:
    spread = Spread(mean=650.9, median=1.6, p95=2210.3, most=2600.0)
    told = VirtualClock(
        hours=60.25,
        waited=12.5,
        devices=len(joules),
        asked=80,
        answered=72,
        joules=spread,
        bytes=spread,
        joules_in_all=2603.6,
        bytes_in_all=2604,
    )
    return Clock(told, "mostly at night", "all pi4", joules, tuple(1000 * each for each in joules))


def hourly(count: int, validated: int = 2) -> tuple[Round, ...]:
    rounds = (a_round(n, 0.5 if n % validated == 0 else None) for n in range(1, count + 1))
    return tuple(replace(each, hours=each.round * 0.6) for each in rounds)


two = np.array([[40, 3], [0, 0]], np.int64)
many = np.full((40, 40), 2, np.int64)
noisy_counts = np.diag([90.4, 80.0, 70.0, 60.0, 50.0]) + np.array(
    [[0, -3.7, 0.2, 1.1, 0], [0] * 5, [0] * 5, [0, 0, 0, 0, 12.4], [-2.0, 0, 0, 2.2, 0]]
)
CASES: dict[str, dict[str, Any]] = {
    "as usual": {},
    "no round validated": {"rounds": tuple(a_round(n) for n in range(5))},
    "no round": {"rounds": (), "sent": (), "accuracy_federated": float("nan")},
    "one round": {"rounds": (a_round(1, 0.3),)},
    "two thousand rounds": {"rounds": tuple(a_round(n, 0.5) for n in range(2000))},
    "some losses NaN": {"rounds": tuple(a_round(n, 0.5, np.nan if n > 3 else 1) for n in range(9))},
    "all losses NaN": {"rounds": tuple(a_round(n, 0.5, float("nan")) for n in range(9))},
    "infinite loss": {"rounds": (a_round(1, 0.5, float("inf")), a_round(2, float("nan")))},
    "two classes, one without examples": {"labels": ("fall", "no fall"), "confusion": two},
    "no examples": {"labels": ("fall", "no fall"), "confusion": two * 0},
    "forty classes": {"labels": tuple(f"class {n}" for n in range(40)), "confusion": many},
    "no devices": {"devices": ()},
    "one device": {"devices": some_devices(1)},
    "nothing held out": {"devices": (DeviceResult("a", "a", 10, 0, None),)},
    "twenty lone devices": {"devices": lone_devices(20)},
    "a thousand devices": {"devices": lone_devices(1000)},
    "some of a million": {"devices": lone_devices(1000), "fleet": 1_000_000},
    "a thousand grouped devices": {"devices": some_devices(1000)},
    "all devices alike": {"devices": tuple(DeviceResult(f"d{n}", f"d{n}", 1, 1, 1.0) for n in range(300))},
    "calibrated on pooled inputs": {
        "calibration": "Activation ranges come from 256 pooled inputs.",
        "calibration_pooled": True,
    },
    "compared": {"gate": "the gate passed"},
    "no int8": {"variants": {"fp32": VariantResult(0.9, 1, 2, 3)}, "calibration": ""},
    "no variants": {"variants": {}, "calibration": ""},
    "no central baseline": {"accuracy_central": None},
    "central baseline NaN": {"accuracy_central": float("nan")},
    "central baseline the same": {"accuracy_central": 0.9531},
    "no package": {"package": "", "package_files": {}, "package_bytes": 0},
    "no commands, notes, failures": {"commands": {}, "data_notes": (), "failures": (), "seconds": {}},
    "synthetic": {"synthetic": True},
    "masked": {"privacy": some_privacy("on")},
    "elided": {"privacy": some_privacy("elided")},
    "noised": PRIVATE | {"privacy": some_privacy("none", "discrete-gaussian", simulated=True)},
    "noised, masks elided": PRIVATE | {"privacy": some_privacy("elided", "skellam", simulated=True)},
    "private": PRIVATE,
    "private, unit device": PRIVATE
    | {"privacy": some_privacy("on", "skellam", simulated=True, unit="device")},
    "private, noise of the system": PRIVATE | {"privacy": some_privacy("on", "skellam")},
    "private, counts below 0": PRIVATE | {"confusion": noisy_counts},
    "private, beside one without noise": PRIVATE | {"beside": some_run(), "accuracy_central": None},
    "beside a private one": {"beside": some_run(noisy=True)},
    "beside one, neither validated": {
        "beside": replace(some_run(), rounds=()),
        "rounds": tuple(a_round(n) for n in range(5)),
    },
    "private, no round validated": PRIVATE | {"rounds": tuple(a_round(n) for n in range(5))},
    "private, no sums": PRIVATE | {"protection": Protection((), (), 0.0, 0.0)},
    "on a clock": {"clock": some_clock(), "rounds": hourly(100)},
    "on a clock, no round validated": {"clock": some_clock(), "rounds": hourly(5, validated=9)},
    "on a clock, no round": {"clock": some_clock(), "rounds": ()},
    "on a clock, one device that did nothing": {"clock": some_clock((0.0,)), "rounds": hourly(1, 1)},
    "every string hostile": {"hostile": True, "beside": some_run(), "clock": some_clock()},
}


@cache
def rendered(case: str) -> Page:
    changes = dict(CASES[case])
    spoilt = changes.pop("hostile", False)
    facts = some_facts(**changes)
    return Page(render(hostile(facts) if spoilt else facts))


@pytest.fixture(params=CASES)
def page(request: pytest.FixtureRequest) -> Page:
    return rendered(cast("str", request.param))


@pytest.fixture
def usual() -> Page:
    return rendered("as usual")


def test_every_case_is_a_whole_page(page: Page) -> None:
    assert page.html.startswith("<!DOCTYPE html>")
    assert page.tags["html"] == page.tags["main"] == page.tags["h1"] == page.tags["title"] == 1
    assert len(page.html.encode()) < 300_000
    assert " nan" not in page.text.lower()
    assert "None" not in page.text


def test_nothing_is_loaded_or_run(page: Page) -> None:
    assert not page.tags.keys() & {"script", "img", "link", "iframe", "object", "embed", "form", "a", "image"}
    assert not [
        key for _, key, _ in page.attributes if key.startswith("on") or key in {"src", "srcset", "xlink:href"}
    ]
    assert all(value.startswith("#") for value in page.values("href"))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page.html))
    assert "@import" not in page.html
    assert any("default-src 'none'" in value for value in page.values("content"))


def test_ids_are_unique_and_references_lead_somewhere(page: Page) -> None:
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    referred = {value[1:] for value in page.values("href")} | set(re.findall(r"url\(#([^)]*)\)", page.html))
    assert referred <= set(ids)


def test_pictures_are_themed_and_described(page: Page) -> None:
    pictures = [value for tag, key, value in page.attributes if tag == "svg" and key == "aria-label"]
    assert len(pictures) == page.tags["svg"] == page.values("role").count("img")
    assert all(pictures)
    assert not re.search(r"(fill|stroke): #", page.html)
    defined = set(re.findall(r"(--[a-z-]+):", CSS)) | {"--s"}
    assert set(re.findall(r"var\((--[a-z-]+)\)", page.html)) <= defined


def test_hostile_strings_are_text() -> None:
    page = rendered("every string hostile")
    assert "<script>alert(1)</script><img src=x onerror=alert(1)> {{ 7 * 7 }} $x_{$" in page.text
    assert "\u202e" not in page.html
    assert "\x00" not in page.html
    page.html.encode()


@pytest.mark.parametrize("name", ["\ud800", "漢字", "😀", "$\\frac{", "#0a0001", "", "_x", "\n", "a" * 5000])
def test_any_name_can_be_drawn(name: str) -> None:
    devices = (DeviceResult(name, name, 1, 10, 0.5), DeviceResult(f"{name}b", name, 1, 10, 0.7))
    labels = (name, *LABELS[1:])
    page = Page(render(some_facts(devices=devices, labels=labels)))
    page.html.encode()
    if name == "#0a0001":
        assert page.text.count(name) > 4


def test_a_clock_has_a_section_of_its_own(usual: Page) -> None:
    page = rendered("on a clock")
    assert page.tags["svg"] == usual.tags["svg"] + 8  # four pictures, each in two widths
    assert "On the virtual clock" in page.text
    assert "On the virtual clock" not in usual.text
    for words in (
        "modelled, not measured",
        "2.5 days",
        "12.5 h until enough",
        "72 of 80",
        "by 4 of 20 devices",
    ):
        assert words in page.text.replace("\u202f", " ").replace("\xa0", " ")
    assert any(value.startswith("Energy of each device: median") for value in page.values("aria-label"))


def test_the_same_facts_give_the_same_page() -> None:
    first = render(some_facts())
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30, "lines.linewidth": 9}):
        assert render(some_facts()) == first


def test_settings_of_matplotlib_stay() -> None:
    before = dict(mpl.rcParams)
    render(some_facts())
    assert dict(mpl.rcParams) == before


def test_key_numbers_are_the_facts(usual: Page) -> None:
    for shown in (
        "Accuracy, federated 95.3 % on all held-out examples",
        "Accuracy, pooled data 96.4 % federated is 1.1 points lower simulation only",
        "Accuracy, int8 95.1 % \u22120.2 points against fp32 simulation only",
        "Package 37.1 kB one signed file",
        "Latency, median 61 µs int8, one input, this machine",
        "Devices 20 20 in a round",
        "Rounds 100 50 of them validated",
    ):
        assert shown in usual.text


def test_nothing_protected_is_said_loudly(usual: Page) -> None:
    assert ("div", "class", "notice danger") in usual.attributes
    assert "NO MASKS, NO NOISE: nothing protected the devices' answers in this run" in usual.text
    assert "No masks: the server saw each device's answer in clear" in usual.text
    assert "No noise was added, and no differential privacy is claimed" in usual.text
    assert "Nothing in this report is a privacy guarantee" in usual.text
    assert "Privacy, ε none no noise was added: no promise" in usual.text
    assert "Nothing bounds what the model and the sums reveal: ε is infinite." in usual.text
    assert "It could read each of these vectors" in usual.text


@pytest.mark.parametrize(
    ("case", "level", "heading"),
    [
        ("masked", "danger", "NO NOISE: masked, but not differentially private"),
        ("elided", "danger", "NO NOISE, and masks were skipped"),
        ("noised", "danger", "NO MASKS: noisy, but the server saw every device's answer"),
        ("noised, masks elided", "caution", "masks skipped; noised as on a fleet, but this noise"),
        ("private", "caution", "SIMULATION: masked and noised as on a fleet, but this noise protects nobody"),
        ("private, noise of the system", "caution", "SIMULATION: masked and noised, on a machine that holds"),
    ],
)
def test_the_notice_names_what_protected(case: str, level: str, heading: str) -> None:
    page = rendered(case)
    assert ("div", "class", f"notice {level}") in page.attributes
    assert heading in page.text
    noisy = "nois" in case or "private" in case
    assert ("Nothing in this report is a privacy guarantee" in page.text) != noisy
    assert ("Over the whole run ε = 4 against the server and 3.889" in page.text) == noisy


def test_a_private_run_shows_what_it_cost_and_against_whom() -> None:
    page = rendered("private")
    for shown in (
        "Privacy, ε 4 for each example, δ = 10⁻⁵, against the server; from a seed: protects nobody",
        "The server with up to 1 enrolled device on its side 4 10⁻⁵",
        "Anyone who sees only what is released 3.889 10⁻⁵",
        "Noise Skellam, from the seed Unit example: one example of one device",
        "100 train, 50 validate; not opened: 2 (they count as spent)",
        "train 101 2 7.328 1 20 14 1",
        "at least 14 of up to 20 devices asked",
        "At most 1 of all enrolled devices (C_max) is taken to side with the server. That leaves 13 honest",
    ):
        assert shown in page.text
    labels = [value for tag, key, value in page.attributes if tag == "svg" and key == "aria-label"]
    assert "Privacy spent by round, against the server: ε = 4 after round 100" in labels
    assert any(label.startswith("Accuracy for the ε spent: 86.7\u00a0% at 4") for label in labels)


def test_without_masks_no_noise_of_others_is_said_to_protect_against_the_server() -> None:
    shown = rendered("noised").text
    assert "every device's answer by itself: only the noise that this device added counts" in shown
    assert "Without masks a device's own noise alone gives the ε against the server." in shown
    assert "The noise of those honest devices alone" not in shown


def test_a_private_run_says_what_is_not_covered() -> None:
    text = rendered("private").text.partition("What is not covered")[2]
    for said in (
        "Anybody, in this run: its noise came from a seed.",
        "Who took part",
        "Devices that cheat.",
        "The promise is for a single example",
        "Other runs on the same data",
    ):
        assert said in text
    assert "a person only if each person has one device" in rendered("private, unit device").text
    assert "Anybody, in this run" not in rendered("private, noise of the system").text


def test_noisy_accuracy_stands_beside_the_exact_one() -> None:
    page = rendered("private")
    text = page.text.replace("\u00a0", " ")
    assert "by a sum with noise of ±1.4 points; exactly 95.5 % (simulation only)" in text
    assert "by the federation's own count, which carries noise (95.5 % when counted exactly)" in text
    assert "carry noise with a standard deviation of 2.4 each" in text
    assert "carries noise" not in rendered("as usual").text


def test_counts_below_0_are_shown_as_0_and_counted_as_they_are() -> None:
    text = rendered("private, counts below 0").text.replace("\u00a0", " ")
    assert "pendulum 90 0 0 1 0 abduction" in text
    assert "pendulum 0 88" in text  # 90.4 - 3.7 + 0.2 + 1.1
    assert "row 0 50" in text
    assert "row (12)" in text  # 12.4 is more than noise; 2.2 is not
    assert "internal rotation (2)" not in text


def test_an_interval_of_noisy_counts_is_wider() -> None:
    (quiet,) = summary.class_lines(("a", "b"), np.array([[90, 10], [0, 0]]))[:1]
    (noisy,) = summary.class_lines(("a", "b"), np.array([[90, 10], [0, 0]]), 2.0)[:1]
    assert noisy.rate.value == quiet.rate.value
    assert noisy.rate.low < quiet.rate.low < quiet.rate.high < noisy.rate.high


def test_two_runs_stand_side_by_side() -> None:
    page = rendered("private, beside one without noise")
    text = page.text.replace("\u00a0", " ")
    for shown in (
        "Beside the run without noise: open-run",
        "Counted exactly, this run's model is 2.8 points less accurate than the other's; the two train",
        "ε against the server ∞: no privacy 4 for each example, δ = 10⁻⁵",
        "Noise NONE Skellam, from the seed",
        "Accuracy, by the last private sum 98.3 % 95.3 % with noise of ±1.4 points",
        "Accuracy, counted exactly simulation only 98.3 % 95.5 %",
        "Same network, data pooled simulation only 98.4 % not measured",
        "Model wrist-other wrist-motion",
        "Rounds 150 100",
        "Sent by a device, in all 2.66 MB 2.18 MB",
        "Accuracy, without noise 98.3 % open-run, wrist-other simulation only",
    ):
        assert shown in text
    labels = [value for tag, key, value in page.attributes if tag == "svg" and key == "aria-label"]
    assert "Accuracy by round: a wrist run ends at 86.7\u00a0%; open-run ends at 87.5\u00a0%" in labels
    assert "Beside another run: open-run" in rendered("beside a private one").text
    assert "Beside" not in rendered("private").text


def test_of_a_gate_that_was_not_asked_nothing_is_said(usual: Page) -> None:
    assert "Devices were asked what they make of it" not in usual.text


def test_what_only_a_simulation_knows_is_marked_beside_it(usual: Page) -> None:
    for marked in (
        "Accuracy per device simulation only",
        "trained on pooled data simulation only",
        "From the devices' own logs simulation only",
    ):
        assert marked in usual.text
    assert "Activation ranges by a private sum over 20 devices. simulation only" not in usual.text
    assert "pooled inputs (accuracy of the packaged model)" in usual.text
    pooled = rendered("calibrated on pooled inputs").text
    assert "Activation ranges come from 256 pooled inputs. simulation only" in pooled
    assert "pooled inputs (calibration, accuracy of the packaged model)" in pooled


def test_tables_hold_the_facts(usual: Page) -> None:
    for shown in (
        "internal rotation 12 72 16.7 % 9.8\u201326.9 % row (12)",
        "pendulum 0 90 0.0 % 0.0\u20134.1 % \u2013",
        "fp32 95.3 % \u2013 24.8 kB 82 µs 97 µs",
        "int8 95.1 % \u22120.2 points 14.9 kB 61 µs 70 µs",
        "train 100 5,433 21.7 kB 2.17 MB change of the parameters (update): 5,431 numbers, norm ≤ 4",
        "novel 50 26 104 B 5.20 kB",
        "other: 1 number, norm ≤ 7",
        "2.18 MB",
        "served worst s00-left, s08-right",
        "measured on this machine, not on a Raspberry Pi: a machine, 2 threads",
        "Nothing else left a device",
        "s03-left: round 41: contributed nothing",
        "wrist-motion-1.covey Size 37.1 kB (37,105 bytes) SHA-256 " + "9f86" * 16,
        "SHA256:uNiVztksCsDhcc0u9e8BrqHWJZQ0",
        "manifest.json 4.21 kB",
        "Ten subjects. The last quarter is held out.",
        "Burns et al., 2018",
        "BSD-3-Clause",
        "5,431 parameters",
        "Seed 4711 SHA-256 of the parameters " + "2c26" * 16,
        "42.9 s: data 1.23 s, training 41.7 s",
        "To see what is in the package: covey package show x.covey",
        '[run] name = "wrist"',
    ):
        assert shown in usual.text.replace("\u00a0", " ")


def test_confusion_counts_are_shown_and_shaded(usual: Page) -> None:
    assert usual.text.count("internal rotation 0 0 0 60 12") == 1
    shades = [value for tag, key, value in usual.attributes if tag == "td" and key == "style"]
    assert len(shades) == 6
    assert max(int(shade.removeprefix("--s:").removesuffix("%")) for shade in shades) <= 50


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("no round validated", "Not measured: no round was validated."),
        ("no round", "No round was completed."),
        ("no round", "Its accuracy was not measured."),
        ("no round", "Nothing left any device: no sum was completed."),
        ("some losses NaN", "In 5 rounds the loss was not a number"),
        ("all losses NaN", "Not measured: the loss was not a number in any round."),
        ("two thousand rounds", "A point is the mean of up to 5 neighbouring rounds."),
        ("no central baseline", "pooled data not measured no model was trained on pooled data"),
        ("central baseline the same", "the same as federated"),
        ("as usual", "Activation ranges by a private sum over 20 devices. What left each device"),
        ("compared", "what they make of it, by a private sum over their held-out examples: the gate passed."),
        ("no int8", "No int8 model was built."),
        ("no variants", "No int8 model was built."),
        ("no package", "No package was built."),
        ("some of a million", "1,000,000 simulated devices trained one model"),
        ("some of a million", "Looked at one by one: 1,000 of 1,000,000 devices, evenly spaced."),
        ("no devices", "Not measured: no device has held-out examples."),
        ("no examples", "Not measured: there are no held-out examples."),
        ("two classes, one without examples", "no fall 0 0 not measured not measured"),
        ("forty classes", "The confusion matrix of 40 classes is too large to read"),
        ("synthetic", "The data is synthetic"),
        ("a thousand devices", "The 20 devices served worst as a table"),
        ("a thousand devices", "Not measured, for want of held-out examples: 34 of 1,000 devices."),
        ("a thousand devices", "served worst device-0007, device-0014, device-0021 and"),
    ],
)
def test_what_is_missing_or_too_much_is_said(case: str, said: str) -> None:
    assert said in rendered(case).text


@pytest.mark.parametrize("colours", schemes(CSS)[:2], ids=["light", "dark"])
def test_text_has_contrast_in_both_schemes(colours: dict[str, Colour]) -> None:
    pairs = [(ink, paper) for ink in ("ink", "muted", "blue", "orange") for paper in ("paper", "panel")]
    pairs += [
        ("danger-ink", "danger"),
        ("danger-ink", "paper"),
        ("danger-ink", "panel"),
        ("ink", "danger"),
        ("orange", "danger"),
    ]
    pairs += [("caution-ink", "caution"), ("ink", "caution"), ("orange", "caution")]
    measured = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs}
    assert {pair: value for pair, value in measured.items() if value < 4.5} == {}
    for tint in ("blue", "orange"):
        cell = tuple(0.5 * t + 0.5 * p for t, p in zip(colours[tint], colours["paper"], strict=True))
        assert contrast(colours["ink"], cell) >= 4.5
