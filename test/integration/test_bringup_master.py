"""Masters and graphs of nodes, each started for real: up, verified, side by side, gone."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import wait_until

from uniros_bringup.graph import Graph
from uniros_bringup.master import Master, answering_pid
from uniros_bringup.process import Process, free_port
from uniros_bringup.xmlrpc import CallFailed, call
from uniros_msgs.errors import ConnectionFailed, StartFailed

TALKER = ["rostopic", "pub", "-r", "5", "/chatter", "std_msgs/String", "hi"]


@pytest.fixture
def master() -> Iterator[Master]:
    with Master() as running:
        yield running


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which something listens that is no ROS master, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def listening_on(port: int) -> set[str]:
    """Local addresses, in hex as /proc/net/tcp has them, that a port is open on."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}


def script(code: str) -> tuple[subprocess.Popen[str], str]:
    """A process of its own that uses the code under test, and the first line it printed."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def runs(pid: str) -> bool:
    """Whether a process is there and no zombie, which has no command line."""
    path = Path(f"/proc/{pid}/cmdline")
    return path.exists() and path.read_bytes() != b""


# --- masters -------------------------------------------------------------------------------------------------------


def test_a_master_answers_as_soon_as_it_is_there_and_only_on_loopback(master: Master) -> None:
    assert master.process is not None
    assert answering_pid(master.uri) == master.process.pid
    assert listening_on(master.port) == {"0100007F"}
    assert master.env()["ROS_MASTER_URI"] == master.uri == f"http://127.0.0.1:{master.port}"


def test_asked_for_another_address_it_binds_there() -> None:
    with Master(address="127.0.0.2") as master:
        assert listening_on(master.port) == {"0200007F"}
        assert master.env()["ROS_IP"] == "127.0.0.2"


def test_stop_ends_it_and_removes_its_logs(master: Master) -> None:
    assert master.log_dir is not None and list(master.log_dir.iterdir())
    master.stop()
    master.stop()
    assert not master.alive and answering_pid(master.uri) is None and not master.log_dir.exists()


def test_two_masters_do_not_see_each_other(master: Master) -> None:
    with Master() as other:
        call(other.uri, "setParam", "/only_here", 1)
        assert call(other.uri, "hasParam", "/only_here") and not call(master.uri, "hasParam", "/only_here")
    assert master.alive


def test_two_ports_taken_then_a_free_one(taken: int, master: Master) -> None:
    with Master(port=[taken, master.port, free_port()]) as third:
        assert third.port not in (taken, master.port)
    assert master.alive


def test_after_three_attempts_the_error_shows_the_log(taken: int) -> None:
    with pytest.raises(StartFailed, match=f"port {taken}, {taken}, {taken}") as failure:
        Master(port=[taken] * 5)
    assert "already in use" in str(failure.value)


def test_a_port_held_by_a_master_is_refused_and_that_master_untouched(master: Master) -> None:
    with pytest.raises(StartFailed, match="join it, or take another port"):
        Master(port=master.port)
    assert master.alive


def test_a_joined_master_is_never_stopped(master: Master) -> None:
    with Master.at(master.uri + "/") as joined:
        assert joined.alive and not joined.is_ours and joined.port == master.port
        assert joined.env() == master.env()
    assert master.alive


def test_joining_nobody_fails_within_the_deadline() -> None:
    start = time.monotonic()
    with pytest.raises(ConnectionFailed, match="no ROS master answers"):
        Master.at(f"http://127.0.0.1:{free_port()}", timeout=0.3)
    assert time.monotonic() - start < 1.0


def test_joining_something_that_never_answers_fails_within_the_deadline(taken: int) -> None:
    start = time.monotonic()
    with pytest.raises(ConnectionFailed, match=r"within 0.3 s"):
        Master.at(f"http://127.0.0.1:{taken}", timeout=0.3)
    assert time.monotonic() - start < 1.0


def test_a_frozen_master_does_not_hang_a_call(master: Master) -> None:
    assert master.process is not None
    master.process.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(CallFailed, match="getSystemState"):
        call(master.uri, "getSystemState", timeout=0.3)
    assert time.monotonic() - start < 1.0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_master_ends_with_the_process_that_started_it(number: int) -> None:
    parent, uri = script(
        "import time\nfrom uniros_bringup.master import Master\nm = Master()\nprint(m.uri, flush=True)\ntime.sleep(60)"
    )
    assert answering_pid(uri)
    parent.send_signal(number)
    parent.wait(5.0)
    assert wait_until(lambda: answering_pid(uri) is None, timeout=1.0) < 1.0


def test_a_master_ends_with_a_script_that_forgets_it() -> None:
    parent, uri = script("from uniros_bringup.master import Master; m = Master(); print(m.uri, flush=True)")
    assert parent.wait(5.0) == 0
    wait_until(lambda: answering_pid(uri) is None, timeout=1.0)


# --- graphs --------------------------------------------------------------------------------------------------------


def test_a_node_is_ready_when_it_says_so(graph: Graph) -> None:
    talker = graph.node(TALKER, "talker", ready=lambda: call(graph.master.uri, "getSystemState")[0])
    assert ["/chatter", "std_msgs/String"] in call(graph.master.uri, "getTopicTypes")
    assert talker.alive and not graph.dead


def test_a_node_that_ends_while_starting_shows_its_log(graph: Graph) -> None:
    with pytest.raises(StartFailed, match=r"(?s)broken ended with 3 while starting.*something is wrong"):
        graph.node(["sh", "-c", "echo something is wrong; exit 3"], "broken", ready=lambda: False)


def test_a_node_that_is_not_ready_in_time_is_stopped_and_shows_its_log(graph: Graph) -> None:
    start = time.monotonic()
    with pytest.raises(StartFailed, match=r"(?s)slow was not ready within 0.3 s.*still busy"):
        graph.node(["sh", "-c", "echo still busy; exec sleep 60"], "slow", ready=lambda: False, timeout=0.3)
    assert time.monotonic() - start < 1.0
    assert not graph.nodes[0].alive


def test_stop_is_in_reverse_order_and_the_master_last(graph: Graph, tmp_path: Path) -> None:
    code = f"trap 'echo $0 >> {tmp_path}/order; exit' TERM; echo up > {tmp_path}/$0; while :; do sleep 0.01; done"
    for name in "abc":
        graph.node(["sh", "-c", code, name], name, ready=(tmp_path / name).exists)
    graph.stop()
    assert (tmp_path / "order").read_text().split() == ["c", "b", "a"]
    assert not graph.master.alive and not graph.log_dir.exists()


def test_stop_is_bounded_whatever_the_nodes_do(graph: Graph) -> None:
    for name in "abcde":
        graph.node(["sleep", "60"], name).send_signal(signal.SIGSTOP)
    start = time.monotonic()
    graph.stop(timeout=1.0)
    assert time.monotonic() - start < 2.0
    assert len(graph.dead) == 6


@pytest.mark.parametrize("victim", ["node", "rosmaster"])
def test_a_death_is_noticed_within_a_second(graph: Graph, victim: str) -> None:
    graph.node(["sleep", "60"], "node")
    noticed: list[tuple[Process, float]] = []
    done = threading.Event()

    def on_death(process: Process) -> None:
        noticed.append((process, time.monotonic()))
        done.set()

    graph.watch(on_death)
    process = next(process for process in graph.processes if process.name == victim)
    start = time.monotonic()
    process.send_signal(signal.SIGKILL)
    assert done.wait(5.0) and noticed[0][0] is process and noticed[0][1] - start < 1.0
    assert graph.dead == [process] and graph.wait(0.0) is process


def test_an_ordinary_stop_is_not_a_death(graph: Graph) -> None:
    graph.node(["sleep", "60"], "node")
    noticed: list[Process] = []
    thread = graph.watch(noticed.append)
    graph.stop()
    thread.join(2.0)
    assert not thread.is_alive() and not noticed


def test_a_graph_on_a_master_of_the_caller_leaves_it_running(master: Master) -> None:
    with Graph(master) as graph:
        graph.node(["sleep", "60"], "node")
    assert master.alive and len(graph.dead) == 1


def test_logs_are_kept_when_something_died(graph: Graph) -> None:
    node = graph.node(["sh", "-c", "echo the reason; exit 1"], "node")
    node.wait(5.0)
    graph.stop()
    assert (graph.log_dir / "node.log").read_text() == "the reason\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_graph_ends_with_the_process_that_started_it(number: int) -> None:
    parent, line = script(
        "import time\nfrom uniros_bringup.graph import Graph\ng = Graph()\n"
        "n = g.node(['sleep', '60'], 'n', ready=lambda: open(f'/proc/{g.nodes[0].pid}/comm').read() == 'sleep\\n')\n"
        "print(*(p.pid for p in g.processes), flush=True)\ntime.sleep(60)"
    )
    parent.send_signal(number)
    parent.wait(5.0)
    wait_until(lambda: not any(map(runs, line.split())), timeout=1.0)
