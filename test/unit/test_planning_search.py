"""Ways that are planned: checked more closely than the planner did, by the safety gate, and by MuJoCo's geometry."""

from __future__ import annotations

import time
from collections.abc import Callable

import mujoco
import numpy as np
import pytest

from uniros_env_server.planning.rrt import connect
from uniros_env_server.planning.search import Search
from uniros_env_server.planning.settings import Settings
from uniros_env_server.planning.timing import timed
from uniros_env_server.planning.trajectory import Trajectory
from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.robots.mjcf import mjcf, touching
from uniros_env_server.robots.model import load_model
from uniros_env_server.robots.robot import RobotState
from uniros_env_server.safety.collision import CollisionModel
from uniros_env_server.safety.gate import SafetyGate, SafetyLimits
from uniros_msgs.errors import NoPath

MODEL = load_model("rx200")
SETTINGS = Settings.load("rx200")
LIMITS = {world: SafetyLimits.load("rx200", world) for world in ("real", "simulated")}
SEARCH = {world: Search(MODEL, LIMITS[world], SETTINGS, 1) for world in LIMITS}
REAL, MARGINS = SEARCH["real"], SEARCH["real"].margins
READY, SLEEP, HOME = (MODEL.poses[name] for name in ("ready", "sleep", "home"))
COLLISION = CollisionModel(MODEL)
PERIODS = 0.02, 0.1  # s that commands may be apart
UNSEEN = 0.00671  # m between links that the gate takes for unseen, at the speed of a reset and 0.1 s
NEEDS = {world: limits.tracking + SETTINGS.spare + np.array([limits.table, limits.self_distance + UNSEEN])
         for world, limits in LIMITS.items()}  # m, of the table and between links
SLIP = 0.0005  # m that may be missed between the planner's looks
GRID = np.stack(np.meshgrid(*3 * [np.linspace(-1, 1, 9)]), axis=-1).reshape(-1, 3)


