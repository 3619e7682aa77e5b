"""langgraph: `stream` or `astream` of `Pregel` runs every graph; `invoke`, `batch` and events go through them.

`create_agent` of langchain, `create_react_agent` of langgraph and others compile such a graph. A graph with a name, and
one that `create_agent` has made, is an agent; any other graph is a workflow. The thread of the graph's configuration is
the conversation.

OpenInference has a span of each run of a chain, by the run's id, and does not make it current. The steps of the chain
run inside that span, so that their calls are in the trace of the chain.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.calls.tool_call import open_call
from otel_agentcost.integrations.agents._base import AgentFramework, AgentPatch, StepPatch
from otel_agentcost.integrations.patching import Target, optional_argument

_MODULE = "langgraph.pregel"
_OPENINFERENCE = "openinference.instrumentation.langchain"
_UNNAMED = "LangGraph"
_CREATED = "langchain_create_agent"


def _agent(graph: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Agent:
    configs = list(_configs(graph, optional_argument(args, kwargs, 1, "config")))
    name = _name(getattr(graph, "name", None))
    if name is None and open_call(None) is None:  # a graph that is a node of another one; a tool runs in a node too
        name = _name(_first(configs, "metadata", "langgraph_node"))
    created = _first([getattr(graph, "config", None) or {}], "metadata", "ls_integration") == _CREATED
    compiled = type(graph).__name__ != "Pregel"  # a bare one is a function with the decorator `entrypoint`
    workflow = not created and (not compiled or name is None)
    return Agent(
        name=name or (_UNNAMED if workflow else None),
        workflow=workflow,
        conversation=_first(configs, "configurable", "thread_id"),
    )


def _name(given: Any) -> str | None:
    return given if isinstance(given, str) and given not in ("", _UNNAMED) else None


def _configs(graph: Any, given: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the configurations that apply, the most specific one first."""
    module: Any = sys.modules.get("langchain_core.runnables.config")
    around = module.var_child_runnable_config.get() if module is not None else None
    for config in (given, around, getattr(graph, "config", None)):
        if isinstance(config, Mapping):
            yield cast("Mapping[str, Any]", config)


def _first(configs: Iterable[Mapping[str, Any]], section: str, key: str) -> str | None:
    """Return the first value that one of `configs` has for `key` in `section`."""
    sections: Iterator[Any] = (config.get(section) or {} for config in configs)
    return next((str(each[key]) for each in sections if each.get(key) is not None), None)


def _is_interruption(error: BaseException) -> bool:
    """Return True for `GraphBubbleUp`: a graph inside another one waits for a person, or hands over to its parent."""
    return any(each.__name__ == "GraphBubbleUp" for each in type(error).__mro__)


def _span_of_run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the span that OpenInference has made of the run to which the configuration of a step belongs."""
    module: Any = sys.modules.get(_OPENINFERENCE)
    if module is None:
        return None
    run = getattr(optional_argument(args, kwargs, 0, "config").get("callbacks"), "parent_run_id", None)
    instrumentor = module.LangChainInstrumentor()
    span = instrumentor.get_span(run) if run is not None and instrumentor.is_instrumented_by_opentelemetry else None
    return span if span is not None and span.is_recording() else None


FRAMEWORK = AgentFramework(
    name="langchain",
    title="LangChain, LangGraph",
    distribution="langgraph",
    oldest="0.3.0",
    runs=(
        "a graph with a name, or of `create_agent`: `invoke`, `stream`, `batch`, events, sync and async; "
        "other graphs are workflows"
    ),
    patches=(
        AgentPatch(
            target=Target(module=_MODULE, owner="Pregel", method="stream"),
            read_agent=_agent,
            kind="generator",
            no_error=_is_interruption,
        ),
        AgentPatch(
            target=Target(module=_MODULE, owner="Pregel", method="astream"),
            read_agent=_agent,
            kind="async generator",
            no_error=_is_interruption,
        ),
        StepPatch(
            target=Target(module="langchain_core.runnables.config", method="set_config_context", optional=True),
            read_span=_span_of_run,
        ),
    ),
)
