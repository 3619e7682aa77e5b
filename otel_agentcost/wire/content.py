"""Message content as JSON in the form of the GenAI conventions, and the builders of parts that formats share.

Read only if `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` enables it. Pictures and other data are named, not
copied: megabytes do not belong on a span. Nothing here raises on what it reads. The formats' own part is their
`content` facet; the four functions that render it take the format.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, cast

from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.wire.fields import get, text
from otel_agentcost.wire.format import Content, Format, Part, without_facet

__all__ = [
    "input_messages",
    "medium",
    "output_messages",
    "parts_of",
    "reasoning",
    "system_instructions",
    "text_part",
    "tool_call",
    "tool_definition",
    "tool_definitions",
    "tool_response",
]


def _facet(form: Format) -> Content | None:
    content = form.content
    if content is None:
        without_facet(form, "content", "the message content of its calls is not recorded")
    return content


def input_messages(form: Format, body: Any) -> str | None:
    """Return `gen_ai.input.messages` of a request; None if it has no messages."""
    content = _facet(form)
    return None if content is None else _json(content.input_messages, body)


def output_messages(form: Format, response: Any) -> str | None:
    """Return `gen_ai.output.messages` of a whole response; None if it has no messages."""
    content = _facet(form)
    return None if content is None else _json(content.output_messages, response)


def system_instructions(form: Format, body: Any) -> str | None:
    """Return `gen_ai.system_instructions`: the instructions outside the messages of a request; None without any."""
    content = _facet(form)
    return None if content is None else _json(content.system_instructions, body)


def tool_definitions(form: Format, body: Any) -> str | None:
    """Return `gen_ai.tool.definitions`: the tools that a request offers; None if it offers none."""
    content = _facet(form)
    return None if content is None else _json(content.tool_definitions, body)


def _json(read: Callable[[Any], Iterable[Mapping[str, Any]]], value: Any) -> str | None:
    try:
        values = list(read(value))
        return json.dumps(values, ensure_ascii=False, default=_plain) if values else None
    except Exception as error:  # content is optional: the call is complete without it
        reraise_foreign(error)
        return None


def _plain(value: Any) -> Any:
    """Return the fields of an SDK object; of anything else that is no JSON, the name of its type."""
    fields = getattr(value, "__dict__", None)
    return fields if type(fields) is dict and fields else f"<{type(value).__name__}>"  # pyright: ignore[reportUnknownVariableType]


# --- Builders of parts ------------------------------------------------------------------------------------------------


def text_part(words: str) -> Part:
    """Return a part with text."""
    return {"type": "text", "content": words}


def reasoning(words: str) -> Part:
    """Return a part with reasoning."""
    return {"type": "reasoning", "content": words}


def tool_call(id_: Any, name: Any, arguments: Any) -> Part:
    """Return a tool call; arguments that are JSON text are parsed, and cut-off ones stay text."""
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    return {"type": "tool_call", "id": id_, "name": name, "arguments": arguments}


def tool_response(id_: Any, response: Any) -> Part:
    """Return the result of a tool call, without the bytes of media in it."""
    return {"type": "tool_call_response", "id": id_, "response": _without_media(response)}


def _without_media(result: Any) -> Any:
    """Return a tool result without bytes: every step of computer use has a screenshot in it."""
    if not isinstance(result, (list, tuple)):
        return result
    blocks = cast("list[Any]", result)
    return [medium(_MEDIA[kind], _address(b)) if (kind := text(b, "type") or "") in _MEDIA else b for b in blocks]


def medium(modality: str, address: Any) -> Part:
    """Return a part for a picture, a sound or a file: its address, or only its kind if its bytes are in the request."""
    if isinstance(address, str) and address and not address.startswith("data:"):
        return {"type": "uri", "modality": modality, "uri": address}
    return {"type": "blob", "modality": modality}


# --- Content in OpenAI's or Anthropic's form --------------------------------------------------------------------------


def parts_of(content: Any) -> list[Part]:
    """Return the parts of a message's content in OpenAI's or Anthropic's form: a text, or a list of typed blocks."""
    if isinstance(content, str):
        return [text_part(content)] if content else []
    if isinstance(content, (list, tuple)):
        return [part for block in cast("list[Any]", content) for part in _block(block)]
    return list(_block(content)) if content is not None else []


_MEDIA: Final = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "input_audio": "audio",
    "audio": "audio",
    "document": "document",
    "file": "document",
    "input_file": "document",
}


def _address(block: Any) -> Any:
    """Return the address of a picture or a file; None if its bytes are in the request."""
    image = get(block, "image_url")
    places = (image, get(image, "url"), get(get(block, "source"), "url"), get(block, "file_url"))
    return next((place for place in places if isinstance(place, str)), None)


def _block(block: Any) -> Iterator[Part]:
    kind = text(block, "type") or ""
    if isinstance(block, str):
        yield text_part(block)
    elif kind.endswith("tool_use"):
        yield tool_call(get(block, "id"), get(block, "name"), get(block, "input"))
    elif kind.endswith("tool_result"):
        yield tool_response(get(block, "tool_use_id"), get(block, "content"))
    elif kind in ("thinking", "reasoning"):
        if words := text(block, "thinking") or text(block, "text"):
            yield reasoning(words)
    elif kind in _MEDIA:
        yield medium(_MEDIA[kind], _address(block))
    elif words := text(block, "text") or text(block, "refusal"):
        yield text_part(words)


def tool_definition(tool: Any) -> Mapping[str, Any]:
    """Return the definition of a tool in OpenAI's or Anthropic's form."""
    inner = get(tool, "function") or get(tool, "custom") or tool
    kind = text(tool, "type") or "function"
    parameters = get(inner, "input_schema") if get(inner, "parameters") is None else get(inner, "parameters")
    known = {"name": text(inner, "name") or kind, "description": text(inner, "description"), "parameters": parameters}
    return {"type": kind, **{name: value for name, value in known.items() if value is not None}}
