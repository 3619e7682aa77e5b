"""What a tool call costs: `python -m benchmarks.bench_tools [--quick]`.

CPU that we add to the call of a function that does nothing, over the floor: one span with 4 attributes, written by
hand. Blocks of all three take turns in one process. With a price, with loops watched (as by default), in a trace.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import otel_agentcost
from benchmarks.calls import Sdk
from otel_agentcost import Settings

_SAID: dict[str, Any] = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "search",
    "gen_ai.tool.type": "function",
    "a": 1,
}


def work(query: str, limit: int = 10) -> str:
    """What no tool does as fast."""
    return f"{query} {limit}"


@otel_agentcost.tool(usd="0.001", name="search")
def priced(query: str, limit: int = 10) -> str:
    """The same, as a tool."""
    return f"{query} {limit}"


def block(call: Callable[[str], object], calls: int) -> float:
    started = time.process_time()
    for number in range(calls):
        call(f"bees {number}")  # the same again would be a loop
    return (time.process_time() - started) / calls * 1e6


def table(*, quick: bool) -> None:
    """Microseconds of a call: bare, with a span by hand, and as a tool of ours."""
    sdk = Sdk.fresh()
    settings: dict[str, Any] = {"tool_prices": {"search": Decimal("0.001")}}
    otel_agentcost.instrument(tracer_provider=sdk.tracers, meter_provider=sdk.meters, settings=Settings(**settings))
    tracer = sdk.tracers.get_tracer("floor")

    def by_hand(query: str) -> str:
        with tracer.start_as_current_span("execute_tool search", attributes=_SAID):
            return work(query)

    taken: dict[Callable[[str], object], list[float]] = {work: [], by_hand: [], priced: []}
    calls = 500 if quick else 2000
    with sdk.trace():
        for _ in range(9 if quick else 41):
            gc.collect()
            for call, times in taken.items():
                times.append(block(call, calls))
    otel_agentcost.uninstrument()
    sdk.shut_down()
    bare, floor, ours = (statistics.median(times) for times in taken.values())
    print(f"{'a tool call':40} {'floor µs':>9} {'added µs':>9} {'ratio':>6}")
    print(f"{'@otel_agentcost.tool with a price':40} {floor - bare:9.1f} {ours - bare:9.1f}", end=" ")
    print(f"{(ours - bare) / (floor - bare):6.2f}")


if __name__ == "__main__":
    table(quick="--quick" in sys.argv)
