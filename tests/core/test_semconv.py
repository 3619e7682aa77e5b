"""Names of the conventions: the literals of `core.semconv` and the constants that OpenTelemetry publishes."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

import pytest

from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import SIGNALS

# The release in which these lists were last compared. An older package lacks more of the names.
COMPARED = (0, 66)
INSTALLED = tuple(map(int, version("opentelemetry-semantic-conventions").partition("b")[0].split(".")))
old_package = pytest.mark.skipif(INSTALLED < COMPARED, reason=f"the installed conventions are {INSTALLED}")

NOT_PUBLISHED = {
    "gen_ai.client.inference.operation.details",  # events have no constants
    "gen_ai.client.operation.cost",  # this and the next three: proposed, in no release of the conventions
    "gen_ai.usage.cost.amount",
    "gen_ai.usage.cost.currency",
    "gen_ai.usage.cost.source",
    "gen_ai.request.previous_response.id",  # this and the next two: newer than the package
    "gen_ai.request.reasoning.level",
    "gen_ai.usage.cache_write.input_tokens",
    "anthropic.response.service_tier",  # the Anthropic SDK's own
}

ATTRIBUTES = [f"_incubating.attributes.{name}_attributes" for name in ("gen_ai", "mcp", "openai", "user")]
MODULES = [
    *ATTRIBUTES,
    "_incubating.metrics.gen_ai_metrics",
    "attributes.error_attributes",
    "attributes.server_attributes",
]


def published() -> set[str]:
    modules = [import_module(f"opentelemetry.semconv.{name}") for name in MODULES]
    return {
        value for module in modules for name, value in vars(module).items() if name.isupper() and isinstance(value, str)
    }


def convention_names() -> set[str]:
    """Every name of ours that is no unit, no value and not under our own prefix."""
    return {
        value
        for name, value in vars(semconv).items()
        if isinstance(value, str) and name.isupper() and "." in value and not value.startswith(("agentcost.", "otel_"))
    } | {signal.name for signal in SIGNALS if not signal.name.startswith("agentcost.")}


@old_package
def test_every_name_of_the_conventions_is_spelt_as_opentelemetry_publishes_it() -> None:
    """A literal that the package lacks is listed with the reason; the list shrinks when the package has it."""
    names = convention_names()
    assert len(names) > 50
    assert names - published() == NOT_PUBLISHED


@old_package
def test_the_values_of_the_operation_are_those_of_the_conventions() -> None:
    """Chat, embeddings, agents and tools have the conventions' values; `rerank` and the like are not among ours."""
    module = import_module("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    values = {operation.value for operation in module.GenAiOperationNameValues}
    ours = {
        semconv.CHAT,
        semconv.TEXT_COMPLETION,
        semconv.GENERATE_CONTENT,
        semconv.EMBEDDINGS,
        semconv.EXECUTE_TOOL,
        semconv.INVOKE_WORKFLOW,
        *semconv.AGENT_OPERATIONS,
    }
    assert ours <= values


def test_every_name_is_written_once() -> None:
    """No two constants have one value."""
    names = [value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)]
    assert {value for value in names if names.count(value) > 1} == set()
