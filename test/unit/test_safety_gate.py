"""The safety gate: what it refuses, what it lets through, and what the plant makes of it."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter

import gymnasium
import mujoco
import numpy as np
import pytest
from adversary import ANYWHERE, adversary

from uniros_env_server import registration
from uniros_env_server.robots.mjcf import TABLE, touching
from uniros_env_server.robots.model import Geometry, load_model
from uniros_env_server.robots.mujoco import MujocoRobot
from uniros_env_server.robots.robot import RobotState
from uniros_env_server.safety.clearance import Needs, PathClearance
from uniros_env_server.safety.collision import CollisionModel, cover
from uniros_env_server.safety.gate import SafetyGate, SafetyLimits
from uniros_env_server.safety.refusal import Refusal
from uniros_env_server.tasks.reach import Reach

registration.register()
MODEL = load_model("rx200")
LIMITS = SafetyLimits.load("rx200")
ADVERSARIAL_ACTIONS = int(os.environ.get("UNIROS_ADVERSARIAL_ACTIONS", "1200"))


@pytest.fixture
def gate() -> SafetyGate:
    return SafetyGate(MODEL, LIMITS)


def at(pose: np.ndarray | list[float], setpoint: np.ndarray | None = None, rows: int = 1) -> RobotState:
    """The state of arms at rest at a pose, told to be there unless a set-point says otherwise."""
    robot = MujocoRobot(MODEL, rows)
    robot.reset(np.tile([*pose, MODEL.opening], (rows, 1)))
    state = robot.state()
    return state if setpoint is None else dataclasses.replace(state, setpoint=setpoint)


def moved(state: RobotState, **joints: float) -> np.ndarray:
    target = state.setpoint.copy()
    for name, delta in joints.items():
        target[:, MODEL.arm.index(name)] += delta
    return target


def refusal(gate: SafetyGate, state: RobotState, target: np.ndarray, workspace: object = None, age: float = 0.0) -> str:
    decision = gate.check(state, age, target, 0.1, workspace)
    code = Refusal(decision.refusal[0])
    if code:
        assert np.array_equal(decision.command, state.setpoint)
    else:
        assert np.array_equal(decision.command, target)
    return str(code)


def test_a_harmless_motion_passes_unchanged(gate: SafetyGate) -> None:
    state = at(MODEL.poses["ready"])
    assert refusal(gate, state, moved(state, waist=0.1, elbow=-0.1), Reach().workspace) == ""


@pytest.mark.parametrize(
    ("pose", "motion", "expected"),
    [
        ([3.10, -0.83, 0.59, 0.95, 0], {"waist": 0.1}, "joint_limit"),
        ("ready", {"waist": 0.3}, "velocity"),
        ([0, 0.25, 0.65, 0.67, 0], {"shoulder": 0.1}, "table"),
        ([0, -1.2, 1.4, 1.2, 0], {"wrist_angle": 0.15, "elbow": 0.1}, "self_collision"),
        ([0, -0.55, 0.75, 0.95, 0], {"shoulder": 0.1, "elbow": 0.1}, "workspace"),
    ],
)
def test_each_hazard_is_refused_by_name_and_the_arm_holds(
    gate: SafetyGate, pose: object, motion: dict, expected: str
) -> None:
    state = at(MODEL.poses[pose] if isinstance(pose, str) else pose)
    workspace = Reach().workspace if expected == "workspace" else None
    assert refusal(gate, state, moved(state, **motion), workspace) == expected
    back = moved(state, **{name: -delta / 3 for name, delta in motion.items()})
    assert refusal(gate, state, back, workspace) == "", "the way back must be open"


def test_a_stale_or_broken_state_is_no_ground_to_move_on(gate: SafetyGate) -> None:
    state = at(MODEL.poses["ready"])
    target = moved(state, waist=0.05)
    assert refusal(gate, state, target, age=LIMITS.state_age + 0.01) == "state"
    broken = state.position.copy()
    broken[0, 1] = np.nan
    assert refusal(gate, dataclasses.replace(state, position=broken), target) == "state"


def test_emergency_stop_holds_until_it_is_cleared(gate: SafetyGate) -> None:
    state = at(MODEL.poses["ready"])
    target = moved(state, waist=0.05)
    gate.estop()
    assert refusal(gate, state, state.setpoint.copy()) == "estop", "a learner that stays must hear of it too"
    assert refusal(gate, state, target) == "estop" and gate.watch(state, 0.0) is Refusal.ESTOP
    gate.clear_estop()
    assert refusal(gate, state, target) == "" and gate.watch(state, 0.0) is Refusal.NONE


def test_staying_where_no_motion_would_be_allowed_is_not_refused(gate: SafetyGate) -> None:
    state = at(MODEL.poses["sleep"])  # folded: closer than any margin
    assert refusal(gate, state, state.setpoint.copy(), Reach().workspace) == ""


def test_sleep_may_be_left_but_not_folded_further(gate: SafetyGate) -> None:
    state = at(MODEL.poses["sleep"])
    assert refusal(gate, state, moved(state, elbow=-0.1, shoulder=0.1), Reach().workspace) == ""
    assert refusal(gate, state, moved(state, wrist_angle=0.1)) == "self_collision"


def test_from_below_the_floor_the_way_up_is_open_and_the_way_down_is_not(gate: SafetyGate) -> None:
    state = at([0, 0.25, 0.65, 0.67, 0])
    assert CollisionModel(MODEL).poses(state.positions(MODEL.arm))[0, -1, 2, 3] < Reach().workspace.low[2]
    assert refusal(gate, state, moved(state, shoulder=-0.1), Reach().workspace) == ""
    assert refusal(gate, state, moved(state, elbow=0.02), Reach().workspace) in ("workspace", "table")


@pytest.mark.parametrize(("of", "reach"), [(0, 0.3), (1, 0.8)])
def test_the_way_is_checked_and_not_only_its_end(of: int, reach: float) -> None:
    """Ways that are clear at both ends but not in between, of table (0) or other links (1), are all refused."""
    clearance = PathClearance(MODEL)
    rng = np.random.default_rng(1)
    middle = rng.uniform(*MODEL.limits(MODEL.arm), (60_000, 5))
    middle = middle[np.abs(clearance.at(middle, None)[of] - 0.015) < 0.004]
    way = rng.uniform(-reach, reach, middle.shape)
    needs = Needs(*(np.full((1, 1), 0.015),) * 3)
    passes = clearance.judge((middle - way)[None], middle + way, needs, None)[of, 0]
    points = middle[:, None] + way[:, None] * np.linspace(-1, 1, 41)[:, None]
    found = np.stack(clearance.at(points.reshape(-1, 5), None)[:2])[of].reshape(len(middle), -1)
    ends_are_clear = (found[:, [0, -1]] >= 0.015).all(axis=1)
    fails_between = ends_are_clear & (found.min(axis=1) < 0.014)
    assert fails_between.sum() >= 10, "the sample must hold what the test is about"
    assert not passes[fails_between].any()


def test_a_command_never_leads_the_measured_position_by_more_than_the_lead(gate: SafetyGate) -> None:
    """A link held back by hand: the command stops ahead of it, and follows when it is pushed away."""
    state = at(MODEL.poses["ready"])
    setpoint = state.setpoint.copy()
    for _ in range(10):
        held = dataclasses.replace(state, setpoint=setpoint)
        setpoint = gate.check(held, 0.0, moved(held, waist=0.1), 0.1, None).command
    assert setpoint[0, 0] == pytest.approx(state.position[0, 0] + LIMITS.lead)
    pushed = state.position.copy()
    pushed[0, 0] -= 0.5
    follows = gate.check(dataclasses.replace(state, position=pushed, setpoint=setpoint), 0.0, setpoint, 0.1, None)
    assert follows.command[0, 0] == pytest.approx(pushed[0, 0] + LIMITS.lead)


def test_rows_of_a_batch_are_judged_each_for_itself(gate: SafetyGate) -> None:
    rng = np.random.default_rng(0)
    robot = MujocoRobot(MODEL, 64)
    poses = rng.uniform(-1, 1, (64, 5)) * [3, 0.9, 1.2, 1.5, 3] + [0, -0.2, 0.3, 0.3, 0]
    robot.reset(np.concatenate([poses, np.full((64, 1), MODEL.opening)], axis=1))
    state = robot.state()
    target = state.setpoint.copy()
    target[:, :5] += rng.uniform(-0.15, 0.15, (64, 5))
    together = gate.check(state, 0.0, target, 0.1, Reach().workspace)
    assert len(set(together.refusal)) >= 3
    for row in range(64):
        one = slice(row, row + 1)
        alone = dataclasses.replace(state, position=state.position[one], setpoint=state.setpoint[one])
        decision = gate.check(alone, 0.0, target[one], 0.1, Reach().workspace)
        assert decision.refusal[0] == together.refusal[row]
        assert np.array_equal(decision.command[0], together.command[row])


@pytest.mark.parametrize("geometry", [geometry for link in MODEL.links.values() for geometry in link.geometry])
def test_covering_spheres_hold_all_of_a_primitive(geometry: Geometry) -> None:
    rng = np.random.default_rng(0)
    if geometry.kind == "box":
        points = np.array(geometry.start) + rng.uniform(-0.5, 0.5, (4000, 3)) * geometry.size
    else:
        start, end = np.array(geometry.start), np.array(geometry.end)
        out = rng.normal(size=(4000, 3))
        out *= geometry.radius / np.linalg.norm(out, axis=1, keepdims=True)
        points = start + rng.uniform(size=(4000, 1)) * (end - start) + out
    inside = np.zeros(len(points), dtype=bool)
    for centre, radius in cover(geometry):
        inside |= np.linalg.norm(points - centre, axis=1) <= radius + 1e-9
    assert inside.all()


class PlantWatch:
    """Looks at every physics step of a simulated arm, with formulas of its own and none of the gate's."""

    def __init__(self, robot: MujocoRobot) -> None:
        self.physics, self.world = robot.physics, robot.worlds[0]
        self.steps = 0
        self.fastest = np.zeros(self.physics.nv)
        self.lowest, self.highest = np.full((2, self.physics.nq), [[np.inf], [-np.inf]])
        self.height = self.gap = np.inf
        pairs = [(self.physics.geom(one).id, self.physics.geom(other).id) for one, other in touching(MODEL)]
        table = self.physics.geom(TABLE).id
        self.moving = [other for one, other in pairs if one == table]
        self.pairs = [pair for pair in pairs if pair[0] != table]
        robot._integrate = self.integrate  # type: ignore[method-assign]

    def integrate(self, steps: int) -> None:
        for _ in range(steps):
            mujoco.mj_step(self.physics, self.world)
            self.fastest = np.maximum(self.fastest, np.abs(self.world.qvel))
            self.lowest = np.minimum(self.lowest, self.world.qpos)
            self.highest = np.maximum(self.highest, self.world.qpos)
            self.steps += 1
            if self.steps % 25 == 0:
                self.look()

    def look(self) -> None:
        mujoco.mj_kinematics(self.physics, self.world)
        self.height = min([self.height, *(self.skeleton(geom)[0][:, 2].min() - self.skeleton(geom)[1]
                                          for geom in self.moving)])
        self.gap = min([self.gap, *(self.distance(one, other) for one, other in self.pairs)])

    def placed(self, geom: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.world.geom_xpos[geom], self.world.geom_xmat[geom].reshape(3, 3), self.physics.geom_size[geom]

    def skeleton(self, geom: int) -> tuple[np.ndarray, float]:
        """Points, and a radius about them, that make up a geom: a grid of a box, the axis of a capsule."""
        centre, turn, size = self.placed(geom)
        ticks = np.linspace(-1, 1, 5)
        if self.physics.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX:
            grid = np.stack(np.meshgrid(ticks, ticks, ticks), axis=-1).reshape(-1, 3)
            return centre + (grid * size) @ turn.T, 0.0
        return centre + np.linspace(-1, 1, 17)[:, None] * size[1] * turn[:, 2], size[0]

    def distance(self, one: int, other: int) -> float:
        """From one geom's skin to the other's skeleton, less its radius."""
        points, radius = self.skeleton(other)
        centre, turn, size = self.placed(one)
        local = (points - centre) @ turn
        if self.physics.geom_type[one] == mujoco.mjtGeom.mjGEOM_BOX:
            beyond = np.abs(local) - size
            outside = np.linalg.norm(np.maximum(beyond, 0), axis=1)
            return float((outside + np.minimum(beyond.max(axis=1), 0)).min() - radius)
        local[:, 2] -= np.clip(local[:, 2], -size[1], size[1])
        return float(np.linalg.norm(local, axis=1).min() - size[0] - radius)


@pytest.mark.parametrize(("scale", "box"), [(1.0, {}), (1.5, ANYWHERE)])
def test_no_action_brings_the_plant_below_a_margin_or_beyond_a_limit(scale: float, box: dict) -> None:
    env = gymnasium.make("RX200ReachSim-v0", action_scale=scale, **box).unwrapped
    plant = PlantWatch(env.clock.robot)
    refusals: Counter[str] = Counter()
    for number, action in enumerate(adversary(np.random.default_rng(7), ADVERSARIAL_ACTIONS)):
        if number % 200 == 0:
            env.reset(seed=number)
        refusals[env.step(action)[4]["refusal"]] += 1
    env.close()
    names = MODEL.arm + ("left_finger", "right_finger")
    lower, upper = MODEL.limits(names)
    print(f"\n{ADVERSARIAL_ACTIONS} actions at {scale} rad/s, refused: {dict(refusals)}; lowest link "
          f"{plant.height * 1000:.1f} mm, least gap {plant.gap * 1000:.1f} mm, fastest {plant.fastest.round(2)} rad/s")
    assert refusals["joint_limit"] and refusals["self_collision"] and refusals[""] > ADVERSARIAL_ACTIONS / 4
    assert plant.height >= LIMITS.table
    assert plant.gap >= LIMITS.self_distance
    assert (plant.lowest >= lower).all() and (plant.highest <= upper).all()
    assert (plant.fastest <= MODEL.top_speeds(names)).all()


def test_a_randomly_exploring_policy_moves_about() -> None:
    env = gymnasium.make("RX200ReachSim-v0").unwrapped
    rng = np.random.default_rng(0)
    refused, reached = 0, []
    for episode in range(10):
        env.reset(seed=episode)
        for _ in range(60):
            observation, _, _, _, info = env.step(rng.uniform(-1, 1, 5))
            refused += info["refusal"] != ""
        reached.append(observation[:3])
    env.close()
    assert refused / 600 < 0.15
    assert np.std(reached, axis=0).min() > 0.03  # m
