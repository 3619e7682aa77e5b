"""An upper bound of a request's input tokens, worked out from its JSON body: the facet `input_bound`.

The bound is never below what the provider counts: in every vocabulary in use, a token of a text is at least one byte of
its UTF-8. The markup around the text (roles, separators, the instructions for tools) and each image have allowances,
documented below. Input that the request alone does not bound makes the bound None: history stored at the provider,
documents, video, and tools that the provider runs and whose results it bills as input.

The default vocabulary is that of all known providers, whatever the format, because gateways accept the fields and
content parts of one provider in the format of another. Pure: no clock, no I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from otel_agentcost.wire.fields import get
from otel_agentcost.wire.format import UNBOUNDED, Shape

__all__ = ["INPUT_BOUND", "NO_BOUND", "STORED_INPUT", "BodyBound"]

PER_CALL: Final = 64
"""Around the whole conversation: its start, the start of the answer, a date or a line of instructions."""

PER_OBJECT: Final = 12
"""Around each object of the request (a message, a part, a tool, a property of a schema): roles, separators, and the
markup with which a provider shows it to the model. The object's own keys count as text as well."""

PER_TOOLS: Final = 1_200
"""Once for a request with tools: the instructions for their use. Anthropic documents up to 804 tokens for a model with
its built-in tools, 346 for others; no provider documents more."""

PER_IMAGE: Final = 50_000
"""An image of any size. The highest documented cost is gpt-4o-mini's: 2,833 tokens and 5,667 for each of at most 8
tiles."""

STORED_INPUT: Final = frozenset(
    {
        "previous_response_id",
        "conversation",
        "cachedContent",
        "cached_content",
        "container",
        "mcp_servers",
        "web_search_options",
        "thread",
    }
)
"""Fields that add input which the provider stores or searches; a thread that is only created adds none."""

_SEARCHING_MODELS: Final = re.compile("-search-|sonar")
"""Models that search the web for every request: OpenAI's, and Perplexity's."""

_IMAGES: Final = frozenset({"image", "image_url", "input_image", "computer_screenshot", "image_generation_call"})
_SOUNDS: Final = frozenset({"audio", "input_audio"})
_OPAQUE: Final = frozenset({"document", "file", "input_file", "video", "container_upload", "item_reference"})
_LINKED: Final = frozenset({"fileData", "file_data"})
_INLINE: Final = frozenset({"inlineData", "inline_data"})
_CALLERS_TOOLS: Final = frozenset({"function", "custom", None})
_TOOLS: Final = re.compile(r'"(?:tools|functions)"')
_MODALITIES: Final = frozenset({"modalities", "generationConfig", "generation_config", "config"})
"""Fields in which a request names the modalities of its answer."""
_SCALARS: Final = frozenset({int, float, bool, type(None)})
_NUMBER: Final = 8
_MESSAGE: Final = PER_OBJECT + len("role") + len("content")
_MAX_DEPTH: Final = 100


class _Unbounded(Exception):
    """A part of the request does not show its size."""


