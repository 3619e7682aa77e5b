"""IPython and Jupyter: a cell."""

from __future__ import annotations

from otel_agentcost.integrations.work._base import UnitOfWork, entry

UNIT = UnitOfWork(
    name="notebook cell",
    distribution="ipython",
    entries=(entry("IPython.core.interactiveshell", "InteractiveShell", "run_cell_async", kind="async"),),
)