def within(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def plan(start: np.ndarray, goal: np.ndarray, search: Search = REAL) -> Trajectory:
    return search.plan(np.asarray(start), np.asarray(goal), within(5.0))


def places(seed: int, count: int, search: Search = REAL) -> np.ndarray:
    """Random configurations that keep all margins."""
    margins = search.margins
    q = np.random.default_rng(seed).uniform(margins.lower, margins.upper, (count, 5))
    return q[margins.keeps(q)]


def close_pairs(seed: int, count: int, search: Search = REAL) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of configurations with links close to each other: between those, straight ways are often blocked."""
    near = places(seed, 40_000, search)
    near = near[search.margins.spare(near)[1] < 0.02]
    rng = np.random.default_rng(seed)
    return [near[rng.choice(len(near), 2, replace=False)] for _ in range(count)]


def blocked_pairs(seed: int, count: int, search: Search = REAL) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs without a straight way from one to the other."""
    found = [pair for pair in close_pairs(seed, 12 * count, search) if not search.margins.clear(*pair)]
    assert len(found) >= count, "the sample must hold what the test is about"
    return found[:count]


class Truth:
    """Distances by MuJoCo: between the primitives themselves, and by none of our formulas."""

    def __init__(self) -> None:
        self.physics = mujoco.MjModel.from_xml_string(mjcf(MODEL))
        self.world = mujoco.MjData(self.physics)
        self.columns = [self.physics.joint(name).qposadr[0] for name in MODEL.arm]
        self.pairs = [[self.physics.geom(name).id for name in pair] for pair in touching(MODEL)]
        self.of_table = np.array([0 in pair for pair in self.pairs])

    def distances(self, q: np.ndarray) -> tuple[float, float]:
        """m from the table to the lowest link, and between the two nearest links."""
        self.world.qpos[:] = 0.015  # the fingers, closed
        self.world.qpos[self.columns] = q
        mujoco.mj_kinematics(self.physics, self.world)
        found = np.array([self.distance(*pair) for pair in self.pairs])
        return float(found[self.of_table].min()), float(found[~self.of_table].min())

    def distance(self, one: int, other: int) -> float:
        """m. Between boxes that are apart MuJoCo 3.10 at times answers 0: for those, from a grid on one of them."""
        if not (self.physics.geom_type[[one, other]] == mujoco.mjtGeom.mjGEOM_BOX).all():
            return float(mujoco.mj_geomDistance(self.physics, self.world, one, other, 0.5, None))
        points = GRID * self.physics.geom_size[other] @ self.world.geom_xmat[other].reshape(3, 3).T
        points = points + self.world.geom_xpos[other] - self.world.geom_xpos[one]
        local = points @ self.world.geom_xmat[one].reshape(3, 3)
        return float(np.linalg.norm(np.maximum(np.abs(local) - self.physics.geom_size[one], 0), axis=1).min())


TRUTH = Truth()


def clearances(q: np.ndarray) -> np.ndarray:
    """(M, 2) m from the table and between links, a few at a time: that is quicker."""
    poses = map(COLLISION.poses, np.array_split(q, -(-len(q) // 128)))
    return np.concatenate([np.stack([COLLISION.height(some), COLLISION.gap(some)], axis=1) for some in poses])


def check(trajectory: Trajectory, start: np.ndarray, goal: np.ndarray, world: str = "real") -> None:
    """All there is to say about a trajectory between two places that keep their margins."""
    limits, search = LIMITS[world], SEARCH[world]
    np.testing.assert_allclose(trajectory.positions[[0, -1]], [start, goal], atol=1e-9)
    assert not trajectory.velocities[[0, -1]].any()
    times = np.linspace(0, trajectory.duration, max(2, int(trajectory.duration / 0.001)))
    q, velocity = trajectory.at(times)
    acceleration = np.diff(velocity, axis=0) / max(times[-1] / (len(times) - 1), 1e-9)
    assert (np.abs(velocity) <= 0.3 * np.array([np.pi, 2.35, np.pi, np.pi, np.pi]) + 1e-9).all()
    assert (np.abs(acceleration) <= 5.0 + 1e-6).all()
    lower, upper = MODEL.limits(MODEL.arm)
    assert (q >= lower + 0.03 - 1e-9).all() and (q <= upper - 0.03 + 1e-9).all()
    assert (clearances(q).min(axis=0) >= NEEDS[world] - SLIP).all()
    for sample in q[:: max(1, len(q) // 12)]:
        table, links = TRUTH.distances(sample)
        assert table >= limits.table + limits.tracking and links >= limits.self_distance + limits.tracking
    assert search.margins.keeps(q[-1:])[0]


def state(q: np.ndarray) -> RobotState:
    position = np.zeros((1, len(MODEL.published)))
    position[0, [MODEL.published.index(name) for name in MODEL.arm]] = q
    setpoint = np.array([[*q, MODEL.opening]])
    return RobotState(MODEL.published, position, 0 * position, 0 * position, MODEL.commanded, setpoint,
                      time.monotonic(), time.time())


def refused(trajectory: Trajectory, world: str = "real") -> list[tuple[float, float]]:
    """Periods and times (s) at which the safety gate refuses the trajectory, commanded ramp by ramp."""
    gate, found = SafetyGate(MODEL, LIMITS[world]), []
    for period in PERIODS:
        times = np.arange(0, trajectory.duration + period, period)
        q = trajectory.at(times)[0]
        found += [(period, now) for now, here, there in zip(times, q[:-1], q[1:], strict=False)
                  if gate.check(state(here), 0.0, np.array([[*there, MODEL.opening]]), period, None).refusal[0]]
    return found


@pytest.mark.parametrize("world", ["real", "simulated"])
def test_random_ways_keep_every_limit_and_the_gate_lets_them_pass(world: str) -> None:
    search = SEARCH[world]
    q = places(10, 500, search)[:200]
    for start, goal in zip(q[::2], q[1::2], strict=True):
        trajectory = plan(start, goal, search)
        check(trajectory, start, goal, world)
        assert refused(trajectory, world) == []


@pytest.mark.parametrize("world", ["real", "simulated"])
def test_ways_around_what_blocks_the_straight_one_do_too(world: str) -> None:
    search = SEARCH[world]
    for start, goal in blocked_pairs(11, 25, search):
        trajectory = plan(start, goal, search)
        check(trajectory, start, goal, world)
        assert refused(trajectory, world) == []


def test_shortcuts_leave_no_detour() -> None:
    """No corner that could be passed by is left, and in all ways take much less time than those that OMPL found."""
    found, shortened = 0.0, 0.0
    for start, goal in blocked_pairs(12, 12):
        trajectory = plan(start, goal)
        corners = trajectory.positions[~trajectory.velocities.any(axis=1)]
        assert not any(MARGINS.clear(*pair) for pair in zip(corners, corners[2:], strict=False))
        raw = connect(MARGINS, start, [goal], 1, within(5.0))
        assert raw is not None
        found += timed(MODEL.arm, raw, SETTINGS.bounds(MODEL)).duration
        shortened += trajectory.duration
    assert shortened < 0.8 * found


def test_a_way_that_grazes_something_between_two_clear_ends_is_seen() -> None:
    """Everything that a look every 0.5 mm finds, the planner has found, however short the stretch."""
    grazing = 0
    for one, other in close_pairs(13, 120):
        samples = int(COLLISION.travel(one[None], other[None])[0] / 0.0005)
        spare = (clearances(one + (other - one) * np.linspace(0, 1, samples)[:, None]) - NEEDS["real"]).min()
        if spare < -SLIP:
            grazing += spare > -0.01
            assert not MARGINS.clear(one, other)
        if spare > 0.00025:
            assert MARGINS.clear(one, other), "and nothing is refused for no reason"
    assert grazing >= 5, "the sample must hold what the test is about"


def test_from_sleep_to_ready_and_back() -> None:
    """Folded up, the arm is nearer to itself and to the table than margins allow; it may leave, and come back."""
    assert (MARGINS.spare(SLEEP[None]) < 0).all()
    out, back = plan(SLEEP, READY), plan(READY, SLEEP)
    assert refused(out) == []
    spare = MARGINS.spare(out.at(np.linspace(0, out.duration, 2000))[0])
    for row in spare:
        first = np.argmax(row >= 0)
        assert (np.diff(row[: first + 1]) >= -1e-6).all(), "clearance grows until it suffices"
        assert (row[first:] >= -0.0005).all(), "and does from then on"
    assert back.duration == pytest.approx(out.duration)
    np.testing.assert_allclose(back.at(0.5)[0], out.at(out.duration - 0.5)[0], atol=1e-9)
    assert plan(SLEEP, SLEEP).duration == 0


def test_any_place_an_arm_can_be_in_can_be_left() -> None:
    """Pushed by hand towards the table and into itself, as far as links do not yet touch; and then home."""
    rng = np.random.default_rng(6)
    q = rng.uniform(*MODEL.limits(MODEL.arm), (20_000, 5))
    table, links = MARGINS.spare(q)
    pushed = q[~MARGINS.keeps(q) & (table > -0.038) & (links > -0.03)]
    assert len(pushed) > 500
    corners = []
    for start in pushed[:100]:
        trajectory = plan(start, HOME)
        np.testing.assert_allclose(trajectory.positions[[0, -1]], [start, HOME], atol=1e-9)
        assert refused(trajectory) == []
        corners.append(int((~trajectory.velocities.any(axis=1)).sum()))
    assert max(corners) > 2, "some have no straight way out"


def test_an_arm_that_cannot_be_where_it_is_said_to_be_stays() -> None:
    with pytest.raises(NoPath, match=r"no motion leads out: a link and the table would be 0 mm apart, .* by hand"):
        plan([0.67, 1.86, 0.88, 1.33, -2.8], HOME)


@pytest.mark.parametrize(
    ("goal", "why"),
    [
        ([0, 1.2, 0.3, 0, 0], r"a link and the table would be \d+ mm apart, 40 mm are needed"),
        ([0, -1.2, 1.5, 1.4, 0], r"two links would be \d+ mm apart, 27 mm are needed"),
        ([3.13, -0.83, 0.59, 0.95, 0], r"waist would stand at 3\.130 rad, it may from -3\.112 to 3\.112"),
        (SLEEP + 0.002, "two links would be"),
    ],
)
def test_a_goal_that_breaks_a_margin_is_refused(goal: list[float], why: str) -> None:
    with pytest.raises(NoPath, match=f"^the goal is no place to rest: .*{why}.* Choose a goal"):
        plan(READY, goal)


def test_when_time_is_over_the_reason_is_what_is_in_the_way() -> None:
    ((start, goal),) = blocked_pairs(14, 1)
    with pytest.raises(NoPath, match=r"no way was found in the time there was: \d+ % along .* mm are needed"):
        REAL.plan(start, goal, lambda: True)


def test_the_same_question_has_the_same_answer() -> None:
    """Whatever was asked before; and another seed finds another way."""
    pairs = blocked_pairs(15, 4)
    first = [plan(*pair) for pair in pairs]
    other = Search(MODEL, LIMITS["real"], SETTINGS, 2)
    assert any(not np.array_equal(plan(*pair, other).times, one.times) for pair, one in zip(pairs, first, strict=True))
    for pair, before in reversed([*zip(pairs, first, strict=True)]):
        again = plan(*pair)
        assert np.array_equal(again.times, before.times) and np.array_equal(again.positions, before.positions)


class TestToPose:
    kinematics = Kinematics(MODEL)

    @pytest.mark.parametrize("start", [READY, SLEEP, np.array([2.5, -1.0, 0.5, 0.5, 1.0])])
    def test_the_tool_arrives_by_a_way_that_keeps_all_margins(self, start: np.ndarray) -> None:
        for position in places(20, 30):
            point = self.kinematics.position(position)[0]
            trajectory = REAL.to_pose(start, point, None, within(5.0))
            end = trajectory.positions[-1]
            np.testing.assert_allclose(self.kinematics.position(end)[0], point, atol=2e-4)
            if start is not SLEEP:
                check(trajectory, start, end)
            assert refused(trajectory) == []

    def test_of_several_solutions_one_near_by_is_chosen(self) -> None:
        point = self.kinematics.position(READY)[0] + [0.0, 0.0, 0.03]
        aims = REAL.aims(READY, point, None)
        turns = [np.abs(aim - READY).max() for aim in aims]
        assert len(aims) > 3 and turns == sorted(turns) and turns[0] < 0.3
        assert np.array_equal(REAL.to_pose(READY, point, None, within(5.0)).positions[-1], aims[0])

    def test_where_the_nearest_solution_breaks_a_margin_another_is_found(self) -> None:
        """Inverse kinematics from ready bends the arm down to the table behind it; there are better ways to stand."""
        point = np.array([-0.371, -0.089, 0.166])
        low = self.kinematics.ik(point, READY, margin=0.03)
        assert low.success[0] and not MARGINS.keeps(low.q)[0]
        trajectory = REAL.to_pose(READY, point, None, within(5.0))
        check(trajectory, READY, trajectory.positions[-1])

    def test_with_an_orientation_the_tool_is_turned_as_asked(self) -> None:
        """Orientations of random configurations, given as quaternions by MuJoCo, with either sign."""
        quaternion = np.empty(4)
        for number, place in enumerate(places(21, 20)[:10]):
            pose = self.kinematics.fk(place)[0]
            mujoco.mju_mat2Quat(quaternion, pose[:3, :3].ravel())
            xyzw = np.roll(quaternion, -1) * (-1) ** number
            end = REAL.to_pose(READY, pose[:3, 3], xyzw, within(5.0)).positions[-1]
            reached = self.kinematics.fk(end)[0]
            np.testing.assert_allclose(reached[:3, 3], pose[:3, 3], atol=1e-3)
            assert np.trace(reached[:3, :3].T @ pose[:3, :3]) >= 1 + 2 * np.cos(0.02) - 1e-9

    @pytest.mark.parametrize(
        ("position", "orientation", "why"),
        [
            ([0.8, 0.0, 0.2], None, r"no joint positions bring the tool to \(0\.800, 0\.000, 0\.200\) m: \d+ mm are"),
            ([0.25, 0.0, 0.01], None, r"the tool cannot rest at .* a link and the table would be \d+ mm apart"),
            ([0.25, 0.1, 0.2], [0, 0, 1, 0], r"with 5 joints does not bring the tool .* \d\.\d+ rad are left at best"),
        ],
    )
    def test_a_pose_out_of_reach_is_refused(self, position: list[float], orientation: object, why: str) -> None:
        turn = None if orientation is None else np.array(orientation, dtype=float)
        with pytest.raises(NoPath, match=why):
            REAL.to_pose(READY, np.array(position), turn, within(5.0))


class TestJudge:
    """Ways that another planner found."""

    def test_our_own_are_accepted(self) -> None:
        for start, goal in ((SLEEP, READY), (READY, SLEEP), (READY, HOME)):
            REAL.judge(plan(start, goal).at(np.linspace(0, 3, 40))[0])

    def test_one_that_dips_below_a_margin_is_not(self) -> None:
        low = np.array([0.0, 0.9, 0.2, 0.2, 0.0])
        with pytest.raises(NoPath, match=r"the way planned is not clear: .* a link and the table"):
            REAL.judge(np.stack([READY, low, HOME]))
        with pytest.raises(NoPath, match="not clear"):
            REAL.judge(np.stack([READY, SLEEP, READY]))
