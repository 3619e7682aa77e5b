"""What budgets cost: `python -m benchmarks.bench_budgets [--quick]`.

First, what three rules, and a circuit breaker, add to a call, over the same call without them, for each ledger: real
openai SDK on an in-process transport, blocks of both in turns. Then, how much of a store's own speed its ledger
leaves: eight processes on one file and on one server, beside the same number of plain transactions and script calls.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import otel_agentcost
from benchmarks.calls import Sdk
from benchmarks.raw_store import ROUNDS
from benchmarks.workloads import Workload, workloads
from otel_agentcost import Settings
from otel_agentcost.calls import active
from otel_agentcost.core import breakers, budgets
from tests.support.redis_server import Server, binary

RULES = "trace:usd=1000; user/day:usd=1000; total/month:usd=100000"
PROCESSES = 8


@contextmanager
def ledgers() -> Generator[dict[str, str]]:
    """A URL for each kind of ledger: a file and a server of their own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = {"memory": "memory://", "SQLite": f"sqlite:///{folder}/ledger.db"}
        program = binary()
        if program is None:
            print("(neither redis-server nor valkey-server is installed: no row for Redis)")
        else:
            server = Server(program, folder)
            server.start()
            stack.callback(server.stop)
            found["Redis"] = server.url
        yield found


def seconds(run: Callable[[int], None], calls: int) -> float:
    """Wall time of one call: what a server takes counts, too."""
    started = time.perf_counter()
    run(calls)
    return (time.perf_counter() - started) / calls


def added(work: Workload, url: str, blocks: int, calls: int, breaker: str = "") -> tuple[float, float]:
    """Microseconds of a call without budgets, and what three rules add to it: medians of blocks in turns."""
    sdk = Sdk.fresh()
    settings = Settings(
        budgets=budgets.parse(RULES), breakers=breakers.parse(breaker), user="u1", ledger=url, ledger_timeout=5
    )
    otel_agentcost.instrument(tracer_provider=sdk.tracers, meter_provider=sdk.meters, settings=settings)
    runtime = active.active()
    assert runtime is not None
    gates = runtime.gates
    gate = gates.open()
    without: list[float] = []
    more: list[float] = []
    with sdk.trace():
        work.run(calls)
        for _ in range(blocks):
            gc.collect()
            gates.gate = None
            before = seconds(work.run, calls)
            gates.gate = gate
            budgeted = seconds(work.run, calls)
            gates.gate = None
            after = seconds(work.run, calls)
            without.append((before + after) / 2)
            more.append(budgeted - (before + after) / 2)
            gates.gate = gate
    otel_agentcost.uninstrument()
    sdk.shut_down()
    return statistics.median(without) * 1e6, statistics.median(more) * 1e6


def added_table(urls: dict[str, str], *, quick: bool) -> None:
    """What three rules add to a call."""
    work = next(work for work in workloads() if work.stream is None)
    print(f"{'three rules on ' + work.name:40} {'without µs':>11} {'added µs':>9} {'ratio':>6}")
    rows = [(name, url, "") for name, url in urls.items()]
    rows += [(f"{name}, and a circuit breaker", url, "user:trips=5/10m,open=10m") for name, url in urls.items()]
    for name, url, breaker in rows:
        base, more = added(work, url, 9 if quick else 41, 100 if quick else 200, breaker)
        print(f"{name:40} {base:11.0f} {more:9.1f} {(base + more) / base:6.2f}", flush=True)


def together(task: str, url: str) -> float:
    """Calls a second of eight processes at once; what they take to start does not count."""
    command = [sys.executable, "-m", "benchmarks.raw_store", task, url]
    pipe = subprocess.PIPE
    running = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(PROCESSES)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    started = time.perf_counter()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    codes = [process.wait() for process in running]
    taken = time.perf_counter() - started
    for process in running:
        process.communicate()
    assert not any(codes), codes
    return PROCESSES * ROUNDS / taken


def throughput_table(urls: dict[str, str]) -> None:
    """Reserve and settle, by eight processes at once, beside two plain transactions or script calls."""
    print(f"\n{'8 processes on one store':40} {'calls/s':>9} {'raw/s':>9} {'share':>6}")
    for name, url in urls.items():
        if name != "memory":
            ledger, raw = together("ledger", url), together("raw", url)
            print(f"{name:40} {ledger:9.0f} {raw:9.0f} {ledger / raw:6.2f}", flush=True)


def main(*, quick: bool) -> None:
    """Both tables."""
    with ledgers() as urls:
        added_table(urls, quick=quick)
        throughput_table(urls)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
