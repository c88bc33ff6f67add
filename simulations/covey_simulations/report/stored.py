"""What a report shows, kept beside it: a finished run's report is drawn again without running anything."""

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from covey.errors import StateError
from covey_io import durable
from covey_simulations.report.facts import ReportFacts
from covey_simulations.report.render import render

NAME: Final = "report.msgpack"
PAGE: Final = "report.html"


def write(facts: ReportFacts, folder: Path) -> Path:
    """Draw a run's report, and keep what it shows; the page comes last.

    Returns:
        The page.
    """
    page = render(facts)
    durable.replace(folder / NAME, msgspec.msgpack.encode(facts, enc_hook=_plain))
    durable.replace(folder / PAGE, page.encode())
    return folder / PAGE


def read(folder: Path) -> ReportFacts:
    """What a run's report showed.

    Raises:
        StateError: It is damaged, or of another version of covey.
    """
    path = folder / NAME
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=ReportFacts, dec_hook=_array)
    except (ValueError, TypeError) as error:
        raise StateError(f"{path} is not what this version writes: {error}", hint="run it again") from error


def _plain(value: Any) -> Any:
    """What msgspec cannot write by itself: arrays, and numbers of numpy's.

    Raises:
        NotImplementedError: It is neither.
    """
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise NotImplementedError(type(value))


def _array(kind: type[Any], value: Any) -> Any:  # noqa: ARG001 - msgspec's signature; there is one such field
    return np.array(value, np.float64)
