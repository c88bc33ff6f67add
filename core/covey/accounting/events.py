"""One private sum, as frozen data that carries its own formulas."""

from dataclasses import dataclass
from math import exp, pi, sqrt

from covey.accounting import checks
from covey.accounting.matrix import MatrixGaussian
from covey.accounting.norms import Norms, rounded_norms
from covey.accounting.sampling import amplified
from covey.accounting.zcdp import Zcdp

MOST_VARIANCE = 1 << 100
MOST_CONTRIBUTORS = 1 << 20
LEAST_RATE = 1e-12


def skellam_bounds(norms: Norms, variance: int) -> tuple[Zcdp, Zcdp]:
    """Rényi bounds of Skellam noise of total variance μ on an integer vector, for integer orders a ≥ 2.

    ε(a) ≤ a·D2²/(2μ) + min{((2a-1)·D2² + 6·D1)/(4μ²), 3·D1/(2μ)} (Agarwal, Kairouz, Liu, NeurIPS 2021,
    arXiv:2110.04995, the multidimensional mechanism), as the two lines that the minimum chooses from. The
    first one's ξ may be negative.
    """
    mu = float(variance)
    leading = norms.l2**2 / (2 * mu)
    return (
        Zcdp(leading * (1 + 1 / mu), (6 * norms.l1 - norms.l2**2) / (4 * mu * mu)),
        Zcdp(leading, 3 * norms.l1 / (2 * mu)),
    )


def discrete_gaussian_bounds(
    norms: Norms, length: int, local_variance: int, contributors: int
) -> tuple[Zcdp, Zcdp, Zcdp]:
    """Rényi bounds of a sum of independent discrete Gaussians, for all orders.

    With sigma = √h·sigma_local, a1 = D1/sigma, a2 = D2/sigma and
    τ = 10·Σ_{k<h} exp(-2π²·sigma_local²·k/(k+1)), the lines are a/2·a2² + τd, a/2·(a2² + 2a1τ + τ²d) and
    a/2·(a2 + √d·τ)² (Kairouz, Liu, Steinke, ICML 2021, arXiv:2102.06387). h counts honest contributors only.
    """
    tau = 10 * sum(exp(-2 * pi**2 * local_variance * k / (k + 1)) for k in range(1, contributors))
    deviation = sqrt(contributors * local_variance)
    first, second = norms.l1 / deviation, norms.l2 / deviation
    return (
        Zcdp(second**2 / 2, tau * length),
        Zcdp((second**2 + 2 * first * tau + tau**2 * length) / 2),
        Zcdp((second + sqrt(length) * tau) ** 2 / 2),
    )


@dataclass(frozen=True)
class Skellam:
    """A sum with Skellam noise; independent Skellams add up to one, so only the total matters.

    Attributes:
        sensitivity: Δ, the largest scaled L2 norm that one unit of privacy contributes, integer units.
        length: d, elements of the vector.
        variance: μ, of all honest contributors' noise together, per element, integer units squared.
        sampling_rate: q of the coin tossed in secret for each example; 1 for none, and for the unit device.
    """

    sensitivity: float
    length: int
    variance: int
    sampling_rate: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers that no sum can have."""
        rounded_norms(self.sensitivity, self.length)
        checks.whole("variance", self.variance, 1, MOST_VARIANCE)
        checks.within("sampling_rate", self.sampling_rate, LEAST_RATE, 1.0)

    @property
    def norms(self) -> Norms:
        """D1 and D2 after rounding."""
        return rounded_norms(self.sensitivity, self.length)

    def bounds(self) -> tuple[Zcdp, ...]:
        """Lines whose least is the Rényi divergence without sampling."""
        return skellam_bounds(self.norms, self.variance)

    def zcdp(self) -> tuple[Zcdp, Zcdp]:
        """Formulas A and B without sampling, both with ξ ≥ 0: what a device's budget counts."""
        first, second = skellam_bounds(self.norms, self.variance)
        return Zcdp(first.rho, max(0.0, first.xi)), second

    def renyi(self, order: int) -> float:
        """The Rényi divergence of this sum at most, with sampling, at an integer order ≥ 2."""
        return amplified(self.sampling_rate, order, self.bounds())


@dataclass(frozen=True)
class DiscreteGaussian:
    """A sum with one discrete Gaussian of each contributor.

    Attributes:
        sensitivity: Δ, the largest scaled L2 norm that one unit of privacy contributes, integer units.
        length: d, elements of the vector.
        local_variance: sigma², the variance parameter of one contributor's noise, integer units squared.
        contributors: h, honest contributors only.
        sampling_rate: q of the coin tossed in secret for each example; 1 for none, and for the unit device.
    """

    sensitivity: float
    length: int
    local_variance: int
    contributors: int
    sampling_rate: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers that no sum can have."""
        rounded_norms(self.sensitivity, self.length)
        checks.whole("local_variance", self.local_variance, 1, MOST_VARIANCE)
        checks.whole("contributors", self.contributors, 1, MOST_CONTRIBUTORS)
        checks.within("sampling_rate", self.sampling_rate, LEAST_RATE, 1.0)

    @property
    def norms(self) -> Norms:
        """D1 and D2 after rounding."""
        return rounded_norms(self.sensitivity, self.length)

    def bounds(self) -> tuple[Zcdp, ...]:
        """Lines whose least is the Rényi divergence without sampling."""
        return discrete_gaussian_bounds(self.norms, self.length, self.local_variance, self.contributors)

    def zcdp(self) -> tuple[Zcdp, Zcdp]:
        """Formula A (with ξ = τd) and formula B (ξ = 0), without sampling."""
        first, *others = self.bounds()
        return first, min(others, key=lambda line: line.rho)

    def renyi(self, order: int) -> float:
        """The Rényi divergence of this sum at most, with sampling, at an integer order ≥ 2."""
        return amplified(self.sampling_rate, order, self.bounds())


Event = Skellam | DiscreteGaussian | MatrixGaussian
