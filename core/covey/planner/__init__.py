"""From a fleet and a privacy target to the numbers of every plan, or a refusal that names the one to change.

cohort    how many devices must answer, and how many of those are honest
noise     what each device adds, and what is left of it in either view
calibrate the least noise multipliers that keep a run within its target
wire      the modulus, and the bytes a device sends and receives
design    all of it together
"""

from covey.planner.calibrate import Allotment, Query, Target
from covey.planner.cohort import Assumptions, Cohort, cohort_for, minimum_for
from covey.planner.design import Design, Run, design
from covey.planner.noise import NoiseBudget, noise_for
from covey.planner.wire import Traffic, bits_for, traffic

__all__ = [
    "Allotment",
    "Assumptions",
    "Cohort",
    "Design",
    "NoiseBudget",
    "Query",
    "Run",
    "Target",
    "Traffic",
    "bits_for",
    "cohort_for",
    "design",
    "minimum_for",
    "noise_for",
    "traffic",
]
