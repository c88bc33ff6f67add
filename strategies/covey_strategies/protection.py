"""What protects a run's sums, and the plan that follows for one cohort."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from covey import encode
from covey import plan as plans
from covey.arrays import Parameters
from covey.errors import InputError, ProtocolError
from covey.identity import Roster
from covey.noise.removal import LARGEST_TOLERANCE
from covey.plan import (
    CentralNoise,
    Masks,
    Noise,
    Plan,
    PolicyReference,
    Profile,
    RosterReference,
    Suite,
    Unit,
)
from covey.planner.calibrate import Kind
from covey.planner.cohort import Assumptions, cohort_for
from covey.planner.noise import total_variance
from covey.planner.wire import bits_for
from covey.policy import checking
from covey.policy.signed import Opened as OpenedPolicy
from covey.secagg.masks import Cipher
from covey_models.model import Model
from covey_strategies.central import Central
from covey_strategies.queries import answer


@dataclass(frozen=True)
class Operator:
    """The server's side of trust.

    Attributes:
        private: Ed25519 key that signs plans.
        roster: The fleet's devices.
        roster_sent: The roster as the enrolment key signed it.
        policy: What devices will answer; None for an experiment with devices that are set up to answer
            without.
        policy_sent: The policy as its reviewers signed it; empty for none.
    """

    private: bytes = field(repr=False)
    roster: Roster
    roster_sent: bytes
    policy: OpenedPolicy | None = None
    policy_sent: bytes = b""

    @property
    def reference(self) -> RosterReference:
        """What plans say of the roster."""
        return RosterReference(sha256=hashlib.sha256(self.roster_sent).hexdigest(), serial=self.roster.serial)

    @property
    def policy_reference(self) -> PolicyReference | None:
        """What plans say of the policy."""
        if self.policy is None:
            return None
        return PolicyReference(sha256=self.policy.sha256, serial=self.policy.policy.serial)


@dataclass(frozen=True)
class Protection:
    """What protects a run's sums.

    Attributes:
        unit: The unit of privacy.
        masks: Whether answers are masked.
        multipliers: Noise multiplier z of each kind of sum; empty for no noise.
        sensitivity: Δ of a noisy row, integer units.
        corrupt: C_max.
        profile: What the server is assumed to do.
        cipher: Of the masks.
        removal: Take off noise of devices that stayed; None for wherever it can be done.
        seeded: Whether noise is drawn from a simulation's seed.
        largest: Most devices in one sum; a larger cohort is divided evenly.
        operator: Who signs plans; None where nothing is masked.
        central: The server adds the noise, and is trusted; None where devices do, each its share.
    """

    unit: Unit = "device"
    masks: Masks = "none"
    multipliers: Mapping[Kind, float] = field(default_factory=dict)
    sensitivity: int = 1 << 10
    corrupt: int = 1
    profile: Profile = "malicious-server"
    cipher: Cipher = "chacha20"
    removal: bool | None = None
    seeded: bool = False
    largest: int = plans.LARGEST_COHORT
    operator: Operator | None = None
    central: Central | None = None

    def protect(self, bare: Plan, parameters: Parameters, model: Model) -> Plan:
        """A plan with masks, noise, norm and parts.

        Args:
            bare: Says what is asked, of how many; its other fields are not used.
            parameters: The model that goes with it.
            model: Their architecture.

        Raises:
            InputError: The cohort is too small or too large for it, or a number does not fit; says which to
                change.
        """
        kind = kind_of(bare)
        length = sum(shape.length for shape in answer.shapes(bare, parameters, model).values())
        noisy = kind in self.multipliers
        norm = self.sensitivity if noisy else max(encode.finest(length, bare.rows), 1)
        planned = msgspec.structs.replace(bare, norm=norm, masks=self.masks)
        parts = answer.parts(planned, parameters, model)
        noise, central = self._noise(bare, kind), self._central(kind)
        planned = msgspec.structs.replace(planned, parts=parts, noise=noise, central=central)
        return _checked(planned if self.masks != "on" else self._masked(planned))

    def _noise(self, bare: Plan, kind: Kind) -> Noise | None:
        if kind not in self.multipliers or self.central is not None:
            return None
        variance = total_variance(self.multipliers[kind], self.sensitivity)
        can = bare.cohort - bare.minimum <= LARGEST_TOLERANCE
        removal = can if self.removal is None else self.removal
        return Noise(mechanism="skellam", variance=variance, removal=removal, seeded=self.seeded)

    def _central(self, kind: Kind) -> CentralNoise | msgspec.UnsetType:
        if kind not in self.multipliers or self.central is None:
            return msgspec.UNSET
        variance = total_variance(self.multipliers[kind], self.sensitivity)
        terms = self.central if kind == "train" else Central()
        return CentralNoise(
            variance=variance, bands=terms.bands, separation=terms.separation, seeded=self.seeded
        )

    def _masked(self, plan: Plan) -> Plan:
        assumed = Assumptions(plan.cohort, plan.corrupt, minimum=plan.minimum, profile=self.profile)
        cohort = cohort_for(assumed)
        sparse = self.profile == "semi-honest-server"
        suite = Suite(
            profile=self.profile,
            cipher=self.cipher,
            bits=_bits(plan),
            neighbours=cohort.neighbours if sparse else 0,
            threshold=cohort.threshold if sparse else 0,
        )
        if self.operator is None:
            raise TypeError("masks without an operator's key")
        policy = self.operator.policy_reference
        return _allowed(
            msgspec.structs.replace(plan, suite=suite, roster=self.operator.reference, policy=policy),
            self.operator.policy,
        )


def _checked(plan: Plan) -> Plan:
    """What no device would answer is not asked, and so not spent."""
    try:
        return plans.from_bytes(plans.to_bytes(plan))
    except ProtocolError as error:
        raise InputError(
            f"{kind_of(plan)}: {error.message}",
            hint="lower privacy.sensitivity, a multiplier or examples_cap, or ask fewer devices",
        ) from error


def _allowed(plan: Plan, policy: OpenedPolicy | None) -> Plan:
    """Nor is what the policy does not allow."""
    if policy is not None:
        for reason in checking.refusals(plan, policy.policy, policy.sha256):
            raise InputError(
                f"{kind_of(plan)}: no device will answer this: {reason}",
                hint="change the federation to fit its policy, or ask the reviewers for another policy",
            )
    return plan


def kind_of(plan: Plan) -> Kind:
    """The kind of sum as budgets know it."""
    kind = checking.kind_of(plan)
    if kind == "drift":
        raise TypeError("no task asks for it")
    return kind


def _bits(plan: Plan) -> int:
    if plan.noise is None:
        return 32
    most = plan.cohort * sum(plans.noise_shares(plan, plan.cohort))
    return bits_for(plan.rows, plan.norm, plan.length, most)
