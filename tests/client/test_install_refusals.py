"""Where the installer says no before it changes anything, and what it mends when it is run again."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "client/deploy/install.sh"
ENOUGH = "Filesystem 1048576-blocks Used Available Capacity Mounted\n/dev/x 9999 1 9000 1% /\n"
FULL = ENOUGH.replace("9000", "3999")
PI = "case $1 in LONG_BIT) echo 64;; PAGE_SIZE) echo 4096;; *) echo {pages};; esac"


def programs(folder: Path, fakes: Mapping[str, str], without: tuple[str, ...] = ()) -> Path:
    """A folder with all programs of this machine but some, and some that say what a test has them say."""
    folder.mkdir()
    for where in ("/usr/bin", "/usr/sbin", "/bin", "/sbin"):
        for path in Path(where).iterdir():
            if path.name not in (*fakes, *without) and not (folder / path.name).is_symlink():
                (folder / path.name).symlink_to(path)
    for name, text in fakes.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


def dry(path: Path, *words: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """What the installer would do, with these programs."""
    return subprocess.run(
        [shutil.which("bash") or "bash", SCRIPT, "--dry-run", "--python", python, *words],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def saying(text: str) -> str:
    return f"cat <<'END'\n{text}END"


def python_without(tmp_path: Path, what: str) -> str:
    """An interpreter for which one thing does not hold: what is asked for with these words."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\ncase "$2" in *"{what}"*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


