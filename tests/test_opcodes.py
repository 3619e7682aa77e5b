"""The cost of a call in bytecode instructions, which a busy machine does not change."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from tools.documents import ROOT

MEASURED = {
    "openai chat sync": 9_530,
    "openai chat sync with budgets": 12_650,
    "openai chat async x50": 9_540,
    "openai chat async x50 with budgets": 12_660,
    "openai chat stream 200 chunks": 24_080,
    "openai chat stream 200 chunks with budgets": 27_440,
    "openai responses sync": 9_650,
    "openai responses sync with budgets": 12_760,
    "openai responses stream 200 chunks": 18_540,
    "openai responses stream 200 chunks with budgets": 21_710,
    "anthropic messages sync": 9_660,
    "anthropic messages sync with budgets": 12_700,
    "anthropic messages async x50": 9_680,
    "anthropic messages async x50 with budgets": 12_720,
    "anthropic messages stream 200 chunks": 21_760,
    "anthropic messages stream 200 chunks with budgets": 24_860,
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
    rows = [line.rsplit(maxsplit=2) for line in printed.splitlines()]
    return {name: int(count) for name, count, _different in rows}


@pytest.mark.parametrize("workload", MEASURED)
def test_a_call_never_gets_much_slower_unnoticed(counts: dict[str, int], workload: str) -> None:
    """At most 3 % above the last measurement: a change that costs more is one to decide on."""
    assert MEASURED[workload] / 2 < counts[workload] <= MEASURED[workload] * 1.03


def test_every_workload_has_a_limit(counts: dict[str, int]) -> None:
    """A new workload of the benchmarks is measured, too."""
    assert counts.keys() == MEASURED.keys()
