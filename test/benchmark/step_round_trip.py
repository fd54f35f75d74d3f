"""What a step costs on its way: a bare pipe, our step action, and stock actionlib, the same payload, in one run.

    .venv/bin/python test/benchmark/step_round_trip.py [rounds]

All carry an action of 5 float32 to another process and 28 float32, a reward, two flags and a small info dict back.
Ours does everything an env server promises on the way: lease, exactly once, validation, typed errors, every result on
a topic. "Without a worker process" is the same with rospy in the learner's process, where its thread hands results on.
The floor is what would be left without ROS: the same bytes and rules over one bare TCP connection.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from compare import Comparison, compare, show, turns

from uniros_bringup.graph import Graph
from uniros_bringup.xmlrpc import call

HERE = Path(__file__).parent
STEPS = {"pipe": 500, "floor": 500, "uniros": 500, "in this process": 500, "stock": 10}  # per round
PATIENCE = 1.0  # s after which a goal of a stock client counts as lost


class Echo(gymnasium.Env):
    """Costs nothing itself: 5 numbers in, 28 out."""

    action_space = gymnasium.spaces.Box(-1, 1, (5,), np.float32)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (28,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return np.zeros(28, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        observation = np.zeros(28, np.float32)
        observation[:5] = action
        return observation, -0.5, False, False, {"is_success": False, "distance": 0.25}


# --- servers ----------------------------------------------------------------------------------------------------------


def pipe_server(connection: Any, other_end: Any) -> None:
    other_end.close()  # else it would never see the end
    env = Echo()
    with contextlib.suppress(EOFError):
        while True:
            connection.send(env.step(connection.recv()))


def floor_server(listener: socket.socket) -> None:
    from uniros_env_server.serving.lease import Lease
    from uniros_env_server.serving.session import Session
    from uniros_msgs import codec, wire
    from uniros_msgs.msg import ResetGoal

    connection = listener.accept()[0]
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    session = Session(Echo(), Lease())
    session.reset(ResetGoal("", 1, [0], codec.encode(None)))
    while buffer := connection.recv(1 << 16):
        envelope = wire.open_goal(buffer)
        answer = session.step(buffer, envelope.body)
        connection.sendall(wire.wrap_result(envelope, answer.status, answer.text, time.time(), answer.body))


def stock_server() -> None:
    """actionlib's own server, as its tutorial has it, answering with the same message."""
    import actionlib
    import rospy

    from uniros_msgs import codec
    from uniros_msgs.msg import StepAction, StepResult

    rospy.init_node("stock_server")
    env = Echo()

    def execute(goal: Any) -> None:
        observation, reward, terminated, truncated, info = env.step(codec.decode(goal.action))
        server.set_succeeded(
            StepResult(
                observation=codec.encode(observation),
                reward=[reward],
                terminated=[terminated],
                truncated=[truncated],
                info=codec.encode(info),
            )
        )

    server = actionlib.SimpleActionServer("stock/step", StepAction, execute, False)
    server.start()
    rospy.spin()


# --- clients ----------------------------------------------------------------------------------------------------------

Step = Callable[[Any], Any]


def forked(target: Callable[..., None], *arguments: Any) -> None:
    multiprocessing.get_context("fork").Process(target=target, args=arguments, daemon=True).start()


def pipe_client() -> Step:
    ours, theirs = multiprocessing.Pipe()
    forked(pipe_server, theirs, ours)
    theirs.close()

    def step(action: Any) -> Any:
        ours.send(action)
        return ours.recv()

    return step


def floor_client() -> Step:
    from uniros_msgs import wire

    listener = socket.create_server(("127.0.0.1", 0))
    forked(floor_server, listener)
    connection = socket.create_connection(listener.getsockname())
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def step(action: Any) -> Any:
        goal = wire.pack_step_goal("", 0, 0, action)
        connection.sendall(wire.wrap_goal(b"/benchmark-1", time.time(), goal))
        buffer = connection.recv(1 << 16)
        reply = wire.unpack_step_reply(buffer, wire.open_result(buffer).body)
        return reply.observation, reply.reward, reply.terminated, reply.truncated, reply.info

    return step


def direct_client() -> Step:
    from uniros_learner.env import RosEnv
    from uniros_learner.roslink import RosLink

    env = RosEnv(RosLink("/direct", "benchmark"))
    env.reset(seed=0)
    return env.step


