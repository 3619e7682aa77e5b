"""CPU that this package and others add to a model call, side by side: `make bench-peers [ARGS="--quick --write"]`.

Every peer has an environment of its own, with a process that it instruments and a process of the bare SDKs. The two
take turns in short blocks (bare, peer, peer, bare), and the peers take turns as well, so that whatever else the machine
does falls on all alike. Each round has fresh processes. The table has the median of the blocks and their quartiles.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers.table import BARE, PEERS, SDKS, Peer
from tools import packages
from tools.documents import PERFORMANCE, with_block

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otel-agentcost" / "peers"
CALLS = {
    "openai chat sync": 40,
    "openai chat async x50": 50,
    "openai chat stream 200 chunks": 4,
    "openai responses sync": 30,
    "openai responses stream 200 chunks": 4,
    "anthropic messages sync": 40,
    "anthropic messages async x50": 50,
    "anthropic messages stream 200 chunks": 6,
}
"""The calls of a block, by workload: about 20 ms."""


def environment(peer: Peer) -> Path:
    """Returns the Python of the peer's environment, made where the user's cache has none."""
    own = () if peer.packages else ("--editable", str(ROOT))
    needs = (*SDKS, *peer.packages, *own)
    folder = CACHE / hashlib.sha256(repr((needs, sys.version)).encode()).hexdigest()[:12]
    return packages.kept(folder, needs)


class Worker:
    """A process that makes calls."""

    def __init__(self, python: Path, peer: Peer) -> None:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        # anthropic from release 2 makes spans of its own by default: they are what a peer is compared with, not a peer.
        variables |= {"ANTHROPIC_OPEN_TELEMETRY": "false", "PYTHONPATH": str(ROOT), **peer.variables}
        self._name = f"{peer.name} ({python})"
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.peers.worker", peer.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=variables,
        )
        self.versions = self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self._name} ended without an answer")
        return dict(json.loads(line))

    def measure(self, workload: str, calls: int) -> dict[str, Any]:
        """Makes the calls. Returns the microseconds of CPU of one, and the number of spans of all."""
        assert self._process.stdin is not None
        print(json.dumps({"workload": workload, "calls": calls}), file=self._process.stdin, flush=True)
        return self._read()

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def pairs(peers: list[Peer]) -> Generator[list[tuple[Peer, Worker, Worker]]]:
    """Gives each peer with a process of the bare SDKs and an instrumented one, for one round."""
    with ExitStack() as stack:
        found = []
        for peer in peers:
            python = environment(peer)
            workers = [Worker(python, each) for each in (BARE, peer)]
            for worker in workers:
                stack.callback(worker.close)
            found.append((peer, workers[0], workers[1]))
        yield found


def block(bare: Worker, instrumented: Worker, workload: str, calls: int) -> float:
    """Returns the microseconds of CPU that the peer added to a call of this block."""
    first = bare.measure(workload, calls)["cpu"]
    second = instrumented.measure(workload, calls)
    third = instrumented.measure(workload, calls)
    fourth = bare.measure(workload, calls)["cpu"]
    if second["spans"] < calls:
        raise RuntimeError(f"{calls} calls of {workload} made {second['spans']} spans: the peer is not switched on")
    return float(second["cpu"] + third["cpu"] - first - fourth) / 2


def measure(peers: list[Peer], rounds: int, blocks: int) -> dict[str, dict[str, list[float]]]:
    """Returns what each peer added, by workload and peer: one figure a block."""
    added: dict[str, dict[str, list[float]]] = {name: {peer.name: [] for peer in peers} for name in CALLS}
    for number in range(rounds):
        with pairs(peers) as found:
            if not number:
                for peer, bare, _ in found:
                    print(f"{peer.name}: {bare.versions}", file=sys.stderr)
            for name, calls in CALLS.items():
                for _, bare, instrumented in found:  # warm
                    bare.measure(name, calls)
                    instrumented.measure(name, calls)
                for _ in range(blocks):
                    for peer, bare, instrumented in found:
                        added[name][peer.name].append(block(bare, instrumented, name, calls))
    return added


def rows(added: dict[str, dict[str, list[float]]], peers: list[Peer]) -> str:
    """Returns the table, in Markdown: medians with their quartiles, in microseconds of CPU a call."""
    lines = ["| added to a call, µs | " + " | ".join(peer.name for peer in peers) + " |", "|---|" + "---|" * len(peers)]
    lines.append("| dollars | " + " | ".join(peer.dollars for peer in peers) + " |")
    for name, by_peer in added.items():
        cells = []
        for peer in peers:
            low, middle, high = statistics.quantiles(by_peer[peer.name], n=4)
            cells.append(f"{middle:.0f} ({low:.0f} to {high:.0f})")
        lines.append(f"| {name.replace(' x50', ', 50 at a time')} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write(table: str) -> None:
    """Writes the table into docs/performance.md."""
    PERFORMANCE.write_text(with_block(PERFORMANCE.read_text(encoding="utf-8"), "peers", table), encoding="utf-8")


def main() -> int:
    """Measures, prints, and with --write writes the table."""
    parser = argparse.ArgumentParser(prog="make bench-peers", description="CPU that instrumentations add to a call.")
    parser.add_argument("--quick", action="store_true", help="one round of few blocks: a rough table, for a test")
    parser.add_argument("--write", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("--peers", help="names, separated by semicolons; all by default")
    parser.add_argument("--workloads", help="names, separated by semicolons; all by default")
    options = parser.parse_args()
    chosen = [peer for peer in PEERS if options.peers is None or peer.name in options.peers.split(";")]
    for name in list(CALLS):
        if options.workloads is not None and name not in options.workloads.split(";"):
            del CALLS[name]
    table = rows(measure(chosen, *((1, 3) if options.quick else (3, 12))), chosen)
    print(table)
    if options.write:
        write(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
