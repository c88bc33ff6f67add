"""The plan on its way to a device: signed by the operator, with the roster that its cohort is taken from."""

import hashlib
from dataclasses import dataclass
from typing import Final

from covey import plan as plans
from covey.errors import PlanRefused
from covey.identity import Roster, read_roster, sign, verify
from covey.secagg.messages import Envelope, decode, encode
from covey.secagg.terms import Terms

LIMIT: Final = 6 << 20


@dataclass(frozen=True)
class Trust:
    """Whom a device believes.

    Attributes:
        operator: Public key that signs plans.
        enrolment: Public key that certifies devices; not the operator's.
        least_serial: Of the newest roster that the device has seen.
    """

    operator: bytes
    enrolment: bytes
    least_serial: int = 0


@dataclass(frozen=True)
class Opened:
    """An envelope that a device believes.

    Attributes:
        sent: The plan as signed.
        terms: The plan.
        roster: The roster.
        roster_sent: The roster as signed.
    """

    sent: bytes
    terms: Terms
    roster: Roster
    roster_sent: bytes


def seal_envelope(plan: bytes, operator: bytes, roster: bytes) -> bytes:
    """The server's half.

    Args:
        plan: As `covey.plan.to_bytes` gave it.
        operator: Private key.
        roster: As `covey.identity.sign_roster` gave it.
    """
    return encode(Envelope(plan, sign(operator, "plan", plan), roster))


def open_envelope(data: bytes, trust: Trust, device: str, now: int) -> Opened:
    """The device's half: everything that can be checked before its data is touched.

    Args:
        data: As received.
        trust: Whom the device believes.
        device: Its own name.
        now: Unix time, seconds.

    Raises:
        ProtocolError: Not signed by the operator, malformed, or with a roster that is not the enrolment
            key's, is expired, or is older than one seen.
        PlanRefused: Too late, of another roster, or the device is not in it.
    """
    envelope = decode(data, Envelope, blame="server", limit=LIMIT)
    verify(trust.operator, "plan", envelope.plan, envelope.signature, blame="server")
    terms = Terms.of(envelope.plan)
    roster = read_roster(envelope.roster, trust.enrolment, now=now, least_serial=trust.least_serial)
    plan = terms.plan
    if plan.masks != "on" or plan.roster is None:
        raise PlanRefused("a plan without masks in an envelope")
    if (plan.roster.sha256, plan.roster.serial) != (sha256(envelope.roster), roster.serial):
        raise PlanRefused("the plan is for another roster than the one sent")
    plans.check_current(plan, now)
    if plan.noise is not None and plan.noise.seeded and not roster.simulation:
        raise PlanRefused("noise from a seed in a fleet that is no simulation")
    roster.key_of(device, now)
    return Opened(envelope.plan, terms, roster, envelope.roster)


def sha256(data: bytes) -> str:
    """Hexadecimal, as plans name things."""
    return hashlib.sha256(data).hexdigest()
