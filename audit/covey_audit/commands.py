"""`covey package`: check a model package and see what is in it.

Exit status: 0 verified, 1 a finding (the message names the file), 2 the arguments cannot be used.
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from covey.errors import InputError
from covey.package.contents import MODELS, Contents, read
from covey.package.names import CARD, SIGNATURE
from covey.package.signature import signer_hint
from covey.package.verify import verify as verify_files
from covey_io.packages import read_package, read_public_key

package = typer.Typer(
    help="Check a model package offline, and see what is in it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

PackagePath = Annotated[
    Path, typer.Argument(metavar="FILE", help="A .covey archive, or the folder it was unpacked into.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@package.command("verify")
def verify(
    file: PackagePath,
    key: Annotated[
        Path | None,
        typer.Option(metavar="PUB.pem", help="The publisher's public key, got from the publisher."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that FILE is what the owner of the key signed.

    Every file of the package is compared, and none may be added.

    Exit status 0: verified. 1: it is not; the message names the file. 2: FILE or the key cannot be read.
    """
    if key is None:
        raise InputError(
            "which key do you trust? a key found beside a package proves nothing about its author",
            hint=f"covey package verify {file} --key PUB.pem",
        )
    trusted = read_public_key(key)
    checked = verify_files(read_package(file), trusted)
    if as_json:
        _print_json({"verified": True, "key": checked.fingerprint, **_facts(checked)})
        return
    manifest = checked.manifest
    typer.echo(f"verified: {manifest.name} {manifest.version}, {len(checked.files)} files")
    typer.echo(f"signed by the key {checked.fingerprint}")


@package.command("show")
def show(file: PackagePath, as_json: AsJson = False) -> None:
    """Print what FILE says about itself. Checks no signature: `covey package verify` does."""
    contents = read(read_package(file))
    if as_json:
        _print_json({"signature": "not checked", "claimed_key": _claimed_key(contents), **_facts(contents)})
        return
    _print_table(contents)


def _claimed_key(contents: Contents) -> str | None:
    data = contents.files.get(SIGNATURE)
    return signer_hint(data) if data is not None else None


def _facts(contents: Contents) -> dict[str, Any]:
    """What the manifest says, ready for JSON."""
    facts: dict[str, Any] = msgspec.to_builtins(contents.manifest)
    return {**facts, "golden_inputs": len(contents.golden.inputs)}


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(msgspec.json.encode(value).decode())


def _print_table(contents: Contents) -> None:
    # Rich is imported when there is something to lay out: `covey --help` does without.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _rows(contents):
        table.add_row(label, Text(_printable(value)))
    console = Console(highlight=False)
    console.print(table)
    card = contents.files[CARD].decode("utf-8", "replace")
    console.print(Text("\n" + _printable(_body(card))))


def _rows(contents: Contents) -> list[tuple[str, str]]:
    manifest = contents.manifest
    sizes = {file.name: file.bytes for file in manifest.files}
    models = ", ".join(f"{variant} {sizes[MODELS[variant]]:,} bytes" for variant in contents.variants)
    claimed = _claimed_key(contents)
    return [
        ("package", f"{manifest.name} {manifest.version}"),
        ("signature", "NOT CHECKED (covey package verify FILE --key PUB.pem)"),
        ("claims the key", claimed or "none: the package is not signed"),
        ("model", f"{manifest.model}: {models}"),
        ("input", f"float32 {list(manifest.input_shape)}, {_scaling(contents)}"),
        ("labels", ", ".join(manifest.labels)),
        ("self-test", f"{len(contents.golden.inputs)} golden inputs with known outputs"),
        ("files", ", ".join(f"{file.name} ({file.bytes:,})" for file in manifest.files)),
    ]


def _scaling(contents: Contents) -> str:
    scale = contents.preprocessing
    means = ", ".join(f"{value:.6g}" for value in scale.mean)
    deviations = ", ".join(f"{value:.6g}" for value in scale.deviation)
    return f"standardised per channel: mean {means}; deviation {deviations}"


def _body(card: str) -> str:
    """A model card without its YAML front matter."""
    if card.startswith("---\n") and "\n---\n" in card[4:]:
        return card[4:].split("\n---\n", 1)[1].strip()
    return card.strip()


def _printable(text: str) -> str:
    """`text` without control characters: an unverified card must not drive the terminal."""
    return "".join(char for char in text if char.isprintable() or char == "\n")
