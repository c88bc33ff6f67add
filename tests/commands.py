"""Commands of `covey`, run in this process."""

import typer
from click.testing import Result
from typer.testing import CliRunner


def invoked(app: typer.Typer, *arguments: object, status: int = 0) -> Result:
    """Run a command; an error of ours passes through, as it does to the root command."""
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result
