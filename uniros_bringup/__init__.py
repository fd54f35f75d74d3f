"""Masters and processes: start, verify, supervise, stop."""
