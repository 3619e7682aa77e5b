"""Builds TraceQL for tables of runs, from the totals on their root spans."""

from __future__ import annotations

from typing import Final

from otel_agentcost.core import semconv

_ROOTS: Final = "(nestedSetParent < 0 || kind = server || kind = consumer)"
"""Root spans of a trace and of its parts in other services; spans of agents within a run have totals too."""


def runs(*select: str, where: str = "") -> str:
    """Return the query for runs of the selected services that cost more than 0, with the attributes in `select`."""
    conditions = [_ROOTS, f"span.{semconv.TRACE_COST} > 0", 'resource.service.name =~ "${service:pipe}"', where]
    chosen = ", ".join(f"span.{name}" for name in select)
    return f"{{ {' && '.join(filter(None, conditions))} }} | select({chosen})"
