"""What a device's updater has to say to its owner."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from covey.errors import StateError
from covey.rollout import instruction as instructions
from covey.rollout.choosing import choose
from covey.rollout.update_moves import believed
from covey.rollout.update_rules import check_approved, has_waited, is_open
from covey.rollout.update_state import Release, State
from covey_client import slots
from covey_client.configuration import DeviceFile
from covey_client.update_place import device_folder, place_of
from covey_client.update_steps import release_in
from covey_client.update_store import is_held, read_state

DAY_TEXT: Final = "%Y-%m-%d %H:%M UTC"


@dataclass(frozen=True)
class Told:
    """What holds on a device.

    Attributes:
        state: The updater's.
        serves: What `current` holds, verified; None if nothing does.
        held: Whether its owner keeps it as it is.
        waits: What an attempt waits for; "" if for nothing.
    """

    state: State
    serves: Release | None
    held: bool
    waits: str

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        state = self.state
        yield f"runs      {_named(self.serves)}"
        if state.before is not None:
            yield f"before    {_named(state.before)}"
        yield f"because   {state.why}"
        if state.attempt is not None:
            image = state.attempt.image
            yield f"phase     {state.phase}: {image.name} {image.version}"
        if state.on_trial and state.attempt is not None:
            trial = state.attempt
            yield f"trial     {trial.seconds} s, {trial.served} requests, {trial.errors} failed"
        if self.waits:
            yield f"waits     {self.waits}"
        if self.held:
            yield "held      by its owner: covey device update resume"
        for each in state.quarantine:
            yield f"refused   {each.sha256[:12]}, {_day(each.at)}: {each.why}"


def told(file: DeviceFile) -> Told:
    """What holds on the device of a configuration.

    Raises:
        StateError: The updater's memory is damaged, or `current` is not ours.
        OSError: It cannot be read.
    """
    folder, state = device_folder(file), read_state(Path(file.state))
    serves = release_in(folder, slots.current_slot(folder))
    return Told(state, serves, is_held(Path(file.state)), waits_for(state, time.time()))


def waits_for(state: State, now: float) -> str:
    """What an attempt, or the next question, waits for; "" if for nothing.

    Args:
        state: The updater's.
        now: The device's clock, unix seconds.
    """
    time_now = believed(state, now)
    if not has_waited(state.not_before, time_now):
        return f"until {_day(state.not_before)}, after {state.failures} failures in a row"
    if state.stopped and state.attempt is not None and not state.on_trial:
        return state.stopped
    windows = state.told.windows if state.told else ()
    if state.phase == "trial" and not state.on_trial and not is_open(windows, time_now):
        return "for a maintenance window, to switch"
    return ""


def explained(file: DeviceFile, log: Callable[[str], None]) -> list[str]:
    """What the newest instruction means for this device.

    Raises:
        CoveyError: It cannot be asked for, or must not be followed.
    """
    place = place_of(file, watch=lambda _, __: None, log=log)
    offered, state = place.source.check(), read_state(place.state)
    if offered is None:
        return ["its fleet publishes no instruction: it stays as it is"]
    instruction = instructions.from_bytes(offered.instruction)
    check_approved(instruction, place.rules.approvers)
    if instruction.serial < state.serial:
        raise StateError(f"an instruction older than the one that was seen, {state.serial}")
    choice = choose(instruction, place.rules.device)
    wanted = f"{choice.image.name} {choice.image.version}" if choice.image else "what it runs"
    lines = [f"instruction {instruction.serial} of {instruction.fleet}: {instruction.planned.rollout}"]
    lines += [f"this device, {place.rules.device}, is to run {wanted}: {choice.because}"]
    if choice.image and (known := state.quarantined(choice.image.sha256)):
        lines += [f"it will not: it is quarantined here since {_day(known.at)}: {known.why}"]
    if is_held(place.state):
        lines += ["it will not: its owner holds it"]
    return [*lines, f"it runs {_named(state.runs)}: {state.why}"]


def _named(release: Release | None) -> str:
    return f"{release.name} {release.version} ({release.sha256[:12]})" if release else "nothing"


def _day(at: int) -> str:
    return time.strftime(DAY_TEXT, time.gmtime(at))
