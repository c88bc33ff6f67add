"""Finds models: those of the zoo by name, a user's by file.

Adding a model is adding one file to `covey_models/zoo/` that defines `MODEL`.
"""

import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from covey.errors import InputError
from covey_models import zoo
from covey_models.check import check, one_line
from covey_models.model import Model


def names() -> tuple[str, ...]:
    """Names of the zoo's models, sorted."""
    return tuple(sorted(_zoo()))


def find(name: str) -> Model:
    """The zoo's model of that name.

    Raises:
        InputError: No such model; lists the names.
    """
    models = _zoo()
    if name not in models:
        raise InputError(
            f"no model {name!r}", hint=f"models: {', '.join(sorted(models))}; or a .py file of yours"
        )
    return models[name]


def from_file(path: Path) -> Model:
    """The `MODEL` that a user's Python file defines, checked. Runs the file.

    Raises:
        InputError: No such file, the file fails, defines no `MODEL`, or `check` refuses it.
    """
    if not path.is_file():
        raise InputError(f"no model file {path}")
    model = getattr(executed(path, "model"), "MODEL", None)
    if not isinstance(model, Model):
        found = "no MODEL" if model is None else f"MODEL of type {type(model).__name__}"
        raise InputError(f"{path} defines {found}", hint="define MODEL = covey_models.model.Model(...)")
    check(model)
    return model


def _zoo() -> dict[str, Model]:
    modules = [
        importlib.import_module(f"{zoo.__name__}.{each.name}") for each in pkgutil.iter_modules(zoo.__path__)
    ]
    models = [module.MODEL for module in modules]
    return {model.name: model for model in models}


def executed(path: Path, what: str) -> ModuleType:
    """The module in a user's file; registered while it lives, as dataclasses look their module up by name.

    Args:
        path: The file. It is run.
        what: What it defines, which tells two files of one name apart.

    Raises:
        InputError: Not a Python file, or it fails.
    """
    name = f"covey_{what}_of_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"{path} failed: {one_line(error)}") from error
    return module
