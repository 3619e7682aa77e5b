"""The history in a request, and the rules that a shorter one has to keep so that the provider takes it.

A tool call and its result stay together and in their order, the instructions at the beginning and the last message stay
as they are, and the roles keep the rules of the wire format. Nothing here changes an object of the application.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple, cast

from otel_agentcost.core.loops import Item, ToolCall, ToolResult
from otel_agentcost.wire.conversation_items import MessageList
from otel_agentcost.wire.fields import fields
from otel_agentcost.wire.format import Format
from otel_agentcost.wire.prompt_tokens import NO_TEXT

__all__ = ["History", "digest_of", "history_of", "mistake_in", "size_of"]

_DEEPEST: Final = 24
_MEDIA: Final = NO_TEXT | {"bytes", "image_url", "file_data", "inlineData", "inline_data"}


class History(NamedTuple):
    """The messages of a request."""

    rules: MessageList
    """The facet of the wire format."""
    messages: list[Any]
    """The messages, oldest first: a new list of the application's objects."""
    lead: int
    """How many messages at the beginning are instructions."""

    @property
    def field(self) -> str:
        """The field of the body."""
        return self.rules.field


def history_of(form: Format, body: Any) -> History | None:
    """Return the history that a request carries; None where it has no list of messages."""
    rules = form.conversation
    if not isinstance(rules, MessageList) or not isinstance(body, Mapping):
        return None
    value = cast("Mapping[str, Any]", body).get(rules.field)
    if not isinstance(value, (list, tuple)) or not value:
        return None
    messages = list(cast("Sequence[Any]", value))
    lead = next((n for n, message in enumerate(messages) if not rules.is_instruction(message)), len(messages))
    return History(rules, messages, lead)


def size_of(value: Any, depth: int = 0) -> int:
    """Return the characters of all text in a value that the model reads, without media."""
    if isinstance(value, str):
        return len(value)
    if depth > _DEEPEST or value is None or isinstance(value, (int, float, bytes)):
        return 0
    if isinstance(value, (list, tuple)):
        return sum(size_of(item, depth + 1) for item in cast("Sequence[Any]", value))
    known = fields(value)
    if not isinstance(known, Mapping):
        return 0
    named = cast("Mapping[str, Any]", known)
    return sum(size_of(item, depth + 1) for name, item in named.items() if name not in _MEDIA)


def digest_of(message: Any) -> bytes:
    """Return what is equal for equal messages only."""
    written = json.dumps(message, sort_keys=True, ensure_ascii=False, default=_plain)
    return hashlib.blake2b(written.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _plain(value: Any) -> Any:
    known = fields(value)
    if isinstance(known, Mapping):
        return dict(cast("Mapping[str, Any]", known))
    if isinstance(value, (bytes, bytearray)):
        return hashlib.blake2b(bytes(value), digest_size=16).hexdigest()
    return repr(value)


def mistake_in(history: History, after: Any) -> str | None:  # noqa: PLR0911 (one for each rule)
    """Return why `after` cannot take the place of the messages of a history; None if it can.

    Args:
        history: The history.
        after: What is to be sent instead.
    """
    before, lead, rules = history.messages, history.lead, history.rules
    if not isinstance(after, (list, tuple)) or not all(isinstance(each, Mapping) for each in cast("Any", after)):
        return "it is no list of messages"
    shorter = list(cast("Sequence[Any]", after))
    marks, kept = [digest_of(each) for each in before], [digest_of(each) for each in shorter]
    if kept[:lead] != marks[:lead]:
        return "the instructions at the beginning are not the same"
    if not kept[lead:] or kept[-1] != marks[-1]:
        return "the last message is not the same"
    if size_of(shorter) >= size_of(before):
        return "it is not shorter"
    if rules.user_first and rules.by_model(shorter[lead]) and not rules.by_model(before[lead]):
        return "its first message is one of the model"
    if rules.alternates and _repeats(rules, shorter) and not _repeats(rules, before):
        return "two messages of the same role follow one another"
    bound = {mark: marks[n + 1] for n, mark in enumerate(marks[:-1]) if rules.belongs_to_next(before[n])}
    for mark, following in bound.items():
        if (mark in kept) != (following in kept) or (mark in kept and kept[kept.index(mark) + 1 :][:1] != [following]):
            return "reasoning and what follows it are separated"
    return _unpaired(_Pairs(rules, before), _Pairs(rules, shorter))


def _repeats(rules: MessageList, messages: Sequence[Any]) -> bool:
    by_model = [rules.by_model(each) for each in messages]
    return any(one == other for one, other in pairwise(by_model))


class _Pairs:
    """The tool calls of a history and their results."""

    def __init__(self, rules: MessageList, messages: Sequence[Any]) -> None:
        self.apart: dict[str, int] = {}
        """How many messages lie between a call and its result, at most."""
        self.orphans = Counter[str]()
        """Results without a call before them."""
        waiting: dict[str, list[int]] = {}
        for place, message in enumerate(messages):
            items: list[Item] = []
            rules.read(message, items)
            for item in items:
                if isinstance(item, ToolCall):
                    waiting.setdefault(item.id or item.tool, []).append(place)
                elif isinstance(item, ToolResult):
                    self._answered(item.id or item.tool or "", waiting, place)
        self.unanswered = Counter({name: len(places) for name, places in waiting.items() if places})
        """Calls without a result."""

    def _answered(self, name: str, waiting: dict[str, list[int]], place: int) -> None:
        places = waiting.get(name)
        if not places:
            self.orphans[name] += 1
        else:
            self.apart[name] = max(self.apart.get(name, 0), place - places.pop(0))


def _unpaired(before: _Pairs, after: _Pairs) -> str | None:
    if after.orphans - before.orphans:
        return "a result of a tool is without its call"
    if after.unanswered - before.unanswered:
        return "a call of a tool is without its result"
    if any(between > before.apart.get(name, between) for name, between in after.apart.items()):
        return "a call of a tool and its result are separated"
    return None
