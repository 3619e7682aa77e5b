"""What a lookup in the tool cache costs: `python -m benchmarks.bench_tool_cache [--quick]`.

CPU of a decorated tool: without a rule, with a rule and another argument each time (a miss, which keeps the result),
and with the same argument (a hit). Blocks of all take turns in one process. `--quick` takes fewer calls.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import otel_agentcost
from benchmarks.calls import Sdk
from otel_agentcost import Settings

RESULT = {"pages": [{"title": f"page {i}", "text": "x" * 200} for i in range(10)]}
"""About 2.5 kB, as a search returns."""


@otel_agentcost.tool
def bare(query: str, limit: int = 10) -> Any:
    """A tool without a rule."""
    return RESULT


@otel_agentcost.tool(cache="1h")
def kept(query: str, limit: int = 10) -> Any:
    """The same, with one."""
    return RESULT


class Numbered:
    """Calls a tool with another argument each time."""

    def __init__(self, tool: Callable[[str], Any]) -> None:
        self._tool = tool
        self._number = 0

    def __call__(self) -> None:
        self._number += 1
        self._tool(f"bees {self._number}")


def block(call: Callable[[], object], calls: int) -> float:
    started = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - started) / calls * 1e6


def table(*, quick: bool) -> dict[str, float]:
    """Microseconds of a call: without a rule, a miss, and a hit."""
    sdk = Sdk.fresh()
    settings = Settings(loop_max_repeats=0)
    otel_agentcost.instrument(tracer_provider=sdk.tracers, meter_provider=sdk.meters, settings=settings)
    kinds: dict[str, Callable[[], object]] = {
        "no rule": Numbered(bare),
        "miss": Numbered(kept),
        "hit": lambda: kept("bees"),
    }
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    with sdk.trace():
        for _ in range(5 if quick else 15):
            for kind, call in kinds.items():
                taken[kind].append(block(call, 300 if quick else 1500))
    otel_agentcost.uninstrument()
    return {kind: statistics.median(times[1:]) for kind, times in taken.items()}


def main() -> None:
    """Print the table, and what a lookup adds."""
    found = table(quick="--quick" in sys.argv)
    for kind, micros in found.items():
        print(f"{kind:8} {micros:7.1f} us a call, {micros / found['no rule']:4.2f} times that without a rule")
    miss, hit = (found[kind] - found["no rule"] for kind in ("miss", "hit"))
    print(f"added by a miss, which keeps the result: {miss:.1f} us; by a hit: {hit:.1f} us")


if __name__ == "__main__":
    main()
