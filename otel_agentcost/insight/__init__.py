"""Insights: pure functions over what a store has recorded. Nothing here reads a clock, a file or the environment."""
