"""What must hold before the engine is imported: no report of use leaves this machine, and Flower is quiet."""

import importlib
import logging
import os


def prepare() -> None:
    """Import Flower's logger, and nothing heavier; asking for help must not import the engine."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    importlib.import_module("flwr.common.logger")  # sets a level of its own when it is first imported
    logging.getLogger("flwr").setLevel(logging.WARNING)
