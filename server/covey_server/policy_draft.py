"""The policy that a federation needs: a draft for the reviewers, who may change anything before they sign it.

Everything in it follows from the federation's file and the fleet's keys: what will be asked, of how many
devices, with how much noise, how often. A simulation signs its own.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil

from covey.accounting import round_up
from covey.errors import InputError
from covey.ledger.checkpoint import LogTrust
from covey.plan import Gradient
from covey.planner.calibrate import Allotment, Kind, Query, guaranteed, spent
from covey.policy.checking import options_of
from covey.policy.reading import MOST_EPSILON, parse
from covey.policy.terms import DECIMAL, FIRST_LINE, Option, exact
from covey_models.model import Model
from covey_models.training import initial
from covey_server import algorithms
from covey_server.privacy import queries
from covey_server.settings import FederationFile, train_task
from covey_strategies.cohort import minimum_of
from covey_strategies.protection import Protection

DIGITS = 3


@dataclass(frozen=True)
class Frame:
    """What a policy says beside what the federation asks.

    Attributes:
        fleet: The fleet's name, as in its roster.
        purpose: In words.
        operator: Public key that signs plans, hexadecimal.
        enrolment: Public key that certifies devices, hexadecimal.
        log: Whose checkpoints devices believe.
        valid_from: First day, as 2026-01-31.
        valid_until: Last day.
        rate_limit: Of each kind of query, as "24 per day", or "none".
        signatures: Of so many reviewers.
        simulation: Whether devices are simulated.
        serial: Of the policy.
        previous: SHA-256 of the policy before it; empty for the first.
        spare: So many sums of each kind more than a run without a crash asks; they are in the budget.
    """

    fleet: str
    purpose: str
    operator: str
    enrolment: str
    log: LogTrust
    valid_from: str
    valid_until: str
    rate_limit: str = "none"
    signatures: int = 1
    simulation: bool = False
    serial: int = 1
    previous: str = ""
    spare: int = 0


def cohorts(file: FederationFile, devices: int, protected: Protection) -> Iterator[tuple[int, int]]:
    """Every size of a sum that a federation over so many devices asks for, with its minimum.

    Rounds ask a cohort, which may be divided; at the end all devices validate.
    """
    federation = file.federation
    asked = min(federation.devices_per_round or devices, devices)
    last = min(federation.final_devices or devices, devices)
    final = [(last, 0)] if federation.devices_per_round else []
    for size, minimum in [(asked, federation.minimum_devices), *final]:
        for part in sorted(_parts(size, protected.largest)):
            yield part, minimum_of(part, minimum, file.privacy.dropouts, protected)


def _parts(devices: int, largest: int) -> set[int]:
    """Sizes of the sums that so many devices are divided into."""
    parts = -(-devices // largest)
    return {devices // parts, -(-devices // parts)}


def draft(file: FederationFile, model: Model, protected: Protection, devices: int, frame: Frame) -> str:
    """A policy's text.

    Args:
        file: The federation.
        model: What is trained.
        protected: What protects its sums.
        devices: In the fleet.
        frame: The rest.

    Raises:
        InputError: The federation has no masks, no noise or too little: there is nothing that a policy could
            promise.
        ConfigError: What follows is no policy: names the key.
    """
    noise = protected.multipliers
    if not noise:
        raise InputError("a federation without noise has no policy", hint="set [privacy] epsilon")
    if protected.masks != "on":
        raise InputError("a federation without masks has no policy", hint="set [privacy] masks = true")
    asked = tuple((each, noise[each.kind]) for each in queries(file, model))
    told = _Told(file, model, protected, frame, asked, tuple(cohorts(file, devices, protected)))
    text = "\n".join([*told.head(), *told.limits(), *told.trust(), *told.questions(), ""])
    parse(text, "the drafted policy")
    return text


Asked = Sequence[tuple[Query, float]]


@dataclass(frozen=True)
class _Told:
    """A policy in parts."""

    file: FederationFile
    model: Model
    protected: Protection
    frame: Frame
    asked: Asked
    sums: Sequence[tuple[int, int]]

    def head(self) -> Iterator[str]:
        """What it is."""
        frame = self.frame
        yield FIRST_LINE
        yield f"name = {_text(self.file.name)}"
        yield f"fleet = {_text(frame.fleet)}"
        yield f"purpose = {_text(frame.purpose)}"
        yield f"serial = {frame.serial}"
        yield f"previous = {_text(frame.previous)} # SHA-256 of the policy that this one replaces"
        yield f"valid_from = {frame.valid_from}"
        yield f"valid_until = {frame.valid_until}"
        yield f"simulation = {_flag(frame.simulation)}"
        yield f"signatures = {frame.signatures} # of different reviewers, at least"

    def limits(self) -> Iterator[str]:
        """What all answers may cost, and what that rests on."""
        privacy, spare = self.file.privacy, self.frame.spare
        yield ""
        yield "[budget] # of one device, for its whole life"
        yield f"unit = {_text(privacy.unit)}"
        yield f"epsilon = {_text(_epsilon(self.file, self.asked, spare))}"
        yield f"delta = {_text(_decimal(privacy.delta))}"
        yield f"answers = {sum(query.sums + spare for query, _ in self.asked)}"
        yield ""
        yield "[assumptions]"
        yield f"corrupt = {self.protected.corrupt} # devices of the fleet that may side with the server"
        yield f"dropouts = {_text(_dropouts(self.sums))}"
        yield f"profiles = [{_text(self.protected.profile)}]"
        yield 'attestation = "none"'

    def trust(self) -> Iterator[str]:
        """Whom devices believe."""
        frame, log = self.frame, self.frame.log
        yield ""
        yield "[keys]"
        yield f"operator = {_text(frame.operator)}"
        yield f"enrolment = {_text(frame.enrolment)}"
        yield ""
        yield "[ledger]"
        yield f"origin = {_text(log.origin)}"
        yield f"log = {_text(log.log.vkey)}"
        yield f"witnesses = [{', '.join(_text(each.vkey) for each in log.witnesses)}]"
        yield f"cosignatures = {log.cosignatures}"

    def questions(self) -> Iterator[str]:
        """What may be asked."""
        fewest = min(minimum for _, minimum in self.sums)
        for query, multiplier in self.asked:
            yield ""
            yield f"[queries.{query.kind}]"
            yield f"models = [{_text(self.model.name)}]"
            yield f"clip = {_text(_decimal(_clip(self.file, query.kind)))}"
            yield f"noise_multiplier = {_text(_decimal(multiplier))}"
            yield f"minimum = {fewest}"
            if query.sampling_rate < 1:
                yield f"sampling_rate = {_text(_decimal(query.sampling_rate))}"
            yield f"answers = {query.sums + self.frame.spare}"
            yield f"rate_limit = {_text(self.frame.rate_limit)}"
            if options := _options(self.file, self.model, query.kind):
                yield f"options = [{', '.join(map(_text, options))}]"


def _epsilon(file: FederationFile, asked: Asked, spare: int) -> str:
    """As the federation says; with sums to spare, or where it says multipliers, what they all cost."""
    privacy = file.privacy
    if privacy.epsilon is not None and not spare:
        return _decimal(privacy.epsilon)
    allotments = [
        Allotment(Query(query.kind, query.length, query.sums + spare, query.sampling_rate), multiplier)
        for query, multiplier in asked
    ]
    found = spent(privacy.unit, allotments, privacy.delta, guaranteed(privacy.sensitivity))
    if found.value > exact(MOST_EPSILON):
        raise InputError(
            f"all sums together cost epsilon {found.value:.6g}: no policy promises more than {MOST_EPSILON}",
            hint="raise the multipliers, or set [privacy] noise = false for an experiment",
        )
    return _decimal(round_up(found.value, DIGITS))


def _dropouts(sums: Sequence[tuple[int, int]]) -> str:
    """The least share, in four decimals, that lets every sum be opened at its minimum."""
    share = max(Fraction(size - minimum, size) for size, minimum in sums)
    return _decimal(ceil(share * 10_000) / 10_000)


def _clip(file: FederationFile, kind: Kind) -> float:
    if kind == "health":
        return 1
    if kind != "train":
        return file.federation.examples_cap
    task = train_task(file, 1)
    return task.gradient_clip if isinstance(task, Gradient) else task.update_clip


def _options(file: FederationFile, model: Model, kind: Kind) -> tuple[Option, ...]:
    """What is asked beside what every question of a kind asks."""
    if kind not in {"train", "validate"}:
        return ()
    parameters = initial(model, 0)
    asked = {"train": algorithms.first, "validate": algorithms.validation}[kind](file, parameters)
    return tuple(options_of(asked))


def _decimal(value: float) -> str:
    """The decimal that a number prints as; with an exponent only where a policy has no room for it all."""
    exact = Decimal(repr(float(value)))
    plain = f"{exact:f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return plain if re.match(DECIMAL, plain) else f"{exact:e}".lower()


def _text(value: str) -> str:
    """A TOML basic string; JSON's escapes are among TOML's."""
    return json.dumps(value, ensure_ascii=False)


def _flag(value: bool) -> str:
    return "true" if value else "false"
