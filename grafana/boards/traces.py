"""TraceQL for tables of runs: the totals on the span that a run began with."""

from __future__ import annotations

from typing import Final

from otel_agentcost.core import semconv

_ROOTS: Final = "(nestedSetParent < 0 || kind = server || kind = consumer)"
"""The first span of a trace, and of what another service began in it; agents' spans inside have totals too."""


def runs(*select: str, where: str = "") -> str:
    """The runs of the chosen services that cost something, each with the attributes of `select`."""
    conditions = [_ROOTS, f"span.{semconv.TRACE_COST} > 0", 'resource.service.name =~ "${service:pipe}"', where]
    chosen = ", ".join(f"span.{name}" for name in select)
    return f"{{ {' && '.join(filter(None, conditions))} }} | select({chosen})"
