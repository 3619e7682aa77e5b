"""Facts about the prompt of a request that advice on prompt caches needs: marks, blocks, and text that changes. No text
is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from otel_agentcost.diagnostics import reraise_foreign

_MARKS: Final = frozenset({"cache_control", "cachePoint", "prompt_cache_breakpoint"})
_BEFORE: Final = ("system", "instructions", "systemInstruction", "system_instruction")
_HISTORY: Final = ("messages", "input", "contents")
_DEPTH: Final = 6
_LONGEST: Final = 20_000
"""Characters of a text that are searched."""

_CHANGES: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\b\d\d:\d\d:\d\d\b|"
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    re.IGNORECASE,
)
"""Times of day, and random ids."""


class PromptMarks(NamedTuple):
    """The facts about one prompt."""

    marks: int
    """Marks for the cache."""
    blocks: int
    """Blocks of all messages."""
    volatile: str
    """The part before the last message that has a time or a random id: `system`, or `messages[0]`; else empty."""


def of(body: Any) -> PromptMarks | None:
    """Return the facts about a request; None if there is nothing to say."""
    if not isinstance(body, Mapping):
        return None
    try:
        fields = cast("Mapping[str, Any]", body)
        marks, blocks = _counted(fields)
        volatile = _volatile(fields)
        return PromptMarks(marks, blocks, volatile) if marks or volatile else None
    except Exception as error:  # objects of the application
        reraise_foreign(error)
        return None


def _list(value: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else ()


def _is_marked(block: Any) -> bool:
    return isinstance(block, dict) and not _MARKS.isdisjoint(cast("dict[str, Any]", block))


def _counted(body: Mapping[str, Any]) -> tuple[int, int]:
    """Return the number of marks, and of blocks of messages. Histories are long: nothing deeper is looked at."""
    config = body.get("toolConfig")
    tools = body.get("tools") or (cast("Mapping[str, Any]", config).get("tools") if isinstance(config, dict) else None)
    marks = _is_marked(body) + sum(map(_is_marked, _list(tools)))
    marks += sum(sum(map(_is_marked, _list(body.get(name)))) for name in _BEFORE)
    blocks = 0
    for message in _messages(body):
        if not isinstance(message, dict):
            blocks += 1
            continue
        known = cast("dict[str, Any]", message)
        content = known.get("content")
        inner = _list(content)
        blocks += len(inner) or 1
        marks += (not _MARKS.isdisjoint(known)) + sum(map(_is_marked, inner))
    return marks, blocks


def _messages(body: Mapping[str, Any]) -> Sequence[Any]:
    return next((found for name in _HISTORY if (found := _list(body.get(name)))), ())


def _volatile(body: Mapping[str, Any]) -> str:
    for name in _BEFORE:
        if _has_changing(body.get(name), _DEPTH):
            return "system"
    messages = _messages(body)
    for at, message in enumerate(messages[: min(2, len(messages) - 1)]):
        if _has_changing(message, _DEPTH):
            return f"messages[{at}]"
    return ""


def _has_changing(part: Any, depth: int) -> bool:
    if isinstance(part, str):
        return _changes(part)
    if depth < 0:
        return False
    if isinstance(part, Mapping):
        fields = cast("Mapping[str, Any]", part)
        return any(_has_changing(fields.get(name), depth - 1) for name in ("text", "content", "parts"))
    return any(_has_changing(each, depth - 1) for each in _list(part)[:64])


def _changes(text: str) -> bool:
    """Return True if a text has a time or a random id. Prompts are sent again and again: the latest ones are known."""
    mark = hash(text)
    found = _KNOWN.get(mark)
    if found is None:
        found = _CHANGES.search(text, 0, _LONGEST) is not None
        if len(_KNOWN) >= _MOST:
            _KNOWN.clear()
        _KNOWN[mark] = found
    return found


_KNOWN: Final = dict[int, bool]()
"""By the hash of a text: no content is kept."""
_MOST: Final = 2_000
