#!/usr/bin/env python3
"""Each knob is turned by a dynparam process of its own while a learner steps; the arm then does what physics says."""

from __future__ import annotations

import subprocess
import time
import unittest

import gymnasium
import numpy as np
import rosgraph
import rospy
import rostest
from arm_statics import gravity_torques
from rospy.msg import AnyMsg

import uniros_learner as uniros
from uniros_env_server import registration
from uniros_env_server.robots.model import load_model
from uniros_msgs.knobs import Learner
from uniros_msgs.srv import Describe
from uniros_msgs.transitions import unpack

MODEL = load_model("rx200")
READY = MODEL.poses["ready"]
STIFFNESS = np.array([MODEL.simulation["gains"][name][0] for name in MODEL.arm])  # Nm/rad
STAY = np.zeros(5, np.float32)
ARM = slice(7, 12)  # the arm's positions in an observation
SIM, REAL_TIME = "rx200", "rx200_real_time"
DYNPARAM = "rosrun dynamic_reconfigure dynparam set"
TURNED = {"gravity": -5.0, "friction": 0.0}  # first, alone
PHYSICS = TURNED | {"time_step": 0.004, "damping": 3.0, "position_gain": 1.25, "velocity_gain": 1.5, "mass": 1.5,
                    "latency": 0.06, "position_noise": 0.01, "velocity_noise": 0.1}
CYCLE = {"cycle_time": 0.2, "action_scale": 0.8, "smoothing": 0.5, "velocity_scale": 0.5, "tolerance": 0.05}


def connect(ns: str) -> uniros.GymProxy:
    rospy.wait_for_service(f"/{ns}/env_server/physics/set_parameters", 20)
    env = uniros.connect(rosgraph.get_master_uri(), f"/{ns}")
    env.reset(seed=1)
    return env


def turn(env: uniros.GymProxy, ns: str, **groups: dict[str, object]) -> None:
    """One shell command for each knob, all at once, while `env` goes on stepping."""
    shells = [subprocess.Popen(["bash", "-c", f"{DYNPARAM} /{ns}/env_server/{group} {name} {value}"])
              for group, values in groups.items() for name, value in values.items()]
    while any(shell.poll() is None for shell in shells):
        env.step(STAY)
        time.sleep(0.01)  # s; the shells want the cores, too
    assert [shell.returncode for shell in shells] == [0] * len(shells)


def knobs(env: uniros.GymProxy) -> dict[str, dict[str, float]]:
    return env.get_wrapper_attr("knobs")


def episode(env: gymnasium.Env) -> np.ndarray:
    """(8, 28) observations: the waist to and fro."""
    first = env.reset(seed=7)[0]
    return np.array([first, *(env.step(STAY + [wave, 0, 0, 0, 0])[0] for wave in (1, 1, 1, 1, -1, -1, 0.5))])


def in_process(physics: dict[str, float], cycle: dict[str, float]) -> np.ndarray:
    """The same episode without ROS."""
    env = gymnasium.make("RX200ReachSim-v0")
    env.unwrapped.tuning.turn("physics", physics)
    env.unwrapped.tuning.turn("cycle", cycle)
    return episode(env)


class Knobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        registration.register()
        cls.env, cls.real_time = connect(SIM), connect(REAL_TIME)
        cls.addClassCleanup(cls.env.close)
        cls.addClassCleanup(cls.real_time.close)

    def test_1_at_less_gravity_the_arm_hangs_less_by_the_figure_physics_says(self) -> None:
        turn(self.env, SIM, physics=TURNED)
        self.env.reset(seed=1)
        for _ in range(20):
            observation, *_ = self.env.step(STAY)
        droop = gravity_torques(MODEL, READY, -5.0) / STIFFNESS  # rad
        np.testing.assert_allclose((observation[ARM] - READY)[1:4], droop[1:4], rtol=0.03)
        self.assertGreater(droop[2], 2e-3)

    def test_2_every_knob_of_the_physics_counts(self) -> None:
        turn(self.env, SIM, physics={name: value for name, value in PHYSICS.items() if name not in TURNED})
        np.testing.assert_array_equal(episode(self.env), in_process(PHYSICS, {}))
        for name in PHYSICS:
            others = {other: value for other, value in PHYSICS.items() if other != name}
            self.assertGreater(np.abs(in_process(others, {}) - in_process(PHYSICS, {})).max(), 1e-5, name)

    def test_3_every_knob_of_the_cycle_counts_and_is_told(self) -> None:
        describe, batches = rospy.ServiceProxy(f"/{SIM}/env/describe", Describe), []
        listener = rospy.Subscriber(f"/{SIM}/env/transitions", AnyMsg, lambda raw: batches.append(unpack(raw._buff)))
        self.addCleanup(listener.unregister)
        old = describe()
        turn(self.env, SIM, cycle=CYCLE, physics={"real_time_factor": 5})
        new = describe()
        self.assertEqual((new.cycle_time, new.spec_hash == old.spec_hash), (0.2, False))
        begun = time.monotonic()
        seen = episode(self.env)
        self.assertGreaterEqual(time.monotonic() - begun, 0.27)  # s, for 1.4 simulated ones
        np.testing.assert_array_equal(seen, in_process(PHYSICS, CYCLE))
        for name in CYCLE.keys() - {"tolerance"}:
            others = {other: value for other, value in CYCLE.items() if other != name}
            self.assertGreater(np.abs(in_process(PHYSICS, others) - seen).max(), 1e-3, name)
        self.assertEqual(self.env.describe_task()["parameters"]["tolerance"], 0.05)
        self.env.reset()
        rospy.sleep(0.2)
        noted = {name: value for batch in batches for _, values in batch.settings for name, value in values.items()}
        self.assertEqual({name: noted.get(name) for name in CYCLE}, CYCLE)
        self.assertEqual(batches[-1].spec_hash, new.spec_hash)

    def test_4_what_cannot_be_is_refused(self) -> None:
        before = knobs(self.env)
        turn(self.env, SIM, physics={"gravity": "nan", "mass": 1000, "real_time_factor": 0.001},
             cycle={"action_scale": 2.0, "velocity_scale": 1.1, "watchdog": 0.5})  # beyond safety.yaml
        self.assertEqual(knobs(self.env), before)

    def test_5_real_time(self) -> None:
        env = self.real_time
        env.step(STAY)
        silences = env.timing_report()["silences"]
        time.sleep(0.1)
        env.step(STAY)
        self.assertEqual(env.timing_report()["silences"], silences)
        turn(env, REAL_TIME, physics={"real_time_factor": 2.0}, cycle={"watchdog": 0.04, "cycle_time": 0.16})
        begun, silences = time.monotonic(), env.timing_report()["silences"]
        for _ in range(10):
            env.step(STAY)
        self.assertAlmostEqual(time.monotonic() - begun, 0.8, delta=0.15)  # s, for 1.6 simulated ones
        time.sleep(0.1)
        env.step(STAY)
        self.assertEqual(env.timing_report()["silences"], silences + 1)
        turn(env, REAL_TIME, cycle={"cycle_time": 0.09})  # no whole number of the loop's periods
        self.assertEqual(knobs(env)["cycle"]["cycle_time"], 0.16)

    def test_6_the_learner(self) -> None:
        from stable_baselines3 import TD3  # takes a second: not before the others are through
        from stable_baselines3.common.callbacks import ConvertCallback

        from uniros_learner.training.knobs import LearnerKnobs

        class Mix:
            real_share = 0.5

        knobs, shells = LearnerKnobs(Mix()), []
        model = TD3("MlpPolicy", "Pendulum-v1", learning_rate=1e-3, learning_starts=10, batch_size=4, seed=0,
                    policy_kwargs={"net_arch": [4]}, device="cpu")

        def on_step(_: dict, __: dict) -> bool:
            if not shells:
                self.assertEqual(knobs.values, Learner(1e-3, 0.0, 1, 0.5))
                wanted = {"learning_rate": 2e-4, "exploration_noise": 0.3, "updates_per_step": 3, "real_share": 0.25}
                shells.extend(subprocess.Popen(["bash", "-c", f"{DYNPARAM} {rospy.get_name()} {name} {value}"])
                              for name, value in (wanted | {"gone": 1}).items())
            return any(shell.poll() is None for shell in shells)

        model.learn(100_000, [knobs, ConvertCallback(on_step)])
        self.assertEqual(knobs.values, Learner(2e-4, 0.3, 3, 0.25))
        updates, model.learning_starts = model._n_updates, 0
        model.learn(10)
        self.assertEqual(model._n_updates - updates, 30)
        self.assertEqual({group["lr"] for group in model.actor.optimizer.param_groups}, {2e-4})
        self.assertAlmostEqual(float(np.std([model.action_noise() for _ in range(2000)])), 0.3, delta=0.02)


if __name__ == "__main__":
    rospy.init_node("knobs_test")
    rostest.rosrun("uniros", "knobs", Knobs)
