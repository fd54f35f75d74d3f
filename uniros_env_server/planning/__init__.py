"""Ways from where an arm is to where it is wanted, clear of the table and of itself, and how to travel them in time."""
