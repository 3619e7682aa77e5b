"""Helpers that read one message of a conversation: tool calls, tool results and texts, as the items of loop detection.

Every format's `conversation` facet uses them. Results become text of at most `MAX_TEXT` characters; a picture becomes a
mark that tells it from other pictures. A message that makes no sense has no items. Nothing here raises on what it
reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from otel_agentcost.core.loops import Item, TextMessage, ToolCall, ToolResult, shorten_name
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.wire.fields import fields, get, items, text

__all__ = [
    "MAX_CALLS",
    "MAX_TEXT",
    "MessageList",
    "add_images",
    "add_text",
    "as_list",
    "content_text",
    "fingerprint",
    "identifier",
    "mark_of",
    "tool_name",
]

MAX_TEXT: Final = 1_000_000
"""Characters of one result that are read."""
MAX_CALLS: Final = 256
"""Tool calls of one message that are read; further ones are left out."""
_HASHED_WHOLE: Final = 8_192
"""Texts up to this length are hashed as a whole, longer ones by their length, beginning and end."""


# --- Fingerprints -----------------------------------------------------------------------------------------------------


def fingerprint(message: Any) -> int:
    """Return a number that is equal for equal messages, whatever caching marks they have. Cheap at any length.

    Knows the fields of OpenAI's, Anthropic's and Gemini's messages. A format whose messages keep their text in fields
    of other names needs a fingerprint of its own.
    """
    known: Any = message if type(message) is dict else fields(message)  # pyright: ignore[reportUnknownVariableType] (no cast: hot)
    if type(known) is not dict:
        return mark_of(message) if isinstance(message, str) else 0
    try:
        return _hash(known)  # pyright: ignore[reportUnknownArgumentType]
    except TypeError:  # a role that is a list, or the like
        return hash(tuple(known))  # pyright: ignore[reportUnknownArgumentType]


def _hash(message: Mapping[str, Any]) -> int:
    read = message.get
    content, calls = read("content"), read("tool_calls")
    if calls is None and type(content) is str:
        mark = hash(content) if len(content) <= _HASHED_WHOLE else mark_of(content)
        return hash((mark, read("role"), read("tool_call_id")))
    known: list[Any] = [read("role"), read("tool_call_id") or read("call_id") or read("type"), read("name")]
    if calls is not None:
        known.append(_marks(calls))
    for name in _TEXTS:
        value = read(name)
        if value is not None:
            known.append(mark_of(value) if type(value) is str else _marks(value))
    return hash(tuple(known))


_TEXTS: Final = ("content", "output", "arguments", "parts")


def mark_of(text: str) -> int:
    """Return a hash of a text at a cost that does not depend on its length."""
    size = len(text)
    return hash(text) if size <= _HASHED_WHOLE else hash((size, text[:2048], text[-2048:]))


def _marks(value: Any) -> Any:
    """Return the marks of the first and the last block, which tell lists of blocks apart."""
    blocks = as_list(value)
    if not blocks:
        return 0
    return (len(blocks), _block(blocks[0]), _block(blocks[-1]) if len(blocks) > 1 else None)


def _block(block: Any) -> Any:  # noqa: PLR0911 (one for each kind)
    """Return what tells a block from another: its id and its text."""
    if isinstance(block, str):
        return mark_of(block)
    content = get(block, "text")
    if type(content) is str:
        return mark_of(content)
    inner = get(block, "function")
    if inner is not None:
        arguments = get(inner, "arguments")
        return (text(block, "id"), mark_of(arguments) if type(arguments) is str else 0)
    id_ = text(block, "id")
    if id_ is not None:
        return id_
    content = get(block, "content")
    if content is not None:
        marks = mark_of(content) if type(content) is str else tuple(mark_of(t) for t in _some_texts(content))
        return (text(block, "tool_use_id"), marks)
    for name in _INNER:
        inner = get(block, name)
        if inner is not None:
            return (name, text(inner, "id"), hash(repr(get(inner, "args") or get(inner, "response"))[:2048]))
    return 0


_INNER: Final = ("functionCall", "functionResponse", "function_call", "function_response")


def _some_texts(content: Any) -> list[str]:
    return [words for block in as_list(content)[:4] if isinstance(words := get(block, "text"), str)]


# --- Values -----------------------------------------------------------------------------------------------------------


def as_list(value: Any) -> Sequence[Any]:
    """Return `value` if it is a list, and nothing otherwise."""
    return value if isinstance(value, (list, tuple)) else ()  # pyright: ignore[reportUnknownVariableType]


def tool_name(value: Any) -> str:
    """Return a tool's name; empty if it is no text."""
    return value if isinstance(value, str) else ""


def identifier(value: Any) -> str | None:
    """Return the id of a tool call, shortened; None if there is none."""
    return shorten_name(value) if isinstance(value, str) and value else None


