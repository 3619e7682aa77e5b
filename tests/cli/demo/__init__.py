"""Tests of the demo: its server through the real SDKs, and the command as a user runs it."""
