"""Our formulas beside dp-accounting and Opacus."""

import importlib
import subprocess
import sys
import warnings
from math import sqrt
from types import ModuleType

import pytest
from dp_accounting import GaussianDpEvent
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from covey.accounting import ORDERS, DiscreteGaussian, MatrixGaussian, Skellam, epsilon
from covey.accounting.matrix import squared_sensitivity
from covey.errors import InputError
from covey_audit.accountants import with_dp_accounting, with_opacus

DELTA = 1e-5
FINE = 1 << 14

Runs = list[tuple[Skellam | DiscreteGaussian, int]]


@pytest.fixture(scope="module", autouse=True)
def _opacus_once() -> None:
    """Importing Opacus warns about things of torch's; its figures are what is looked at here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("opacus.accountants.analysis.rdp")


def exactly(value: float) -> object:
    return pytest.approx(value, abs=5.1e-7, rel=0)


UNSAMPLED = [
    (28, 4, 10**4, 30, 1e-5, 6.838126),
    (140, 4, 10**5, 50, 1e-6, 10.106357),
    (140, 8, 10**5, 100, 1e-6, 6.735229),
    (700, 6, 10**6, 100, 1e-7, 10.183997),
]


@pytest.mark.parametrize("row", UNSAMPLED)
def test_all_three_agree_without_sampling(row: tuple[int, int, int, int, float, float]) -> None:
    honest, z, length, rounds, delta, expected = row
    run: Runs = [(Skellam(FINE, length, honest * -(-((z * FINE) ** 2) // honest)), rounds)]
    assert epsilon(run, delta).value == exactly(expected)
    assert with_dp_accounting(run, delta) == exactly(expected)
    assert with_opacus(run, delta) == exactly(expected)


SAMPLED = [
    (0.3, 200, 1 << 10, 26214400, 4.044518),
    (0.3, 200, 1 << 14, 6710886400, 4.040368),
    (0.5, 400, 1 << 10, 37748736, 8.791510),
    (0.1, 300, 1 << 10, 4194304, 4.578977),
    (0.05, 500, 1 << 12, 37748736, 4.171355),
]


@pytest.mark.parametrize("row", SAMPLED)
def test_all_three_agree_with_sampling(row: tuple[float, int, int, int, float]) -> None:
    rate, rounds, sensitivity, variance, expected = row
    run: Runs = [(Skellam(sensitivity, 3300, variance, rate), rounds)]
    assert epsilon(run, DELTA).value == exactly(expected)
    assert with_dp_accounting(run, DELTA) == exactly(expected)
    assert with_opacus(run, DELTA) == exactly(expected)


def test_with_coarse_integers_the_libraries_lie_slightly_above() -> None:
    run: Runs = [(Skellam(1 << 4, 100, 1024, 0.3), 50)]
    assert epsilon(run, DELTA).value == exactly(6.649182)
    assert with_dp_accounting(run, DELTA) == exactly(6.649958)
    assert with_opacus(run, DELTA) == exactly(6.649958)


def test_dp_accounting_knows_both_formulas() -> None:
    for run in ([(Skellam(50, 1, 10), 1)], [(Skellam(16, 10_000, 10_000), 40)]):
        assert with_dp_accounting(run, DELTA) == pytest.approx(epsilon(run, DELTA).value, abs=1e-6)
        assert with_opacus(run, DELTA) >= epsilon(run, DELTA).value - 1e-6


def test_several_kinds_of_sums_agree() -> None:
    run: Runs = [
        (Skellam(FINE, 4423, (5 * FINE) ** 2, 0.2), 200),
        (Skellam(FINE, 20, (30 * FINE) ** 2), 1),
        (DiscreteGaussian(FINE, 60, FINE**2, 100), 10),
    ]
    ours = epsilon(run, DELTA)
    assert ours.formula == "sampled"
    assert with_dp_accounting(run, DELTA) == pytest.approx(ours.value, abs=1e-6)
    assert with_opacus(run, DELTA) == pytest.approx(ours.value, abs=1e-6)


def test_no_sums_cost_nothing() -> None:
    assert with_dp_accounting([], DELTA) == 0
    assert with_opacus([], DELTA) == 0
    assert with_dp_accounting([(Skellam(FINE, 10, FINE**2), 0)], DELTA) == 0


def test_without_opacus_the_reviewer_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> ModuleType:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match="Opacus is not installed"):
        with_opacus([(Skellam(FINE, 10, FINE**2), 1)], DELTA)


def test_the_module_itself_brings_neither_library() -> None:
    heavy = "{'torch', 'opacus', 'dp_accounting'}"
    code = f"import sys, covey_audit.accountants as _; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("bands", "steps", "separation", "multiplier"), [(1, 30, 1, 5.0), (1, 30, 6, 3.0), (8, 60, 10, 6.0)]
)
def test_noise_of_a_trusted_server_is_one_gaussian_to_the_libraries(
    bands: int, steps: int, separation: int, multiplier: float
) -> None:
    """The matrix mechanism is a Gaussian at a distance: dp-accounting is told that, and not our zCDP."""
    found = MatrixGaussian(FINE, 3000, int((multiplier * FINE) ** 2), bands, steps, separation)
    mine = epsilon([found], DELTA).value
    assert with_dp_accounting([(found, 1)], DELTA) == pytest.approx(mine, abs=1e-6)
    assert with_opacus([(found, 1)], DELTA) == pytest.approx(mine, abs=1e-6)
    moved = sqrt(squared_sensitivity(bands, steps, separation)) * found.norms.l2
    event = GaussianDpEvent(sqrt(found.variance) / moved)
    renyi, exact = RdpAccountant(orders=list(ORDERS)), PLDAccountant()
    renyi.compose(event)
    exact.compose(event)
    assert renyi.get_epsilon(DELTA) == pytest.approx(mine, abs=1e-6)
    assert 0.85 * mine < exact.get_epsilon(DELTA) < mine  # its curve turned into (ε, δ) without loss
