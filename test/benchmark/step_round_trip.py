"""What a step costs on its way: a bare pipe, our step action, and stock actionlib, the same payload, in one run.

    .venv/bin/python test/benchmark/step_round_trip.py [rounds]

All three carry an action of 5 float32 to another process and 28 float32, a reward, two flags and a small info dict
back. Ours does everything an env server promises on the way: lease, exactly once, validation, typed errors. The three
take turns in short rounds, so a machine that slows down slows all of them down.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from uniros_bringup.graph import Graph
from uniros_bringup.xmlrpc import call

HERE = Path(__file__).parent
STEPS = {"pipe": 2000, "uniros": 2000, "stock": 25}  # per round


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


def pipe_server(connection: Any, other_end: Any) -> None:
    other_end.close()  # else it would never see the end
    env = Echo()
    with contextlib.suppress(EOFError):
        while True:
            connection.send(env.step(connection.recv()))


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


def pipe_client() -> Callable[[Any], Any]:
    ours, theirs = multiprocessing.Pipe()
    multiprocessing.get_context("fork").Process(target=pipe_server, args=(theirs, ours), daemon=True).start()
    theirs.close()

    def step(action: Any) -> Any:
        ours.send(action)
        return ours.recv()

    return step


def uniros_client(master_uri: str) -> Callable[[Any], Any]:
    from uniros_learner.env import RosEnv
    from uniros_learner.roslink import RosLink

    env = RosEnv(RosLink("/echo", "benchmark"))
    env.reset(seed=0)
    return env.step


def stock_client() -> Callable[[Any], Any]:
    import actionlib

    from uniros_msgs import codec
    from uniros_msgs.msg import StepAction, StepGoal

    client = actionlib.SimpleActionClient("/stock/step", StepAction)
    client.wait_for_server()

    def step(action: Any) -> Any:
        client.send_goal_and_wait(StepGoal(action=codec.encode(action)))
        result = client.get_result()
        return (
            codec.decode(result.observation),
            result.reward[0],
            result.terminated[0],
            result.truncated[0],
            codec.decode(result.info),
        )

    return step


def measure(step: Callable[[Any], Any], steps: int) -> float:
    """Mean seconds per step."""
    action = np.linspace(-1, 1, 5, dtype=np.float32)
    start = time.perf_counter()
    for _ in range(steps):
        observation = step(action)[0]
    elapsed = time.perf_counter() - start
    assert observation[4] == 1.0
    return elapsed / steps


def start_servers(graph: Graph) -> None:
    environment = {"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    call(graph.master.uri, "setParam", "/echo/env_server/env_id", f"{Path(__file__).stem}:Echo")
    ours = [sys.executable, "-m", "uniros_env_server", "__name:=env_server", "__ns:=/echo"]
    graph.node(ours, "env_server", lambda: registered(graph, "/echo/env/describe"), env=environment)
    graph.node([sys.executable, __file__, "--stock-server"], "stock_server")


def registered(graph: Graph, service: str) -> bool:
    return any(name == service for name, _ in call(graph.master.uri, "getSystemState")[2])


def main(rounds: int = 20) -> dict[str, float]:
    """Run, print the table, and return the ratios for others to use."""
    pipe = pipe_client()  # forks: before there are threads
    with Graph() as graph:
        os.environ.update(graph.master.env())
        start_servers(graph)
        steps = {"pipe": pipe, "uniros": uniros_client(graph.master.uri), "stock": stock_client()}
        for name, step in steps.items():
            measure(step, STEPS[name])
        times = {name: [] for name in steps}
        for _ in range(rounds):
            for name, step in steps.items():
                times[name].append(measure(step, STEPS[name]))
    return report(times)


def report(times: dict[str, list[float]]) -> dict[str, float]:
    print(f"{'step round trip':<18}{'mean':>10}{'median':>10}{'x pipe':>10}")
    for name, values in times.items():
        ratio = statistics.median(v / p for v, p in zip(values, times["pipe"]))
        print(
            f"{name:<18}{statistics.mean(values) * 1e3:>7.3f} ms"
            f"{statistics.median(values) * 1e3:>7.3f} ms{ratio:>10.2f}"
        )
    over_pipe = statistics.median(u / p for u, p in zip(times["uniros"], times["pipe"]))
    under_stock = statistics.mean(times["stock"]) / statistics.mean(times["uniros"])
    print(f"uniros is {over_pipe:.2f} x the bare pipe, and {under_stock:.0f} x faster than stock actionlib (means)")
    return {"uniros / pipe": over_pipe, "stock / uniros": under_stock}


if __name__ == "__main__":
    if "--stock-server" in sys.argv:
        stock_server()
    else:
        main(*map(int, sys.argv[1:2]))
        sys.stdout.flush()
        os._exit(0)  # rospy's threads
