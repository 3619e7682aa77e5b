"""Runs agents of every framework beside other instrumentations, in environments of their own.

    python -m tools.neighbours              every framework
    python -m tools.neighbours langchain    some of them

Environments are made by uv, in a temporary folder, with the newest release of each package. The tests' counts replace
the rows of these frameworks in the table of docs/neighbours.md. A framework that fails has no rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from otel_agentcost.integrations import agents
from tools import packages
from tools.documents import block, with_block
from tools.environments import OURS, ROOT, ROWS

DOCUMENT = ROOT / "docs" / "neighbours.md"
BLOCK = "agents-and-tools"
REPORT = "AGENTCOST_NEIGHBOURS_REPORT"
OPENAI = (
    "opentelemetry-instrumentation-openai>=0.62",
    "openinference-instrumentation-openai>=0.1.66",
    "opentelemetry-instrumentation-genai-openai>=1.3b0",
)
NEIGHBOURS: dict[str, tuple[str, ...]] = {
    "agno": (
        "opentelemetry-instrumentation-agno>=0.62",
        "openinference-instrumentation-agno>=1.0",
        "opentelemetry-instrumentation-genai-agno>=1.3b0",
    ),
    "langchain": (
        "opentelemetry-instrumentation-langchain>=0.62",
        "openinference-instrumentation-langchain>=0.1.80",
        "opentelemetry-instrumentation-genai-langchain>=1.3b0",
    ),
    "openai_agents": (
        "opentelemetry-instrumentation-openai-agents>=0.62",
        "openinference-instrumentation-openai-agents>=2.6",
        "opentelemetry-instrumentation-genai-openai-agents>=1.3b0",
    ),
    "crewai": ("opentelemetry-instrumentation-crewai>=0.62", "openinference-instrumentation-crewai>=1.1"),
    "llama_index": (
        "opentelemetry-instrumentation-llamaindex>=0.62",
        "openinference-instrumentation-llama-index>=4.6",
        "opentelemetry-instrumentation-genai-llama-index>=1.3b0",
    ),
    "haystack": ("openinference-instrumentation-haystack>=0.1.46",),
    "smolagents": (
        "openinference-instrumentation-smolagents>=0.1.43",
        "opentelemetry-instrumentation-genai-smolagents>=1.2b0",
    ),
    "google_adk": ("openinference-instrumentation-google-adk>=1.0",),
    "autogen": ("openinference-instrumentation-autogen-agentchat>=0.1.22",),
    "pydantic_ai": ("openinference-instrumentation-pydantic-ai>=0.1.30",),
    "strands": ("openinference-instrumentation-strands-agents>=0.1.12",),
    "dspy": ("openinference-instrumentation-dspy>=0.1.48", "opentelemetry-instrumentation-genai-dspy>=1.3b0"),
    "claude_agent_sdk": ("openinference-instrumentation-claude-agent-sdk>=0.1.22",),
    "agent_framework": ("openinference-instrumentation-agent-framework>=0.1.13",),
}
"""The instrumentations of each framework. OpenLLMetry's of Haystack needs an older Haystack than the newest."""


def run(name: str, folder: Path, report: Path) -> bool:
    """Makes the environment of a framework and runs its scenes."""
    started = time.monotonic()
    sdk = () if name in ("google_adk", "claude_agent_sdk") else OPENAI
    install = ("--editable", str(ROOT), *OURS, *ROWS[name].newest, *NEIGHBOURS[name], *sdk)
    try:
        python = packages.create(folder, install)
    except packages.InstallationFailed as error:
        print(error, flush=True)
        return False
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/coexistence/agents"]
    done = subprocess.run(command, cwd=ROOT, check=False, env={**os.environ, REPORT: str(report)})
    verdict = "passed" if done.returncode == 0 else "FAILED"
    print(f"--- {name}: {verdict} ({time.monotonic() - started:.0f} s)", flush=True)
    return done.returncode == 0


HEAD = (
    "| framework | family | runs | agents | model calls | tool calls | traces |",
    "|---|---|---|---|---|---|---|",
)


def rows(scenes: list[dict[str, Any]]) -> list[str]:
    """The rows of the table, one a framework and family."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for scene in scenes:
        runs = [each for each in scene["seen"] if each["form"] in ("sync", "async", "stream")]
        found.setdefault((scene["framework"], scene["kind"]), []).extend(runs)
    lines: list[str] = []
    for (framework, kind), runs in sorted(found.items()):
        counted = [
            ", ".join(sorted({str(each[key]) for each in runs}))
            for key in ("agents", "model_calls", "tool_calls", "traces")
        ]
        lines.append(f"| {' | '.join((framework, kind, str(len(runs)), *counted))} |")
    return lines


def framework_of(row: str) -> str:
    """The framework of a row."""
    return row.split("|")[1].strip()


def content(before: str, ran: Collection[str], passed: list[dict[str, Any]]) -> str:
    """The block of docs/neighbours.md: the table, and which frameworks have rows in it.

    Args:
        before: The block as it is.
        ran: The frameworks that have run now, whose rows are replaced.
        passed: What the tests have counted in those of them that passed.
    """
    others = [line for line in before.splitlines() if line.startswith("|") and framework_of(line) in NEIGHBOURS]
    lines = sorted([*(line for line in others if framework_of(line) not in ran), *rows(passed)])
    has = {framework_of(line) for line in lines}
    titles = {each.name.replace("-", "_"): each.title for each in agents.discover()}
    said = f"\nFrameworks that passed: {_listed(titles[name] for name in NEIGHBOURS if name in has)}."
    if without := [titles[name] for name in NEIGHBOURS if name not in has]:
        said += f" Without a result: {_listed(without)}."
    return "\n".join([*HEAD, *lines, said]) + "\n"


def _listed(names: Iterable[str]) -> str:
    return "; ".join(sorted(names, key=str.lower)) or "none"


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs agents beside other instrumentations.")
    parser.add_argument("names", nargs="*", choices=[*NEIGHBOURS, []], help="which frameworks; all without")
    names = parser.parse_args().names or list(NEIGHBOURS)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        failed = [name for name in names if not run(name, Path(folder) / name, report)]
        scenes = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
    document = DOCUMENT.read_text(encoding="utf-8")
    passed = [scene for scene in scenes if scene["framework"] not in failed]
    written = content(block(document, BLOCK) or "", names, passed)
    DOCUMENT.write_text(with_block(document, BLOCK, written), encoding="utf-8")
    print(f"{len(failed)} failed" + "".join(f"\n    {each}" for each in failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
