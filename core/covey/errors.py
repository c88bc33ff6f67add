"""What can go wrong, as one tree.

CoveyError                  message and hint (the next step); never shown with a traceback
├── InputError              what a person gave: arguments, configuration, data. Exit status 2
│   ├── ConfigError         a key in a TOML file: names file, key and what was expected
│   └── DataError           a data set is missing or is not the one expected: names what provides it
├── ProtocolError           a message or a plan that must not be acted on; `blame` says whose fault it is
│   ├── PlanRefused         a device will not answer this plan
│   ├── LedgerBehind        a device wants proof that the ledger has only grown since what it saw last
│   └── MemoryRestored      a device's memory is older than what it has signed: a restored or cloned disk
├── RoundAborted            a round ended without a sum; nothing was released
│   └── TooFewDevices       fewer answers than the plan's minimum
├── StateError              a file of ours on disk is damaged: names the file; nothing is overwritten
└── PackageError            a model package is not what its signature says: names the file in it
"""

from typing import ClassVar


class CoveyError(Exception):
    """An error a person can act on.

    Args:
        message: What went wrong, in one line.
        hint: The next step, in one line; empty when the message already says it.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InputError(CoveyError):
    """Something a person gave cannot be used."""

    exit_status: ClassVar[int] = 2


class ConfigError(InputError):
    """A configuration file or a `--set` is wrong: file, key, what was expected."""

    def __init__(self, source: str, key: str, expected: str, *, hint: str = "") -> None:
        super().__init__(f"{source}: {key}: {expected}" if key else f"{source}: {expected}", hint=hint)
        self.source = source
        self.key = key


class DataError(InputError):
    """A data set is missing or is not the one expected."""


class ProtocolError(CoveyError):
    """A message that must not be acted on.

    Args:
        message: What is wrong with it.
        blame: Who sent it: "server", "local", or a device's name.
        hint: The next step.
    """

    def __init__(self, message: str, *, blame: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.blame = blame


class PlanRefused(ProtocolError):  # noqa: N818 - the device's answer, named as the device says it
    """A device will not answer this plan."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, blame="server", hint=hint)


class LedgerBehind(ProtocolError):  # noqa: N818 - the device's answer
    """A device wants proof that the ledger has only grown since the checkpoint it saw last.

    Args:
        size: Of that checkpoint.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"no proof that the ledger has only grown since size {size}", blame="server")
        self.size = size


class MemoryRestored(ProtocolError):  # noqa: N818 - what happened
    """A device's memory is older than what it has signed: its disk was restored or cloned."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            blame="local",
            hint="tell the reviewers, then enrol the device anew: what it has spent cannot be known",
        )


class RoundAborted(CoveyError):  # noqa: N818 - an outcome of a round
    """A round ended without a sum; nothing was released."""


class TooFewDevices(RoundAborted):
    """Fewer devices answered than the plan's minimum."""


class StateError(CoveyError):
    """A file of ours on disk is damaged. Nothing is overwritten."""


class PackageError(CoveyError):
    """A model package is not what its signature says."""
