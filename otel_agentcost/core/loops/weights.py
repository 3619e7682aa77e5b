"""What one more of the same call with the same result counts, by what has happened since the last one.

What was written, sent or moved on since makes it no repetition of the work: tests are green after each edit, a queue's
items are done one by one. A failure is none the better for that.
"""

from __future__ import annotations

from typing import Final

from otel_agentcost.core.loops import result_text, tool_names
from otel_agentcost.core.loops.conversation import ToolCall, ToolResult
from otel_agentcost.core.loops.progress import Progress
from otel_agentcost.core.loops.repetition import FAINT, FULL, PATIENT, SLIGHT, SOFT, WEAK, Repetition

_SHORTEST: Final = 40
"""Characters below which a result says nothing in particular."""
_FRAMED: Final = 200
"""Characters below which a result may be nothing, with the time and ids round it."""


def repetition_weight(
    progress: Progress, repetition: Repetition, call: ToolCall, result: ToolResult, *, exchanged: bool, apart: int
) -> int:
    """How much, in units of `FULL`. `exchanged`: it is the earlier call with other words in the places of some."""
    content = result.content
    if progress.topics > repetition.topics or _is_patient(progress, repetition, call, content, exchanged=exchanged):
        return PATIENT
    failed = result.error or result_text.is_failure(content)
    if progress.last_change > repetition.order or progress.writes > repetition.writes:
        return _after_work(progress, repetition, failed=failed or result_text.reports_failures(content))
    if (
        progress.user > repetition.user
        or progress.novel - repetition.novel > apart
        or _navigates_on(progress, repetition, call, content)
    ):
        return FAINT
    learned = progress.novel > repetition.novel and not failed
    if exchanged or (learned and tool_names.is_write(call.tool) and result_text.is_acknowledgement(content)):
        return SLIGHT
    if learned and repetition.repeats > 1:  # what is new to the first round of a cycle tells nothing
        return WEAK
    vague = repetition.near and is_unspecific(content)
    return SOFT if vague or (failed and result_text.is_transient(content)) else FULL


def _after_work(progress: Progress, repetition: Repetition, *, failed: bool) -> int:
    if failed:
        return FAINT if progress.user > repetition.user else WEAK
    return PATIENT if progress.last_change > repetition.order else SLIGHT


def _navigates_on(progress: Progress, repetition: Repetition, call: ToolCall, content: str) -> bool:
    """Whether it moves on in something that others show, or hands over what was written since."""
    if tool_names.navigates(call.tool) and result_text.is_uninformative(content):
        return True
    return progress.drafts > repetition.drafts and tool_names.hands_off(call.tool)


def _is_patient(progress: Progress, repetition: Repetition, call: ToolCall, content: str, *, exchanged: bool) -> bool:
    """Whether one more of the same is hardly a repetition: it waits, or has slept in between, or asks what time
    it is, or throws dice, or asks of another ("letters from Alice", "letters from Bob") for what there is none of.
    """
    if progress.slept > repetition.order or tool_names.waits(call.tool, call.arguments, content):
        return True
    if tool_names.is_random(call.tool) and len(content) < _SHORTEST:
        return True
    return _is_clock(repetition, content) or (exchanged and is_unspecific(content))


def _is_clock(repetition: Repetition, content: str) -> bool:
    return (
        repetition.stable_text is not None
        and len(content) < 64
        and result_text.is_only_volatile(result_text.stable_text(content))
    )


def is_unspecific(content: str) -> bool:
    """Whether a result is one that many things have."""
    if len(content) < _SHORTEST or result_text.is_empty(content):
        return True
    return len(content) < _FRAMED and result_text.is_uninformative(result_text.stable_text(content))
