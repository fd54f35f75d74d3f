"""`rosrun uniros bringup` as a person uses it: from a shell, on real launch files, with Ctrl-C and with kill -9."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from live import marked_processes, wait_until

from uniros_bringup.master import Master, answering_pid
from uniros_bringup.process import free_port
from uniros_bringup.tree import descendants

ROOT = Path(__file__).resolve().parents[2]

PACKAGE = """<package format="3"><name>probe</name><version>0.0.0</version><description>nodes of a test</description>
<maintainer email="a@b.c">nobody</maintainer><license>BSD-3-Clause</license></package>"""

# Leaves a file when it is up, and another when it was asked to end; `stubborn` does neither end nor write then.
NODE = """#!/usr/bin/env python3
import os, signal, sys, time
name, seconds, code = [a for a in sys.argv[1:] if ":=" not in a]
folder = os.path.dirname(os.path.abspath(__file__))
def leave(number, frame):
    open(f"{folder}/{name}.stopped", "w").write(str(number))
    sys.exit(0)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN if name == "stubborn" else leave)
print("a tty:", os.isatty(1), flush=True)
open(f"{folder}/{name}.up", "w").close()
time.sleep(float(seconds))
sys.exit(int(code))
"""

LAUNCH = """<launch>
  <arg name="run_dir" doc="folder for results" default=""/>
  <arg name="second" default="worker" doc="name of the node that runs for ever"/>
  <arg name="learner_seconds" default="60" doc="s"/>
  <arg name="learner" default="true" doc="whether there is one"/>
  <node name="$(arg second)" pkg="probe" type="node" args="$(arg second) 60 0" ns="rx200"/>
  <node name="learner" pkg="probe" type="node" output="screen"
        args="learner $(arg learner_seconds) 5" if="$(arg learner)"/>
