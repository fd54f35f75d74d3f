"""Environments: task, robot, gate and clock put together as a gymnasium.Env, or a batch of them."""
