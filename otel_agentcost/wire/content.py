"""What was said, as the GenAI conventions write it down: messages with parts, as JSON.

Read only where `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` asks for it, and never otherwise. Pictures and
other data are named, not copied: a span is no place for megabytes. Nothing here raises on what it reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, cast

from otel_agentcost.wire.fields import get, items, text

Part = dict[str, Any]
Message = dict[str, Any]


def input_messages(form: str, body: Any) -> str | None:
    """`gen_ai.input.messages` of a request of the format called `form`; None where it has none."""
    reader = _INPUTS.get(form)
    return _json(reader(body)) if reader else None


def output_messages(form: str, response: Any) -> str | None:
    """`gen_ai.output.messages` of a whole response; None where it has none."""
    reader = _OUTPUTS.get(form)
    return _json(reader(response)) if reader else None


def system_instructions(form: str, body: Any) -> str | None:
    """`gen_ai.system_instructions`: what a request gives apart from its messages; None where it gives nothing."""
    name = {"openai_responses": "instructions", "anthropic_messages": "system", "gemini": "systemInstruction"}.get(form)
    if name is None:
        return None
    given = get(body, name)
    if form == "gemini":
        given = given if given is not None else get(body, "system_instruction")
        return _json(_gemini_parts(given))
    return _json(_parts(given))


def tool_definitions(form: str, body: Any) -> str | None:
    """`gen_ai.tool.definitions`: the tools that a request offers; None where it offers none."""
    return _json(_gemini_tools(body) if form == "gemini" else map(_tool, items(body, "tools")))


def _json(found: Iterable[Mapping[str, Any]]) -> str | None:
    try:
        values = list(found)
        return json.dumps(values, ensure_ascii=False, default=_plain) if values else None
    except Exception:  # content is a courtesy: without it, the call is fine
        return None


def _plain(value: Any) -> Any:
    """An SDK object as its fields, and anything else that is no JSON by the name of its type."""
    fields = getattr(value, "__dict__", None)
    return fields if type(fields) is dict and fields else f"<{type(value).__name__}>"  # pyright: ignore[reportUnknownVariableType]


def _said(words: str) -> Part:
    return {"type": "text", "content": words}


def _called(id_: Any, name: Any, arguments: Any) -> Part:
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):  # arguments that the model broke off are kept as it wrote them
            arguments = json.loads(arguments)
    return {"type": "tool_call", "id": id_, "name": name, "arguments": arguments}


def _returned(id_: Any, response: Any) -> Part:
    return {"type": "tool_call_response", "id": id_, "response": _shown(response)}


def _shown(result: Any) -> Any:
    """The result of a tool without the bytes in it: screenshots come with every step of a computer's use."""
    if not isinstance(result, (list, tuple)):
        return result
    blocks = cast("list[Any]", result)
    return [_media(_MEDIA[kind], _address(b)) if (kind := text(b, "type") or "") in _MEDIA else b for b in blocks]


def _media(modality: str, where: Any) -> Part:
    """A picture, a sound, a file: by its address, or by nothing but its kind where its bytes are in the request."""
    if isinstance(where, str) and where and not where.startswith("data:"):
        return {"type": "uri", "modality": modality, "uri": where}
    return {"type": "blob", "modality": modality}


def _parts(content: Any) -> list[Part]:
    """The parts of a message's content in OpenAI's or Anthropic's writing: a text, or a list of typed blocks."""
    if isinstance(content, str):
        return [_said(content)] if content else []
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
    """Where a picture or a file is, in any of the writings; None where its bytes are in the request."""
    image = get(block, "image_url")
    places = (image, get(image, "url"), get(get(block, "source"), "url"), get(block, "file_url"))
    return next((place for place in places if isinstance(place, str)), None)


