"""The real arm's environment keeps time; when things break, a hold, a typed error, an ERROR in /diagnostics, calm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from driver_rig import WATCHDOG, pause
from live import wait_until
from real_rig import AGE, CYCLE, PERIOD, RealRig, Swing

from uniros_bringup.tree import descendants, signal_all
from uniros_env_server.robots.ros_control import GIVE_WAY
from uniros_msgs.errors import ResetNeeded, RobotFault, ServerDied

SETTLE = 0.2  # s that the arm itself takes to come to rest when its set-point stands
STILL = 0.06  # rad/s
STEP = 0.02  # rad, more than this between before and after is a jump: the play of the gears is 0.006
WATCHED = 0.3  # s that an arm is watched standing
TELL = 0.35  # s from a fault that is known to the learner's error: a turn of the loop and the way, on a busy machine
CALM = 1.3  # rad/s, no joint goes faster in a recovery: it is planned with 0.94 at most
REPORT = 1.5  # s until /diagnostics tell

pytestmark = pytest.mark.deadline  # of holds and errors, in ms


@pytest.fixture(scope="module")
def shared() -> Iterator[RealRig]:
    with RealRig(joint_states="lied/joint_states") as rig:
        yield rig


@pytest.fixture
def rig(shared: RealRig) -> RealRig:
    """The arm at its start, mended."""
    shared.operator.fault("clear")
    shared.acknowledge()
    shared.env.reset(seed=1)
    return shared


def stands(rig: RealRig, since: float, within: float) -> None:
    """The arm stands within so many seconds, and goes on standing."""
    moved = since
    while time.monotonic() < since + within + WATCHED:
        if rig.speed() > STILL:
            moved = time.monotonic()
    assert moved - since <= within, f"it moved for {moved - since:.2f} s, not {within:.2f} s at most"


def recovers(rig: RealRig) -> None:
    """After the acknowledgement, and not before, the arm is brought home calmly and can be used."""
    with pytest.raises(ResetNeeded):
        rig.env.step(np.zeros(5, np.float32))
    with pytest.raises(RobotFault):
        rig.env.reset()
    rig.operator.fault("clear")
    wait_until(rig.rests, 8.0)  # a servo that a hand lets go swings, for its integrator is wound up
    before = rig.joints()
    rig.forget()
    rig.acknowledge()
    pause(0.3)
    assert np.abs(rig.joints() - before).max() < STEP, "acknowledging moves nothing"
    rig.env.reset(seed=2)
    assert rig.fastest() < CALM
    assert rig.env.step(np.zeros(5, np.float32))[4]["refusal"] == ""


def test_the_system_reports_its_times(rig: RealRig) -> None:
    rig.env.timing_report(True)
    for _ in range(20):
        rig.env.step(np.zeros(5, np.float32))
    report = rig.env.timing_report()
    assert report["observation_age_count"] == report["command_delay_count"] == 20
    assert 49.0 < report["rate"] < 51.0 and report["fault"] == ""
    assert report["jitter_p99_ms"] < 1e3 * PERIOD
    since = time.time()
    wait_until(lambda: rig.operator.diagnostics()["loop"][3] > since, REPORT)
    said = rig.operator.diagnostics()
    assert said["environment"][0] in (0, 1) and f"process {os.getpid()}" in said["environment"][2]["lease"]
    assert said["loop"][0] in (0, 1) and float(said["loop"][2]["observation_age_p99_ms"]) > 0


GIVES_WAY = ("old values, fresh stamps", "a blocked link")  # the arm may press against something: it goes back a little
FAULTS: dict[str, tuple[Callable[[RealRig], object], float, str]] = {  # cause, s until it is known, what is said
    "cable cut": (lambda rig: rig.operator.fault("cut"), AGE, "fault|joint_states"),
    "adapter pulled out": (lambda rig: rig.operator.fault("unplug"), AGE, "fault|joint_states"),
    "old values, fresh stamps": (lambda rig: rig.operator.lie("old"), AGE, "very same numbers"),
    "NaN": (lambda rig: rig.operator.lie("nan"), AGE, "not finite: waist nan"),
    "the environment's emergency stop": (lambda rig: rig.operator.trigger("env/estop"), PERIOD, "emergency stop"),
    "the driver's emergency stop": (lambda rig: rig.operator.trigger("driver/estop"), PERIOD, "estop"),
    "a blocked link": (lambda rig: rig.operator.fault("block", joint="waist"), 1.3, "blocked"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_mid_motion(rig: RealRig, name: str) -> None:
    cause, known, said = FAULTS[name]
    swing = Swing(rig.env)
    pause(0.45)
    assert rig.speed() > 0.3, "in mid-motion"
    begun, wall = time.monotonic(), time.time()
    cause(rig)
    error = swing.failure(begun, known + TELL)
    assert type(error) is RobotFault
    with pytest.raises(RobotFault, match=said):
        raise error
    stands(rig, begun, known + TELL + SETTLE + (GIVE_WAY if name in GIVES_WAY else 0.0))
    wait_until(lambda: any(text.startswith("environment: ") for text in rig.operator.errors(wall)), REPORT)
    recovers(rig)


def test_a_fault_that_lasts_cannot_be_acknowledged(rig: RealRig) -> None:
    rig.operator.lie("nan")
    pause(AGE + 0.1)
    with pytest.raises(RobotFault, match="not finite"):
        rig.env.step(np.zeros(5, np.float32))
    good, text = rig.operator.trigger("env/clear_estop")
    assert not good and "not finite" in text
    recovers(rig)


def test_an_emergency_stop_on_the_way_home(rig: RealRig) -> None:
    swing = Swing(rig.env)
    pause(1.2)
    swing.stop()
    failed: list[Exception] = []

    def reset() -> None:
        try:
            rig.env.reset(seed=3)
        except RobotFault as error:
            failed.append(error)

    thread = threading.Thread(target=reset)
    thread.start()
    wait_until(lambda: rig.speed() > 0.2, 5.0)
    begun = time.monotonic()
    rig.operator.trigger("env/estop")
    thread.join(PERIOD + TELL)
    assert failed and "emergency stop" in str(failed[0])
    stands(rig, begun, PERIOD + TELL + SETTLE)
    recovers(rig)


def test_a_frozen_driver(rig: RealRig) -> None:
    """SIGSTOP: its servos' watchdog stops them, and nothing that was sent meanwhile is carried out afterwards."""
    swing = Swing(rig.env)
    pause(0.45)
    begun, wall = time.monotonic(), time.time()
    os.kill(rig.driver.pid, signal.SIGSTOP)
    try:
        error = swing.failure(begun, AGE + TELL)
        assert type(error) is RobotFault and "frozen" in str(error)
        stands(rig, begun, WATCHDOG + SETTLE + TELL)
        wait_until(lambda: any("environment: " in text for text in rig.operator.errors(wall)), REPORT)
        rig.forget()
    finally:
        os.kill(rig.driver.pid, signal.SIGCONT)
    pause(0.5)
    assert rig.fastest() < 0.2, "nothing is made up for"
    recovers(rig)