def refusal(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The two lines of a refusal, which is all that was said."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    return done.stderr.splitlines()


@pytest.fixture
def root(tmp_path: Path) -> tuple[str, str]:
    return "--root", str(tmp_path / "root")


def test_32_bit_programs_under_a_64_bit_kernel(tmp_path: Path, root: tuple[str, str]) -> None:
    path = programs(tmp_path / "bin", {"getconf": "echo 32", "uname": "echo aarch64"})
    assert refusal(dry(path, *root)) == [
        "install.sh: 32-bit programs, whatever the kernel is: there are no packages for them",
        "  install 64-bit Raspberry Pi OS",
    ]


def test_a_32_bit_python_on_a_64_bit_system(tmp_path: Path, root: tuple[str, str]) -> None:
    path, python = programs(tmp_path / "bin", {}), python_without(tmp_path, "maxsize")
    assert refusal(dry(path, *root, python=python))[0] == (
        f"install.sh: {python} is a 32-bit program: there are no packages for it"
    )


def test_no_venv_module(tmp_path: Path, root: tuple[str, str]) -> None:
    path, python = programs(tmp_path / "bin", {}), python_without(tmp_path, "venv, ensurepip")
    assert refusal(dry(path, *root, python=python)) == [
        f"install.sh: {python} has no venv",
        "  apt install python3-venv",
    ]
    assert dry(path, *root, "--no-packages", python=python).returncode == 0


def test_no_systemd(tmp_path: Path) -> None:
    path = programs(tmp_path / "bin", {"id": "echo 0"}, without=("systemctl",))
    assert refusal(dry(path)) == [
        "install.sh: no systemd",
        "  run the agent by what starts your services: covey device run",
    ]


def test_nobody_but_root(tmp_path: Path) -> None:
    path = programs(tmp_path / "bin", {"id": "echo 1000"})
    assert refusal(dry(path))[0] == "install.sh: only root may install"


class TestDisk:
    def test_too_little(self, tmp_path: Path, root: tuple[str, str]) -> None:
        path = programs(tmp_path / "bin", {"df": saying(FULL)})
        assert refusal(dry(path, *root)) == [
            f"install.sh: 3999 MB free in {tmp_path}, the environments want 4000",
            "  make room",
        ]
        assert not (tmp_path / "root").exists()

    def test_is_no_reason_where_nothing_is_to_be_made(self, tmp_path: Path, root: tuple[str, str]) -> None:
        path = programs(tmp_path / "bin", {"df": saying(FULL)})
        assert dry(path, *root, "--no-packages").returncode == 0
        made = tmp_path / "root/opt/covey/.covey-installed"
        made.parent.mkdir(parents=True)
        made.write_text("as it was before")
        assert dry(path, *root, "--only", "agent").returncode == 0
        assert dry(path, *root).returncode == 1


@pytest.mark.parametrize(("pages", "told"), [(131072, True), (229376, True), (262144, False)])
def test_little_memory_is_a_note_that_says_what_it_means(
    tmp_path: Path, root: tuple[str, str], pages: int, told: bool
) -> None:
    path = programs(tmp_path / "bin", {"getconf": PI.format(pages=pages), "df": saying(ENOUGH)})
    done = dry(path, *root)
    assert done.returncode == 0, done.stderr
    note = f"note: {pages // 256} MB of memory, and training wants 1000: this device can infer, and answer no"
    assert done.stdout.startswith(note) is told
    assert ("note:" in done.stdout) is told


# /opt, /var/lib and /etc of its own: nothing of this machine's is changed.
INSIDE = """
set -e
for each in /opt /var/lib; do mount -t tmpfs none $each; done
mkdir {tmp}/etc && cp -a /etc/. {tmp}/etc && mount --bind {tmp}/etc /etc
rm -rf /etc/covey /etc/systemd/system/covey-*
export PATH={bin}
install() {{ bash {script} --no-packages --python {python} | grep -v '^note:' | sed '/^next/,$d'; }}
install >/dev/null
install
{todo}
"""


def may_mount() -> bool:
    words = ["unshare", "--mount", "true"]
    return os.getuid() == 0 and subprocess.run(words, capture_output=True, check=False).returncode == 0


def mended(tmp_path: Path, todo: str) -> list[str]:
    """What an installer says that is run twice on a machine, and what is done then says."""
    path = programs(tmp_path / "bin", {"systemctl": "true"})
    script = INSIDE.format(tmp=tmp_path, bin=path, script=SCRIPT, python=sys.executable, todo=todo)
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first == "nothing to change"
    return rest


@pytest.mark.skipif(not may_mount(), reason="only root may make users and mounts of their own")
class TestOwners:
    def test_what_root_did_in_a_users_folder_is_the_users_again(self, tmp_path: Path) -> None:
        """`sudo covey device enrol` leaves keys that the agent cannot read."""
        todo = (
            "echo secret >/var/lib/covey/identity.key; chmod 600 /var/lib/covey/identity.key\n"
            "ln -s /etc/shadow /var/lib/covey/link; chown root: /var/lib/covey-node; install; install\n"
            "stat -c %U:%a /var/lib/covey/identity.key /var/lib/covey-node /etc/shadow | tr '\\n' ' '"
        )
        shadow = Path("/etc/shadow").stat()
        assert mended(tmp_path, todo) == [
            "all in /var/lib/covey for covey",
            "all in /var/lib/covey-node for covey-node",
            "nothing to change",
            f"covey:600 covey-node:700 {Path('/etc/shadow').owner()}:{shadow.st_mode & 0o777:o} ",
        ]

    def test_the_configurations_folder_is_roots(self, tmp_path: Path) -> None:
        """Else whoever takes over the agent writes its rules."""
        todo = "chown covey: /etc/covey; install; stat -c %U /etc/covey"
        assert mended(tmp_path, todo) == ["folder /etc/covey for root", "root"]

    def test_an_application_keeps_its_data_and_root_does_not(self, tmp_path: Path) -> None:
        todo = (
            "chown nobody: /var/lib/covey-data; install\n"
            "touch /var/lib/covey-data/x; chown root: /var/lib/covey-data; install\n"
            "stat -c %U /var/lib/covey-data /var/lib/covey-data/x"
        )
        folder = "folder /var/lib/covey-data for covey"
        assert mended(tmp_path, todo) == ["nothing to change", folder, "covey", "root"]
