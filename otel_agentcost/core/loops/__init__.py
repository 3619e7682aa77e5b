"""Whether an agent goes round in circles, judged from what it called, what came back, and what it said.

`items` are what is read of a conversation, `words` and `likeness` say what they mean, `watch` keeps the state of one
conversation and finds the loops in it. Pure: no clock, no I/O; how alike two texts are is a function that is handed
in. Fed by `otel_agentcost.calls.loop_guard`; what a loop leads to (a warning, a refusal) is decided elsewhere.
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
