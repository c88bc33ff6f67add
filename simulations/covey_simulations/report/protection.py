"""What protected a run and what it cost, as plain frozen data; computed elsewhere, shown in `render`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ProtectedKind:
    """How the sums of one kind were protected.

    Attributes:
        kind: What was asked.
        sums: Asked for; sums over several cohorts count once for each.
        unopened: Of them, given up or cut short: spent all the same.
        multiplier: z, the deviation of the noise that honest devices guarantee, over the sensitivity; None
            without noise.
        sampling_rate: q, with which each example joined.
        asked: Devices in one sum, at most.
        minimum: Fewest devices whose sum was opened.
        corrupt: C_max, devices of the whole roster that may side with the server.
    """

    kind: str
    sums: int
    unopened: int
    multiplier: float | None
    sampling_rate: float
    asked: int
    minimum: int
    corrupt: int


@dataclass(frozen=True)
class Protection:
    """What protected a run's sums.

    Attributes:
        kinds: By kind of sum, in the order they were first asked.
        spent: Rounds and ε in the server's view up to and with each; empty without noise.
        count_noise: Standard deviation of the noise in one count of the confusion matrix; 0 without noise.
        accuracy_noise: Standard deviation of the noise in the accuracy that the last query gave; 0 without.
    """

    kinds: tuple[ProtectedKind, ...]
    spent: tuple[tuple[int, float], ...]
    count_noise: float
    accuracy_noise: float
