"""What one more of the same call with the same result counts, by what has happened since the last one.

What was written, sent or moved on since makes it no repetition of the work: tests are green after each edit, a queue's
items are done one by one. A failure is none the better for that.
"""

from __future__ import annotations

from typing import Final

from otel_agentcost.core.loops import result_text, tool_names
from otel_agentcost.core.loops.conversation import ToolCall, ToolResult
from otel_agentcost.core.loops.progress import Moment
from otel_agentcost.core.loops.repetition import FAINT, FULL, PATIENT, SLIGHT, SOFT, WEAK, Streak

_SHORTEST: Final = 40
"""Characters below which a result says nothing in particular."""
_FRAMED: Final = 200
"""Characters below which a result may be nothing, with the time and ids round it."""


def weight(moment: Moment, streak: Streak, call: ToolCall, result: ToolResult, *, exchanged: bool, apart: int) -> int:
    """How much, in units of `FULL`. `exchanged`: it is the earlier call with other words in the places of some."""
    content = result.content
    if moment.topics > streak.topics or _is_patient(moment, streak, call, content, exchanged=exchanged):
        return PATIENT
    failed = result.error or result_text.failed(content)
    if moment.progress > streak.order or moment.writes > streak.writes:
        return _after_work(moment, streak, failed=failed or result_text.failed_in_part(content))
    if moment.user > streak.user or moment.novel - streak.novel > apart or _steers_on(moment, streak, call, content):
        return FAINT
    learned = moment.novel > streak.novel and not failed
    if exchanged or (learned and tool_names.changes_something(call.tool) and result_text.acknowledges(content)):
        return SLIGHT
    if learned and streak.repeats > 1:  # what is new to the first round of a cycle tells nothing
        return WEAK
    vague = streak.near and says_nothing(content)
    return SOFT if vague or (failed and result_text.transient(content)) else FULL


def _after_work(moment: Moment, streak: Streak, *, failed: bool) -> int:
    if failed:
        return FAINT if moment.user > streak.user else WEAK
    return PATIENT if moment.progress > streak.order else SLIGHT


def _steers_on(moment: Moment, streak: Streak, call: ToolCall, content: str) -> bool:
    """Whether it moves on in something that others show, or hands over what was written since."""
    if tool_names.steers(call.tool) and result_text.says_little(content):
        return True
    return moment.drafts > streak.drafts and tool_names.hands_over(call.tool)


def _is_patient(moment: Moment, streak: Streak, call: ToolCall, content: str, *, exchanged: bool) -> bool:
    """Whether one more of the same is hardly a repetition: it waits, or has slept in between, or asks what time
    it is, or throws dice, or asks of another ("letters from Alice", "letters from Bob") for what there is none of.
    """
    if moment.slept > streak.order or tool_names.waits(call.tool, call.arguments, content):
        return True
    if tool_names.by_chance(call.tool) and len(content) < _SHORTEST:
        return True
    return _is_clock(streak, content) or (exchanged and says_nothing(content))


def _is_clock(streak: Streak, content: str) -> bool:
    return streak.essence is not None and len(content) < 64 and result_text.nothing_left(result_text.essence(content))


def says_nothing(content: str) -> bool:
    """Whether a result is one that many things have."""
    if len(content) < _SHORTEST or result_text.empty(content):
        return True
    return len(content) < _FRAMED and result_text.says_little(result_text.essence(content))
