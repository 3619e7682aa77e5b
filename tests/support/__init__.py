"""Shared by several rooms: servers, telemetry in memory, replies, call shapes."""
