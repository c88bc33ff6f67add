"""The README's own federation, run as a reader would: its files, then its commands."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
BLOCK = re.compile(r"^```(?P<kind>\w+)(?: (?P<name>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[re.Match[str]]:
    return list(BLOCK.finditer(README))


def commands() -> list[list[str]]:
    shells = [block["text"] for block in blocks() if block["kind"] == "sh"]
    lines = [line for shell in shells for line in shell.splitlines()]
    return [shlex.split(line) for line in lines if not line.startswith(". ")]


@pytest.mark.timeout(290)
def test_the_readme_takes_a_reader_to_a_federation_of_their_own(tmp_path: Path) -> None:
    for block in blocks():
        if block["name"]:
            (tmp_path / block["name"]).write_text(block["text"])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    outputs = {}
    for command in commands():
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        outputs[" ".join(command[:3] if command[1] == "package" else command[:2])] = done.stdout
    assert "verified: machines" in outputs["covey package verify"]
    assert outputs["covey infer"].split("\t")[1] in {"ok", "loose", "worn"}
    assert "epsilon, server" in outputs["covey plan"]
    assert (tmp_path / "runs" / "machines" / "report.html").exists()
    assert (tmp_path / "runs" / "machines-adam" / "summary.json").exists()
    private = json.loads((tmp_path / "runs" / "machines-private" / "summary.json").read_bytes())
    assert private["privacy"]["epsilon_server"] <= 8
    assert private["accuracy_fp32"] > 0.6  # a third by guessing


def test_links_within_the_repository_lead_somewhere() -> None:
    root = Path(__file__).parents[1]
    pages = [root / "README.md", root / "SECURITY.md", *(root / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
