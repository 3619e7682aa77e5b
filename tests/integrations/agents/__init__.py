"""Agents of frameworks: one file a framework, each run in an environment that has it (`tools/environments.py`)."""