@dataclass(frozen=True, slots=True)
class BodyBound:
    """The facet `input_bound` for JSON bodies.

    A format whose provider has further names for stored input or media passes them: `BodyBound(stored=STORED_INPUT |
    {"memory_id"})`.
    """

    stored: frozenset[str] = STORED_INPUT
    """Fields of the body that add input which is not in the request."""
    images: frozenset[str] = _IMAGES
    """Values of `type` of content parts that are images."""
    sounds: frozenset[str] = _SOUNDS
    """The same for audio; its data stands in a field of that name."""
    opaque: frozenset[str] = _OPAQUE
    """The same for parts whose size the request does not show."""
    inline: frozenset[str] = _INLINE
    """Fields of a content part that hold media as bytes."""
    linked: frozenset[str] = _LINKED
    """Fields of a content part that hold the address of media."""
    _medium: re.Pattern[str] = field(init=False, repr=False, compare=False)
    """Matches JSON text with media in it. Text that only looks like it is read more slowly, with the same result."""
    _special: frozenset[str] = field(init=False, repr=False, compare=False)
    """Fields that, at the top of a request, would make all of it something other than text."""

    def __post_init__(self) -> None:
        """Compile the patterns."""
        types = "|".join(map(re.escape, sorted(self.images | self.sounds | self.opaque)))
        places = "|".join(map(re.escape, sorted(self.inline | self.linked)))
        medium = re.compile(rf'"type": "(?:{types})"|"(?:{places})"|"audio": \{{(?!"voice"|"format")')
        object.__setattr__(self, "_medium", medium)
        object.__setattr__(self, "_special", self.inline | self.linked | {"type"})

    def shape(self, body: Any) -> Shape:
        """Return the facts about a request that bound its cost.

        The size of messages with text alone is read directly. The rest is nearly always JSON without media: its text is
        as long as its bound, and C measures it twenty times as fast as a walk.
        """
        spoken, outputs = get(body, "input"), _outputs(body)
        characters = len(spoken) if isinstance(spoken, str) else 0
        try:
            size, rest = self._texts(body)
            if size and not rest:
                bound = None if self._has_more(body) else PER_CALL + size
                return Shape(bound, outputs=outputs, characters=characters)
            text: str = json.dumps(rest)
        except (TypeError, ValueError, RecursionError):  # SDK objects, bytes, or endless nesting
            bound = self._walk(body)
            return Shape(bound, caches=True, sounds=True, outputs=outputs, characters=characters)
        caches, media = '"cache_control"' in text, self._medium.search(text) is not None
        if body is None or self._has_more(body):
            bound = None
        elif media:
            bound = self._walk(body)
        else:
            size += PER_CALL + len(text) + PER_OBJECT * text.count("{")
            bound = size + PER_TOOLS if _TOOLS.search(text) else size
        return Shape(bound, caches=caches, sounds=media, outputs=outputs, characters=characters)

    def image_count(self, body: Any) -> int:
        """Return the number of images in a request."""
        return self._images(body, 0)

    def _images(self, value: Any, depth: int) -> int:
        if depth > _MAX_DEPTH or not isinstance(value, (Mapping, list, tuple)):
            return 0
        if isinstance(value, Mapping):
            fields = cast("Mapping[str, Any]", value)
            kind = fields.get("type")
            if (isinstance(kind, str) and kind in self.images) or not self.inline.isdisjoint(fields):
                return 1
            return sum(self._images(item, depth + 1) for item in fields.values())
        return sum(self._images(item, depth + 1) for item in cast("list[Any]", value))

    def _texts(self, body: Any) -> tuple[int, Any]:
        """Return the bytes of the plain text in a request with its allowances, and the rest of the request."""
        if body.__class__ is not dict or not self._special.isdisjoint(body):
            return 0, body
        size, rest = PER_OBJECT, dict[str, Any]()
        for name, value in body.items():
            kind = value.__class__
            if kind is str:
                size += len(name) + _length(value)
            elif kind in _SCALARS:
                size += len(name) + _NUMBER
            elif kind is list:
                texts, others = _messages(value)
                size += len(name) + texts
                if others:
                    rest[name] = others
            else:
                rest[name] = value
        return size, rest

    def _has_more(self, body: Any) -> bool:
        """Return True if input counts that is not in the request.

        That is history and prompts stored at the provider, and what its tools and searching models find.
        """
        if isinstance(get(body, "prompt"), Mapping) or _SEARCHING_MODELS.search(str(get(body, "model"))):
            return True
        if body.__class__ is dict and self.stored.isdisjoint(body):
            if "tools" not in body:
                return False
        elif any(value and get(value, "type") != "create" for value in (get(body, name) for name in self.stored)):
            return True
        for tool in _list(get(body, "tools")):
            kind = get(tool, "type")
            if kind not in _CALLERS_TOOLS or (kind is None and get(tool, "name") is None and _runs(tool)):
                return True
        return False

    def _walk(self, body: Any) -> int | None:
        try:
            total = None if body is None or self._has_more(body) else PER_CALL + self._bytes(body, 0)
        except (_Unbounded, RecursionError):
            return None
        if total is None or not (get(body, "tools") or get(body, "functions")):
            return total
        return total + PER_TOOLS

    def _bytes(self, value: Any, depth: int) -> int:
        """Return the bytes of all text in `value`, and the allowances of the rest. Raises `_Unbounded`."""
        if isinstance(value, str):
            return _length(value)
        if value is None or isinstance(value, (bool, int, float)):
            return 1 if type(value) is int else _NUMBER  # a prompt may consist of token numbers; others are settings
        if depth > _MAX_DEPTH:
            raise _Unbounded
        if isinstance(value, (list, tuple, set, frozenset)):
            return sum(self._bytes(item, depth + 1) for item in cast("list[Any]", value))
        if not isinstance(value, Mapping):
            value = getattr(value, "__dict__", None)  # an SDK's object that was put into the request
            if not isinstance(value, dict):
                raise _Unbounded
        return self._object(cast("Mapping[Any, Any]", value), depth)

    def _object(self, fields: Mapping[Any, Any], depth: int) -> int:
        kind = fields.get("type")
        if isinstance(kind, str) and (kind in self.opaque or kind in self.images or kind in self.sounds):
            # A schema has fields of these names too ("file", "image"), but no type of one.
            return self._part(kind, fields, depth)
        for name in self.inline | self.linked:
            if name in fields and (data := fields[name]) is not None:
                return PER_OBJECT + _blob(data, linked=name in self.linked)
        total = PER_OBJECT
        for name, item in fields.items():
            if name == "audio" and get(item, "id") is not None:  # an earlier answer, which the provider stores
                raise _Unbounded
            total += self._bytes(str(name), depth) + self._bytes(item, depth + 1)
        return total

    def _part(self, kind: str, fields: Mapping[Any, Any], depth: int) -> int:
        """Return the allowance of a typed content part that is no text."""
        if kind in self.images:
            return PER_OBJECT + PER_IMAGE
        if kind in self.sounds:
            data = get(fields.get(kind), "data")
            if isinstance(data, str):  # no provider makes a token of less than 30 ms, or a codec less than a byte of it
                return PER_OBJECT + len(data)
            raise _Unbounded
        source = fields.get("source")
        if kind == "document" and get(source, "type") in ("text", "content"):
            return PER_OBJECT + sum(self._bytes(item, depth + 1) for name, item in fields.items() if name != "type")
        raise _Unbounded


