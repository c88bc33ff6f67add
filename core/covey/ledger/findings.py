"""What an audit can find: each kind of finding once, with its weight, its meaning and the next step.

A finding names its kind by a code that never changes, so that a reviewer's decision can refer to it. The
table is printed in docs/findings.md.

    critical   a rule is broken: what the ledger claims does not hold, or cannot be known
    warning    nothing is known to be broken, but the claim is weaker than it looks
    note       worth reading; seldom anything to do
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

Severity = Literal["critical", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("critical", "warning", "note")


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        severity: How much it weighs.
        meaning: What it says, one sentence.
        hint: What to do next; empty for a note that asks for nothing.
        waivable: Whether reviewers may accept it with a signed waiver. What makes the ledger itself doubtful
            is not theirs to accept: the waiver stands in that ledger.
    """

    severity: Severity
    meaning: str
    hint: str = ""
    waivable: bool = True


@dataclass(frozen=True)
class Finding:
    """One finding of an audit.

    Attributes:
        code: Its kind, in `KINDS`.
        severity: Its kind's; "note" once waived.
        words: What was found, one sentence.
        entry: Number of the ledger's entry that shows it, from 0; None where none does.
        hint: What to do next.
        waived: The reviewers' words with which they accepted it; empty if they did not.
    """

    code: str
    severity: Severity
    words: str
    entry: int | None = None
    hint: str = ""
    waived: str = ""

    @property
    def order(self) -> tuple[int, int, str]:
        """Critical ones first, then as the ledger goes on; what no entry shows comes before."""
        return SEVERITIES.index(self.severity), -1 if self.entry is None else self.entry, self.code


def finding(code: str, words: str, entry: int | None = None) -> Finding:
    """A finding of a known kind.

    Raises:
        KeyError: There is no such kind.
    """
    kind = KINDS[code]
    return Finding(code, kind.severity, words, entry, kind.hint)


def waived(found: Finding, words: str) -> Finding:
    """A finding that its reviewers accepted: a note that says why."""
    return replace(found, severity="note", waived=words)


_ASK = "ask the operator for the complete folder, and do not rely on this one"
_STOP = "do not rely on this ledger; compare it with what the witness and the devices hold"
_EXPLAIN = "ask the operator why, and decide whether the run may stand"

