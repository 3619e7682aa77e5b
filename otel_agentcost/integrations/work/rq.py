"""RQ: a job that a worker runs."""

from __future__ import annotations

from typing import Any

from otel_agentcost.calls.work import Source
from otel_agentcost.integrations.work._base import UnitOfWork


def _current(module: Any) -> str | None:
    job = module.get_current_job()
    return None if job is None else str(job.id)


UNIT = UnitOfWork(name="RQ job", distribution="rq", source=Source("RQ job", "rq.job", _current))
