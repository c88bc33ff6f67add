"""The training worker: a child process of the agent that imports torch, answers one plan and is gone.

`python -m covey_client.worker CONFIG`: frames come on standard input and go to standard output; whatever else
is printed goes to standard error, which is the agent's log. It knows the device's data and its model, and has
no use for keys, budget or network.
"""

import os
import secrets
import sys
from functools import partial
from pathlib import Path
from typing import BinaryIO

from covey import plan as plans
from covey.errors import ProtocolError
from covey_client import frames, working
from covey_client.configuration import DeviceFile, read
from covey_client.data_folder import data_of
from covey_client.in_process import InProcess
from covey_client.owner_log import to_log
from covey_client.update_outcome import read_outcome
from covey_client.working import Go, Prepare, Ready, Refused
from covey_models.registry import find, from_file
from covey_strategies.queries.device import Device

AGENT = "agent"


def device_of(file: DeviceFile) -> Device:
    """The device as the queries see it.

    Raises:
        InputError: No such model.
    """
    model = find(file.model.name) if file.model.name else from_file(Path(file.model.file))
    data = data_of(file.data, model.classes, Path(file.state), to_log, "device.toml")
    return Device(
        Path(file.data.path).stem,
        model,
        data,
        secrets.randbits(62),
        to_log,
        outcome=partial(read_outcome, Path(file.state)),
        group=file.group,
    )


def serve(file: DeviceFile, questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer one plan.

    Raises:
        ProtocolError: The agent says something else than it should, or is gone.
        CoveyError: The device is not set up.
    """
    trainer = InProcess(device_of(file))
    asked: Prepare = working.decode(frames.read(questions, blame=AGENT), Prepare)
    try:
        with trainer.prepared(plans.from_bytes(asked.plan), asked.model) as prepared:
            frames.write(answers, working.encode(Ready()))
            go: Go = working.decode(frames.read(questions, blame=AGENT), Go)
            frames.write(answers, working.encode(working.to_vector(prepared.answer(go.coins))))
    except ProtocolError as error:
        if error.blame == AGENT:
            raise
        frames.write(answers, working.encode(Refused(error.message)))


def main() -> None:
    """Of the process."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a model that prints must not answer
        serve(read(Path(sys.argv[1])), sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
