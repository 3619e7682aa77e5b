"""OpenTelemetry spans, exact dollars and budgets for what AI agents spend."""

from __future__ import annotations

from otel_agentcost.version import __version__

__all__ = ["__version__"]
