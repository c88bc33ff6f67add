"""The page that a reviewer attaches to a decision: whole, harmless, and never saying more than was found."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

import pytest

from covey.ledger.findings import KINDS, finding, waived
from covey_audit.report import render as render_module
from covey_audit.report.render import MOST_ALIKE, MOST_SUMS, render
from covey_audit.report.verdict import verdict
from html_page import HOSTILE, Colour, Page, contrast, schemes
from report_cases import CASES, audited

CSS = Path(render_module.__file__).with_name("report.css").read_text("utf-8")
MADE = 1_800_000_000
COMMAND = "covey audit runs/wrist --reviewer reviewer.vkey --report audit.html"


@cache
def rendered(case: str) -> Page:
    return Page(render(audited(case), made_at=MADE, command=COMMAND))


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return cast("str", request.param)


def test_every_case_is_a_whole_page(case: str) -> None:
    page = rendered(case)
    assert page.html.startswith("<!DOCTYPE html>")
    assert page.tags["html"] == page.tags["main"] == page.tags["h1"] == page.tags["title"] == 1
    assert len(page.html.encode()) < 300_000
    assert not re.search(r"\b(nan|inf|Undefined)\b|\bNone\b(?!: no| of them)", page.text)


def test_nothing_is_loaded_or_run(case: str) -> None:
    page = rendered(case)
    assert not page.tags.keys() & {
        "script",
        "img",
        "link",
        "iframe",
        "object",
        "embed",
        "form",
        "image",
        "base",
    }
    loading = {"src", "srcset", "xlink:href", "action", "formaction", "style"}
    assert not [key for _, key, _ in page.attributes if key.startswith("on") or key in loading]
    assert all(value.startswith("#") for value in page.values("href"))
    assert "url(" not in page.html.partition("</style>")[0]
    assert "@import" not in page.html.partition("</style>")[0]
    assert any("default-src 'none'" in value for value in page.values("content"))


def test_references_lead_somewhere(case: str) -> None:
    page = rendered(case)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {value[1:] for value in page.values("href")} <= set(ids)


def test_pictures_are_themed_and_described(case: str) -> None:
    page = rendered(case)
    labels = [value for tag, key, value in page.attributes if tag == "svg" and key == "aria-label"]
    assert len(labels) == page.tags["svg"]
    assert all(labels)
    defined = set(re.findall(r"(--[a-z-]+):", CSS))
    assert set(re.findall(r"var\((--[a-z-]+)\)", page.html)) <= defined
    colours = {value for _, key, value in page.attributes if key in {"fill", "stroke"}}
    assert all(value == "none" or value.startswith("var(--") for value in colours)


def test_hostile_strings_are_text() -> None:
    page = rendered("hostile")
    assert page.text.count("<script>alert(1)</script><img src=x onerror=alert(1)> {{ 7 * 7 }} $x_{$") > 20
    assert "\u202e" not in page.html
    assert "\x00" not in page.html
    assert HOSTILE not in page.html
    page.html.encode()


def test_the_same_audit_gives_the_same_page() -> None:
    first = render(audited("honest"), made_at=MADE)
    assert first == render(audited("honest"), made_at=MADE)
    assert first != render(audited("honest"), made_at=MADE + 60)


@pytest.mark.parametrize(
    ("case", "tone", "heading", "said"),
    [
        (
            "honest",
            "good",
            "Nothing was found against this ledger",
            "at most ε = 1.491 at δ = 10⁻⁵ for one device",
        ),
        ("long", "caution", "Certified, with 1 warning to answer first", "(within the policy's 8)"),
        ("examples", "caution", "Certified, with", "for one example (within the policy's 4)"),
        ("simulated", "caution", "SIMULATION: nobody is protected", "would have spent at most ε = 1.849"),
        (
            "unprotected",
            "danger",
            "Do not rely on this ledger: 24 critical findings",
            "asked for without masks",
        ),
        (
            "overspent",
            "danger",
            "Do not rely on this ledger",
            "No ε is certified, whatever the figures below say",
        ),
        ("unanchored", "caution", "No ε is certified", "that is the operator's word"),
        (
            "waived",
            "caution",
            "Accepted by reviewers, not certified",
            "What they accepted happened all the same",
        ),
        ("two units", "caution", "Certified, with", "; and, apart from that, at most ε = 1.491"),
        (
            "nothing",
            "danger",
            "Do not rely on this ledger: 1 critical finding",
            "the ledger has no checkpoint",
        ),
        ("only a policy", "caution", "Nothing was asked for", "there is no ε to state"),
    ],
)
def test_the_verdict_says_what_holds(case: str, tone: str, heading: str, said: str) -> None:
    page = rendered(case)
    assert ("div", "class", f"notice {tone}") in page.attributes
    top = page.text.partition("ε against the server")[0]
    assert heading in top
    assert said in top


def test_only_what_is_certified_is_called_so(case: str) -> None:
    page, found = rendered(case), audited(case)
    claims = page.values("class").count("tag not")
    if found.certified:
        assert (" certified " in page.text) == bool(found.costs)
        assert "not certified" not in page.text.lower()
    else:
        assert " certified " not in page.text.replace("not certified", "").replace("No ε is certified", "")
        assert claims or not found.costs
    assert ("notice good" in page.values("class")) == (found.certified and found.clean and bool(found.costs))


def test_a_simulation_is_called_one_wherever_a_figure_stands() -> None:
    text = rendered("simulated").text
    assert "1.849 for one device, δ = 10⁻⁵; within the policy's 8 simulation" in text
    assert "A simulation: these figures are what a fleet with the same settings would have." in text
    assert "SIMULATION: noise was drawn from a seed." in text
    assert "test simulation 1 12 0" in text  # its roster
    assert re.search(
        r"ε for readers of releases \d\.\d+ for one device, [^;]*; by the operator's counts simulation", text
    )


def test_findings_come_by_weight_with_entry_and_next_step() -> None:
    text = rendered("overspent").text
    places = [
        text.index(code) for code in ("budget-exceeded", "answers-exceeded", "evidence-missing", "tuning-un")
    ]
    assert places == sorted(places)
    assert "critical budget-exceeded in entry 16" in text
    assert "What it means: All sums together cost more than the policy's epsilon." in text
    assert "Next: the promise made to the people does not hold; stop the fleet's runs." in text
    assert "entry 22: answer 11 to train of a device, the policy allows 10" in text
    assert "and 8 others" in text


def test_every_kind_of_finding_can_be_shown() -> None:
    text = rendered("every finding").text
    assert not [code for code in KINDS if f" {code}" not in text]
    assert f"and {301 - MOST_ALIKE} others" in text


def test_what_reviewers_accepted_keeps_their_words() -> None:
    text = rendered("waived").text
    assert "accepted roster-expired in entry 9" in text
    assert "Accepted by the reviewers with the words: a public holiday" in text


def test_nothing_found_is_said() -> None:
    assert "None: no rule was found broken" in rendered("honest").text
    assert "Findings none nothing to answer" in rendered("honest").text


def test_tables_hold_the_facts() -> None:
    text = rendered("honest").text
    root = audited("honest").root.hex()
    for shown in (
        "the server and up to 1 enrolled device on its side one device 1.491 10⁻⁵",
        "one device 1.354 10⁻⁵ the noise of the devices that evidence shows to have been in each sum",
        "whoever sees only what is released one device 1.304",
        "train 4 40 1.388",
        "validate 1 20 0.478",
        "train 4 3 12 9 1 8 6 1 on",
        "1 sum: too few devices",
        "model run-a 2027-01-15",
        "metrics metrics.csv run-a",
        "entry 11",
        "wrist-2027, serial 1 In force by entry 0; 5 sums held to it Signed by reviewer.example",
        "Trusted yes: by a key or policy of the reader's own",
        f"Root, recomputed {root}",
        "covers 15 entries, seen by witnesses at 2027-01-15 08:33 UTC Witnesses witness.example/w1",
        "1 test 1 12 0 2027-01-26 holds",
        'Policy "wrist-2027", serial 1, for the devices of fleet "test".',
        'name = "wrist-2027"',
        COMMAND,
        "covey audit made --reviewer REVIEWER.vkey --enrolment",
        "covey ledger show made",
        f"It must find 15 entries and the root {root}",
        "Recomputed: dp-accounting 1.491 and Opacus 1.491.",
        "level 2 of 2",
    ):
        assert shown in text, shown


def test_what_it_rests_on_and_what_it_does_not_cover_is_whole(case: str) -> None:
    text, found = rendered(case).text, audited(case)
    if case != "hostile":
        assert all(each in text for each in found.trusts)
        assert all(text.count(each) == 2 for each in found.not_covered)


def test_sums_are_all_in_the_table_or_those_that_matter() -> None:
    text = rendered("long").text
    assert "of 241 sums as a table: not opened, not shown by evidence, or with the fewest devices" in text
    rows = rendered("long").html.partition('aria-label="Sums"')[2].partition("</table>")[0].count("<tr>") - 1
    assert MOST_SUMS // 3 < rows <= MOST_SUMS
    assert "All sums as a table" in rendered("honest").text


def test_sums_are_called_what_a_policy_calls_them() -> None:
    rows = rendered("examples").html.partition('aria-label="Sums"')[2].partition("</table>")[0]
    assert "<td>train</td>" in rows
    assert "gradient" not in rows


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("runs/pilot", "Privacy audit of runs/pilot"),
        ("ledger/", "Privacy audit of ledger/"),
        (".", "Privacy audit of test.example/ledger"),
        ("../..", "Privacy audit of test.example/ledger"),
        ("", "Privacy audit of test.example/ledger"),
    ],
)
def test_the_title_names_a_folder_or_the_log(source: str, title: str) -> None:
    found = replace(audited("honest"), source=source, origin="test.example/ledger")
    assert f"<title>{title}</title>" in render(found, made_at=MADE)
    assert f"<h1>{title}</h1>" in render(found, made_at=MADE)


def test_two_critical_findings_are_counted_as_people_count() -> None:
    grave = [finding("no-noise", "asked for without noise", place) for place in range(3)]
    found = [verdict(replace(audited("honest"), findings=tuple(grave[:many]))).sentence for many in (1, 2, 3)]
    assert "other" not in found[0]
    assert found[1].endswith(" The other one is listed below.")
    assert found[2].endswith(" The other 2 are listed below.")


@pytest.mark.parametrize("case", ["honest", "simulated", "unanchored", "waived"])
def test_what_devices_counted_beside_the_ledger_is_in_the_verdict(case: str) -> None:
    only = "the most for what stands in this ledger; devices have counted more."
    plain = audited(case)
    assert only not in verdict(plain).sentence
    gap = finding("counter-gap", "'d004' had reserved for more plans by then", 9)
    for each in (gap, waived(gap, "enrolled anew")):
        found = replace(plain, findings=(*plain.findings, each))
        assert f" That is {only}" in verdict(found).sentence
        assert f"The figures are {only}" in render(found, made_at=MADE)


def test_no_package_index_is_promised_to_have_it() -> None:
    text = rendered("honest").text
    assert "Covey's base install brings all of these commands." in text
    assert "pip install covey" not in text


def test_policies_that_are_not_the_reader_s_are_not_called_trusted() -> None:
    text = rendered("unanchored").text
    assert "Signed by nobody whose key was given to this audit Trusted no" in text
    assert "NOTHING OF YOUR OWN" in text


def test_no_signature_of_log_or_witness_is_said_aloud() -> None:
    text = rendered("nothing").text
    assert "Signed checkpoint none that is trusted Witnesses none" in text
    assert "Log not known: no checkpoint could be read" in text


def test_a_policy_in_force_for_two_runs_is_shown_once() -> None:
    found = audited("honest")
    again = replace(found.policies[0], index=7, run="run-b")
    page = Page(render(replace(found, policies=(*found.policies, again)), made_at=MADE))
    assert page.text.count("SHA-256 of its text") == 1
    assert "In force by entry 0, 7;" in page.text


def test_what_no_bar_and_no_curve_can_show_is_said() -> None:
    assert "No finite ε for one device: some sums had no noise." in rendered("unprotected").text
    assert "Against" in rendered("unprotected").text
    assert "No private sum was asked for." in rendered("nothing").text


def test_on_paper_it_has_pages_heads_and_a_place_to_sign() -> None:
    page = rendered("honest")
    decision = page.text.partition("Reviewer's decision")[2]
    for word in ("About the ledger with root", "yes, with conditions", "Name", "Date", "Signature"):
        assert word in decision
    assert audited("honest").root.hex() in decision
    paper = CSS.partition("@media print")[2]
    assert "size: A4" in CSS
    assert "thead { display: table-header-group; }" in paper
    assert "details::details-content { content-visibility: visible; height: auto; }" in paper
    assert "--paper: #ffffff" in paper
    assert "--ink: #000000" in paper
    assert f"Ledger root {audited('honest').root.hex()[:16]}, 15 entries" in page.html


@pytest.mark.parametrize("colours", schemes(CSS), ids=["light", "dark", "print"])
def test_text_has_contrast_on_screen_and_on_paper(colours: dict[str, Colour]) -> None:
    inks = ("ink", "muted", "blue", "orange", "green", "violet", "danger-ink", "caution-ink")
    pairs = [(ink, paper) for ink in inks for paper in ("paper", "panel")]
    pairs += [(f"{tone}-ink", tone) for tone in ("danger", "caution", "good")]
    pairs += [("ink", tone) for tone in ("danger", "caution", "good", "band")]
    measured = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs}
    assert {pair: value for pair, value in measured.items() if value < 4.5} == {}
