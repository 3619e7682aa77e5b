"""The other instrumentations that a call may meet, each as one value: its name, and how to switch it on and off.

The real packages, as `pip install 'otel-agentcost[coexist]'` brings them. Imported when a test asks for one.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.in_memory import Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """One instrumentation of one SDK."""

    name: str
    sdk: str
    module: str
    """Of its instrumentor; empty for what the SDK itself does."""
    instrumentor: str = ""
    scope: str = ""
    """How the instrumentation scope of its spans begins."""

    @property
    def installed(self) -> bool:
        """Whether its package is there."""
        try:
            return not self.module or importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:
            return False

    def instrument(self, telemetry: Telemetry, theirs: Telemetry) -> None:
        """Switches it on: its spans go to `telemetry`, with ours; its metrics, which have the names of ours, do not."""
        if self.module:
            self._instrumentor().instrument(
                tracer_provider=telemetry.tracer_provider,
                meter_provider=theirs.meter_provider,
                skip_dep_check=True,
            )

    def uninstrument(self) -> None:
        """Switches it off; harmless where it is not on."""
        if self.module:
            instrumentor = self._instrumentor()
            if instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.uninstrument()

    def _instrumentor(self) -> Any:
        return getattr(importlib.import_module(self.module), self.instrumentor)()


NATIVE = Neighbour(name="native", sdk="anthropic", module="", scope="com.anthropic.sdk.python")
"""What anthropic 2.12 does by itself, unless it is told not to."""

NEIGHBOURS: Sequence[Neighbour] = (
    Neighbour(
        name="official",
        sdk="openai",
        module="opentelemetry.instrumentation.genai.openai",
        instrumentor="OpenAIInstrumentor",
        scope="opentelemetry.instrumentation.genai.openai",
    ),
    Neighbour(
        name="openllmetry",
        sdk="openai",
        module="opentelemetry.instrumentation.openai",
        instrumentor="OpenAIInstrumentor",
        scope="opentelemetry.instrumentation.openai",
    ),
    Neighbour(
        name="openinference",
        sdk="openai",
        module="openinference.instrumentation.openai",
        instrumentor="OpenAIInstrumentor",
        scope="openinference.instrumentation.openai",
    ),
    Neighbour(
        name="official",
        sdk="anthropic",
        module="opentelemetry.instrumentation.genai.anthropic",
        instrumentor="AnthropicInstrumentor",
        scope="opentelemetry.instrumentation.genai.anthropic",
    ),
    Neighbour(
        name="openllmetry",
        sdk="anthropic",
        module="opentelemetry.instrumentation.anthropic",
        instrumentor="AnthropicInstrumentor",
        scope="opentelemetry.instrumentation.anthropic",
    ),
    Neighbour(
        name="openinference",
        sdk="anthropic",
        module="openinference.instrumentation.anthropic",
        instrumentor="AnthropicInstrumentor",
        scope="openinference.instrumentation.anthropic",
    ),
    NATIVE,
)


def neighbours(sdk: str, *names: str) -> tuple[Neighbour, ...]:
    """Those of `sdk` that are called `names`; all of them where no name is given."""
    return tuple(one for one in NEIGHBOURS if one.sdk == sdk and (one.name in names or not names))


needs_neighbours = pytest.mark.skipif(
    not all(neighbour.installed for neighbour in NEIGHBOURS),
    reason="the other instrumentations are not installed: pip install 'otel-agentcost[coexist]'",
)
"""For a test that is about the real neighbours."""
