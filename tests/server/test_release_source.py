"""A commit is named only where the source at hand is that of the commit."""

import subprocess
from pathlib import Path

import pytest

from covey_server.release_source import commit


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A package in a repository of its own."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    git(folder, "init", "-q")
    git(folder, "add", "__init__.py")
    git(folder, "commit", "-q", "-m", "First")
    return folder


def test_a_clean_source_is_of_its_commit(source: Path) -> None:
    assert commit(source) == git(source, "rev-parse", "HEAD")


def test_a_changed_source_is_of_none(source: Path) -> None:
    (source / "__init__.py").write_text("changed = True")
    assert commit(source) is None


def test_what_is_installed_in_somebody_elses_repository_is_of_none(source: Path) -> None:
    installed = source / "venv" / "covey"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert commit(installed) is None


def test_outside_any_repository_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("")
    assert commit(tmp_path) is None
