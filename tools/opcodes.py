"""Count the bytecode instructions that this package adds to one call: the same number however busy the machine is.

    python -m tools.opcodes                     every workload of the benchmarks, without and with budgets
    python -m tools.opcodes "openai chat sync"  one workload, with the functions that run most of the instructions

The workloads are those of `benchmarks.workloads`: the SDKs over a transport in memory, in an open trace. Instructions
of this package, of OpenTelemetry and of the SDKs count alike. Work in C does not, so a count compares two versions of
this package on one version of Python, and is no time.

Two numbers are printed: the instructions that a call executes more than without this package, and the different ones
among them. The second says how much code comes into the processor's cache for a call. Code that was not there takes
about four times as long as code that is executed again.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, NamedTuple

import otel_agentcost
from benchmarks.calls import Sdk
from benchmarks.workloads import Workload, workloads
from otel_agentcost.settings import from_environment

BUDGETS = "trace:usd=1000; user/day:usd=1000; total/month:usd=100000"
SHOWN = 40
"""Functions in the list of one workload."""
_CALLS = 4
"""Measured calls of a workload without a stream."""

Instructions = Counter[tuple[CodeType, int]]
"""How often each instruction was executed, by its code and its place in it."""


class Added(NamedTuple):
    """What this package adds to one call."""

    executed: Counter[CodeType]
    """Instructions by function."""
    different: Counter[CodeType]
    """The different ones among them."""


def executed(run: Callable[[], Any]) -> Instructions:
    """Return the bytecode instructions that `run` executes."""
    counts: Instructions = Counter()

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            counts[frame.f_code, frame.f_lasti] += 1
        return trace

    before = sys.gettrace()  # of a debugger, or of a measurement of coverage
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return counts


def added(work: Workload, budgets: str | None = None) -> Added:
    """Return the instructions that this package adds to one call.

    Args:
        work: The workload.
        budgets: Budgets that apply to the call.
    """
    calls = _CALLS if work.stream is None else 1
    sdk = Sdk.fresh()
    with sdk.trace():  # in a trace, an SDK may run more instructions of its own
        work.run(calls)  # caches and lazy imports
        bare = executed(lambda: work.run(calls))
    settings = from_environment({"OTEL_AGENTCOST_BUDGETS": budgets} if budgets else {})
    otel_agentcost.instrument(tracer_provider=sdk.tracers, meter_provider=sdk.meters, settings=settings)
    try:
        with sdk.trace():
            work.run(calls)
            ours = executed(lambda: work.run(calls))
    finally:
        otel_agentcost.uninstrument()
        sdk.shut_down()
    different = Counter(code for code, _ in ours.keys() - bare.keys())
    ours.subtract(bare)
    total: Counter[CodeType] = Counter()
    for (code, _), count in ours.items():
        total[code] += count
    return Added(Counter({code: round(count / calls) for code, count in total.items()}), different)


def main(names: list[str]) -> None:
    """Print a table of the workloads with these names; of all for none."""
    for work in workloads():
        if names and work.name not in names:
            continue
        for budgets in (None, BUDGETS):
            more = added(work, budgets)
            name = work.name + (" with budgets" if budgets else "")
            print(f"{name:48} {more.executed.total():8} {more.different.total():8}", flush=True)
            for code, count in more.executed.most_common(SHOWN if names else 0):
                place = "/".join(code.co_filename.split("/")[-2:])
                print(f"{count:10} {more.different[code]:8}  {place}: {code.co_name}")


if __name__ == "__main__":
    main(sys.argv[1:])
