"""Message content of Gemini's `generateContent`, for content capture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from otel_agentcost.wire.content import medium, reasoning, text_part, tool_call, tool_definition, tool_response
from otel_agentcost.wire.fields import get, items, text
from otel_agentcost.wire.format import Message, Part
from otel_agentcost.wire.transcript import Pieces, Room

__all__ = ["CONTENT"]


class _GeminiContent:
    """The facet."""

    def system_instructions(self, body: Any) -> Iterable[Part]:
        """Return the system instruction of a request."""
        instruction = get(body, "systemInstruction")
        return _parts(get(body, "system_instruction") if instruction is None else instruction)

    def tool_definitions(self, body: Any) -> Iterable[Mapping[str, Any]]:
        """Yield the functions that a request declares, and the provider's own tools that it enables."""
        for tool in items(body, "tools"):
            for name, declared in tool.items() if isinstance(tool, dict) else ():  # pyright: ignore[reportUnknownVariableType]
                if name in ("functionDeclarations", "function_declarations"):
                    for function in items(tool, name):
                        yield _function(function)
                elif declared is not None:
                    yield {"type": name, "name": name}

    def input_messages(self, body: Any) -> Iterable[Message]:
        """Yield the contents of a request."""
        for content in items(body, "contents"):
            yield {"role": get(content, "role") or "user", "parts": _parts(content)}

    def output_messages(self, response: Any) -> Iterable[Message]:
        """Yield one message per candidate."""
        for candidate in items(response, "candidates"):
            reason = get(candidate, "finishReason") or get(candidate, "finish_reason")
            word = str(getattr(reason, "value", reason)).lower() if reason is not None else None
            yield {"role": "assistant", "parts": _parts(get(candidate, "content")), "finish_reason": word}

    def transcript(self) -> _Candidates:
        """Return a new collector for chunks."""
        return _Candidates()


def _function(function: Any) -> Mapping[str, Any]:
    known = {field: get(function, field) for field in ("name", "description")}
    names = ("parameters", "parametersJsonSchema", "parameters_json_schema")
    schemas = (schema for name in names if (schema := get(function, name)) is not None)
    return tool_definition({**known, "parameters": next(schemas, None)})


def _parts(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content)]
    return [part for piece in items(content, "parts") for part in _part(piece)]


def _part(piece: Any) -> Iterator[Part]:
    def either(name: str, snake: str) -> Any:
        value = get(piece, name)
        return get(piece, snake) if value is None else value

    if words := text(piece, "text"):
        yield reasoning(words) if get(piece, "thought") is True else text_part(words)
    elif (call := either("functionCall", "function_call")) is not None:
        yield tool_call(get(call, "id"), get(call, "name"), get(call, "args"))
    elif (result := either("functionResponse", "function_response")) is not None:
        yield tool_response(get(result, "id"), get(result, "response"))
    elif (data := either("inlineData", "inline_data")) is not None:
        yield medium(_modality(data), None)
    elif (data := either("fileData", "file_data")) is not None:
        yield medium(_modality(data), get(data, "fileUri") or get(data, "file_uri"))


def _modality(data: Any) -> str:
    return (text(data, "mimeType") or text(data, "mime_type") or "document").partition("/")[0]


# --- Streams ----------------------------------------------------------------------------------------------------------


class _Candidate:
    """One candidate of the answer."""

    __slots__ = ("_room", "parts", "reason")

    def __init__(self, room: Room) -> None:
        self._room = room
        self.reason: Any = None
        self.parts: list[tuple[Any, Pieces | None]] = []
        """Each part, and its text if it has any: the next chunk continues it."""

    def feed(self, candidate: Any) -> None:
        reason = get(candidate, "finishReason")
        reason = get(candidate, "finish_reason") if reason is None else reason
        self.reason = self.reason if reason is None else reason
        for part in items(get(candidate, "content"), "parts"):
            words = text(part, "text")
            if words is None:
                self._other(part)
                continue
            thought = get(part, "thought") is True
            last, pieces = self.parts[-1] if self.parts else (None, None)
            if pieces is None or last != {"thought": thought}:
                if not self._room.entry():
                    return
                pieces = Pieces()
                self.parts.append(({"thought": thought}, pieces))
            self._room.keep(pieces, words)

    def _other(self, part: Any) -> None:
        """Keep a tool call; of a picture, keep only the kind."""
        data = get(part, "inlineData")
        kept = part if data is None else {"inlineData": {"mimeType": get(data, "mimeType")}}
        if self._room.entry(len(str(kept))):
            self.parts.append((kept, None))

    def whole(self) -> Mapping[str, Any]:
        parts = [part if words is None else {**part, "text": "".join(words)} for part, words in self.parts]
        return {"content": {"role": "model", "parts": parts}, "finishReason": self.reason}


class _Candidates:
    """Collects chunks. google-genai passes them on as JSON text, which is the only place with their content."""

    __slots__ = ("_candidates", "_room")

    def __init__(self) -> None:
        self._room = Room()
        self._candidates: dict[int, _Candidate] = {}

    def feed(self, event: Any) -> None:
        """Read one chunk."""
        body = text(event, "body")
        chunk = json.loads(body) if body is not None else event
        for candidate in items(chunk, "candidates"):
            index = get(candidate, "index")
            index = index if type(index) is int else 0
            if index not in self._candidates and self._room.entry():
                self._candidates[index] = _Candidate(self._room)
            if index in self._candidates:
                self._candidates[index].feed(candidate)

    def response(self) -> Any:
        """Return the chunks up to now as one response."""
        return {"candidates": [candidate.whole() for _, candidate in sorted(self._candidates.items())]}


CONTENT: Final = _GeminiContent()
