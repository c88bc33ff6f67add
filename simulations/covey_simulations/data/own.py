"""A person's own data in Python: a file that defines `load(settings) -> FederatedData`."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from covey.errors import CoveyError, InputError
from covey_models.check import one_line
from covey_models.registry import executed
from covey_simulations.data.federated import FederatedData
from covey_simulations.data.settings import DataSettings

_HINT: Final = (
    "define load(settings) that returns a FederatedData; covey_simulations.data.arrays makes one of arrays"
)


def load(path: Path, settings: DataSettings) -> FederatedData:
    """Run a file and call its `load`.

    Args:
        path: The file.
        settings: The whole `[data]` table, for `load` to read what it likes of it.

    Raises:
        InputError: No such file, it fails, or what it defines or returns is something else.
    """
    if not path.is_file():
        raise InputError(f"data.file: no file {path}")
    function = getattr(executed(path, "data"), "load", None)
    if not callable(function):
        raise InputError(f"{path} defines no load", hint=_HINT)
    data = _called(path, function, settings)
    if not isinstance(data, FederatedData):
        raise InputError(f"{path}: load returned {type(data).__name__}", hint=_HINT)
    return data


def _called(path: Path, function: Callable[[DataSettings], object], settings: DataSettings) -> object:
    try:
        return function(settings)
    except CoveyError:
        raise
    except Exception as error:
        raise InputError(f"{path}: load failed: {one_line(error)}") from error
