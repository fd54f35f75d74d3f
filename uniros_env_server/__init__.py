"""Everything that runs beside the robot: the action server, tasks, robots and safety."""
