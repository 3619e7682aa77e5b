"""Throughput of a whole machine, with this package and without: `python -m benchmarks.bench_machine [--quick]`.

One process with 200 concurrent streams, and eight processes that make calls, each in two kinds of processes that take
turns: bare, and instrumented. Real openai SDK on an in-process transport, so that nothing but the application's own
work and ours takes time: with a real provider, a process waits most of the time, and the share is smaller. Then the
same eight processes with budgets in one ledger. The ratio is that of the medians; wall time counts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import otel_agentcost
from benchmarks.bench_budgets import PROCESSES, RULES, ledgers
from benchmarks.calls import Sdk
from benchmarks.workloads import Workload, streams_at_once, workloads
from otel_agentcost import Settings
from otel_agentcost.core import budgets

BARE = "bare"


@dataclass(frozen=True)
class Row:
    """One line of the table: calls a second, without this package and with it."""

    name: str
    bare: float
    ours: float

    def __str__(self) -> str:
        return f"{self.name:48} {self.bare:10.0f} {self.ours:10.0f} {self.ours / self.bare:6.2f}"


def found(name: str) -> Workload:
    """Return the workload of this name."""
    return next(work for work in (*workloads(), streams_at_once()) if work.name == name)


class Process:
    """A process that makes calls when it is asked to."""

    def __init__(self, how: str) -> None:
        command = [sys.executable, "-m", "benchmarks.bench_machine", "worker", how]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", how

    def begin(self, work: str, calls: int) -> None:
        """Begin `calls` calls."""
        assert self._process.stdin is not None
        print(work, calls, sep="\t", file=self._process.stdin, flush=True)

    def end(self) -> None:
        """Wait until they are made."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "done\n"

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def worker(how: str) -> None:
    """Serve until standard input ends. `how` is `bare`, a ledger's URL, or empty for no budgets."""
    sdk = Sdk.fresh()
    if how != BARE:
        rules: dict[str, Any] = {"budgets": budgets.parse(RULES), "ledger": how, "ledger_timeout": 5} if how else {}
        settings = Settings(user="u1", **rules)
        otel_agentcost.instrument(tracer_provider=sdk.tracers, meter_provider=sdk.meters, settings=settings)
    known: dict[str, Workload] = {}  # each with an event loop, which goes on
    print("ready", flush=True)
    for line in sys.stdin:
        name, _, calls = line.partition("\t")
        if name not in known:
            known[name] = found(name)
        run = known[name].run
        with sdk.trace():
            run(int(calls))
        print("done", flush=True)
    os._exit(0)


def rate(processes: list[Process], work: str, calls: int) -> float:
    """Return the calls a second that the processes make together."""
    started = time.perf_counter()
    for process in processes:
        process.begin(work, calls)
    for process in processes:
        process.end()
    return len(processes) * calls / (time.perf_counter() - started)


def compared(title: str, work: str, how: str, count: int, calls: int, blocks: int) -> Row:
    """Measure `count` processes of each kind in turns."""
    with ExitStack() as stack:
        kinds: dict[str, list[Process]] = {}
        for kind in (BARE, how):
            kinds[kind] = [Process(kind) for _ in range(count)]
            for process in kinds[kind]:
                stack.callback(process.close)
            rate(kinds[kind], work, max(1, calls // 4))
        rates: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(blocks):
            for kind, processes in kinds.items():
                rates[kind].append(rate(processes, work, calls))
    return Row(title, statistics.median(rates[BARE]), statistics.median(rates[how]))


def table(*, quick: bool) -> None:
    """Measure and print all rows."""
    blocks, calls = (3, 200) if quick else (9, 1000)
    print(f"{'calls a second':48} {'without':>10} {'with':>10} {'ratio':>6}")
    print(compared("one process, 200 streams at once", streams_at_once().name, "", 1, 200, blocks), flush=True)
    print(compared(f"{PROCESSES} processes", "openai chat sync", "", PROCESSES, calls, blocks), flush=True)
    if quick:  # starting eight processes takes longer than their calls
        return
    with ledgers() as urls:
        for name, url in urls.items():
            title = f"{PROCESSES} processes, three budgets, ledger in {name}"
            print(compared(title, "openai chat sync", url, PROCESSES, calls, blocks), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2])
    else:
        table(quick="--quick" in sys.argv)
