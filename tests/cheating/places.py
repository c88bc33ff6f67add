"""What stands where in the honest run's ledger: three rounds of training and a validation."""

from typing import Final

ENROL: Final = 0
POLICY: Final = 1
RESERVES: Final = (2, 4, 6, 8)
"""Rounds 1 to 3, and the validation."""
SETTLES: Final = (3, 5, 7, 9)
METRICS: Final = 10
MODEL: Final = 11
