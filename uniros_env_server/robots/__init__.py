"""Robots: their description as data, and the arms behind the small contract of `robot.Robot`."""
