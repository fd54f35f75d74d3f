"""The two clocks: exactly one cycle a step, or a grid of deadlines in wall-clock time that nobody holds up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from uniros_env_server.robots.model import load_model
from uniros_env_server.robots.mujoco import MujocoRobot
from uniros_env_server.robots.robot import RobotState
from uniros_env_server.safety.gate import Decision, SafetyGate, SafetyLimits
from uniros_env_server.safety.refusal import Refusal
from uniros_env_server.timing.clock import LockStepClock
from uniros_env_server.timing.real_time import Grid, Rates, RealTimeClock
from uniros_msgs.errors import Closed, RobotFault

MODEL = load_model("rx200")
START = np.array([[*MODEL.poses["ready"], MODEL.opening]])
CYCLE = 0.1  # s

pytestmark = pytest.mark.deadline  # of cycles, in ms


def turn_waist(by: float) -> object:
    """A decision that moves the waist by an angle (rad) from its set-point."""

    def decide(state: RobotState, age: float, duration: float) -> Decision:
        return Decision(state.setpoint + [[by, 0, 0, 0, 0, 0]], np.zeros(1, dtype=np.int8))

    return decide


def waist(state: RobotState) -> float:
    return float(state.positions(("waist",))[0, 0])


@pytest.fixture
def gate() -> SafetyGate:
    return SafetyGate(MODEL, SafetyLimits.load("rx200"))


@pytest.fixture
def clock(gate: SafetyGate) -> Iterator[RealTimeClock]:
    running = RealTimeClock(MujocoRobot(MODEL), Rates(CYCLE, 50.0, 0.05), gate.watch)
    running.reset(START)
    yield running
    running.close()


# --- lock-step


def test_a_lock_step_cycle_is_exactly_one_cycle_of_physics() -> None:
    robot = MujocoRobot(MODEL)
    clock = LockStepClock(robot, CYCLE)
    clock.reset(START)
    for number in range(1, 4):
        outcome = clock.cycle(turn_waist(0.1))
        assert robot.worlds[0].time == pytest.approx(number * CYCLE, abs=1e-9)
        assert outcome.state.setpoint[0, 0] == pytest.approx(0.1 * number, abs=1e-12)
    clock.close()


def test_a_closed_clock_says_so() -> None:
    clock = LockStepClock(MujocoRobot(MODEL), CYCLE)
    clock.close()
    clock.close()
    for use in (lambda: clock.cycle(turn_waist(0.0)), lambda: clock.reset(START)):
        with pytest.raises(Closed, match="make it again"):
            use()


def test_a_command_is_a_ramp_that_ends_with_its_duration() -> None:
    robot = MujocoRobot(MODEL)
    robot.reset(START)
    robot.command(START + [[0.1, 0, 0, 0, 0, 0]], CYCLE)
    for number in range(1, 6):
        robot.advance(CYCLE / 5)
        assert robot.state().setpoint[0, 0] == pytest.approx(0.02 * number, abs=1e-12)
    robot.advance(1.0)
    assert robot.state().setpoint[0, 0] == 0.1, "and then it holds"


def test_a_batch_of_arms_moves_as_its_rows_would_alone() -> None:
    q = START + np.linspace(-0.1, 0.1, 3)[:, None] * [1, 1, 1, 1, 1, 0]
    together = MujocoRobot(MODEL, 3)
    together.reset(np.repeat(START, 3, axis=0))
    together.command(q, CYCLE)
    together.advance(CYCLE)
    for row in range(3):
        alone = MujocoRobot(MODEL)
        alone.reset(START)
        alone.command(q[row : row + 1], CYCLE)
        alone.advance(CYCLE)
        assert np.array_equal(alone.state().position[0], together.state().position[row])
    together.reset(START, rows=np.array([1]))
    assert together.worlds[1].time == 0.0 and together.worlds[0].time > 0.0


def test_snapshots_cannot_be_written_to() -> None:
    state = MujocoRobot(MODEL).state()
    for array in (state.position, state.velocity, state.effort, state.setpoint):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1.0
    with pytest.raises(AttributeError):
        state.stamp = 0.0  # type: ignore[misc]


def test_joints_are_looked_up_by_name() -> None:
    state = MujocoRobot(MODEL).state()
    assert np.array_equal(state.positions(("elbow", "waist")), state.position[:, [2, 0]])
    with pytest.raises(KeyError, match="joints knee are not among waist, shoulder"):
        state.positions(("waist", "knee"))


# --- the grid


def test_cycles_end_on_a_grid_that_the_first_action_sets() -> None:
    grid = Grid(Rates(0.1, 50.0, 0.05))
    assert [grid.assign(now) for now in (5.0, 5.101, 5.2)] == pytest.approx([5.1, 5.2, 5.3])
    assert grid.overruns == 0


def test_cycles_without_an_action_are_overruns() -> None:
    grid = Grid(Rates(0.1, 50.0, 0.05))
    grid.assign(5.0)
    assert grid.assign(5.32) == pytest.approx(5.4)
    assert grid.overruns == 2


def test_an_action_that_leaves_too_little_time_for_its_ramp_gets_the_next_cycle() -> None:
    grid = Grid(Rates(0.1, 50.0, 0.05))
    grid.assign(5.0)
    assert grid.assign(5.16) == pytest.approx(5.3)
    assert grid.overruns == 1


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"control_rate": 5.0}, "10 to 100 Hz, not 5"),
        ({"cycle_time": 0.05, "control_rate": 30.0}, "whole number of control periods of 0.0333333 s, not 0.05"),
        ({"least_ramp": 0.2}, "least_ramp must be 0 to 0.1 s"),
    ],
)
def test_rates_that_do_not_fit_are_refused(rates: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rates(**rates)


# --- real time


def test_a_real_time_cycle_ends_on_its_deadline_with_the_command_reached(clock: RealTimeClock) -> None:
    begun = time.monotonic()
    for number in range(1, 6):
        outcome = clock.cycle(turn_waist(0.02))
        late = outcome.state.stamp - (begun + number * CYCLE)
        assert -0.002 < late < 0.05  # s, behind the absolute deadline: it does not add up
        assert outcome.state.setpoint[0, 0] == pytest.approx(0.02 * number, abs=1e-12)
        assert outcome.timing.overruns == 0
    assert abs(waist(outcome.state) - 0.1) < 0.02


def test_the_loop_looks_when_a_cycle_ends_whenever_it_began(clock: RealTimeClock) -> None:
    late = []
    for wait in (0.0, 0.004, 0.008, 0.012, 0.016):
        clock.reset(START)
        time.sleep(wait)
        begun = time.monotonic()
        late.append(clock.cycle(turn_waist(0.0)).state.stamp - begun - CYCLE)
    assert np.median(late) < 0.004  # s, of a loop period of 20 ms


def test_an_action_is_commanded_on_arrival_and_not_at_the_next_turn_of_the_loop(clock: RealTimeClock) -> None:
    clock.cycle(turn_waist(0.0))
    delays = []
    for wait in (0.003, 0.007, 0.011, 0.015):
        time.sleep(wait)
        delays.append(clock.cycle(turn_waist(0.0)).timing.command_delay)
    assert np.median(delays) < 0.005  # s, of a loop period of 20 ms


def test_without_an_action_the_arm_holds_and_the_cycles_are_counted(clock: RealTimeClock) -> None:
    reached = clock.cycle(turn_waist(0.05)).state.setpoint
    time.sleep(0.32)
    assert np.array_equal(clock.latest.setpoint, reached), "a delta is never repeated"
    assert clock.latest.age() < 0.1, "the loop goes on looking"
    outcome = clock.cycle(turn_waist(0.05))
    assert outcome.timing.overruns >= 3
    assert outcome.state.setpoint[0, 0] == pytest.approx(0.1)
    clock.reset(START)
    assert clock.cycle(turn_waist(0.0)).timing.overruns == 0


def test_cancel_lets_a_waiting_cycle_return_with_the_arm_held(clock: RealTimeClock) -> None:
    clock.cycle(turn_waist(0.0))
    begun = time.monotonic()
    threading.Timer(0.03, clock.cancel).start()
    outcome = clock.cycle(turn_waist(0.1))
    assert outcome.cancelled and time.monotonic() - begun < 0.08
    assert 0.0 < outcome.state.setpoint[0, 0] < 0.08, "part of the ramp was run"
    time.sleep(0.1)
    assert np.array_equal(clock.latest.setpoint, outcome.state.setpoint), "and no more of it"


def test_an_emergency_stop_in_mid_motion_holds_within_two_loop_periods(clock: RealTimeClock, gate: SafetyGate) -> None:
    clock.cycle(turn_waist(0.0))
    stopped: list[float] = []

    def stop() -> None:
        gate.estop()
        stopped.append(clock.latest.setpoint[0, 0])

    threading.Timer(0.03, stop).start()
    outcome = clock.cycle(turn_waist(0.1))
    assert outcome.decision.refusal[0] == Refusal.ESTOP
    assert outcome.state.setpoint[0, 0] <= stopped[0] + 2 * 0.02 * 1.0 + 0.01  # rad, at 1 rad/s
    assert outcome.state.setpoint[0, 0] < 0.1
    gate.clear_estop()
    assert clock.cycle(turn_waist(0.01)).decision.refusal[0] == Refusal.NONE


def test_an_error_of_the_caller_is_the_callers_and_the_loop_goes_on(clock: RealTimeClock) -> None:
    def fail(state: RobotState, age: float, duration: float) -> Decision:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        clock.cycle(fail)
    assert clock.cycle(turn_waist(0.01)).state.setpoint[0, 0] == pytest.approx(0.01)


class BreaksDown(MujocoRobot):
    """An arm whose measurement fails from a moment on."""

    broken = False

    def state(self) -> RobotState:
        if self.broken:
            raise OSError("the cable is out")
        return super().state()


def test_the_death_of_the_loop_reaches_a_waiting_caller_within_a_second(gate: SafetyGate) -> None:
    robot = BreaksDown(MODEL)
    clock = RealTimeClock(robot, Rates(2.0, 50.0), gate.watch)
    clock.reset(START)

    def break_down() -> None:
        robot.broken = True

    threading.Timer(0.1, break_down).start()
    begun = time.monotonic()
    with pytest.raises(RobotFault, match="control loop has died of OSError"):
        clock.cycle(turn_waist(0.05))
    assert time.monotonic() - begun < 1.1
    with pytest.raises(RobotFault, match="the cable is out"):
        clock.reset(START)
    clock.close()


def test_close_ends_the_thread_at_once_and_twice_is_harmless(gate: SafetyGate) -> None:
    before = threading.active_count()
    clock = RealTimeClock(MujocoRobot(MODEL), Rates(), gate.watch)
    clock.reset(START)
    begun = time.monotonic()
    clock.close()
    clock.close()
    assert time.monotonic() - begun < 0.5 and threading.active_count() == before
    with pytest.raises(Closed, match="make it again"):
        clock.cycle(turn_waist(0.0))


# --- an arm that can fail


class Fallible(MujocoRobot):
    """An arm in trouble when told so, whose measurements come 3 ms after each 10 ms of the monotonic clock."""

    wrong = ""
    holds = 0

    def trouble(self) -> str:
        return self.wrong

    def hold(self) -> None:
        self.holds += 1
        super().hold()

    def next_sample(self, after: float) -> float:
        return after + (0.003 - after) % 0.010


@pytest.fixture
def failing(gate: SafetyGate) -> Iterator[RealTimeClock]:
    running = RealTimeClock(Fallible(MODEL), Rates(CYCLE, 50.0), gate.watch, latching=True)
    running.reset(START)
    running.engage()
    yield running
    running.close()


def test_a_fault_ends_the_cycle_and_stays_until_it_is_acknowledged(failing: RealTimeClock, gate: SafetyGate) -> None:
    robot = failing.robot
    assert isinstance(robot, Fallible)
    threading.Timer(0.03, lambda: setattr(robot, "wrong", "the cable is out")).start()
    begun = time.monotonic()
    with pytest.raises(RobotFault, match=r"the cable is out\. The arm holds"):
        failing.cycle(turn_waist(0.1))
    assert time.monotonic() - begun < 0.09 and robot.holds == 1, "within two turns, before the cycle's end"
    with pytest.raises(RobotFault, match="still so: the cable is out"):
        failing.clear()
    robot.wrong = ""
    for forbidden in (lambda: failing.cycle(turn_waist(0.1)), failing.engage):
        with pytest.raises(RobotFault, match="the cable is out"):
            forbidden()
    where = failing.latest.setpoint
    failing.clear()
    time.sleep(0.05)
    assert np.array_equal(failing.latest.setpoint, where), "acknowledging moves nothing"
    failing.engage()
    assert failing.cycle(turn_waist(0.02)).decision.refusal[0] == Refusal.NONE
    assert failing.record.faults == 1 and failing.record.fault == ""


def test_an_emergency_stop_of_such_an_arm_is_a_fault(failing: RealTimeClock, gate: SafetyGate) -> None:
    gate.estop()
    with pytest.raises(RobotFault, match="env/clear_estop"):
        failing.cycle(turn_waist(0.1))
    gate.clear_estop()
    with pytest.raises(RobotFault, match="emergency stop"):
        failing.cycle(turn_waist(0.1))
    failing.clear()
    failing.engage()
    failing.cycle(turn_waist(0.0))


def test_cycles_end_with_a_measurement(failing: RealTimeClock) -> None:
    for pause in (0.0, 0.002, 0.005, 0.008):
        failing.reset(START)
        time.sleep(pause)
        late = []
        for _ in range(3):
            state = failing.cycle(turn_waist(0.0)).state
            late.append((state.stamp - 0.003) % 0.010)
        assert np.median(late) < 0.004, "s after a measurement came"


def test_the_loop_reports_how_it_keeps_its_times(failing: RealTimeClock) -> None:
    for _ in range(5):
        failing.cycle(turn_waist(0.0))
    time.sleep(2.5 * CYCLE)
    failing.cycle(turn_waist(0.0))
    report = failing.record.report()
    assert report["command_delay_count"] == 6 and report["overruns"] >= 2 and report["ticks"] > 30
    assert 0.0 <= report["jitter_p50_ms"] <= report["jitter_p99_ms"] <= report["jitter_max_ms"]
    failing.record.clear()
    assert failing.record.report()["command_delay_count"] == 0
