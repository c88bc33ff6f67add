"""What a Flower strategy remembers between rounds, so that a resumed run goes on as if it had not stopped.

FedOpt keeps moments (m_t, v_t), FedAvgM a momentum vector and the arrays it last produced. A strategy of
one's own that keeps more defines `saved() -> dict[str, ndarray]`, of float32 or float64, and
`restore(state)`.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]

_NAMED = ("m_t", "v_t")  # dict[str, ndarray] | None
_LISTED = "momentum_vector"  # list[ndarray] | None
_OWN = "own"
_CURRENT = "current_arrays"  # ArrayRecord | None in FedAvgM; FedOpt sets its own anew every round


@runtime_checkable
class Remembering(Protocol):
    """A strategy of one's own that says what it remembers."""

    def saved(self) -> Mapping[str, NDArray[Any]]:
        """Everything, by name."""

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """The inverse, on a strategy newly built."""


def save(strategy: FedAvg) -> Arrays:
    """Everything the strategy remembers, under names like "m_t/conv.weight"."""
    state: Arrays = {}
    for attribute in _NAMED:
        for name, value in (getattr(strategy, attribute, None) or {}).items():
            state[f"{attribute}/{name}"] = value
    for index, value in enumerate(getattr(strategy, _LISTED, None) or []):
        state[f"{_LISTED}/{index:06d}"] = value
    current = getattr(strategy, _CURRENT, None)
    if isinstance(current, ArrayRecord):
        state |= {f"{_CURRENT}/{name}": array.numpy() for name, array in current.items()}
    if isinstance(strategy, Remembering):
        state |= {f"{_OWN}/{name}": np.asarray(value) for name, value in strategy.saved().items()}
    return state


def restore(strategy: FedAvg, state: Arrays) -> None:
    """The inverse of `save`, on a freshly constructed strategy of the same kind."""
    for attribute in _NAMED:
        if values := _under(state, attribute):
            setattr(strategy, attribute, values)
    if values := _under(state, _LISTED):
        setattr(strategy, _LISTED, [values[key] for key in sorted(values)])
    if values := _under(state, _CURRENT):
        setattr(strategy, _CURRENT, ArrayRecord({name: Array(value) for name, value in values.items()}))
    if isinstance(strategy, Remembering) and (values := _under(state, _OWN)):
        strategy.restore(values)


def _under(state: Arrays, attribute: str) -> Arrays:
    prefix = f"{attribute}/"
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
