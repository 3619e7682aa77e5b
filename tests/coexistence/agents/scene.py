"""One scene: an agent of one framework, beside one family of instrumentations, in a process of its own.

`python -m tests.coexistence.agents.scene langchain openllmetry "theirs first"` prints as JSON what came of each way to
run it. Instrumentations can't be removed cleanly, so that each scene needs a new process.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

import otel_agentcost
from otel_agentcost import Settings
from otel_agentcost.core import semconv
from otel_agentcost.settings.hosts import to_hosts
from tests.coexistence.agents.neighbours import ANY, NEIGHBOURS
from tests.coexistence.agents.programs import PROGRAMS, Program, served
from tests.integrations.agents.agent_runs import PRICES, settle
from tests.support.in_memory import Telemetry

THEIRS_FIRST, OURS_FIRST = "theirs first", "ours first"
_CALLS = "gen_ai.client.operation.duration"


def play(program: Program, kind: str, order: str, telemetry: Telemetry) -> Iterator[dict[str, Any]]:
    """Run the agent in each way, under two budgets, and with a model that calls the tool twice at once."""
    with instrumented(program, kind, order, telemetry), served(program) as url:
        for way, form in program.ways.items():
            yield {"way": way, "form": form, **run(program, way, url, telemetry)}
    for way in {form: way for way, form in program.ways.items()}.values():
        with ours(program, telemetry, budgets=f"agent={program.agent_name}/day:calls=1"), served(program) as url:
            yield {"way": way, "form": "agent budget", **run(program, way, url, telemetry)}
    way = next(iter(program.ways))
    with ours(program, telemetry, trace_max_tool_calls=program.tool_calls + 1), served(program) as url:
        yield {"way": way, "form": "tool limit", **run(program, way, url, telemetry)}
    for way in {form: way for way, form in program.ways.items()}.values() if program.twice else ():
        with ours(program, telemetry), served(program, twice=True) as url:
            yield {"way": way, "form": "two tools", **run(program, way, url, telemetry)}


@contextmanager
def instrumented(program: Program, kind: str, order: str, telemetry: Telemetry) -> Generator[None]:
    """Instrument both. The other instrumentations stay."""
    theirs = [each for each in NEIGHBOURS if each.kind == kind and each.framework in (program.name, ANY)]
    elsewhere = Telemetry()
    if order == THEIRS_FIRST:
        for neighbour in theirs:
            if neighbour.installed:
                neighbour.instrument(telemetry, elsewhere)
    with ours(program, telemetry):
        if order == OURS_FIRST:
            for neighbour in theirs:
                if neighbour.installed:
                    neighbour.instrument(telemetry, elsewhere)
        yield


@contextmanager
def ours(program: Program, telemetry: Telemetry, **settings: Any) -> Generator[None]:
    """Instrument with this package, with a price for the tool."""
    otel_agentcost.instrument(
        tracer_provider=telemetry.tracer_provider,
        meter_provider=telemetry.meter_provider,
        settings=Settings(tool_prices=PRICES, hosts=to_hosts(program.hosts), **settings),
    )
    try:
        yield
    finally:
        otel_agentcost.uninstrument()


def run(program: Program, way: str, url: str, telemetry: Telemetry) -> dict[str, Any]:
    """Run the agent once, and return what was counted."""
    telemetry.clear()
    before = _counted(telemetry)
    error: str | None = None
    try:
        program.run(way, url)
    except Exception as raised:  # a framework may raise an error of its own for a refusal
        error = type(raised).__name__
    gc.collect()
    settle()
    calls, usd, runs, refusals = (now - then for now, then in zip(_counted(telemetry), before, strict=True))
    return {
        "model_calls": calls,
        "usd": round(usd, 9),
        "runs": runs,
        "refusals": refusals,
        "error": error,
        **_seen(program, telemetry.spans),
    }


def _counted(telemetry: Telemetry) -> tuple[float, float, float, float]:
    points: Any = telemetry.points
    return (
        sum(point.count for point in points(_CALLS)),
        telemetry.total("agentcost.cost"),
        sum(point.count for point in points("agentcost.trace.cost")),
        telemetry.total("agentcost.budget.refusals"),
    )


def _seen(program: Program, spans: Sequence[ReadableSpan]) -> dict[str, Any]:
    given: list[dict[str, Any]] = [dict(span.attributes or {}) for span in spans]
    agents = [
        span
        for span, said in zip(spans, given, strict=True)
        if said.get(semconv.AGENT) == program.agent_name
        and semconv.TRACE_LLM_CALLS in said
        and semconv.COST not in said
        and said.get(semconv.OPERATION) != semconv.INVOKE_WORKFLOW
    ]
    totals: list[dict[str, Any]] = [dict(span.attributes or {}) for span in agents]
    dollars = [span for span, said in zip(spans, given, strict=True) if semconv.COST in said]
    return {
        "agents": len(agents),
        "tool_calls": sum(said[semconv.TRACE_TOOL_CALLS] for said in totals),
        "agent_spans": [span.name for span, said in zip(spans, given, strict=True) if _is_agent(said)],
        "tool_spans": [span.name for span, said in zip(spans, given, strict=True) if _is_tool(span, said)],
        "total_usd": round(sum(said.get(semconv.TRACE_COST, 0.0) for said in totals), 9),
        "traces": len({span.context.trace_id for span in dollars if span.context is not None}),
        "outside": [span.name for span in dollars if not _is_below(span, agents, spans)],
        "unnamed": [span.name for span in dollars if (span.attributes or {}).get(semconv.AGENT) != program.agent_name],
    }


def _is_agent(said: dict[str, Any]) -> bool:
    """Return True for a span that a count of agents counts."""
    operation = said.get(semconv.OPERATION)
    agent = operation == semconv.INVOKE_AGENT or (operation is None and bool(_kinds(said) & {"agent"}))
    # OpenLLMetry's span of a crew is of an agent by its operation: it represents the workflow.
    return agent and semconv.DUPLICATE not in said and semconv.WORKFLOW not in said


def _is_tool(span: ReadableSpan, said: dict[str, Any]) -> bool:
    """Return True for a span that a count of tools counts."""
    tool = said.get(semconv.OPERATION) == semconv.EXECUTE_TOOL or bool(_kinds(said) & {"tool"})
    merged = "(" in span.name  # "(merged tools)" of google-adk: each call has its own span too
    return tool and semconv.DUPLICATE not in said and not merged


def _kinds(said: dict[str, Any]) -> set[str]:
    return {str(said.get(name)).lower() for name in ("openinference.span.kind", "traceloop.span.kind")}


def _is_below(span: ReadableSpan, agents: Sequence[ReadableSpan], spans: Sequence[ReadableSpan]) -> bool:
    by_id = {each.context.span_id: each for each in spans if each.context is not None}
    above: ReadableSpan | None = span
    while above is not None and above not in agents:
        above = by_id.get(above.parent.span_id) if above.parent is not None else None
    return above is not None


def main() -> None:
    """Play the scene of the arguments."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("OPENAI_API_KEY", "none")
    framework, kind, order = sys.argv[1:]
    telemetry = Telemetry()
    trace.set_tracer_provider(telemetry.tracer_provider)
    found = list(play(PROGRAMS[framework], kind, order, telemetry))
    print(f"\n{json.dumps(found)}", flush=True)
    os._exit(0)  # frameworks leave threads behind


if __name__ == "__main__":
    main()
