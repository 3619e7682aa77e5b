"""The history in a request, and the rules that a shorter one has to keep so that the provider takes it.

A shorter history has messages of the longer one, unchanged and in their order, and new ones that are nothing but text.
A tool call and its result stay together, the instructions at the beginning and the last message stay as they are, and
the roles keep the rules of the wire format. Nothing here changes an object of the application.
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
from otel_agentcost.wire.fields import fields, get
from otel_agentcost.wire.format import Format
from otel_agentcost.wire.prompt_tokens import NO_TEXT

__all__ = ["CannotReplace", "History", "Source", "digest_of", "history_of", "size_of", "sources_of"]

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


class CannotReplace(Exception):
    """Says why something cannot be sent in place of a history."""


Source = int | dict[str, Any]
"""Where a message of a shorter history comes from: its place in the longer one, or a new message."""


def sources_of(history: History, after: Any) -> list[Source]:
    """Return what takes the place of the messages of a history: some of them, unchanged, and new texts.

    Args:
        history: The history.
        after: What is to be sent instead. Nothing of it is kept but texts.

    Raises:
        CannotReplace: A provider could refuse it.
    """
    before, lead = history.messages, history.lead
    if not isinstance(after, (list, tuple)):
        raise CannotReplace("it is no list of messages")
    found = _matched(history, list(cast("Sequence[Any]", after)))
    if found[:lead] != list(range(lead)) or any(type(each) is int and each < lead for each in found[lead:]):
        raise CannotReplace("the instructions at the beginning are not the same")
    if not found[lead:] or found[-1] != len(before) - 1:
        raise CannotReplace("the last message is not the same")
    shorter = [before[each] if isinstance(each, int) else each for each in found]
    if size_of(shorter) >= size_of(before):
        raise CannotReplace("it is not shorter")
    _check_order(history, found, shorter)
    _check_pairs(_Pairs(history.rules, before), _Pairs(history.rules, shorter))
    return found


def _matched(history: History, after: Sequence[Any]) -> list[Source]:
    """Return the places of the messages that are among those of the history, in their order, and new messages."""
    places: dict[bytes, list[int]] = {}
    for place, message in enumerate(history.messages):
        places.setdefault(digest_of(message), []).append(place)
    found: list[Source] = []
    last = -1
    for n, message in enumerate(after):
        known = places.get(_digest_of_any(message), ())
        if n == len(after) - 1:
            known = known[-1:]
        behind = next((each for each in known if each > last), None)
        if behind is None:
            found.append(_new_text(history, message, known=bool(known)))
        else:
            found.append(behind)
            last = behind
    return found


def _digest_of_any(message: Any) -> bytes:
    try:
        return digest_of(message)
    except (TypeError, ValueError, RecursionError):  # it contains itself, or has keys that are no texts
        return b""


def _new_text(history: History, message: Any, *, known: bool) -> dict[str, Any]:
    """Return a copy of a message with a role and a text. Raises `CannotReplace` for any other one."""
    rules = history.rules
    if not isinstance(message, Mapping):
        raise CannotReplace("it is no list of messages")
    new: dict[str, Any] = dict(cast("Mapping[str, Any]", message))
    if not rules.is_plain(new):
        why = "the messages are in another order" if known else "one of its messages is neither a given one nor a text"
        raise CannotReplace(why)
    role: Any = new["role"]
    if role not in ("user", rules.model_role) and not (
        role in ("system", "developer") and any(get(each, "role") == role for each in history.messages)
    ):
        raise CannotReplace("the role of one of its messages is not one of the history")
    try:
        written: dict[str, Any] = json.loads(json.dumps(new, ensure_ascii=False).encode())
    except (TypeError, ValueError) as error:
        raise CannotReplace("one of its texts cannot be encoded") from error
    return written


def _check_order(history: History, found: Sequence[Source], shorter: Sequence[Any]) -> None:
    """Raise `CannotReplace` if a message stands where the API refuses it."""
    before, lead, rules = history.messages, history.lead, history.rules
    if rules.user_first and rules.by_model(shorter[lead]) and not rules.by_model(before[lead]):
        raise CannotReplace("its first message is one of the model")
    if rules.alternates and _repeats(rules, shorter) and not _repeats(rules, before):
        raise CannotReplace("two messages of the same role follow one another")
    for one, other in pairwise(range(len(found))):
        # Such APIs take two messages of the model for one, whose reasoning has to come first.
        together = isinstance(found[one], int) and found[other] == cast("int", found[one]) + 1
        if rules.user_first and not together and rules.by_model(shorter[one]) and rules.by_model(shorter[other]):
            raise CannotReplace("two messages of the model follow one another")
    kept = {each: n for n, each in enumerate(found) if isinstance(each, int)}
    for place, message in enumerate(before):
        if place + 1 < len(before) and rules.belongs_to_next(message):
            at, following = kept.get(place), kept.get(place + 1)
            if (at is None) != (following is None) or (at is not None and following != at + 1):
                raise CannotReplace("reasoning and what follows it are separated")
        if get(message, "type") == "item_reference" and place not in kept:
            raise CannotReplace("it lacks a reference to an item that the provider has")


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
            rules.pair(message, items)
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


def _check_pairs(before: _Pairs, after: _Pairs) -> None:
    """Raise `CannotReplace` if a call of a tool and its result are not together as they were."""
    if after.orphans - before.orphans:
        raise CannotReplace("a result of a tool is without its call")
    if after.unanswered - before.unanswered:
        raise CannotReplace("a call of a tool is without its result")
    if any(between > before.apart.get(name, between) for name, between in after.apart.items()):
        raise CannotReplace("a call of a tool and its result are separated")
