"""Runs of agents as lists of steps, and as the requests that they make, one for each model call.

A step is a tool call with its result, or what the user or the model says. The 104 real runs are read from the folder
that `AGENTCOST_CORPORA` names; `domains` makes up others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otel_agentcost.calls.loop_guard import TraceLoops
from otel_agentcost.core.loops import Finding, Thresholds
from otel_agentcost.wire import load


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens in a run."""

    tool: str | None
    text: str
    """The arguments of the tool as JSON; or what is said."""
    result: str = ""
    by: str = "assistant"
    error: bool = False
    more: tuple[Step, ...] = ()
    """What is called in the same turn."""

    @property
    def arguments(self) -> Any:
        return json.loads(self.text)


def call(tool: str, result: str, /, *, error: bool = False, **arguments: Any) -> Step:
    return Step(tool, json.dumps(arguments), result, error=error)


def said(text: str) -> Step:
    return Step(None, text)


def asked(text: str) -> Step:
    return Step(None, text, by="user")


def real() -> list[list[Step]]:
    """The real runs; none where there is no folder of them."""
    folder = os.environ.get("AGENTCOST_CORPORA")
    if not folder:
        return []
    lines = (Path(folder) / "agent_runs.jsonl").read_text(encoding="utf-8").splitlines()
    return [[_step(step) for step in json.loads(line)["steps"]] for line in lines]


def _step(step: dict[str, Any]) -> Step:
    if "tool" in step:
        return Step(step["tool"], step["arguments"], step["result"])
    return Step(None, step["content"], by=step["message"])


def messages(run: list[Step]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Before each model call of the run: how many of its steps are over, and the messages of the request."""
    sent: list[dict[str, Any]] = [{"role": "system", "content": "You are a helpful agent."}]
    for at, step in enumerate(run):
        if step.by == "user":
            sent.append({"role": "user", "content": step.text})
        else:
            if at:
                yield at, sent
            sent.extend(_chat(step, at))
    yield len(run), sent


def _chat(step: Step, at: int) -> Iterator[dict[str, Any]]:
    if step.tool is None:
        yield {"role": "assistant", "content": step.text}
        return
    calls = [step, *step.more]
    yield {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": f"call_{at}_{n}", "type": "function", "function": {"name": each.tool, "arguments": each.text}}
            for n, each in enumerate(calls)
        ],
    }
    for n, each in enumerate(calls):
        yield {"role": "tool", "tool_call_id": f"call_{at}_{n}", "content": each.result}


def findings(run: list[Step], thresholds: Thresholds | None = None) -> list[tuple[int, Finding]]:
    """The loops that are found in a run, each with how many steps were over."""
    looping = TraceLoops(thresholds)
    found: list[tuple[int, Finding]] = []
    for number, (at, sent) in enumerate(messages(run)):
        found += [(at, finding) for finding in looping.before_call(load("openai_chat"), {"messages": sent}, number)]
    return found
