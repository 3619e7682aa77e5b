"""OpenTelemetry spans, exact dollars and budgets for what AI agents spend.

import otel_agentcost

otel_agentcost.instrument()      # what `opentelemetry-instrument` does by itself

with otel_agentcost.attribute(user="u1", feature="support"):
    client.chat.completions.create(...)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_agentcost import runtime
from otel_agentcost._version import __version__
from otel_agentcost.calls.decorators import tool, tool_call
from otel_agentcost.calls.runs import adjust, refund, run
from otel_agentcost.errors import AgentCostError, BudgetExceeded, LoopDetected, SettingsError
from otel_agentcost.settings import Settings
from otel_agentcost.telemetry.attribution import attribute

if TYPE_CHECKING:
    from otel_agentcost.instrumentor import AgentCostInstrumentor

__all__ = [
    "AgentCostError",
    "AgentCostInstrumentor",
    "BudgetExceeded",
    "LoopDetected",
    "Settings",
    "SettingsError",
    "__version__",
    "adjust",
    "attribute",
    "instrument",
    "refund",
    "run",
    "tool",
    "tool_call",
    "uninstrument",
]


def instrument(
    *,
    tracer_provider: Any = None,
    meter_provider: Any = None,
    logger_provider: Any = None,
    settings: Settings | None = None,
) -> None:
    """Puts tokens and dollars on every model call from now on, of SDKs imported already and of those to come.

    Without arguments it uses the global providers and the environment's settings. Doing it twice is harmless. A
    setting that cannot be understood is logged in one sentence and nothing is instrumented; nothing is raised.
    """
    runtime.start(
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        logger_provider=logger_provider,
        settings=settings,
    )


def uninstrument() -> None:
    """Restores every patched SDK; calls under way are still settled."""
    runtime.stop()


def __getattr__(name: str) -> Any:
    # The instrumentor's base class costs more to import than all of this package: only who asks for it pays.
    if name == "AgentCostInstrumentor":
        from otel_agentcost.instrumentor import AgentCostInstrumentor  # noqa: PLC0415

        return AgentCostInstrumentor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
