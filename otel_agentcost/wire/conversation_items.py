"""One message of a conversation in each wire format: what is called, what came back and what is said in it.

The half of `history` that knows the formats. Results are given as text, as far as `_MOST` characters; pictures and
the like are left out. A message that makes no sense has nothing in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from otel_agentcost.core.loops import Item, TextMessage, ToolCall, ToolResult, make_tool_call, shorten_name
from otel_agentcost.wire.fields import fields, get, items, text

__all__ = ["READERS", "Message", "answered", "fingerprint", "given"]

Message = Any
_MOST: Final = 1_000_000
_CALLS: Final = 256
"""Calls of one message that are read: of thousands at once, the others are left out."""
_WHOLE: Final = 8_192

_PLACES: Final = {"openai_chat": "messages", "anthropic_messages": "messages", "openai_responses": "input"}


def given(form: str, body: Any) -> Sequence[Message]:
    """The messages of a request."""
    place = _PLACES.get(form, "contents")
    said = text(body, place)
    return items(body, place) if said is None else ({"role": "user", "content": said, "parts": [{"text": said}]},)


def _dict(value: Any) -> dict[str, Any] | None:
    return value if type(value) is dict else None  # pyright: ignore[reportUnknownVariableType]


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()  # pyright: ignore[reportUnknownVariableType]


def fingerprint(message: Message) -> int:
    """The same for the same message, whatever of it says how it is to be cached; cheap, however long it is."""
    given = _dict(message if type(message) is dict else fields(message))
    if given is None:
        return _mark(message) if isinstance(message, str) else 0
    try:
        return _hash(given)
    except TypeError:  # a role that is a list, or the like
        return hash(tuple(given))


def _hash(given: Mapping[str, Any]) -> int:
    read = given.get
    said, calls = read("content"), read("tool_calls")
    if calls is None and type(said) is str:
        mark = hash(said) if len(said) <= _WHOLE else _mark(said)
        return hash((mark, read("role"), read("tool_call_id")))
    known: list[Any] = [read("role"), read("tool_call_id") or read("call_id") or read("type"), read("name")]
    if calls is not None:
        known.append(_marks(calls))
    for name in _SAID:
        value = read(name)
        if value is not None:
            known.append(_mark(value) if type(value) is str else _marks(value))
    return hash(tuple(known))


_SAID: Final = ("content", "output", "arguments", "parts")


def _mark(text: str) -> int:
    size = len(text)
    return hash(text) if size <= _WHOLE else hash((size, text[:2048], text[-2048:]))


def _marks(value: Any) -> Any:
    """Of blocks: of the first and the last, which tell them apart."""
    blocks = _list(value)
    if not blocks:
        return 0
    return (len(blocks), _block(blocks[0]), _block(blocks[-1]) if len(blocks) > 1 else None)


def _block(block: Any) -> Any:  # noqa: PLR0911 (one for each kind)
    """What tells a block from another: its id and its words."""
    if isinstance(block, str):
        return _mark(block)
    said = get(block, "text")
    if type(said) is str:
        return _mark(said)
    inner = get(block, "function")
    if inner is not None:
        arguments = get(inner, "arguments")
        return (text(block, "id"), _mark(arguments) if type(arguments) is str else 0)
    id_ = text(block, "id")
    if id_ is not None:
        return id_
    content = get(block, "content")
    if content is not None:
        told = _mark(content) if type(content) is str else tuple(_mark(t) for t in _some_texts(content))
        return (text(block, "tool_use_id"), told)
    for name in _INNER:
        inner = get(block, name)
        if inner is not None:
            return (name, text(inner, "id"), hash(repr(get(inner, "args") or get(inner, "response"))[:2048]))
    return 0


_INNER: Final = ("functionCall", "functionResponse", "function_call", "function_response")


def _some_texts(content: Any) -> list[str]:
    return [said for block in _list(content)[:4] if isinstance(said := get(block, "text"), str)]


def _name(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _id(value: Any) -> str | None:
    return shorten_name(value) if isinstance(value, str) and value else None


def _content(value: Any) -> str:
    """The text of a result: of a text, of blocks, of a value."""
    if isinstance(value, str):
        return value[:_MOST]
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        texts: list[str] = []
        room = _MOST
        for block in _list(value)[:1024]:
            said = block if isinstance(block, str) else get(block, "text")
            if not isinstance(said, str):
                said = _json(block)[:4096] if text(block, "type") is None else _medium(block)
            texts.append(said[:room])
            room -= len(said)
            if room <= 0:
                break
        return "\n".join(texts)
    return _json(value)[:_MOST]


def _medium(block: Any) -> str:
    """A picture as its kind and its mark: another screenshot is another result."""
    source = get(block, "source") or get(block, "image_url")
    data = source if isinstance(source, str) else get(source, "data") or get(source, "url")
    return f"<{text(block, 'type')} {_mark(data) if isinstance(data, str) else ''}>"


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_plain)
    except Exception:  # no JSON after all
        return f"<{type(value).__name__}>"


def _plain(value: Any) -> Any:
    found = fields(value)
    return found if type(found) is dict else f"<{type(value).__name__}>"  # pyright: ignore[reportUnknownVariableType]


# --- OpenAI chat ---


def _chat(message: Message, add: list[Item]) -> None:
    message = fields(message)
    role, content = get(message, "role"), get(message, "content")
    if role in ("tool", "function"):
        name = _id(get(message, "name")) if role == "function" else None
        said = content[:_MOST] if type(content) is str else _content(content)
        add.append(ToolResult(_id(get(message, "tool_call_id")), said, False, name))
        return
    if content and role in ("assistant", "user"):
        _say(add, content, by_model=role == "assistant")
    for call in items(message, "tool_calls")[:_CALLS]:
        function = get(call, "function") or get(call, "custom")
        arguments = get(function, "arguments")
        if arguments is None:
            arguments = get(function, "input")
        add.append(make_tool_call(_id(get(call, "id")), _name(get(function, "name")), arguments))
    function = get(message, "function_call")
    if function is not None:
        add.append(make_tool_call(None, _name(get(function, "name")), get(function, "arguments")))


def _say(add: list[Item], content: Any, *, by_model: bool) -> None:
    if isinstance(content, str):
        said = content
    else:
        said = _texts(content)
        if not by_model:
            _show(add, content)
    if said:
        add.append(TextMessage(by_model, said))


def _show(add: list[Item], content: Any) -> None:
    """Pictures that come after a result belong to it: screenshots, where a result can only be text."""
    last = add[-1] if add else None
    if type(last) is ToolResult:
        seen = "".join(_medium(block) for block in _list(content)[:64] if "image" in (text(block, "type") or ""))
        if seen:
            add[-1] = last._replace(content=last.content + seen)


def _texts(content: Any) -> str:
    return "\n".join(said for block in _list(content)[:64] if isinstance(said := get(block, "text"), str))


# --- OpenAI responses ---

_CALLED: Final = frozenset({"function_call", "custom_tool_call", "mcp_call", "local_shell_call", "shell_call"})


def _responses(message: Message, add: list[Item]) -> None:
    message = fields(message)
    kind = text(message, "type") or "message"
    if kind == "message":
        role = get(message, "role")
        if role in ("assistant", "user"):
            _say(add, get(message, "content"), by_model=role == "assistant")
    elif kind in _CALLED:
        arguments = get(message, "arguments")
        arguments = get(message, "input") if arguments is None else arguments
        arguments = get(message, "action") if arguments is None else arguments
        id_ = _id(get(message, "call_id")) or _id(get(message, "id"))
        add.append(make_tool_call(id_, _name(get(message, "name")) or kind.removesuffix("_call"), arguments))
        if kind == "mcp_call":  # the provider has made it already
            error = get(message, "error")
            add.append(ToolResult(id_, _content(get(message, "output") or error), error=bool(error)))
    elif kind.endswith("_call_output"):
        failed = get(message, "status") == "failed"
        add.append(ToolResult(_id(get(message, "call_id")), _content(get(message, "output")), error=failed))


# --- Anthropic ---


def _anthropic(message: Message, add: list[Item]) -> None:
    message = fields(message)
    by_model = get(message, "role") == "assistant"
    content = get(message, "content")
    if isinstance(content, str):
        _say(add, content, by_model=by_model)
        return
    said: list[Item] = []
    calls = 0
    for block in _list(content):
        kind = text(block, "type") or ""
        if kind == "image" and not by_model:
            _show(said or add, (block,))
        elif kind == "text":
            if words := text(block, "text"):
                said.append(TextMessage(by_model, words))
        elif kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
            calls += 1
            if calls <= _CALLS:
                said.append(make_tool_call(_id(get(block, "id")), _name(get(block, "name")), get(block, "input")))
        elif kind.endswith("tool_result"):
            calls += 1
            if calls <= _CALLS:
                failed = get(block, "is_error") is True
                said.append(ToolResult(_id(get(block, "tool_use_id")), _content(get(block, "content")), failed))
    add += said


# --- Gemini ---


def _picture(piece: Any) -> str:
    """A part that is a picture, as its mark."""
    blob = get(piece, "inlineData") or get(piece, "inline_data")
    data = get(blob, "data")
    if isinstance(data, bytes):
        return f"<image {hash(data)}>"
    return f"<image {_mark(data)}>" if isinstance(data, str) else ""


def _gemini(message: Message, add: list[Item]) -> None:
    message = fields(message)
    by_model = get(message, "role") == "model"
    for piece in items(message, "parts")[: 4 * _CALLS]:
        if get(piece, "thought") is True:
            continue
        if words := text(piece, "text"):
            add.append(TextMessage(by_model, words))
            continue
        call = get(piece, "functionCall") or get(piece, "function_call")
        if call is not None:
            add.append(make_tool_call(_id(get(call, "id")), _name(get(call, "name")), get(call, "args")))
            continue
        result = get(piece, "functionResponse") or get(piece, "function_response")
        if result is not None:
            response = get(result, "response")
            failed = bool(get(response, "error"))
            only = get(response, "result") if get(response, "result") is not None else get(response, "output")
            content = _content(only if isinstance(only, str) else response)
            content += "".join(map(_picture, items(result, "parts")[:64]))
            add.append(ToolResult(_id(get(result, "id")), content, failed, _id(get(result, "name"))))
        elif add and type(last := add[-1]) is ToolResult:  # a picture that the tool has taken
            add[-1] = last._replace(content=last.content + _picture(piece))


READERS: Final[Mapping[str, Callable[[Message, list[Item]], None]]] = {
    "openai_chat": _chat,
    "openai_responses": _responses,
    "anthropic_messages": _anthropic,
    "gemini": _gemini,
}
"""By the format's name: appends what is in a message to a list."""


def answered(form: str, response: Any) -> list[ToolCall]:
    """The calls that a whole response asks for: where the next request gives only their results."""
    found: list[Item] = []
    if form == "openai_responses":
        for item in items(response, "output"):
            _responses(item, found)
    elif form == "anthropic_messages":
        _anthropic({"role": "assistant", "content": get(response, "content")}, found)
    return [item for item in found if type(item) is ToolCall]
