"""One run, one charge: agents of each framework, alone and beside each family of instrumentations, in either order.

Each scene needs the framework and the instrumentations in its environment: `make agent-neighbours` makes one for each
framework, and writes the table of docs/neighbours.md from what these tests have counted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.coexistence.agents.neighbours import ALONE, KINDS, NEIGHBOURS
from tests.coexistence.agents.programs import PROGRAMS, Program
from tests.coexistence.agents.scene import OURS_FIRST, THEIRS_FIRST
from tests.integrations.agents.agent_runs import TOOL_USD

ROOT = Path(__file__).parents[3]
REPORT = "AGENTCOST_NEIGHBOURS_REPORT"
"""The variable with the file to which each scene adds a line."""


def scenes() -> Sequence[tuple[str, str, str]]:
    """The scenes that the environment has the packages for: framework, family, order."""
    found: list[tuple[str, str, str]] = []
    for program in PROGRAMS.values():
        if not is_installed(program.package):
            continue
        found.append((program.name, ALONE, OURS_FIRST))
        for kind in KINDS:
            if any(each.kind == kind and each.framework == program.name and each.installed for each in NEIGHBOURS):
                found += [(program.name, kind, THEIRS_FIRST), (program.name, kind, OURS_FIRST)]
    return found


def is_installed(package: str) -> bool:
    """Look for a package, also in a namespace (`google`) that other distributions may have made."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize(
    ("framework", "kind", "order"),
    scenes() or [pytest.param("", "", "", marks=pytest.mark.skip(reason="no framework: `make agent-neighbours`"))],
)
def test_a_run_is_counted_once(framework: str, kind: str, order: str) -> None:
    """Its agent, its model calls and its tools, in one trace, with the right dollars; and budgets hold."""
    seen = played(framework, kind, order)
    report(framework, kind, order, seen)
    for each in seen:
        check(PROGRAMS[framework], each, seen[0])


def played(framework: str, kind: str, order: str) -> list[dict[str, Any]]:
    """What came of a scene, in a process of its own."""
    command = [sys.executable, "-m", "tests.coexistence.agents.scene", framework, kind, order]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def check(program: Program, seen: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    """Assert that one run was counted once."""
    assert seen["agents"] == 1, seen
    assert (seen["traces"], seen["runs"]) == (1, 1), seen
    assert seen["outside"] == [], seen
    assert (len(seen["agent_spans"]), len(seen["tool_spans"])) == (1, seen["tool_calls"]), seen
    assert seen["unnamed"] == [], seen
    assert seen["total_usd"] == pytest.approx(seen["usd"]), seen
    if seen["form"] == "agent budget":
        assert seen["model_calls"] == 1, seen
        assert seen["refusals"] >= 1, seen
        return
    more = seen["form"] == "two tools"
    assert (seen["model_calls"], seen["tool_calls"]) == (program.model_calls, program.tool_calls + more), seen
    assert seen["usd"] == pytest.approx(program.usd + more * TOOL_USD), seen
    assert seen["usd"] == pytest.approx(first["usd"] + more * TOOL_USD), seen
    assert (seen["error"], seen["refusals"]) == (None, 0), seen


def report(framework: str, kind: str, order: str, seen: list[dict[str, Any]]) -> None:
    """Add the scene to the file of the environment, if there is one."""
    if REPORT in os.environ:
        line = json.dumps({"framework": framework, "kind": kind, "order": order, "seen": seen})
        with Path(os.environ[REPORT]).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
