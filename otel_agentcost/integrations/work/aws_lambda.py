"""AWS Lambda: an invocation. The process serves one after the other, each for as long as it is warm."""

from __future__ import annotations

from typing import Any

from otel_agentcost.integrations.work._base import Arguments, UnitOfWork, entry


def _identity(args: Arguments, kwargs: dict[str, Any]) -> str | None:
    return str(args[2] if len(args) > 2 else kwargs["invoke_id"])


UNIT = UnitOfWork(
    name="Lambda invocation",
    distribution="awslambdaric",
    entries=(entry("awslambdaric.bootstrap", "", "handle_event_request", identity=_identity),),
)
