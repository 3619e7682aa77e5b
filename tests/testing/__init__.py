"""Tests of `otel_agentcost.testing`, the way an adopter uses it."""