def worker_client(master_uri: str) -> Step:
    import uniros_learner as uniros

    env = uniros.connect(master_uri, "/worker")
    env.reset(seed=0)
    return env.step


def stock_client() -> Step:
    import actionlib
    import rospy

    from uniros_msgs import codec
    from uniros_msgs.msg import StepAction, StepGoal

    client = actionlib.SimpleActionClient("/stock/step", StepAction)
    client.wait_for_server()

    def step(action: Any) -> Any:
        goal = StepGoal(action=codec.encode(action))
        client.send_goal_and_wait(goal, rospy.Duration(PATIENCE), rospy.Duration(PATIENCE / 10))
        result = client.get_result()
        if result is None:  # its own race: it lost track of the goal, and would wait for ever
            return None
        return (
            codec.decode(result.observation),
            result.reward[0],
            result.terminated[0],
            result.truncated[0],
            codec.decode(result.info),
        )

    return step


# --- measuring --------------------------------------------------------------------------------------------------------


def measure(step: Step, steps: int) -> np.ndarray:
    """Seconds of each step that was answered."""
    action = np.linspace(-1, 1, 5, dtype=np.float32)
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        answer = step(action)
        if answer is not None:
            times.append(time.perf_counter() - start)
            assert answer[0][4] == 1.0
    return np.array(times)


def start_servers(graph: Graph) -> None:
    environment = {"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    for place in ("direct", "worker"):
        call(graph.master.uri, "setParam", f"/{place}/env_server/env_id", f"{Path(__file__).stem}:Echo")
        ours = [sys.executable, "-m", "uniros_env_server", "__name:=env_server", f"__ns:=/{place}"]
        graph.node(ours, f"{place} env_server", partial(registered, graph, f"/{place}/env/describe"), env=environment)
    graph.node([sys.executable, __file__, "--stock-server"], "stock_server")


def registered(graph: Graph, service: str) -> bool:
    return any(name == service for name, _ in call(graph.master.uri, "getSystemState")[2])


def rounds_of(rounds: int) -> dict[str, list[np.ndarray]]:
    """Seconds of each step, of each side in each round."""
    steps = {"pipe": pipe_client(), "floor": floor_client()}  # they fork: before there are threads
    with Graph() as graph:
        os.environ.update(graph.master.env())
        start_servers(graph)
        steps |= {"uniros": worker_client(graph.master.uri), "in this process": direct_client(),
                  "stock": stock_client()}
        return turns({name: partial(measure, step, STEPS[name]) for name, step in steps.items()}, rounds)


def rows(rounds: int = 20) -> list[Comparison]:
    """Ours over each of the others."""
    return compared(rounds_of(rounds))


def compared(found: dict[str, list[np.ndarray]]) -> list[Comparison]:
    """Medians and tails of the times in each round."""
    def row(what: str, percent: float, than: str, ours: str = "uniros") -> Comparison:
        mine, others = ([float(np.percentile(times, percent)) * 1e3 for times in found[side]] for side in (ours, than))
        return compare(what, "ms", mine, NAMES[than], others, more=False)

    return [
        row("a step there and back, p50", 50, "pipe"),
        row("a step there and back, p99", 99, "pipe"),
        row("a step there and back, p50", 50, "floor"),
        row("the same without a worker process, p50", 50, "pipe", ours="in this process"),
        row("a step there and back, p50", 50, "stock"),
        row("a step there and back, p99", 99, "stock"),
    ]


NAMES = {"pipe": "multiprocessing pipe", "floor": "bare TCP, our messages and rules", "stock": "stock actionlib"}


def main(rounds: int = 20) -> dict[str, float]:
    """Run, print the tables, and return the ratios for others to use: of the means of each round."""
    found = rounds_of(rounds)
    show(compared(found))
    means = {name: [float(times.mean()) for times in values] for name, values in found.items()}
    lost = sum(STEPS["stock"] - len(times) for times in found["stock"])
    print(f"goals that the stock client lost track of: {lost} of {STEPS['stock'] * rounds}")
    ours, stock = means["uniros"], means["stock"]
    return {
        "uniros / pipe": statistics.median(u / p for u, p in zip(ours, means["pipe"], strict=True)),
        "stock / uniros": statistics.mean(stock) / statistics.mean(ours),
    }


if __name__ == "__main__":
    if "--stock-server" in sys.argv:
        stock_server()
    else:
        main(*map(int, sys.argv[1:2]))
        sys.stdout.flush()
        os._exit(0)  # rospy's threads
