"""Recorded exchanges with real providers, through the real SDKs."""
