"""The robot on a pty: Dynamixel servos emulated packet by packet on a serial port, with MuJoCo as the arm they move."""