KINDS: Final[dict[str, Kind]] = {
    # The ledger as a whole
    "entry-malformed": Kind(
        "critical",
        "A line is no entry: malformed, of an unknown kind, with a float in it, or not in its one spelling.",
        _ASK,
        waivable=False,
    ),
    "ledger-torn": Kind(
        "warning",
        "The last line of the entries is not complete.",
        "ask for a copy that was made while nothing was written",
        waivable=False,
    ),
    "checkpoint-missing": Kind(
        "critical", "There is no signed checkpoint: nothing vouches for the entries.", _ASK, waivable=False
    ),
    "checkpoint-untrusted": Kind(
        "critical",
        "The checkpoint is malformed, of another log, or not signed by the log's key.",
        _STOP,
        waivable=False,
    ),
    "checkpoint-uncosigned": Kind(
        "critical",
        "Too few witnesses have cosigned the checkpoint: the operator may show others a different ledger.",
        "ask the witnesses for their latest checkpoint of this ledger",
        waivable=False,
    ),
    "ledger-shorter": Kind(
        "critical", "The ledger has fewer entries than its checkpoint says.", _ASK, waivable=False
    ),
    "ledger-changed": Kind(
        "critical",
        "The entries are not those that the checkpoint was signed over: changed, moved, removed or put in.",
        _STOP,
        waivable=False,
    ),
    "entries-uncovered": Kind(
        "warning",
        "Entries stand after the checkpoint's last one: nobody has signed them yet.",
        "ask for a copy with a newer checkpoint",
        waivable=False,
    ),
    "ledger-rolled-back": Kind(
        "critical",
        "A checkpoint that you have from elsewhere is larger than this ledger: its end was taken away.",
        "ask the operator for the whole ledger, and treat the missing entries as spent",
        waivable=False,
    ),
    "ledger-forked": Kind(
        "critical",
        "A checkpoint that you have from elsewhere is of another history than this ledger.",
        _STOP,
        waivable=False,
    ),
    "second-ledger": Kind(
        "critical",
        "The fleet's log key, policy or devices point at another ledger beside this one.",
        "ask the operator for both ledgers: spending in either counts for every device",
        waivable=False,
    ),
    "time-backwards": Kind("note", "An entry is dated before the one above it: the writer's clock was set."),
    "time-untrue": Kind(
        "warning",
        "An entry's date contradicts the witnesses: it is after the checkpoint's or before an earlier one's.",
        "ask which clock the writer goes by: validity and rate limits rest on these dates",
    ),
    "no-witness-asked": Kind(
        "warning",
        "No checkpoint from a witness was compared: a ledger cut short and signed again would look complete.",
        "get the witness's latest checkpoint from the witness and give it as --witnessed",
        waivable=False,
    ),
    # Policies
    "no-key-of-yours": Kind(
        "warning",
        "Nothing was checked against a key or policy of your own: the ledger vouches for itself.",
        "give your reviewers' keys as --reviewer, or your signed policy as --policy",
        waivable=False,
    ),
    "self-check": Kind(
        "note",
        "Policy and witness were the run's own: it agrees with itself, and nothing came from outside.",
    ),
    "policy-missing": Kind(
        "warning",
        "No policy is in force in this ledger: nothing limits what was asked.",
        "ask which policy the devices follow",
    ),
    "policy-unreadable": Kind("critical", "A policy entry holds no policy that can be read.", _ASK),
    "policy-unsigned": Kind(
        "critical",
        "A policy is not signed by as many of your reviewers as are needed.",
        "ask who signed it; devices that follow it do not follow you",
    ),
    "policy-not-yours": Kind(
        "critical",
        "The policy in force is another than the one that you hold: swapped, or not entered at all.",
        "compare them: covey policy diff",
    ),
    "policy-replayed": Kind(
        "critical",
        "An older policy was used after a newer one was in force.",
        "ask why; the newer policy is what the reviewers decided last",
    ),
    "policy-serial-twice": Kind(
        "critical", "Two different policies have one serial number.", "ask the reviewers which one they meant"
    ),
    "policy-chain-broken": Kind(
        "critical",
        "A policy does not follow the one before it: its `previous` names another.",
        "ask for the policies in between",
    ),
    "policy-spent-elsewhere": Kind(
        "warning",
        "The first policy here follows an earlier one, whose spending is not in this ledger.",
        "ask for the ledger of the earlier policy: a device's budget is one for its life",
    ),
    "policy-of-another-ledger": Kind(
        "critical",
        "The policy tells devices to demand another ledger than this one.",
        "ask for the ledger that the policy names",
    ),
    "policy-of-another-fleet": Kind(
        "critical",
        "A policy of another fleet came into force: one ledger is of one fleet.",
        "ask for a ledger of each fleet",
    ),
    "policy-without-witness": Kind(
        "warning",
        "The policy asks for no witness: the operator may show everyone a different ledger.",
        "name a witness of another owner in the next policy",
    ),
    "policy-expired": Kind(
        "critical", "A sum was asked for on a day on which its policy was not valid.", _EXPLAIN
    ),
    "policy-unknown": Kind(
        "critical", "A plan appeals to a policy that was not in force in this ledger by then.", _EXPLAIN
    ),
    # Rosters
    "roster-missing": Kind(
        "warning",
        "A roster that plans name is not in the folder: who the devices were cannot be checked.",
        "ask the operator, or the fleet's owner, for the roster",
    ),
    "roster-untrusted": Kind(
        "critical",
        "A roster is malformed, another than the entry says, or not signed by the enrolment key.",
        "ask the fleet's owner for the roster",
    ),
    "roster-misdescribed": Kind(
        "critical", "An entry says other things of a roster than the signed roster does.", _EXPLAIN
    ),
    "roster-replayed": Kind(
        "critical",
        "An older roster came back after a newer one: revoked devices could be asked again.",
        "ask the fleet's owner which roster holds",
    ),
    "roster-unknown": Kind(
        "critical", "A plan names a roster that was not entered by then, or under another serial.", _EXPLAIN
    ),
    "roster-old": Kind(
        "critical",
        "A plan names a roster that a newer one had replaced by then.",
        "ask why; the newer roster may leave out devices that were revoked",
    ),
    "roster-expired": Kind("critical", "A sum was asked for after its roster had expired.", _EXPLAIN),
    "roster-of-another-fleet": Kind(
        "critical", "A roster is of another fleet than the policy governs.", _EXPLAIN
    ),
    "enrolment-key-not-yours": Kind(
        "critical",
        "The policy names another enrolment key than the one that you hold.",
        "ask the fleet's owner which key certifies devices",
    ),
    "simulation": Kind(
        "note", "The fleet is simulated: the figures are what a real one would have, and protect nobody."
    ),
    "simulation-disguised": Kind(
        "critical",
        "A simulation is passed off as a deployment: policy, roster and noise do not agree on which it is.",
        "treat the run as a simulation: no epsilon holds for it",
    ),
    # Plans
    "plan-unreadable": Kind(
        "critical",
        "A reserve holds no plan that a device would read: malformed, inconsistent, or its clip understated.",
        _EXPLAIN,
    ),
    "plan-unsigned": Kind(
        "critical",
        "A plan is not signed by the operator's key that the policy names.",
        "ask who made it; devices refuse such a plan",
    ),
    "plan-outside-policy": Kind("critical", "A plan breaks a rule of its policy.", _EXPLAIN),
    "plan-twice": Kind("critical", "One plan was reserved twice.", _EXPLAIN),
    "sum-not-rising": Kind("critical", "A sum's serial number does not rise within its run.", _EXPLAIN),
    "cohort-twice": Kind("critical", "One cohort of a sum was reserved twice.", _EXPLAIN),
    "cohorts-differ": Kind("critical", "The cohorts of one sum were not asked the same.", _EXPLAIN),
    "no-masks": Kind(
        "critical",
        "Answers were not masked: the server saw each device's answer by itself.",
        "no privacy against the server holds for this run",
    ),
    "no-noise": Kind(
        "critical",
        "A sum was asked for without noise: no epsilon holds.",
        "no differential privacy holds for this run",
    ),
    "answers-exceeded": Kind(
        "critical", "More answers were asked for than the policy allows one device to give.", _EXPLAIN
    ),
    "rate-exceeded": Kind("critical", "Answers were asked for faster than the policy allows.", _EXPLAIN),
    # How sums ended
    "end-without-reserve": Kind(
        "critical", "A sum was opened or given up that had not been reserved.", _EXPLAIN
    ),
    "end-twice": Kind("critical", "One sum ended twice.", _EXPLAIN),
    "sum-unfinished": Kind("note", "A sum was reserved and its end is not here; it counts as spent."),
    "members-impossible": Kind(
        "critical",
        "A settle claims members that cannot be: fewer than the minimum, or more at a later stage.",
        _EXPLAIN,
    ),
    "members-uncommitted": Kind("critical", "A masked sum was settled, and not who was in it.", _EXPLAIN),
    "evidence-missing": Kind(
        "warning",
        "Who was in a sum is not shown: its evidence is not in the folder.",
        "ask the operator for the evidence folder, which is for reviewers only",
    ),
    "evidence-changed": Kind(
        "critical", "An evidence file is another than the one that the settle commits to.", _ASK
    ),
    "evidence-forged": Kind(
        "critical",
        "Evidence does not show what the settle says: signatures, members or counts do not hold.",
        "do not rely on the settled figures; ask the devices' owners",
    ),
    "evidence-of-aborted": Kind(
        "warning",
        "There is evidence of a sum that is said to have been given up: it may have been opened.",
        "ask the operator what became of the sum",
    ),
    "evidence-orphaned": Kind(
        "critical",
        "There is evidence of a sum that is not in this ledger.",
        "ask which ledger the sum is in: devices answered it",
        waivable=False,
    ),
    "participants-missing": Kind(
        "note",
        "The participation leaves of sums are not in the folder: device owners cannot prove their own part.",
        "ask the operator for the participants folder, which is public",
    ),
    "participants-changed": Kind(
        "critical", "The participation leaves of a sum are not those that the settle commits to.", _ASK
    ),
    "device-twice": Kind(
        "critical",
        "A device is in two cohorts of one sum: it was counted once and contributed twice.",
        _EXPLAIN,
    ),
    "counter-repeated": Kind(
        "warning",
        "A device counted the same answer twice, or backwards: its disk was cloned or restored.",
        "enrol the device anew: what it has spent cannot be known",
    ),
    "counter-gap": Kind(
        "warning",
        "A device has reserved for more plans than this ledger holds.",
        "ask which other plans, policies or ledgers the device has answered",
    ),
    # What left the operator's hands
    "release-unpaid": Kind(
        "critical",
        "What was released is not of the run that is said to have paid for it.",
        "ask where the model comes from; treat it as not covered by any epsilon",
    ),
    "release-under-other-policy": Kind(
        "critical", "A release names another policy than the one its run was under.", _EXPLAIN
    ),
    "release-of-earlier-model": Kind(
        "note", "A model was released that its run had gone on from; it is covered like the last one."
    ),
    "run-after-release": Kind("note", "A run went on after its model was released; all of it is counted."),
    "run-unreleased": Kind("note", "A run has no release in this ledger; its sums are spent all the same."),
    "tuning-unaccounted": Kind(
        "warning",
        "Settings were chosen on the same people's data, and nobody says what that cost.",
        "ask what was tried on what; the stated epsilon leaves it out",
    ),
    "tuning-unstated": Kind(
        "note",
        "Nothing says how settings were chosen; if it was on the same people's data, that is not counted.",
    ),
    # What it cost
    "budget-exceeded": Kind(
        "critical",
        "All sums together cost more than the policy's epsilon.",
        "the promise made to the people does not hold; stop the fleet's runs",
    ),
    "units-mixed": Kind(
        "warning",
        "Sums were asked for under two units of privacy; what they cost together is not known.",
        "read each unit's figure by itself",
    ),
    "accountants-differ": Kind(
        "critical",
        "Another library computes another epsilon from the same sums.",
        "report it to the project: do not rely on the figure until it is understood",
        waivable=False,
    ),
    "accountants-apart": Kind(
        "note",
        "Another library's epsilon is slightly apart, as it bounds sampled or rounded sums another way.",
    ),
    # A reviewer's own words, and a run's other files
    "waiver-unsigned": Kind(
        "warning",
        "A waiver is not signed by as many of your reviewers as are needed: it was ignored.",
        "ask the reviewers whether they meant it",
        waivable=False,
    ),
    "waiver-unused": Kind("note", "A waiver accepts what this audit did not find."),
    "audit-of-another-ledger": Kind(
        "critical",
        "An earlier audit that is entered here covered other entries than those above it.",
        "ask that auditor which ledger was audited",
        waivable=False,
    ),
    "summary-differs": Kind(
        "critical",
        "The run's summary states other figures than its ledger gives.",
        "use the ledger's figure; ask how the summary was made",
        waivable=False,
    ),
    "release-differs": Kind(
        "critical",
        "A file of the run is another than the one that the ledger says was released.",
        "ask for the file that was released",
        waivable=False,
    ),
    "release-unlogged": Kind(
        "warning",
        "The run has a package or figures whose release is not in the ledger.",
        "ask whether they were given away; a release must be entered first",
        waivable=False,
    ),
}
"""Every kind, by its code."""
