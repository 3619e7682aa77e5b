"""The statements and metrics for coding agents that are counted by their metrics instead of their events.

Metrics of Claude Code and opencode have dollars. Those of Codex and Gemini CLI have none, and cannot be priced: a sum
of tokens does not show how large the calls were and when they were made. So their calls are counted as unpriced.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from otel_agentcost.collector.agents_table import AGENTS, MODEL, TOKEN_TYPES, USERS, CodingAgent, by_metrics
from otel_agentcost.collector.metrics import RESOURCE, described, total
from otel_agentcost.collector.ottl import SAID, matches, text
from otel_agentcost.core import semconv
from otel_agentcost.telemetry import signals
from otel_agentcost.telemetry.signals import Signal

KINDS: Final = ("input", "output", "cache_read", "cache_write", "reasoning")
NO_DOLLARS: Final = "the agent's metrics have no dollars; its events can be priced"
_USD, _CALLS = "usd", "calls"
_VALUE = 'datapoint.attributes["agentcost.tmp.value"]'


def point(name: str) -> str:
    """Return the path of an attribute of a data point."""
    return f"datapoint.attributes[{text(name)}]"


def counted() -> list[str]:
    """Return the conditions, one of which holds for each metric that is counted."""
    found: list[str] = []
    for agent in AGENTS:
        names = "|".join(filter(None, (agent.cost_metric, agent.token_metric))).replace(".", "[.]")
        found.append(f"{matches('metric.name', f'^({names})$')} and {by_metrics(agent.name)}")
    return found


def point_statements() -> list[dict[str, Any]]:
    """Return `metric_statements` that write what a point counts under temporary names, and whose it is."""
    return [
        {
            "conditions": [f"metric.name == {text(name)}"],
            "statements": [*_labels(agent), *statements],
        }
        for agent in AGENTS
        for name, statements in (
            (agent.token_metric, list(_tokens(agent))),
            *(
                [(agent.cost_metric, [*_value(histogram=False), _put(_scratch(_USD), _VALUE)])]
                if agent.cost_metric
                else []
            ),
        )
    ]


def point_metrics() -> list[dict[str, Any]]:
    """Return the metrics that the connector derives from the points."""
    made = [_metric(signals.COST, _USD, f"Double({_scratch(_USD)})")]
    made += [_metric(signals.TOKENS, kind, f"Double({_scratch(kind)})", kind) for kind in KINDS]
    made.append(_metric(signals.UNPRICED, _CALLS, f"Int({_scratch(_CALLS)})"))
    return made


def _metric(signal: Signal, counts: str, value: str, kind: str = "") -> dict[str, Any]:
    labels: list[dict[str, Any]] = []
    for name in signal.attributes:
        if name == semconv.OPERATION:
            labels.append({"key": name, "default_value": semconv.CHAT})
        elif name == semconv.TOKEN_TYPE:
            labels.append({"key": name, "default_value": kind})
        else:
            labels.append({"key": name, "optional": True})
    return {
        **described(signal),
        "conditions": [f"{_scratch(counts)}{SAID}"],
        "include_resource_attributes": list(RESOURCE),
        "attributes": labels,
        **total(value),
    }


def _scratch(name: str) -> str:
    return point(f"agentcost.tmp.{name}")


def _put(path: str, value: str, *conditions: str) -> str:
    return f"set({path}, {value})" + (f" where {' and '.join(conditions)}" if conditions else "")


def _labels(agent: CodingAgent) -> Iterator[str]:
    yield _put(point(semconv.AGENT), text(agent.name))
    yield _put(point(semconv.REQUEST_MODEL), point(MODEL), f"IsString({point(MODEL)})")
    if agent.provider:
        yield _put(point(semconv.PROVIDER), text(agent.provider))
    for name in USERS:
        yield _put(point(semconv.USER), point(name), f"IsString({point(name)})", f'{point(name)} != ""')


def _value(*, histogram: bool) -> Iterator[str]:
    """Read the value of a point. A counter's point is an integer or a double; the other one is then 0."""
    if histogram:
        yield _put(_VALUE, "Double(datapoint.sum)")
        return
    yield _put(_VALUE, "Double(datapoint.value_double)")
    yield _put(_VALUE, "Double(datapoint.value_int)", "datapoint.value_int != 0")


def _tokens(agent: CodingAgent) -> Iterator[str]:
    """Count each token once: one that another type contains is taken from that type again.

    All types of the same calls come in one export, and the connector adds them up, so that no sum decreases.
    """
    kind = f"Coalesce([{', '.join(map(point, TOKEN_TYPES))}])"
    yield from _value(histogram=agent.histogram)
    for type_, counts in agent.token_types.items():
        what, _, within = counts.partition(" of ")
        said = f"{kind} == {text(type_)}"
        yield _put(_scratch(what), _VALUE, said)
        if within:
            yield _put(_scratch(within), f"0.0 - {_VALUE}", said)
    if not agent.cost_metric:
        billed = (f'{kind} == "input"', f"{_VALUE} > 0.0")  # an idle agent goes on exporting
        yield _put(_scratch(_CALLS), "Int(datapoint.count)" if agent.histogram else "1", *billed)
        yield _put(point(semconv.REASON), text(NO_DOLLARS), *billed)
