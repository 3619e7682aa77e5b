"""Boards and alerts of vendors: for Honeycomb from spans, for Datadog from metrics; files, no accounts."""
