"""Generates boards and alerts for Honeycomb (from spans) and Datadog (from metrics)."""