LEARNER = """
import sys
import numpy as np
import uniros_learner as uniros
from policies import turning

env = uniros.connect(sys.argv[1], "/rx200")
{before}
print("ready", flush=True)
while True:
    {work}
"""


def learner(rig: RealRig, work: str, before: str = "") -> subprocess.Popen[str]:
    """Another process, which has connected to the environment, and is at work."""
    command = [sys.executable, "-c", LEARNER.format(work=work, before=before), rig.graph.master.uri]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


def test_a_killed_learner(rig: RealRig) -> None:
    """Its successor, as those of the other two, finds an arm that holds."""
    with rig.without_learner():
        process = learner(rig, "env.step(np.array([0.5, 0, 0, 0, 0], np.float32))", "env.reset()")
        pause(0.8)
        assert rig.speed() > 0.3
        killed, wall = time.monotonic(), time.time()
        process.kill()
        process.wait()
        limit = CYCLE + 2 * PERIOD
        stands(rig, killed, limit + SETTLE)
        held = [row for when, row in rig.operator.setpoints(wall) if when > wall + limit + 0.02]  # told every 20 ms
        assert len(held) > 5 and np.ptp(np.array(held), axis=0).max() < 1e-9
    rig.env.reset()


@pytest.mark.parametrize("work", ["env.reset()", "env.rollout(turning(env).pack(), episodes=1).wait()"])
def test_a_whole_learner_killed_while_the_arm_acts_by_itself(rig: RealRig, work: str) -> None:
    """With all its processes, so that none gives the lease back, which stands for 5 s: its connection ends, too."""
    swing = Swing(rig.env)
    pause(1.6)
    swing.stop()
    with rig.without_learner():
        process = learner(rig, work)
        wait_until(lambda: rig.speed() > 0.3, 8.0)
        killed = time.monotonic()
        signal_all([process.pid, *descendants(process.pid)], signal.SIGKILL)
        process.wait()
        stands(rig, killed, 2 * CYCLE + 2 * PERIOD + SETTLE)
    rig.env.reset()


def test_a_killed_env_server(rig: RealRig) -> None:
    swing = Swing(rig.env)
    pause(0.45)
    killed, wall = time.monotonic(), time.time()
    rig.server.kill()
    assert type(swing.failure(killed, 1.0)) is ServerDied
    stands(rig, killed, CYCLE + 2 * PERIOD + SETTLE)
    held = [row for when, row in rig.operator.setpoints(wall) if when > wall + CYCLE + 2 * PERIOD + 0.02]
    assert len(held) > 5 and np.ptp(np.array(held), axis=0).max() < 1e-9
    assert rig.operator.state() == "holding"
    rig.env.close()
    rig.serve()
    rig.forget()
    rig.env.reset()
    assert rig.fastest() < CALM


def test_a_killed_driver(rig: RealRig) -> None:
    swing = Swing(rig.env)
    pause(0.45)
    killed, wall = time.monotonic(), time.time()
    rig.driver.kill()
    error = swing.failure(killed, AGE + TELL)
    assert type(error) is RobotFault and "no sound joint_states" in str(error)
    stands(rig, killed, WATCHDOG + 0.02 + SETTLE)
    wait_until(lambda: any("environment: " in text for text in rig.operator.errors(wall)), REPORT)
    rig.start_driver()
    recovers(rig)
