"""The messages of the Converse API in Anthropic's form, which the shared readers of messages know.

A block of the Converse API is an object with one field, whose name is its kind: `{"text": "Hi"}`, `{"toolUse": {...}}`.
Bytes become an allowance or a mark of their kind, and are never copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from otel_agentcost.wire.fields import entries, get, items, text

__all__ = ["block_of", "has_cache_point", "message_of", "request_of", "tool_of"]

_MEDIA: Final = {"image": "image", "video": "video", "audio": "file", "document": "document"}
"""Kinds of blocks with media, and the types of the blocks that stand for them. A document's size is not known."""


def request_of(body: Any) -> dict[str, Any]:
    """Return a request in Anthropic's form."""
    more = entries(get(body, "additionalModelRequestFields"))
    tools = [tool for each in items(get(body, "toolConfig"), "tools") if (tool := tool_of(each)) is not None]
    request = {name: value for name, value in entries(body).items() if name not in _REPLACED}
    request["messages"] = [message_of(message) for message in items(body, "messages")]
    request["system"] = "\n".join(_words(block) for block in items(body, "system"))
    if tools or more.get("tools"):
        request["tools"] = [*tools, *items(more, "tools")]
    if more:
        request["additional"] = {name: value for name, value in more.items() if name != "tools"}
    return request


_REPLACED: Final = frozenset(
    {"messages", "system", "toolConfig", "additionalModelRequestFields", "modelId", "requestMetadata"}
)


def _words(block: Any) -> str:
    return text(block, "text") or text(get(get(block, "guardContent"), "text"), "text") or ""


def message_of(message: Any) -> dict[str, Any]:
    """Return a message in Anthropic's form; one of a single text with that text as its content."""
    blocks = items(message, "content")
    role = get(message, "role")
    if len(blocks) == 1 and (words := text(blocks[0], "text")) is not None:
        return {"role": role, "content": words}
    return {"role": role, "content": [each for block in blocks if (each := block_of(block)) is not None]}


def block_of(block: Any) -> dict[str, Any] | None:
    """Return a block in Anthropic's form; None for a mark, such as that of a cache."""
    words = get(block, "text")
    if isinstance(words, str):
        return {"type": "text", "text": words}
    fields = entries(block)
    kind = next(iter(fields), "")
    inner = fields.get(kind)
    read = _READERS.get(kind)
    if read is not None:
        return read(inner)
    if kind in _MEDIA:
        return _medium(kind, inner)
    return None if kind == "cachePoint" else {"type": "text", "text": str(inner)[:_LONGEST]}


_LONGEST: Final = 1_000_000


def _medium(kind: str, inner: Any) -> dict[str, Any]:
    written = text(get(inner, "source"), "text")
    if written is not None:
        return {"type": "text", "text": written}
    address = text(get(get(inner, "source"), "s3Location"), "uri")
    return {"type": _MEDIA[kind], **({"source": {"url": address}} if address else {})}


def _tool_use(inner: Any) -> dict[str, Any]:
    kind = text(inner, "type") or "tool_use"
    return {"type": kind, "id": get(inner, "toolUseId"), "name": get(inner, "name"), "input": get(inner, "input")}


def _tool_result(inner: Any) -> dict[str, Any]:
    content = [_result(each) for each in items(inner, "content")]
    failed = {"is_error": True} if get(inner, "status") == "error" else {}
    return {"type": "tool_result", "tool_use_id": get(inner, "toolUseId"), "content": content, **failed}


def _result(block: Any) -> Any:
    value = get(block, "json")
    return {"json": value} if value is not None else block_of(block) or {}


def _thought(inner: Any) -> dict[str, Any]:
    redacted = get(inner, "redactedContent")
    words = text(get(inner, "reasoningText") or inner, "text") or ""
    return {"type": "thinking", "thinking": words if redacted is None else "x" * len(redacted)}


def _guarded(inner: Any) -> dict[str, Any]:
    words = text(get(inner, "text"), "text")
    return {"type": "image"} if words is None else {"type": "text", "text": words}


def _found(inner: Any) -> dict[str, Any]:
    words = [text(inner, "source") or "", text(inner, "title") or "", *map(_words, items(inner, "content"))]
    return {"type": "text", "text": "\n".join(words)}


def _cited(inner: Any) -> dict[str, Any]:
    return {"type": "text", "text": "\n".join(map(_words, items(inner, "content")))}


_READERS: Final = {
    "toolUse": _tool_use,
    "toolResult": _tool_result,
    "reasoningContent": _thought,
    "guardContent": _guarded,
    "searchResult": _found,
    "citationsContent": _cited,
}


def tool_of(tool: Any) -> dict[str, Any] | None:
    """Return the definition of a tool in Anthropic's form; None for the mark of a cache."""
    inner, system = get(tool, "toolSpec"), get(tool, "systemTool")
    if system is not None:
        return {"type": text(system, "name") or "system_tool", "name": get(system, "name")}
    if inner is None:
        return None
    schema = get(get(inner, "inputSchema"), "json")
    return {"name": get(inner, "name"), "description": get(inner, "description"), "input_schema": schema}


def has_cache_point(body: Any) -> bool:
    """Return whether a request marks a part of its prompt to be cached."""
    places = [*items(body, "system"), *items(get(body, "toolConfig"), "tools")]
    return any(_is_mark(block) for block in places) or any(
        _is_mark(block) for message in items(body, "messages") for block in items(message, "content")
    )


def _is_mark(block: Any) -> bool:
    return isinstance(block, Mapping) and "cachePoint" in cast("Mapping[str, Any]", block)
