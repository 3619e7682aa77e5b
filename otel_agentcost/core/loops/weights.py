"""The weight of a repeated call with the same result, by the progress since the previous one.

After a write or a changed result, a repetition is not idle: tests pass after each edit, the items of a queue are
processed one by one. For failures this matters less.
"""

from __future__ import annotations

from typing import Final

from otel_agentcost.core.loops import result_text, tool_names
from otel_agentcost.core.loops.conversation import ToolCall, ToolResult
from otel_agentcost.core.loops.progress import Progress
from otel_agentcost.core.loops.repetition import FAINT, FULL, PATIENT, SLIGHT, SOFT, WEAK, Repetition

_SHORTEST: Final = 40
"""Characters below which a result is unspecific."""
_FRAMED: Final = 200
"""Characters below which a result can consist of times and ids only."""


def repetition_weight(
    progress: Progress, repetition: Repetition, call: ToolCall, result: ToolResult, *, exchanged: bool, apart: int
) -> int:
    """Return the weight of a repetition, in units of `FULL`.

    Args:
        progress: The counters of the conversation.
        repetition: The earlier calls of this kind.
        call: The call.
        result: Its result, which has the same content as the earlier one.
        exchanged: True if the call is an earlier one with some words exchanged.
        apart: See `Thresholds.apart`.
    """
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
    if learned and repetition.repeats > 1:  # in the first round of a cycle, all results are new
        return WEAK
    vague = repetition.near and is_unspecific(content)
    return SOFT if vague or (failed and result_text.is_transient(content)) else FULL


def _after_work(progress: Progress, repetition: Repetition, *, failed: bool) -> int:
    if failed:
        return FAINT if progress.user > repetition.user else WEAK
    return PATIENT if progress.last_change > repetition.order else SLIGHT


def _navigates_on(progress: Progress, repetition: Repetition, call: ToolCall, content: str) -> bool:
    """Return whether the call navigates in a view that other calls show, or hands off a new draft."""
    if tool_names.navigates(call.tool) and result_text.is_uninformative(content):
        return True
    return progress.drafts > repetition.drafts and tool_names.hands_off(call.tool)


def _is_patient(progress: Progress, repetition: Repetition, call: ToolCall, content: str, *, exchanged: bool) -> bool:
    """Return whether a call is expected to repeat: it waits, follows a wait, reads the time, is random, or asks in vain
    about one name after the other ("letters from Alice", "letters from Bob").
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
    """Return whether many different calls can have this result."""
    if len(content) < _SHORTEST or result_text.is_empty(content):
        return True
    return len(content) < _FRAMED and result_text.is_uninformative(result_text.stable_text(content))
