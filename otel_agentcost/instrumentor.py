"""`AgentCostInstrumentor`: what `opentelemetry-instrument` loads, as any OpenTelemetry instrumentor.

It only speaks that interface; the work is in `runtime.py`. Kept apart because the base class costs more to import than
all of this package, which `otel_agentcost.instrument()` need not pay.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # opts out of mypy

from otel_agentcost import runtime


class AgentCostInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # see the import
    """Puts tokens and dollars on every model call of the SDKs that the application uses.

    `instrument(tracer_provider=..., meter_provider=..., logger_provider=..., settings=...)`: all optional; by default
    the global providers and the settings of the environment. The same as `otel_agentcost.instrument`, whichever comes
    first.
    """

    @property
    def _is_instrumented_by_opentelemetry(self) -> bool:
        return runtime.running()

    @_is_instrumented_by_opentelemetry.setter
    def _is_instrumented_by_opentelemetry(self, _value: bool) -> None:
        """The base class keeps a flag of its own; the truth is in the runtime, which code can start too."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: each SDK is patched if and when the application imports it."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        runtime.start(
            tracer_provider=kwargs.get("tracer_provider"),
            meter_provider=kwargs.get("meter_provider"),
            logger_provider=kwargs.get("logger_provider"),
            settings=kwargs.get("settings"),
        )

    def _uninstrument(self, **kwargs: Any) -> None:
        del kwargs
        runtime.stop()
