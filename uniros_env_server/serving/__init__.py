"""Serving: one environment or a batch behind actions and services, and what people may see of it."""
