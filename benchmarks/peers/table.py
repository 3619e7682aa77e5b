"""The instrumentations that are compared, as data, and how each is switched on in its own environment."""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SDKS = ("openai", "anthropic", "opentelemetry-sdk")
"""Installed in every environment; a peer that does not admit their newest releases gets older ones."""


@dataclass(frozen=True)
class Telemetry:
    """The providers that an application makes, whose exporters throw away what they get."""

    tracers: Any
    meters: Any
    processor: Any
    reader: Any


@dataclass(frozen=True)
class Peer:
    """One instrumentation, in one configuration."""

    name: str
    packages: tuple[str, ...]
    instrument: Callable[[Telemetry], None]
    dollars: str
    """Whether its spans have the price of a call, for the table."""
    variables: dict[str, str] = field(default_factory=dict)
    own_providers: bool = False
    """True if it makes the tracer and the meter provider itself."""


def _instrumentors(*paths: str) -> Callable[[Telemetry], None]:
    """Returns what switches on classes with the interface of OpenTelemetry's `BaseInstrumentor`."""

    def instrument(telemetry: Telemetry) -> None:
        for path in paths:
            module, _, name = path.partition(":")
            instrumentor = getattr(importlib.import_module(module), name)()
            instrumentor.instrument(tracer_provider=telemetry.tracers, meter_provider=telemetry.meters)

    return instrument


def _nothing(_telemetry: Telemetry) -> None:
    """The bare SDKs."""


def _openlit(_telemetry: Telemetry) -> None:
    """OpenLIT fetches its price list from the network at start, unless it is given a file."""
    chat = {
        "gpt-4o-mini": {"promptPrice": 0.00015, "completionPrice": 0.0006},
        "claude-sonnet-4-5": {"promptPrice": 0.003, "completionPrice": 0.015},
    }
    prices = Path(tempfile.mkdtemp(), "prices.json")
    prices.write_text(json.dumps({"chat": chat}), encoding="utf-8")
    openlit = importlib.import_module("openlit")
    openlit.init(pricing_json=str(prices), disable_events=True)  # the comparison has no log exporter


def _logfire(telemetry: Telemetry) -> None:
    logfire = importlib.import_module("logfire")
    logfire.configure(
        send_to_logfire=False,
        console=False,
        inspect_arguments=False,
        distributed_tracing=False,
        additional_span_processors=[telemetry.processor],
        metrics=logfire.MetricsOptions(additional_readers=[telemetry.reader]),
    )
    logfire.instrument_openai()
    logfire.instrument_anthropic()


_OURS = _instrumentors("otel_agentcost:AgentCostInstrumentor")

BARE = Peer("none", (), _nothing, "")
PEERS = (
    Peer("otel-agentcost", (), _OURS, "yes"),
    Peer(
        "otel-agentcost, with budgets",
        (),
        _OURS,
        "yes",
        {"OTEL_AGENTCOST_BUDGETS": "trace:usd=1000; total/day:usd=1000000"},
    ),
    Peer(
        "official",
        ("opentelemetry-instrumentation-genai-openai", "opentelemetry-instrumentation-genai-anthropic"),
        _instrumentors(
            "opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor",
            "opentelemetry.instrumentation.genai.anthropic:AnthropicInstrumentor",
        ),
        "no",
    ),
    Peer("OpenLIT", ("openlit",), _openlit, "yes"),
    Peer(
        "OpenLLMetry",
        ("opentelemetry-instrumentation-openai", "opentelemetry-instrumentation-anthropic"),
        _instrumentors(
            "opentelemetry.instrumentation.openai:OpenAIInstrumentor",
            "opentelemetry.instrumentation.anthropic:AnthropicInstrumentor",
        ),
        "no",
    ),
    Peer(
        "OpenInference",
        ("openinference-instrumentation-openai", "openinference-instrumentation-anthropic"),
        _instrumentors(
            "openinference.instrumentation.openai:OpenAIInstrumentor",
            "openinference.instrumentation.anthropic:AnthropicInstrumentor",
        ),
        "no",
    ),
    Peer("Logfire", ("logfire", "genai-prices"), _logfire, "yes", own_providers=True),
)
"""Each in its default configuration. This package is installed from the source tree."""


def named(name: str) -> Peer:
    """Returns the peer of that name, which stands in the table."""
    return next(peer for peer in (BARE, *PEERS) if peer.name == name)
