"""How long to wait before a program that failed is started again."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Backoff:
    """Twice as long each time, up to a limit; from the start again once it held for a while.

    Attributes:
        first: Seconds after the first failure.
        most: Seconds, however many failures there were.
        settled: Seconds of health after which earlier failures are forgotten.
        failures: In a row.
    """

    first: float = 0.5
    most: float = 30.0
    settled: float = 60.0
    failures: int = 0

    def failed(self, healthy: float) -> "Backoff":
        """After one more failure.

        Args:
            healthy: Seconds for which it had been healthy before.
        """
        return replace(self, failures=1 if healthy >= self.settled else self.failures + 1)

    @property
    def seconds(self) -> float:
        """To wait now."""
        if not self.failures:
            return 0.0
        return float(min(self.most, self.first * 2.0 ** min(self.failures - 1, 32)))
