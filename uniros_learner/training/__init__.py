"""Training and evaluating policies: one YAML file in, one run folder out."""
