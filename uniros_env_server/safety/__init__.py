"""Safety: what stands between every command and every robot, in simulation too."""
