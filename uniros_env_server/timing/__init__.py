"""Time: lock-step and real-time clocks, and the record of how well they kept it."""
