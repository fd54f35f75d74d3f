"""One policy that learns in several environments at once: in simulation as fast as it goes, on robots as time passes."""
