"""A finished run as somebody who works in Python has it."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from covey.arrays import Parameters
from covey.errors import StateError
from covey_server.run_folder import RunFolder
from covey_server.summary import Summary
from covey_simulations.experiments import curves, figures, records, tables
from covey_simulations.experiments.records import Column, Record
from covey_simulations.report import stored, text
from covey_simulations.settings import SimulationFile


@dataclass(frozen=True, repr=False)
class Run:
    """What a run came to, read from its folder.

    Attributes:
        record: All of it.
    """

    record: Record

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """A finished run.

        Raises:
            InputError: No run is there, or it is not finished.
            StateError: A file of it is damaged.
        """
        return cls(records.read(folder))

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.record.folder

    @property
    def config(self) -> SimulationFile:
        """The resolved configuration."""
        return self.record.file

    @property
    def summary(self) -> Summary:
        """summary.json: accuracies, ε, times; null where a stage was left out."""
        return self.record.summary

    @property
    def metrics(self) -> dict[str, Column]:
        """A column for each metric of the rounds, shape (rounds,); NaN where a round has no value."""
        return self.record.metrics

    @property
    def accuracy(self) -> float:
        """Of the final model on held-out examples, as the last private sum gave it."""
        return self.summary.accuracy_federated

    @property
    def report(self) -> Path | None:
        """The report for people; None of a run that ended with its training."""
        path = self.folder / stored.PAGE
        return path if path.is_file() else None

    @property
    def parameters(self) -> Parameters:
        """The trained model's arrays, by name.

        Raises:
            StateError: The last checkpoint is damaged, or gone.
        """
        saved = RunFolder.open(self.folder).latest()
        if saved is None:
            raise StateError(f"{self.folder} has no checkpoint", hint="run it again")
        return saved.parameters

    def frame(self) -> Any:
        """The metrics as a pandas data frame.

        Raises:
            InputError: pandas is not installed.
        """
        return tables.frame(self.metrics)

    def plot(self) -> figures.Drawn:
        """Accuracy and training loss by round; shows itself in a notebook, `savefig` writes a file."""
        found = [curves.curve(self.summary.name, [self.record], metric) for metric in ("accuracy", "loss")]

        def paint(figure: Figure, narrow: bool) -> None:
            axes: list[Axes] = list(figure.subplots(1, 2))
            names = (("accuracy", True), ("training loss, nats", False))
            for one, curve, (label, shares) in zip(axes, found, names, strict=True):
                if len(curve.rounds):
                    figures.over_rounds([curve], label, shares=shares, narrow=narrow)(one)

        return figures.alone(paint, (760, 300))

    def __repr__(self) -> str:
        told = self.summary
        return f"Run({told.name}: accuracy {self.accuracy:.1%}, {told.rounds} rounds, {self.folder})"

    def _repr_html_(self) -> str:
        told = self.summary
        why = "the server added the noise" if told.privacy.is_central else "no noise"
        epsilon = f"none: {why}"
        if told.privacy.epsilon_server is not None:
            epsilon = f"{told.privacy.epsilon_server:g}"
        lines = {
            "Accuracy": text.percent(told.accuracy_federated),
            "Rounds": f"{told.rounds}, up to {told.devices} devices",
            "ε against the server": epsilon,
            "Sent by a device": text.size(self.record.sent),
            "Wall time": text.seconds(told.seconds),
            "Folder": str(self.folder),
        }
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(value)}</td></tr>"
            for name, value in lines.items()
        )
        return f"<table><caption>{escape(told.name)}, {escape(told.model)}</caption>{rows}</table>"
