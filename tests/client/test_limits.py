"""Real programs in their limits: hogs, spinners, orphans, and an agent that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from covey_client.limits import MB, Child, Limits, Outcome, holding, start

LIMITS = Limits(memory_mb=256, wall_seconds=60)

HOG = """
import time
kept = []
while True:
    kept.append(bytearray(4_000_000))
    time.sleep(0.04)  # slower than the warden looks, on a busy machine too
"""
HOG_AT_ONCE = "kept = [b'x' * 60_000_000 for _ in range(100)]"
SPINNER = "while True: pass"
SLEEPER = "import time; time.sleep(300)"
ORPHAN = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        while True:
            time.sleep(0.01)
    os._exit(0)
os.wait()
"""
FAMILY = "import os, time\nfor _ in range(3): os.fork()\nkept = b'x' * 60_000_000\ntime.sleep(300)"
TWO_SPINNERS = "import os\nos.fork()\nwhile True: pass"


def python(program: str, limits: Limits = LIMITS) -> Child:
    return start([sys.executable, "-S", "-c", program], limits)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def soon(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_program_reads_writes_and_finishes() -> None:
    with start(["tr", "a-z", "A-Z"], LIMITS) as child:
        output, ended = child.communicate(b"word " * 100_000)
    assert output == b"WORD " * 100_000
    assert ended.outcome is Outcome.FINISHED
    assert 0 < ended.wall_seconds < 30


def test_frames_go_to_and_fro_while_it_runs() -> None:
    with start(["cat"], LIMITS) as child:
        for line in (b"one\n", b"two\n"):
            child.stdin.write(line)
            child.stdin.flush()
            assert child.stdout.readline() == line
        child.stdin.close()
        assert child.wait().outcome is Outcome.FINISHED


def test_status_and_signal_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    with python("raise SystemExit(3)") as child:
        assert child.wait().reason == "it ended with status 3"
    with python("import os; os.kill(os.getpid(), 11)") as child:
        assert child.wait().reason == "it was killed by SIGSEGV"
    with start(["no-such-program"], LIMITS) as child:
        assert child.wait().reason == "it ended with status 127"
    assert capfd.readouterr().err == "no-such-program: No such file or directory\n"


def test_a_memory_hog_is_ended() -> None:
    with python(HOG) as child:
        ended = child.wait(30)
    assert ended.outcome is Outcome.OUT_OF_MEMORY
    assert 256 * MB < ended.peak_bytes < 512 * MB


def test_one_that_takes_all_at_once_gets_no_more_than_twice_the_limit() -> None:
    with python(HOG_AT_ONCE) as child:
        ended = child.wait(30)
    assert ended.outcome in {Outcome.OUT_OF_MEMORY, Outcome.FAILED}  # whichever comes first
    assert ended.peak_bytes < 512 * MB


def test_memory_of_a_family_is_counted_together() -> None:
    with python(FAMILY) as child:
        assert child.wait(30).outcome is Outcome.OUT_OF_MEMORY


def test_a_spinner_is_out_of_processor_time() -> None:
    with python(SPINNER, Limits(cpu_seconds=0.5)) as child:
        ended = child.wait(30)
    assert ended.outcome is Outcome.OUT_OF_TIME
    assert 0.5 < ended.cpu_seconds < 2


def test_processor_time_of_a_family_is_counted_together() -> None:
    with python(TWO_SPINNERS, Limits(cpu_seconds=1, nice=0)) as child:
        ended = child.wait(30)
    assert ended.outcome is Outcome.OUT_OF_TIME
    assert 1 < ended.cpu_seconds < 3


def test_a_sleeper_is_out_of_time() -> None:
    with python(SLEEPER, Limits(wall_seconds=0.4)) as child:
        ended = child.wait(30)
    assert ended.outcome is Outcome.OUT_OF_TIME
    assert 0.4 < ended.wall_seconds < 5


def test_orphans_in_sessions_of_their_own_die_with_the_program() -> None:
    with python(ORPHAN) as child:
        orphan = int(child.stdout.readline())
        assert child.wait(30).outcome is Outcome.FINISHED
    assert not is_alive(orphan)


def test_leaving_the_block_ends_it_and_all_its_pipes() -> None:
    with python("import os, time; print(os.getpid(), flush=True); time.sleep(300)") as child:
        pid = int(child.stdout.readline())
        assert is_alive(pid)
    assert not is_alive(pid)
    assert child.wait().outcome is Outcome.KILLED
    with pytest.raises(ValueError, match="closed"):
        child.stdout.read()


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_it_is_held_with_its_children_and_goes_on() -> None:
    program = r"import os, time; os.fork(); os.write(1, b'%d\n' % os.getpid()); time.sleep(300)"
    with python(program) as child:
        pids = [int(child.stdout.readline()) for _ in range(2)]
        child.pause()
        assert soon(lambda: [state_of(pid) for pid in pids] == ["T", "T"])
        child.resume()
        assert soon(lambda: "T" not in [state_of(pid) for pid in pids])
        child.pause()
        child.kill()
        assert child.wait(30).outcome is Outcome.KILLED


def test_strain_holds_it_and_relief_lets_it_go_on() -> None:
    hot, told = [""], list[str]()
    with python("import os, time; print(os.getpid(), flush=True); time.sleep(300)") as child:
        pid = int(child.stdout.readline())
        with holding(child, lambda: hot[0], told.append, 0.02):
            hot[0] = "85 °C"
            assert soon(lambda: state_of(pid) == "T")
            hot[0] = ""
            assert soon(lambda: state_of(pid) == "S")
    assert told == ["training is held: 85 °C", "training goes on"]


def test_time_goes_on_while_it_is_held() -> None:
    with python(SLEEPER, Limits(wall_seconds=0.5)) as child:
        child.pause()
        assert child.wait(30).outcome is Outcome.OUT_OF_TIME


def test_what_it_may_and_may_not() -> None:
    program = """
import json, os, resource
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "nice": os.nice(0), "core": resource.getrlimit(resource.RLIMIT_CORE),
    "session": os.getsid(0) == os.getpid(),
    "privileges": status["NoNewPrivs"].strip(), "cores": len(os.sched_getaffinity(0)),
    "oom": open("/proc/self/oom_score_adj").read().strip(),
    "files": sorted(os.listdir("/proc/self/fd")), "data": resource.getrlimit(resource.RLIMIT_DATA)[0],
}))
"""
    with python(program, Limits(memory_mb=256, nice=7, cores=1)) as child:
        output, _ = child.communicate()
    found = json.loads(output)
    assert found.pop("nice") == min(os.nice(0) + 7, 19)
    assert found.pop("files") == ["0", "1", "2", "3"]  # the last is the listing's own
    assert found == {
        "core": [0, 0], "session": True, "privileges": "1", "cores": 1, "oom": "1000", "data": 512 * MB,
    }  # fmt: skip


def test_its_reads_and_writes_wait_for_others() -> None:
    with start(["sh", "-c", "command -v ionice >/dev/null && ionice || echo idle"], LIMITS) as child:
        assert child.communicate()[0].strip() == b"idle"


def test_environment_and_folder(tmp_path: Path) -> None:
    with start(["/bin/sh", "-c", "pwd; env"], LIMITS, env={"A": "b"}, cwd=tmp_path) as child:
        lines = child.communicate()[0].decode().splitlines()
    assert lines[0] == str(tmp_path)
    assert "A=b" in lines
    assert not any(line.startswith("HOME=") for line in lines)


def test_waiting_can_end_before_the_program_does() -> None:
    with python(SLEEPER) as child, pytest.raises(TimeoutError):
        child.wait(0.1)


AGENT = """
import sys, time
from covey_client.limits import Limits, start
with start([sys.executable, "-S", "-c", sys.argv[1]], Limits()) as child:
    sys.stdout.write(child.stdout.readline().decode())
    sys.stdout.flush()
    time.sleep(300)
"""
PARENT = """
import os, time
if child := os.fork():
    print(os.getpid(), child, flush=True)
else:
    os.setsid()
time.sleep(300)
"""


def test_nothing_outlives_an_agent_that_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", AGENT, PARENT], stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout
        pids = [int(each) for each in agent.stdout.readline().split()]
        assert all(map(is_alive, pids))
        agent.send_signal(signal.SIGKILL)
    assert soon(lambda: not any(map(is_alive, pids)))


def test_a_program_does_not_outlive_its_warden() -> None:
    with python("import os, time; print(os.getpid(), os.getppid(), flush=True); time.sleep(300)") as child:
        pid, warden = map(int, child.stdout.readline().split())
        os.kill(warden, signal.SIGKILL)
        assert child.wait(30).reason == "its warden was killed"
        assert soon(lambda: not is_alive(pid))


def test_a_warden_that_is_held_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covey_client.limits.END_SECONDS", 0.2)
    with python("import os, time; print(os.getpid(), os.getppid(), flush=True); time.sleep(300)") as child:
        pid, warden = map(int, child.stdout.readline().split())
        os.kill(warden, signal.SIGSTOP)
    assert child.wait().reason == "its warden was killed"
    assert soon(lambda: not is_alive(pid))


def test_limits_are_checked_as_they_are_read() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"memory_mb": 1}, Limits)


def test_a_warden_is_small_and_idle() -> None:
    with python("import os, time; print(os.getppid(), flush=True); time.sleep(300)") as child:
        warden = int(child.stdout.readline())
        began = time.monotonic()
        time.sleep(1)
        stat = Path(f"/proc/{warden}/stat").read_text().rpartition(")")[2].split()
        rss = int(stat[21]) * os.sysconf("SC_PAGE_SIZE")
        busy = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    assert rss < 25 * MB
    assert busy < 0.3 * (time.monotonic() - began) + 0.2
