"""Count the bytecode instructions that this package adds to one call: the same number however busy the machine is.

    python -m tools.opcodes                     every workload of the benchmarks, without and with budgets
    python -m tools.opcodes "openai chat sync"  one workload, with the functions that run most of the instructions

The workloads are those of `benchmarks.workloads`: the SDKs over a transport in memory, in an open trace. Instructions
of this package, of OpenTelemetry and of the SDKs count alike. Work in C does not, so a count compares two versions of
this package on one version of Python, and is no time.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import otel_agentcost
from benchmarks.calls import Sdk
from benchmarks.workloads import Workload, workloads
from otel_agentcost.settings import from_environment

BUDGETS = "trace:usd=1000; user/day:usd=1000; total/month:usd=100000"
SHOWN = 40
"""Functions in the list of one workload."""
_CALLS = 4
"""Measured calls of a workload without a stream."""

Counts = Counter[tuple[str, str]]
"""Instructions by file and function."""


def executed(run: Callable[[], Any]) -> Counts:
    """Return the bytecode instructions that `run` executes, by function."""
    counts: Counts = Counter()

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            code = frame.f_code
            counts[code.co_filename, code.co_name] += 1
        return trace

    before = sys.gettrace()  # of a debugger, or of a measurement of coverage
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return counts


def added(work: Workload, budgets: str | None = None) -> Counter[tuple[str, str]]:
    """Return the instructions that this package adds to one call, by function.

    Args:
        work: The workload.
        budgets: Budgets that apply to the call.
    """
    calls = _CALLS if work.stream is None else 1
    work.run(calls)  # caches and lazy imports
    bare = executed(lambda: work.run(calls))
    sdk = Sdk.fresh()
    settings = from_environment({"OTEL_AGENTCOST_BUDGETS": budgets} if budgets else {})
    otel_agentcost.instrument(tracer_provider=sdk.tracers, meter_provider=sdk.meters, settings=settings)
    try:
        with sdk.trace():
            work.run(calls)
            ours = executed(lambda: work.run(calls))
    finally:
        otel_agentcost.uninstrument()
        sdk.shut_down()
    ours.subtract(bare)
    return Counter({function: round(count / calls) for function, count in ours.items()})


def main(names: list[str]) -> None:
    """Print a table of the workloads with these names; of all for none."""
    for work in workloads():
        if names and work.name not in names:
            continue
        for budgets in (None, BUDGETS):
            counts = added(work, budgets)
            print(f"{work.name + (' with budgets' if budgets else ''):48} {counts.total():8}", flush=True)
            for (file, function), count in counts.most_common(SHOWN if names else 0):
                print(f"{count:10}  {'/'.join(file.split('/')[-2:])}: {function}")


if __name__ == "__main__":
    main(sys.argv[1:])
