"""Rosters that are old or made up, and a simulation that is passed off as a deployment."""

import msgspec

from cheating.cheat import cheat
from cheating.folders import POLICY as OWN
from cheating.keys import STRANGER
from cheating.places import ENROL, POLICY, RESERVES
from cheating.run import Run
from covey.fields import fields
from covey.identity import Certificate, claimed_roster, public_of
from covey.plan import Plan
from covey.secagg.keys import derive


@cheat("roster-old", RESERVES[3] + 1)
def old_roster(run: Run) -> None:
    """The fleet's owner had revoked a device, and the validation was asked of the old roster, in which it
    still is. Its owner had withdrawn, and its data were useful.
    """
    old = claimed_roster(run.roster)
    fewer = msgspec.structs.replace(old, serial=2, certificates=old.certificates[1:])
    run.enrol(RESERVES[3], fewer, run.last)
    run.publish()


def _invented(device: str) -> bytes:
    return derive(STRANGER, fields("invented"), device)


def _invent(run: Run) -> None:
    """Twenty devices that are the operator's program, certified by a key of the operator's."""
    old = claimed_roster(run.roster)
    certificates = tuple(
        Certificate(each.device, public_of(_invented(each.device)), each.not_after)
        for each in old.certificates
    )
    run.enrol_instead(ENROL, msgspec.structs.replace(old, certificates=certificates), STRANGER, _invented)


@cheat("roster-untrusted", ENROL, also=("evidence-missing",))
def devices_made_up(run: Run) -> None:
    """The devices are programs on the operator's machine, in a roster that the operator signed. With nineteen
    of them beside it, a device's answer is as good as bare.
    """
    _invent(run)
    run.publish()


@cheat("enrolment-key-not-yours", POLICY, also=("evidence-missing", "roster-untrusted"))
def enrolment_key_swapped(run: Run) -> None:
    """As devices-made-up, and the policy that the operator drafted names the operator's key as the one that
    certifies devices. The reviewers signed it; the fleet's owner knows another key.
    """
    enrolment = run.policy.keys.enrolment
    note = run.policy_note({enrolment: public_of(STRANGER).hex()})
    run.govern(note)
    run.files[OWN] = note
    _invent(run)
    run.publish()


@cheat("simulation-disguised", ENROL)
def simulation_by_its_entry(run: Run) -> None:
    """The entry about the roster says that the devices are real; the roster, as it was signed, says that they
    are simulated. Who reads only the ledger takes the figures for a deployment's.
    """
    run.put(ENROL, simulation=False)
    run.publish()


def _drawn(plan: Plan) -> dict[str, object]:
    """That noise came from the operating system, by the plan's word."""
    assert plan.noise is not None
    return {"noise": msgspec.structs.replace(plan.noise, seeded=False)}


@cheat("simulation-disguised", RESERVES[0])
def simulation_by_its_policy(run: Run) -> None:
    """The reviewers were told that the devices were real, and signed a policy for a real fleet; plans say
    that noise is not from a seed. The roster alone, which the enrolment key signed, tells of a simulation.
    """
    note = run.policy_note({"simulation = true": "simulation = false"})
    run.govern(note)
    run.files[OWN] = note
    run.ask_all(_drawn)
    run.summarise()
    run.publish()


@cheat("summary-differs", RESERVES[0])
def simulation_by_its_summary(run: Run) -> None:
    """The summary says that the run was no simulation, and its statement promises real privacy. Scripts and
    presentations read the summary, not the ledger.
    """
    claim, _, _ = run.privacy["statement"].partition("; SIMULATION")
    run.claim(simulated=False, statement=claim)
    run.write_summary(run.summary | {"simulation": False})
