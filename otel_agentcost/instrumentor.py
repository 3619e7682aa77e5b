"""The OpenTelemetry instrumentor that the command `opentelemetry-instrument` loads.

`runtime.py` does the work. This module is separate because its base class takes longer to import than the rest of the
package, and `otel_agentcost.instrument()` does not need it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # opts out of mypy

from otel_agentcost import runtime


class AgentCostInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # see the import
    """OpenTelemetry instrumentor of all supported model SDKs and tool frameworks.

    `instrument` takes the keyword arguments of `otel_agentcost.instrument`, all optional: `tracer_provider`,
    `meter_provider`, `logger_provider` and `settings`. `uninstrument` takes none. Both share their state with
    `otel_agentcost.instrument` and `otel_agentcost.uninstrument`: after a call of either, the other does nothing.

    Example:
        AgentCostInstrumentor().instrument(tracer_provider=provider)
    """

    @property
    def _is_instrumented_by_opentelemetry(self) -> bool:
        return runtime.running()

    @_is_instrumented_by_opentelemetry.setter
    def _is_instrumented_by_opentelemetry(self, _value: bool) -> None:
        """Ignore the flag that the base class sets: code may have started the runtime without this class."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return no dependencies: an SDK is patched if and when the application imports it."""
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
