"""The cost of a call in bytecode instructions, which a busy machine does not change."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from tools.documents import ROOT

MEASURED = {
    "openai chat sync": 9_470,
    "openai chat sync with budgets": 13_450,
    "openai chat async x50": 9_480,
    "openai chat async x50 with budgets": 13_460,
    "openai chat stream 200 chunks": 25_780,
    "openai chat stream 200 chunks with budgets": 30_000,
    "openai responses sync": 10_560,
    "openai responses sync with budgets": 14_540,
    "openai responses stream 200 chunks": 19_450,
    "openai responses stream 200 chunks with budgets": 23_490,
    "anthropic messages sync": 12_080,
    "anthropic messages sync with budgets": 15_710,
    "anthropic messages async x50": 12_080,
    "anthropic messages async x50 with budgets": 15_730,
    "anthropic messages stream 200 chunks": 24_160,
    "anthropic messages stream 200 chunks with budgets": 27_860,
}
"""Instructions that a call adds, by `python -m tools.opcodes`, with the versions below."""
MEASURED_WITH = {"python": "3.11", "opentelemetry-sdk": "1.45.1", "openai": "3.57.0", "anthropic": "2.14.0"}


@pytest.fixture(scope="module")
def counts() -> dict[str, int]:
    """What each workload adds here."""
    here = {name: version(name) for name in MEASURED_WITH if name != "python"}
    here["python"] = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != MEASURED_WITH:
        pytest.skip(f"the limits are for {MEASURED_WITH}, here are {here}")
    command = [sys.executable, "-m", "tools.opcodes"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300).stdout
    rows = [line.rpartition(" ") for line in printed.splitlines()]
    return {name.strip(): int(count) for name, _, count in rows}


@pytest.mark.parametrize("workload", MEASURED)
def test_a_call_never_gets_much_slower_unnoticed(counts: dict[str, int], workload: str) -> None:
    """At most 3 % above the last measurement: a change that costs more is one to decide on."""
    assert MEASURED[workload] / 2 < counts[workload] <= MEASURED[workload] * 1.03


def test_every_workload_has_a_limit(counts: dict[str, int]) -> None:
    """A new workload of the benchmarks is measured, too."""
    assert counts.keys() == MEASURED.keys()