def _block(block: Any) -> Iterator[Part]:
    kind = text(block, "type") or ""
    if isinstance(block, str):
        yield _said(block)
    elif kind.endswith("tool_use"):
        yield _called(get(block, "id"), get(block, "name"), get(block, "input"))
    elif kind.endswith("tool_result"):
        yield _returned(get(block, "tool_use_id"), get(block, "content"))
    elif kind in ("thinking", "reasoning"):
        if words := text(block, "thinking") or text(block, "text"):
            yield {"type": "reasoning", "content": words}
    elif kind in _MEDIA:
        yield _media(_MEDIA[kind], _address(block))
    elif words := text(block, "text") or text(block, "refusal"):
        yield _said(words)


def _chat_message(message: Any) -> Message:
    parts: list[Part] = []
    if words := text(message, "reasoning_content") or text(message, "reasoning"):
        parts.append({"type": "reasoning", "content": words})
    if get(message, "role") == "tool":
        parts.append(_returned(get(message, "tool_call_id"), get(message, "content")))
    else:
        parts += _parts(get(message, "content"))
    if words := text(message, "refusal"):
        parts.append(_said(words))
    if words := text(get(message, "audio"), "transcript"):
        parts.append(_said(words))
    if (function := get(message, "function_call")) is not None:  # what tool calls were called in 2023
        parts.append(_called(None, get(function, "name"), get(function, "arguments")))
    for call in items(message, "tool_calls"):
        function = get(call, "function") or get(call, "custom")
        arguments = get(function, "arguments")
        parts.append(_called(get(call, "id"), get(function, "name"), arguments or get(function, "input")))
    return {"role": get(message, "role"), "parts": parts}


def _chat_input(body: Any) -> Iterator[Message]:
    return (_chat_message(message) for message in items(body, "messages"))


def _chat_output(response: Any) -> Iterator[Message]:
    for choice in items(response, "choices"):
        yield {**_chat_message(get(choice, "message")), "finish_reason": get(choice, "finish_reason")}


def _tool(tool: Any) -> Mapping[str, Any]:
    """A tool in OpenAI's or Anthropic's writing."""
    given = get(tool, "function") or get(tool, "custom") or tool
    kind = text(tool, "type") or "function"
    parameters = get(given, "input_schema") if get(given, "parameters") is None else get(given, "parameters")
    said = {"name": text(given, "name") or kind, "description": text(given, "description"), "parameters": parameters}
    return {"type": kind, **{name: value for name, value in said.items() if value is not None}}


def _gemini_tools(body: Any) -> Iterator[Mapping[str, Any]]:
    for tool in items(body, "tools"):
        for name, given in tool.items() if isinstance(tool, dict) else ():  # pyright: ignore[reportUnknownVariableType]
            if name in ("functionDeclarations", "function_declarations"):
                for function in items(tool, name):
                    said = {field: get(function, field) for field in ("name", "description")}
                    schemas = ("parameters", "parametersJsonSchema", "parameters_json_schema")
                    given_as = (schema for field in schemas if (schema := get(function, field)) is not None)
                    yield _tool({**said, "parameters": next(given_as, None)})
            elif given is not None:
                yield {"type": name, "name": name}


def _prompt(body: Any) -> Iterator[Message]:
    if parts := _parts(get(body, "prompt")):
        yield {"role": "user", "parts": parts}


def _completion(response: Any) -> Iterator[Message]:
    for choice in items(response, "choices"):
        parts = _parts(get(choice, "text"))
        yield {"role": "assistant", "parts": parts, "finish_reason": get(choice, "finish_reason")}


def _response_item(item: Any) -> Message | None:
    """An item of the Responses API, input or output: a message, a call, a result, a thought."""
    kind = text(item, "type") or "message"
    if kind in ("function_call", "custom_tool_call"):
        arguments = get(item, "arguments")
        part = _called(get(item, "call_id"), get(item, "name"), arguments or get(item, "input"))
        return {"role": "assistant", "parts": [part]}
    if kind.endswith("_call_output"):
        return {"role": "tool", "parts": [_returned(get(item, "call_id"), get(item, "output"))]}
    if kind.endswith("_call"):  # a tool that ran at the provider
        action = get(item, "action") or get(item, "arguments") or get(item, "queries")
        return {"role": "assistant", "parts": [_called(get(item, "id"), kind.removesuffix("_call"), action)]}
    if kind == "reasoning":
        thoughts = [words for block in items(item, "summary") if (words := text(block, "text"))]
        parts = [{"type": "reasoning", "content": words} for words in thoughts]
        return {"role": "assistant", "parts": parts} if parts else None
    parts = _parts(get(item, "content"))
    return {"role": get(item, "role") or "user", "parts": parts} if parts else None