def content_text(value: Any) -> str:
    """Return the text of a tool result: of a text, of blocks, or of any JSON value."""
    if isinstance(value, str):
        return value[:MAX_TEXT]
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        texts: list[str] = []
        room = MAX_TEXT
        for block in as_list(value)[:1024]:
            words = block if isinstance(block, str) else get(block, "text")
            if not isinstance(words, str):
                words = _json(block)[:4096] if text(block, "type") is None else _medium(block)
            texts.append(words[:room])
            room -= len(words)
            if room <= 0:
                break
        return "\n".join(texts)
    return _json(value)[:MAX_TEXT]


def _medium(block: Any) -> str:
    """Return the kind of a picture and its mark: another screenshot is another result."""
    source = get(block, "source") or get(block, "image_url")
    data = source if isinstance(source, str) else get(source, "data") or get(source, "url")
    return f"<{text(block, 'type')} {mark_of(data) if isinstance(data, str) else ''}>"


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_plain)
    except Exception as error:  # no JSON after all
        reraise_foreign(error)
        return f"<{type(value).__name__}>"


def _plain(value: Any) -> Any:
    known = fields(value)
    return known if type(known) is dict else f"<{type(value).__name__}>"  # pyright: ignore[reportUnknownVariableType]


# --- Items of OpenAI's and Anthropic's content ------------------------------------------------------------------------


def add_text(items: list[Item], content: Any, *, by_model: bool) -> None:
    """Append the text of a message's content (a text, or a list of blocks) to `items`."""
    if isinstance(content, str):
        words = content
    else:
        words = "\n".join(t for block in as_list(content)[:64] if isinstance(t := get(block, "text"), str))
        if not by_model:
            add_images(items, content)
    if words:
        items.append(TextMessage(by_model, words))


def add_images(items: list[Item], content: Any) -> None:
    """Add pictures after a tool result to that result: some providers take only text in a result."""
    last = items[-1] if items else None
    if type(last) is ToolResult:
        marks = "".join(_medium(block) for block in as_list(content)[:64] if "image" in (text(block, "type") or ""))
        if marks:
            items[-1] = last._replace(content=last.content + marks)


# --- The facet --------------------------------------------------------------------------------------------------------


class MessageList:
    """Base of `conversation` facets for a history that is a list of messages in one field of the body.

    A format adds `read`. Formats whose provider stores conversations override the last three methods as well.
    """

    def __init__(self, field: str, *, user_first: bool = False, alternates: bool = False) -> None:
        """Create the facet.

        Args:
            field: The field of the body with the messages ("messages").
            user_first: True if the first message has to be one of the user.
            alternates: True if no two messages of the same role may follow one another.
        """
        self.field = field
        self.user_first = user_first
        self.alternates = alternates

    def messages(self, body: Any) -> Sequence[Any]:
        """Return the messages of a request; a text in their place counts as one message of the user."""
        prompt = text(body, self.field)
        if prompt is None:
            return items(body, self.field)
        return ({"role": "user", "content": prompt, "parts": [{"text": prompt}]},)

    def read(self, message: Any, items: list[Item]) -> None:
        """Append the items of one message to `items`."""
        raise NotImplementedError

    fingerprint = staticmethod(fingerprint)

    def by_model(self, message: Any) -> bool:
        """Return True if the model wrote the message."""
        return get(message, "role") in ("assistant", "model") or (text(message, "type") or "").endswith("_call")

    def is_instruction(self, message: Any) -> bool:
        """Return True if the message instructs the model and belongs to no turn."""
        return get(message, "role") in ("system", "developer")

    def continues(self, body: Any) -> bool:  # noqa: ARG002 (for formats that override it)
        """Return False: the request carries its whole history."""
        return False

    def is_stored(self, body: Any) -> bool:  # noqa: ARG002 (for formats that override it)
        """Return False: the next request repeats the answer."""
        return False

    def belongs_to_next(self, message: Any) -> bool:  # noqa: ARG002 (for formats that override it)
        """Return False: no message is refused without the one that follows it, but for calls and results of tools."""
        return False

    def tool_calls(self, response: Any) -> list[ToolCall]:  # noqa: ARG002 (for formats that override it)
        """Return nothing: the next request repeats the tool calls."""
        return []

    model_role = "assistant"
    """The role of the model's messages."""

    def pair(self, message: Any, items: list[Item]) -> None:
        """Append the calls and the results of a message to `items` that the API refuses without each other."""
        self.read(message, items)

    def is_plain(self, message: Mapping[str, Any]) -> bool:
        """Return True if a message has a role and a text, and nothing else: it can then stand anywhere."""
        return set(message) == {"role", "content"} and is_words(message.get("content"))


def is_words(value: Any) -> bool:
    """Return True for a text that is not blank."""
    return type(value) is str and bool(value.strip())


def are_blocks(value: Any, like: Mapping[str, str]) -> bool:
    """Return True for a list of blocks that have the fields of `like`, and a text that is not blank."""
    blocks: list[Any] = value if type(value) is list else []  # pyright: ignore[reportUnknownVariableType]
    if not blocks:
        return False
    return all(
        isinstance(block, dict) and {**cast("Any", block), "text": ""} == like and is_words(get(block, "text"))
        for block in blocks
    )
