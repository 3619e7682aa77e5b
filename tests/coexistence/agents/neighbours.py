"""The instrumentations of frameworks that an agent may meet, each as one value: its package, and how to switch it on.

Beside each of them, its family's instrumentation of the SDK is on too, as users of the family have it.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.in_memory import Telemetry

ANY = "*"
ALONE = "alone"
"""No other instrumentation: spans of the framework itself, where it makes some, are there."""
KINDS = ("openllmetry", "openinference", "official")


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """One instrumentation of one framework, or of the SDK below it."""

    kind: str
    framework: str
    distribution: str
    module: str
    instrumentor: str
    processor: bool = False
    """True for a span processor that translates the framework's own spans."""

    @property
    def installed(self) -> bool:
        """True if its package is there."""
        try:
            return importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:
            return False

    def instrument(self, telemetry: Telemetry, theirs: Telemetry) -> None:
        """Switch it on: its spans go to `telemetry`. Its metrics do not, which share names with this package's."""
        made: Any = getattr(importlib.import_module(self.module), self.instrumentor)()
        if self.processor:
            telemetry.tracer_provider.add_span_processor(made)
            return
        made.instrument(
            tracer_provider=telemetry.tracer_provider, meter_provider=theirs.meter_provider, skip_dep_check=True
        )


def _openllmetry(framework: str, name: str, instrumentor: str) -> Neighbour:
    return Neighbour(
        kind="openllmetry",
        framework=framework,
        distribution=f"opentelemetry-instrumentation-{name}".replace("_", "-"),
        module=f"opentelemetry.instrumentation.{name}",
        instrumentor=instrumentor,
    )


def _openinference(framework: str, name: str, instrumentor: str, *, processor: bool = False) -> Neighbour:
    return Neighbour(
        kind="openinference",
        framework=framework,
        distribution=f"openinference-instrumentation-{name}".replace("_", "-"),
        module=f"openinference.instrumentation.{name}",
        instrumentor=instrumentor,
        processor=processor,
    )


def _official(framework: str, name: str, instrumentor: str) -> Neighbour:
    return Neighbour(
        kind="official",
        framework=framework,
        distribution=f"opentelemetry-instrumentation-genai-{name}".replace("_", "-"),
        module=f"opentelemetry.instrumentation.genai.{name}",
        instrumentor=instrumentor,
    )


NEIGHBOURS: Sequence[Neighbour] = (
    _openllmetry("langchain", "langchain", "LangchainInstrumentor"),
    _openllmetry("openai_agents", "openai_agents", "OpenAIAgentsInstrumentor"),
    _openllmetry("crewai", "crewai", "CrewAIInstrumentor"),
    _openllmetry("llama_index", "llamaindex", "LlamaIndexInstrumentor"),
    _openllmetry("haystack", "haystack", "HaystackInstrumentor"),
    _openllmetry("agno", "agno", "AgnoInstrumentor"),
    _openllmetry(ANY, "openai", "OpenAIInstrumentor"),
    _openinference("langchain", "langchain", "LangChainInstrumentor"),
    _openinference("openai_agents", "openai_agents", "OpenAIAgentsInstrumentor"),
    _openinference("crewai", "crewai", "CrewAIInstrumentor"),
    _openinference("llama_index", "llama_index", "LlamaIndexInstrumentor"),
    _openinference("haystack", "haystack", "HaystackInstrumentor"),
    _openinference("agno", "agno", "AgnoInstrumentor"),
    _openinference("dspy", "dspy", "DSPyInstrumentor"),
    _openinference("claude_agent_sdk", "claude_agent_sdk", "ClaudeAgentSDKInstrumentor"),
    _openinference("smolagents", "smolagents", "SmolagentsInstrumentor"),
    _openinference("google_adk", "google_adk", "GoogleADKInstrumentor"),
    _openinference("autogen", "autogen_agentchat", "AutogenAgentChatInstrumentor"),
    _openinference("pydantic_ai", "pydantic_ai", "OpenInferenceSpanProcessor", processor=True),
    _openinference("strands", "strands_agents", "StrandsAgentsToOpenInferenceProcessor", processor=True),
    _openinference("agent_framework", "agent_framework", "AgentFrameworkToOpenInferenceProcessor", processor=True),
    _openinference(ANY, "openai", "OpenAIInstrumentor"),
    _official("langchain", "langchain", "LangChainInstrumentor"),
    _official("openai_agents", "openai_agents", "OpenAIAgentsInstrumentor"),
    _official("llama_index", "llama_index", "LlamaIndexInstrumentor"),
    _official("agno", "agno", "AgnoInstrumentor"),
    _official("dspy", "dspy", "DSPyInstrumentor"),
    _official("smolagents", "smolagents", "SmolagentsInstrumentor"),
    _official(ANY, "openai", "OpenAIInstrumentor"),
)
