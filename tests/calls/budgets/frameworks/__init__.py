"""Agents of the frameworks that people use, under a budget. `make neighbours` installs them and runs these tests."""