def _responses_input(body: Any) -> Iterator[Message]:
    given = get(body, "input")
    if isinstance(given, str):
        yield {"role": "user", "parts": _parts(given)}
    for item in items(body, "input"):
        if (message := _response_item(item)) is not None:
            yield message


def _responses_output(response: Any) -> Iterator[Message]:
    """One assistant message: the items of one response are one answer."""
    messages = [message for item in items(response, "output") if (message := _response_item(item)) is not None]
    parts = [part for message in messages for part in message["parts"]]
    if parts:
        calls = any(part["type"] == "tool_call" for part in parts)
        status = text(response, "status")
        ended = ("tool_calls" if calls else "stop") if status in (None, "completed") else status
        yield {"role": "assistant", "parts": parts, "finish_reason": ended}


def _anthropic_input(body: Any) -> Iterator[Message]:
    for message in items(body, "messages"):
        yield {"role": get(message, "role"), "parts": _parts(get(message, "content"))}


def _anthropic_output(response: Any) -> Iterator[Message]:
    if parts := _parts(get(response, "content")):
        yield {"role": "assistant", "parts": parts, "finish_reason": get(response, "stop_reason")}


def _gemini_parts(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [_said(content)]
    return [part for piece in items(content, "parts") for part in _gemini_part(piece)]


def _gemini_part(piece: Any) -> Iterator[Part]:
    def named(name: str, snake: str) -> Any:
        found = get(piece, name)
        return get(piece, snake) if found is None else found

    if words := text(piece, "text"):
        yield {"type": "reasoning" if get(piece, "thought") is True else "text", "content": words}
    elif (call := named("functionCall", "function_call")) is not None:
        yield _called(get(call, "id"), get(call, "name"), get(call, "args"))
    elif (result := named("functionResponse", "function_response")) is not None:
        yield _returned(get(result, "id"), get(result, "response"))
    elif (data := named("inlineData", "inline_data")) is not None:
        yield _media((text(data, "mimeType") or text(data, "mime_type") or "document").partition("/")[0], None)
    elif (data := named("fileData", "file_data")) is not None:
        address = get(data, "fileUri") or get(data, "file_uri")
        yield _media((text(data, "mimeType") or text(data, "mime_type") or "document").partition("/")[0], address)


def _gemini_input(body: Any) -> Iterator[Message]:
    for content in items(body, "contents"):
        yield {"role": get(content, "role") or "user", "parts": _gemini_parts(content)}


def _gemini_output(response: Any) -> Iterator[Message]:
    for candidate in items(response, "candidates"):
        reason = get(candidate, "finishReason") or get(candidate, "finish_reason")
        said = str(getattr(reason, "value", reason)).lower() if reason is not None else None
        yield {"role": "assistant", "parts": _gemini_parts(get(candidate, "content")), "finish_reason": said}


_INPUTS: Final[Mapping[str, Callable[[Any], Iterable[Message]]]] = {
    "openai_chat": _chat_input,
    "openai_completions": _prompt,
    "openai_responses": _responses_input,
    "anthropic_messages": _anthropic_input,
    "gemini": _gemini_input,
}
_OUTPUTS: Final[Mapping[str, Callable[[Any], Iterable[Message]]]] = {
    "openai_chat": _chat_output,
    "openai_completions": _completion,
    "openai_responses": _responses_output,
    "anthropic_messages": _anthropic_output,
    "gemini": _gemini_output,
}
