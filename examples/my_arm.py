"""A small environment of one's own: a point that shall reach a goal in the plane.

Serve it:   rosrun uniros env_server __ns:=/my_arm _env_id:=my_arm:MyArm     (from this folder)
Try it:     python my_arm.py
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np


class MyArm(gymnasium.Env):
    """Observation: position and goal (m), float32 (4,). Action: velocity (m/s), float32 (2,), for 0.1 s."""

    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._position = np.zeros(2)
        self._goal = self.np_random.uniform(-0.5, 0.5, 2)
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self._position = np.clip(self._position + 0.1 * action, -1.0, 1.0)
        distance = float(np.linalg.norm(self._goal - self._position))
        return self._observation(), -distance, distance < 0.05, False, {"is_success": distance < 0.05}

    def _observation(self) -> np.ndarray:
        return np.concatenate([self._position, self._goal]).astype(np.float32)


if __name__ == "__main__":
    import uniros_learner as uniros

    with uniros.make("my_arm:MyArm") as env:
        observation, _ = env.reset(seed=1)
        steps, terminated = 0, False
        while not terminated:
            direction = 5 * (observation[2:] - observation[:2])
            observation, reward, terminated, _, _ = env.step(np.clip(direction, -1, 1))
            steps += 1
        print(f"through ROS: reached the goal after {steps} steps, {-reward:.3f} m from it")