def _outputs(body: Any) -> frozenset[str]:
    """Return the modalities besides text that a request enables for its answer."""
    if body.__class__ is dict and _MODALITIES.isdisjoint(body):
        return _TEXT_ALONE
    settings = get(body, "generationConfig") or get(body, "generation_config") or get(body, "config")
    names = get(body, "modalities") or get(settings, "responseModalities") or get(settings, "response_modalities")
    return frozenset(str(name).lower() for name in _list(names)) & {"audio", "image"}


_TEXT_ALONE: Final[frozenset[str]] = frozenset()


def _messages(items: list[Any]) -> tuple[int, list[Any]]:
    """Return the bytes of the messages with only a role and a text, with their allowances; and the other messages."""
    size, others = 0, list[Any]()
    for item in items:
        if item.__class__ is dict and len(item) == 2:
            role, content = item.get("role"), item.get("content")
            if content.__class__ is str and role.__class__ is str:
                size += _MESSAGE + len(role) + (len(content) if content.isascii() else _length(content))
                continue
        others.append(item)
    return size, others


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _runs(tool: Any) -> bool:
    """Return True if a tool in Gemini's form is more than declarations of functions."""
    fields = cast("Mapping[str, Any]", tool) if isinstance(tool, Mapping) else getattr(tool, "__dict__", {})
    declared = ("functionDeclarations", "function_declarations")
    return any(item is not None for name, item in fields.items() if name not in declared)  # {"googleSearch": {}}


def _list(value: Any) -> list[Any]:
    return list(cast("list[Any]", value)) if isinstance(value, (list, tuple)) else []


def _blob(blob: Any, *, linked: bool) -> int:
    """Return the allowance of a content part with its media in a field of its own, in Gemini's form."""
    mime, data = get(blob, "mimeType") or get(blob, "mime_type"), get(blob, "data")
    family = str(mime).partition("/")[0]
    if family == "image":
        return PER_IMAGE
    if family in ("audio", "text") and not linked and isinstance(data, (str, bytes)):
        return len(data)
    raise _Unbounded


INPUT_BOUND: Final = BodyBound()
"""The facet with the vocabulary of all known providers."""


class _NoBound:
    """The facet for requests to which the provider adds what it has stored: an assistant, a conversation, an agent."""

    __slots__ = ()

    def shape(self, body: Any) -> Shape:  # noqa: ARG002 (whatever the request has, there is more)
        """Return that nothing is known."""
        return UNBOUNDED

    def image_count(self, body: Any) -> int:
        """Return the number of images in a request."""
        return INPUT_BOUND.image_count(body)


NO_BOUND: Final = _NoBound()
