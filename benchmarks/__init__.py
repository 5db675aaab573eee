"""Measurements, not tests: nothing here asserts on time."""
