"""Generates the files for Datadog: a dashboard and monitors over the metrics, which Datadog receives as deltas.

Metric and tag names are those of `signals.SIGNALS`, with their dots. Queries of counters use `.as_count()`, which sums
the deltas; histograms are distributions in Datadog.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from grafana.alerts.thresholds import Thresholds
from otel_agentcost.core import semconv
from otel_agentcost.telemetry import signals
from otel_agentcost.telemetry.signals import Signal

Json = dict[str, Any]

VARIABLES: Final = {
    "service": "service",
    "env": "env",
    "provider": semconv.PROVIDER,
    "model": semconv.REQUEST_MODEL,
    "agent": semconv.AGENT,
    "team": semconv.TEAM,
    "user": semconv.USER,
}
"""Template variables and the tags that they filter by. Datadog derives `service` and `env` from the resource."""


def scope(signal: Signal) -> str:
    """Return the template variables that apply to a metric: those whose tags it has."""
    applied = [name for name, tag in VARIABLES.items() if name in {"service", "env"} or tag in signal.attributes]
    return ", ".join(f"${name}" for name in applied)


def increase(signal: Signal, by: Sequence[str] = (), only: str = "") -> str:
    """Return the query for the increase of a counter."""
    where = f"{scope(signal)}, {only}" if only else scope(signal)
    return f"sum:{signal.name}{{{where}}}{_by(by)}.as_count()"


def _by(tags: Sequence[str]) -> str:
    return f" by {{{','.join(tags)}}}" if tags else ""


def files(limits: Thresholds) -> dict[str, str]:
    """Return the text of each file by its path under `datadog/`."""
    texts: dict[str, object] = {"dashboard.json": dashboard()}
    texts |= {f"monitors/{key}.json": monitor for key, monitor in monitors(limits).items()}
    return {path: json.dumps(value, indent=2, ensure_ascii=False) + "\n" for path, value in texts.items()}


def dashboard() -> Json:
    """Return the body for the Dashboards API; "Import dashboard JSON" in Datadog accepts it too."""
    return {
        "title": "Agent cost",
        "description": "Cost, runs, budgets and loops of agents, by otel-agentcost.",
        "layout_type": "ordered",
        "reflow_type": "auto",
        "template_variables": [
            {"name": name, "prefix": tag, "defaults": ["*"], "available_values": []} for name, tag in VARIABLES.items()
        ],
        "widgets": [_group("Cost", _cost()), _group("Runs and tokens", _runs()), _group("Control", _control())],
    }


def _cost() -> list[Json]:
    cost, model = signals.COST, semconv.REQUEST_MODEL
    tags = {"agent": semconv.AGENT, "user": semconv.USER, "team": semconv.TEAM, "feature": semconv.FEATURE}
    return [
        _value("Cost", increase(cost)),
        _value("Cost of failed calls", increase(cost, only=f"{semconv.ERROR_TYPE}:*")),
        _value("Saved by caches", increase(signals.SAVINGS, only=f"{semconv.SAVINGS_KIND}:cache")),
        _value("Calls without a price", increase(signals.UNPRICED)),
        _series("Cost by model", [increase(cost, [model])], "bars"),
        *(_top(f"Cost by {key}", increase(cost, [tag])) for key, tag in tags.items()),
        _top("Calls without a price, by model and reason", increase(signals.UNPRICED, [model, semconv.REASON])),
    ]


def _runs() -> list[Json]:
    run, where = signals.TRACE_COST, f"{{{scope(signals.TRACE_COST)}}}"
    return [
        _series("Cost of a run: mean, P90, maximum", [f"{how}:{run.name}{where}" for how in ("avg", "p90", "max")]),
        _series("Tokens by type", [increase(signals.TOKENS, [semconv.TOKEN_TYPE])], "bars"),
        _value("Saved by marks of prompts", increase(signals.PROMPT_CACHE_SAVED)),
        _series("Savings by kind", [increase(signals.SAVINGS, [semconv.SAVINGS_KIND])], "bars"),
    ]


def _control() -> list[Json]:
    used = signals.UTILIZATION
    budget = [semconv.BUDGET, semconv.BUDGET_VALUE]
    return [
        _series("Budgets: how far used", [f"max:{used.name}{{{scope(used)}}}{_by(budget)}"]),
        _top("Calls that budgets refused", increase(signals.REFUSALS, [semconv.BUDGET, semconv.BUDGET_ACTION])),
        _series("Loops by rule", [increase(signals.LOOPS, [semconv.LOOP_RULE])], "bars"),
        _top("Dollars wasted in loops, by agent", increase(signals.LOOP_WASTE, [semconv.AGENT])),
        _series("Broken prompt caches", [increase(signals.PROMPT_CACHE_BREAKS, [semconv.PROMPT_CACHE_REASON])], "bars"),
        _top("Dollars paid again for cached prompts, by agent", increase(signals.PROMPT_CACHE_LOST, [semconv.AGENT])),
        _series("Circuit breakers", [increase(signals.BREAKERS, [semconv.BREAKER_STATE])], "bars"),
    ]


def _group(title: str, widgets: Sequence[Json]) -> Json:
    return {"definition": {"type": "group", "layout_type": "ordered", "title": title, "widgets": list(widgets)}}


def _request(queries: Sequence[str], response: str, **more: object) -> Json:
    named = {f"query{number}": query for number, query in enumerate(queries, 1)}
    reduced: Json = {"aggregator": "sum"} if response == "scalar" else {}
    return {
        "formulas": [{"formula": name} for name in named],
        "queries": [
            {"data_source": "metrics", "name": name, "query": query, **reduced} for name, query in named.items()
        ],
        "response_format": response,
        **more,
    }


def _value(title: str, query: str) -> Json:
    request = _request([query], "scalar")
    return {
        "definition": {"type": "query_value", "title": title, "autoscale": True, "precision": 2, "requests": [request]}
    }


def _series(title: str, queries: Sequence[str], drawn: str = "line") -> Json:
    request = _request(queries, "timeseries", display_type=drawn)
    return {"definition": {"type": "timeseries", "title": title, "show_legend": True, "requests": [request]}}


def _top(title: str, query: str) -> Json:
    request = _request([query], "scalar")
    request["sort"] = {"count": 10, "order_by": [{"type": "formula", "index": 0, "order": "desc"}]}
    return {"definition": {"type": "toplist", "title": title, "requests": [request]}}


def monitors(limits: Thresholds) -> dict[str, Json]:
    """Return the bodies for the Monitors API."""
    cost, unpriced, loops = signals.COST.name, signals.UNPRICED.name, signals.LOOPS.name
    run, used = signals.TRACE_COST.name, signals.UTILIZATION.name
    budget = f"{semconv.BUDGET},{semconv.BUDGET_SCOPE}"
    return {
        "day": _monitor(
            "High cost of a day",
            f"sum(last_1d):sum:{cost}{{*}} by {{service}}.as_count() > {limits.day_usd:g}",
            "{{service.name}} spent ${{value}} in 24 hours.",
            critical=limits.day_usd,
        ),
        "run": _monitor(
            "High cost of a run",
            f"max(last_15m):max:{run}{{*}} by {{service}} > {limits.run_usd:g}",
            "A run of {{service.name}} cost ${{value}}.",
            critical=limits.run_usd,
        ),
        "unpriced": _monitor(
            "Calls without a price",
            f"sum(last_30m):sum:{unpriced}{{*}} by {{{semconv.REQUEST_MODEL}}}.as_count() > {limits.unpriced_calls:g}",
            "{{value}} calls have no complete price: their cost is missing in all sums.",
            critical=limits.unpriced_calls,
        ),
        "loop_storm": _monitor(
            "Loop storm",
            f"sum(last_15m):sum:{loops}{{*}} by {{{semconv.AGENT}}}.as_count() > {limits.loops:g}",
            "{{value}} loops were detected in 15 minutes.",
            critical=limits.loops,
        ),
        "budget": _monitor(
            "Budget nearly or fully used",
            f"max(last_5m):max:{used}{{*}} by {{{budget}}} >= {limits.budget_full:g}",
            "{{#is_warning}}A budget's utilization is {{value}}.{{/is_warning}}"
            "{{#is_alert}}A budget is used up.{{/is_alert}}",
            critical=limits.budget_full,
            warning=limits.budget_soft,
        ),
    }


def _monitor(name: str, query: str, message: str, **thresholds: float) -> Json:
    return {
        "name": f"Agent cost: {name}",
        "type": "query alert",
        "query": query,
        "message": message,
        "tags": ["source:otel-agentcost"],
        "options": {
            "thresholds": thresholds,
            "notify_no_data": False,
            "include_tags": True,
            "require_full_window": False,
        },
    }
