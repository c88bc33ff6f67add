"""The options with which a reader names what it trusts, the same for every command that audits."""

from pathlib import Path
from typing import Annotated

import typer

Policy = Annotated[Path | None, typer.Option(help="The signed policy that you hold.", show_default=False)]
Reviewer = Annotated[
    list[str] | None,
    typer.Option(
        metavar="VKEY", help="A reviewer's public key, or its file; may be given again.", show_default=False
    ),
]
Threshold = Annotated[int, typer.Option(help="So many of them must have signed.", min=1)]
Enrolment = Annotated[
    str | None,
    typer.Option(
        metavar="KEY", help="The key that certifies devices: hexadecimal, or a file.", show_default=False
    ),
]
Witnessed = Annotated[
    str | None,
    typer.Option(
        metavar="FROM",
        help="What a witness saw last: its address, its folder, or a file from it.",
        show_default=False,
    ),
]
Previous = Annotated[
    Path | None,
    typer.Option(help="A checkpoint of this ledger that you kept from before.", show_default=False),
]
SelfCheck = Annotated[
    bool, typer.Option("--self-check", help="Take the run's own policy and witness: proves nothing.")
]
