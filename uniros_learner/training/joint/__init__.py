"""One policy that learns in several environments at once: simulations go as fast as they can, arms as time does."""
