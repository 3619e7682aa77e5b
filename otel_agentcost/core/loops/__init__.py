"""Detect loops of an agent from its tool calls, their results, and its messages.

`conversation` has the items of a conversation; `result_text`, `tool_names` and `similarity` interpret them; `detector`
keeps the state of one conversation and reports its loops. No clock, no I/O; the caller passes the function that
compares two texts. `calls.loop_guard` feeds the detectors and decides about a warning or a refusal.
"""

from __future__ import annotations

from otel_agentcost.core.loops.conversation import (
    Item,
    TextMessage,
    ToolCall,
    ToolResult,
    clip,
    digest,
    make_tool_call,
    shorten_name,
)
from otel_agentcost.core.loops.detector import LoopDetector
from otel_agentcost.core.loops.repetition import Finding, Rule, Similarity, Thresholds
from otel_agentcost.core.loops.result_text import stable_text

__all__ = [
    "Finding",
    "Item",
    "LoopDetector",
    "Rule",
    "Similarity",
    "TextMessage",
    "Thresholds",
    "ToolCall",
    "ToolResult",
    "clip",
    "digest",
    "make_tool_call",
    "shorten_name",
    "stable_text",
]
