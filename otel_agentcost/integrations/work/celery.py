"""Celery: a task that a worker runs, or that is applied eagerly. A retried task keeps its id, and its allowance."""

from __future__ import annotations

from typing import Any

from otel_agentcost.calls.work import Source
from otel_agentcost.integrations.work._base import UnitOfWork


def _current(state: Any) -> str | None:
    task = state.get_current_worker_task()  # also `app.current_worker_task`: not a task that another calls directly
    return None if task is None or task.request.id is None else str(task.request.id)


UNIT = UnitOfWork(name="Celery task", distribution="celery", source=Source("Celery task", "celery._state", _current))