</launch>"""


@dataclass
class Shell:
    """A package with two nodes and a launch file, and commands run beside it in a sourced shell."""

    folder: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *words: str, stdout: int = subprocess.PIPE, prefix: str = "") -> subprocess.Popen[str]:
        command = (
            f"source {ROOT}/env.sh && export ROS_PACKAGE_PATH={self.folder}:$ROS_PACKAGE_PATH && "
            f'exec {prefix} rosrun uniros bringup "$@"'
        )
        process = subprocess.Popen(
            ["bash", "-c", command, "bash", *words],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "ROS_LOG_DIR": str(self.folder / "log")},
        )
        self.running.append(process)
        return process

    def run(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        output, _ = process.communicate(timeout=30.0)
        return process.returncode, output

    @property
    def launch_file(self) -> str:
        return str(self.folder / "probe.launch")

    def is_up(self, *names: str) -> bool:
        return all((self.folder / f"{name}.up").exists() for name in names)

    def stopped_by(self, name: str) -> str:
        return (self.folder / f"{name}.stopped").read_text()

    def up(self, *words: str, nodes: tuple[str, ...] = ("worker", "learner")) -> subprocess.Popen[str]:
        """A graph that runs, with its learner in no hurry."""
        process = self.start(self.launch_file, *words)
        wait_until(lambda: self.is_up(*nodes) or process.poll() is not None, timeout=20.0)
        assert process.poll() is None, process.communicate()[0]
        return process


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "package.xml").write_text(PACKAGE)
    (tmp_path / "node").write_text(NODE)
    (tmp_path / "node").chmod(0o755)
    (tmp_path / "probe.launch").write_text(LAUNCH)
    shell = Shell(tmp_path)
    yield shell
    for process in shell.running:
        process.kill()
        process.communicate()


def announced(process: subprocess.Popen[str]) -> str:
    """The address that the first line of the output gives."""
    assert process.stdout is not None
    found = re.search(r"export ROS_MASTER_URI=(http://127\.0\.0\.1:\d+) ", process.stdout.readline())
    assert found
    return found.group(1)


def guard_of(process: subprocess.Popen[str]) -> int:
    """The pid of the process in which roslaunch runs."""
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in descendants(process.pid)}
    return next(pid for pid, command in commands.items() if "uniros_bringup.guard" in command)


def nothing_runs() -> bool:
    return not marked_processes()


def test_the_learners_end_ends_everything_and_its_summary_comes_last(shell: Shell) -> None:
    run_dir = shell.folder / "here"
    run_dir.mkdir()
    (run_dir / "summary.txt").write_text("success rate 0.98\n")
    code, output = shell.run(shell.launch_file, "run_dir:=here", "learner_seconds:=0.1")
    assert code == 5
    assert output.splitlines()[-1] == "success rate 0.98"
    assert shell.stopped_by("worker") == str(int(signal.SIGINT))
    assert nothing_runs()


def test_the_run_folder_is_chosen_where_none_is_given(shell: Shell) -> None:
    process = shell.up()
    assert f"run_dir:={shell.folder}/runs/probe-20" in Path(f"/proc/{guard_of(process)}/cmdline").read_text()


def test_the_first_ctrl_c_is_clean(shell: Shell) -> None:
    process = shell.up()
    uri = announced(process)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(10.0) == 130
    assert time.monotonic() - start < 5.0
    assert shell.stopped_by("worker") == shell.stopped_by("learner") == str(int(signal.SIGINT))
    assert nothing_runs() and answering_pid(uri) is None


def test_stopping_a_graph_without_a_learner_is_success(shell: Shell) -> None:
    process = shell.up("learner:=false", nodes=("worker",))
    process.send_signal(signal.SIGTERM)
    assert process.wait(10.0) == 0
    assert nothing_runs()


def test_the_second_ctrl_c_ends_everything_at_once(shell: Shell) -> None:
    process = shell.up("second:=stubborn", nodes=("stubborn", "learner"))
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(10.0) == 130
    assert time.monotonic() - start < 1.0
    assert nothing_runs()


def test_a_stubborn_node_does_not_stop_the_first_ctrl_c_for_ever(shell: Shell) -> None:
    process = shell.up("second:=stubborn", nodes=("stubborn", "learner"))
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(15.0)
    assert time.monotonic() - start < 10.0
    assert nothing_runs()


def test_nothing_is_left_after_kill_9(shell: Shell) -> None:
    process = shell.up()
    assert len(marked_processes()) >= 6  # bringup, master, guard, rosout, two nodes
    process.kill()
    assert wait_until(nothing_runs, timeout=5.0) < 5.0


def test_nothing_is_left_after_kill_9_while_starting(shell: Shell) -> None:
    for delay in (0.0, 0.4, 0.8):
        process = shell.start(shell.launch_file)
        announced(process)
        time.sleep(delay)
        process.kill()
        wait_until(nothing_runs, timeout=5.0)


def test_nothing_is_left_when_roslaunch_is_killed(shell: Shell) -> None:
    process = shell.up()
    os.kill(guard_of(process), signal.SIGKILL)
    assert process.wait(10.0) != 0
    assert nothing_runs()


def test_when_the_master_is_killed_everything_ends(shell: Shell) -> None:
    process = shell.up()
    pid = answering_pid(announced(process))
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert process.wait(10.0) == 1
    assert shell.stopped_by("worker") == str(int(signal.SIGINT))
    assert nothing_runs()


def test_a_node_keeps_the_users_terminal(shell: Shell) -> None:
    user, terminal = pty.openpty()
    process = shell.start(shell.launch_file, "learner_seconds:=0.1", stdout=terminal)
    os.close(terminal)
    output = b""
    try:
        while chunk := os.read(user, 4096):
            output += chunk
    except OSError:  # how Linux says that the other side of a pty was closed
        assert process.wait(5.0) == 5
    finally:
        os.close(user)
    assert b"a tty: True" in output


def test_a_joined_master_stays(shell: Shell) -> None:
    with Master() as master:
        code, output = shell.run(shell.launch_file, "--join", master.uri, "learner_seconds:=0.1")
        assert code == 5 and f"ROS master joined: export ROS_MASTER_URI={master.uri}" in output
        assert master.alive
        assert len(marked_processes()) == 1


def test_two_at_once_know_nothing_of_each_other(shell: Shell) -> None:
    first, second = shell.start(shell.launch_file), shell.start(shell.launch_file)
    uris = [announced(first), announced(second)]
    assert len(set(uris)) == 2
    first.send_signal(signal.SIGINT)
    first.wait(10.0)
    assert answering_pid(uris[0]) is None and answering_pid(uris[1])


def test_a_port_of_ones_own_choice(shell: Shell) -> None:
    with Master() as master:
        code, output = shell.run(shell.launch_file, "--port", str(master.port))
        assert code == 1 and "join it, or take another port" in output
        assert master.alive


def test_what_cannot_be_done_is_refused_with_advice(shell: Shell) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    refused = [
        (["no_such"], "there is no launch file 'no_such'; "),
        ([shell.launch_file, "lerner:=true"], "has no argument 'lerner'; did you mean 'learner'?"),
        ([shell.launch_file, "learner"], "is not of the form name:=value"),
        ([shell.launch_file, "--join", nobody], f"no ROS master answers at {nobody}"),
        (["clean"], "--host"),
    ]
    for process, (words, advice) in [(shell.start(*words), (words, advice)) for words, advice in refused]:
        output, _ = process.communicate(timeout=30.0)
        assert process.returncode != 0 and advice in output and "Traceback" not in output, words


def test_a_launch_file_with_a_mistake_fails_with_its_message(shell: Shell) -> None:
    Path(shell.launch_file).write_text('<launch><node name="a" pkg="probe" type="no_such_node"/></launch>')
    code, output = shell.run(shell.launch_file)
    assert code != 0 and "no_such_node" in output
    assert nothing_runs()


def test_clean_host_ends_every_ros_process_it_can_see(shell: Shell) -> None:
    """In a PID namespace of its own, so that the machine's other masters are out of sight: and stay out of it."""
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*unshare, "true"], check=False).returncode != 0:
        pytest.skip("this kernel or container gives no namespaces to this user")
    script = f"""
source {ROOT}/env.sh; export ROS_IP=127.0.0.1 ROS_PACKAGE_PATH={shell.folder}:$ROS_PACKAGE_PATH
sleep 60 & bystander=$!
rosrun uniros bringup {shell.launch_file} >/dev/null 2>&1 &
until [ -e {shell.folder}/learner.up ]; do sleep 0.05; done; sleep 0.3
echo n | rosrun uniros bringup clean --host; echo "refused $?"
rosrun uniros bringup clean --host --yes; echo "cleaned $?"
kill -0 $bystander && echo bystander lives
rosrun uniros bringup clean --host; kill $bystander
"""
    command = [*unshare, "bash", "-c", script]
    with Master() as outside:
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert outside.alive
    output = result.stdout
    for kind in ("master", "rosout", "uniros", "node"):
        assert re.search(rf"^ +\d+  {kind} ", output, re.MULTILINE), output + result.stderr
    assert "nothing was touched\nrefused 1\n" in output and "cleaned 0" in output
    assert output.endswith("bystander lives\nno ROS process runs on this machine\n")
