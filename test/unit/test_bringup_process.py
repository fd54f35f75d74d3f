"""Children that die with us, and stopping them, with real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from live import wait_until

from uniros_bringup.process import _UNLESS_ORPHANED, Process, free_port, spawn
from uniros_bringup.tree import descendants

STUBBORN = "import signal, sys, time\nfor s in (2, 15): signal.signal(s, signal.SIG_IGN)\nprint('up', flush=True)\n"
SLEEP = "time.sleep(60)"
PARENT = "import time; from uniros_bringup.process import spawn; print(spawn(['sleep', '9']).pid, flush=True); " + SLEEP


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def python(code: str, log: Path) -> Process:
    """A running Python child that has printed something."""
    process = spawn([sys.executable, "-c", code], log=log)
    wait_until(lambda: process.tail() or not process.alive, timeout=5.0)
    return process


def script(code: str) -> subprocess.Popen[str]:
    """A process of its own, not started by the code under test, which uses that code."""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def first_pids(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return [int(word) for word in process.stdout.readline().split()]


def parent_and_child() -> tuple[subprocess.Popen[str], int]:
    """A process that has spawned another, and the other's pid, once that one runs its command."""
    parent = script(PARENT)
    (child,) = first_pids(parent)
    wait_until(lambda: Path(f"/proc/{child}/comm").read_text() == "sleep\n", timeout=5.0)
    return parent, child


def test_output_goes_to_the_log_and_the_exit_code_comes_back(tmp_path: Path) -> None:
    log = tmp_path / "new" / "x.log"
    process = spawn(["sh", "-c", "for i in 1 2 3; do echo line $i; done; echo $WORD >&2; exit 7"], {"WORD": "hi"}, log)
    assert process.wait(5.0) == 7
    assert process.tail(2) == "line 3\nhi"
    assert not process.alive and process.name == "sh"


def test_a_missing_command_is_named_in_the_log(tmp_path: Path) -> None:
    process = spawn(["no-such-command"], log=tmp_path / "x.log")
    assert process.wait(5.0) == 127
    assert "no-such-command: not found" in process.tail()


def test_a_child_dies_when_its_parent_is_killed() -> None:
    parent, child = parent_and_child()
    parent.kill()
    assert wait_until(lambda: not alive(child), timeout=1.0) < 1.0
    parent.wait()


def test_a_child_outlives_the_thread_that_asked_for_it() -> None:
    started: list[Process] = []
    thread = threading.Thread(target=lambda: started.append(spawn(["sleep", "60"])))
    thread.start()
    thread.join()
    assert started[0].wait(0.2) is None
    started[0].stop()


def test_a_command_does_not_start_for_a_parent_that_has_gone(tmp_path: Path) -> None:
    """What `spawn` runs between the fork and the command, for a parent (init) that is not ours."""
    result = subprocess.run(["sh", "-c", _UNLESS_ORPHANED, "1", "touch", str(tmp_path / "ran")], check=False)
    assert result.returncode != 0 and not (tmp_path / "ran").exists()


def test_a_forked_child_can_spawn() -> None:
    spawn(["true"]).wait(5.0)
    pid = os.fork()
    if pid == 0:
        os._exit(spawn(["sh", "-c", "exit 5"]).wait(5.0) or 0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5


def test_stop_is_polite_first(tmp_path: Path) -> None:
    code = "import signal, sys, time\nsignal.signal(15, lambda *a: sys.exit(4))\nprint('up', flush=True)\n" + SLEEP
    process = python(code, tmp_path / "x.log")
    assert process.stop() == 4
    assert process.stop() == 4


def test_stop_can_begin_with_sigint(tmp_path: Path) -> None:
    code = "import time\nprint('up', flush=True)\ntry: time.sleep(60)\nexcept KeyboardInterrupt: exit(9)"
    process = python(code, tmp_path / "x.log")
    assert process.stop(sigint_first=True) == 9


def test_stop_ends_a_stubborn_session_in_time(tmp_path: Path) -> None:
    children = "import subprocess\nfor i in 1, 2: subprocess.Popen(['sh', '-c', 'trap \"\" 2 15; sleep 60'])\n"
    process = python(STUBBORN + children + SLEEP, tmp_path / "x.log")
    wait_until(lambda: len(descendants(process.pid)) >= 4, timeout=5.0)
    family = [process.pid, *descendants(process.pid)]
    start = time.monotonic()
    assert process.stop(timeout=0.3) == -signal.SIGKILL
    assert time.monotonic() - start < 1.0
    assert not any(map(alive, family))


def test_stop_ends_a_frozen_child_in_time(tmp_path: Path) -> None:
    process = python("import time\nprint('up', flush=True)\n" + SLEEP, tmp_path / "x.log")
    process.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    process.stop(timeout=0.3)
    assert time.monotonic() - start < 1.0 and not process.alive


def test_what_a_dead_child_left_in_its_session_is_stopped_too(tmp_path: Path) -> None:
    process = spawn(["sh", "-c", "sleep 60 & echo $!"], log=tmp_path / "x.log")
    assert process.wait(5.0) == 0
    orphan = int(process.tail())
    assert alive(orphan)
    process.stop()
    assert not alive(orphan)


def test_a_subreaper_finds_children_that_went_into_sessions_of_their_own() -> None:
    """As roslaunch does it: setsid, and the process in between ends."""
    helper = script(
        "import os, subprocess, time\n"
        "from uniros_bringup.process import become_subreaper, descendants, kill_descendants\n"
        "become_subreaper()\n"
        "subprocess.run(['sh', '-c', 'setsid sleep 60 & setsid sleep 61 &'])\n"
        "time.sleep(0.2)\n"
        "print(*descendants(os.getpid()), flush=True)\n"
        "assert kill_descendants(os.getpid()) and not descendants(os.getpid())\n"
    )
    sleepers = first_pids(helper)
    assert len(sleepers) == 2
    assert helper.wait(10.0) == 0
    assert not any(map(alive, sleepers))


def test_die_with_parent_ends_at_once_when_the_parent_has_gone() -> None:
    code = "from uniros_bringup.process import die_with_parent; die_with_parent(parent=1); print('on')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1 and "has ended" in result.stderr and result.stdout == ""


def test_free_port_is_free() -> None:
    ports = {free_port() for _ in range(3)}
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_normal_ends_of_the_parent_leave_no_child(number: int) -> None:
    parent, child = parent_and_child()
    parent.send_signal(number)
    parent.wait(5.0)
    assert wait_until(lambda: not alive(child), timeout=1.0) < 1.0
