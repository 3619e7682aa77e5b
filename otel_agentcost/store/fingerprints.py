"""Fingerprints of a request and of the segments of its prompt: 8 bytes each, from which no content can be read back.

Equal requests have equal fingerprints, in every process. A segment is a tool list, a system prompt or one message, in
the order in which providers cache prompts: where the fingerprints of two requests differ first, the cache was missed.
A short text that can be guessed can be confirmed by its fingerprint, as with any hash.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, NamedTuple, cast

from otel_agentcost.core import semconv
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.store.offered_tools import PLACES, Definitions, definitions

SIZE: Final = 8
"""Bytes of a fingerprint."""

_FIRST: Final = (
    "tools",
    "functions",
    "toolConfig",
    "system",
    "instructions",
    "systemInstruction",
    "system_instruction",
    "config",
)
_THEN: Final = ("messages", "input", "contents", "prompt")
_NO_CONTENT: Final = frozenset(
    {
        "_query",  # these two of google-genai, which takes them out of the body while it sends it
        "_url",
        "cache_control",
        "diagnostics",
        "extra_headers",
        "extra_query",
        "labels",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "requestMetadata",
        "safety_identifier",
        "store",
        "stream",
        "stream_options",
        "timeout",
        "user",
    }
)
"""Parameters that change no answer."""

_ELSEWHERE: Final = frozenset(
    {
        "container",
        "conversation",
        "conversation_id",
        "previous_interaction_id",
        "previous_response_id",
        "session",
        "session_id",
        "sessionId",
        "thread",
        "thread_id",
    }
)
"""Parameters that name what a server keeps: the prompt goes on from there, and changes from call to call."""

_ABSENT: Final = frozenset({"NotGiven", "Omit", "NoneType"})
"""Names of the types with which SDKs say that a parameter is not given."""


class Fingerprints(NamedTuple):
    """The fingerprints of one request."""

    request: bytes | None
    """That of the whole request, or of a tool's call; None if its body is not all of it."""
    segments: tuple[bytes, ...]
    characters: int = 0
    """The characters of the segments, as JSON; 0 if some of them are an image or a file, whose characters say nothing
    of its tokens."""
    tools: tuple[bytes, Definitions] | None = None
    """The fingerprint of the tools that the request offers, and their names and sizes; None if it offers none."""


def snapshot(body: Any) -> Any:
    """Return a body that does not change when the application appends to the lists of `body`."""
    if type(body) is not dict:
        return body
    fields = cast("dict[str, Any]", body)
    # mypy bars the cast
    return {name: value[:] if type(value) is list else value for name, value in fields.items()}  # pyright: ignore[reportUnknownVariableType]


def of(body: Any, operation: str = "") -> Fingerprints | None:
    """Return the fingerprints of a request; None if its body holds what cannot be written as JSON.

    Args:
        body: The body.
        operation: `gen_ai.operation.name` of the request.
    """
    if not isinstance(body, Mapping):
        return None
    fields = cast("Mapping[str, Any]", body)
    try:
        found = [_segment(name, fields[name]) for name in _FIRST if name in fields and _is_given(fields[name])]
        for name in _THEN:
            value = fields.get(name)
            if isinstance(value, (list, tuple)):
                found += _messages(cast("list[Any]", value))
            elif _is_given(value):
                found.append(_segment("", value))
        segments, lengths = zip(*found, strict=True) if found else ((), ())
        characters = 0 if None in lengths else sum(filter(None, lengths))
        tools = _offered(fields) if not PLACES.isdisjoint(fields) else None
        rest = {
            name: value
            for name, value in fields.items()
            if name not in _NO_CONTENT and name not in _FIRST and name not in _THEN and _is_given(value)
        }
        whole = blake2b(_segment("rest", rest)[0], digest_size=SIZE) if _is_whole(fields, operation) else None
    except Exception as error:  # objects of the application, a circle, a change meanwhile: the row goes without
        reraise_foreign(error)
        return None
    if whole is None:
        return Fingerprints(None, segments, characters, tools)
    for segment in segments:
        whole.update(segment)
    return Fingerprints(whole.digest(), segments, characters, tools)


def of_tool(name: str, arguments: str) -> Fingerprints:
    """Return the fingerprint of a tool's call. The order of its arguments does not matter.

    Args:
        name: The name of the tool.
        arguments: Its arguments as text, such as JSON.
    """
    with contextlib.suppress(ValueError, RecursionError):  # no JSON: as it is
        arguments = _ENCODE(json.loads(arguments))
    text = f"{name}\0{arguments}".encode("utf-8", "surrogatepass")
    return Fingerprints(blake2b(text, digest_size=SIZE).digest(), ())


def _offered(fields: Mapping[str, Any]) -> tuple[bytes, Definitions] | None:
    """Return the fingerprint of the tools that a request offers, and their names and sizes. The latest are kept."""
    mark = _mark([fields.get(name) for name in _IN_ORDER])
    found = _OFFERED.get(mark) if mark is not None else None
    if found is None:
        tools = definitions(fields, lambda value: len(_ENCODE(value)))
        found = (_segment("offered", tools)[0], tools) if tools else None
        if mark is not None and found is not None:
            if len(_OFFERED) >= _LISTS:
                _OFFERED.clear()
            _OFFERED[mark] = found
    return found


_OFFERED: Final = dict[int, tuple[bytes, Definitions]]()
"""Tools by the mark of what offers them."""

_IN_ORDER: Final = sorted(PLACES)
_LISTS: Final = 500


def _is_whole(fields: Mapping[str, Any], operation: str) -> bool:
    """Return True if a body is all that sets the answer: no uploaded file, no id in the address, nothing at a server.

    Files are sent beside the body (audio, images to edit), and ids of threads and sessions are in the address. So a
    body has to have its prompt; that of an image or a video may have files beside it.
    """
    for part in (fields, fields.get("extra_body")):
        if isinstance(part, Mapping):
            named = cast("Mapping[str, Any]", part)
            if not _ELSEWHERE.isdisjoint(named) and any(_is_given(named.get(name)) for name in _ELSEWHERE):
                return False
    prompts = _THEN[:-1] if operation == semconv.GENERATE_CONTENT else _THEN
    return any(name in fields and _is_given(fields[name]) for name in prompts)


def _is_given(value: object) -> bool:
    return type(value).__name__ not in _ABSENT


def _messages(messages: list[Any]) -> list[_Segment]:
    """Return the fingerprints and the characters of messages. Most of them are known, and have texts only."""
    found: list[_Segment] = []
    for message in messages:
        known = None
        if message.__class__ is dict:
            fields: dict[str, object] = message
            if _TEXTS.issuperset(map(type, fields.values())):
                known = _KNOWN.get(("", hash(tuple(fields.items()))))
        found.append(known if known is not None else _segment("", message))
    return found


def _segment(name: str, value: object) -> _Segment:
    """Return the fingerprint and the characters of a part of a request.

    Requests repeat their history, so those of the latest parts are kept.
    """
    mark = _mark(value)
    key = (name, mark)
    found = _KNOWN.get(key) if mark is not None else None
    if found is None:
        text = _ENCODE(value)
        digest = blake2b(f"{name}\0{text}".encode("utf-8", "surrogatepass"), digest_size=SIZE).digest()
        found = digest, None if _has_file(text) else len(text)
        if mark is not None:
            if len(_KNOWN) >= _AT_MOST:
                _KNOWN.clear()
            _KNOWN[key] = found
    return found


def _has_file(text: str) -> bool:
    """Return True if a text has the bytes of an image or a file in base64: long, and without any space or mark."""
    return len(text) > _WINDOW and any(_BYTES.match(text, at) is not None for at in range(0, len(text), _WINDOW))


_WINDOW: Final = 500
"""Characters of which one look is taken: what is twice as long is found."""

_BYTES: Final = re.compile(rf"[\w+/=\\-]{{{_WINDOW}}}", re.ASCII)

_Segment = tuple[bytes, int | None]
"""The fingerprint of a part of a request, and its characters; None if they say nothing of its tokens."""

_KNOWN: Final = dict[tuple[str, int | None], _Segment]()
"""Fingerprints and characters by the name and the mark of their part: no content is kept."""

_TEXTS: Final = frozenset({str, type(None)})

_AT_MOST: Final = 20_000


def _mark(value: object) -> int | None:
    """Return a hash that stands for a value within this process; None if it has other than plain parts.

    Python keeps the hash of a text with it, so a history that is sent again costs next to nothing.
    """
    kind = type(value)
    if kind is dict:
        fields = cast("dict[object, object]", value)
        if _TEXTS.issuperset(map(type, fields.values())):  # as most messages are: no loop in Python
            return hash(tuple(fields.items()))
    if kind is str:
        return hash(value)
    if value is None or kind is int or kind is float or kind is bool:
        return hash((kind, value))
    marks: list[object] = [kind]
    if kind is dict:
        for name, item in cast("dict[object, object]", value).items():
            marks += (name, _mark(item))
    elif kind is list or kind is tuple:
        marks += map(_mark, cast("list[object]", value))
    else:
        return None
    return None if None in marks else hash(tuple(marks))


def _plain(value: object) -> object:
    """Return what an object of an SDK stands for. Raises `TypeError` for any other object."""
    dump = getattr(value, "model_dump", None)
    if not callable(dump):
        raise TypeError
    return dump(mode="json", exclude_none=True)


_ENCODE: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain).encode


def packed(kept: int, segments: tuple[bytes, ...]) -> bytes:
    """Return the fingerprints of segments for a row.

    Args:
        kept: The number of leading segments that are those of the row's base, which are left out.
        segments: All segments.
    """
    return min(kept, 0xFFFF).to_bytes(2, "big") + b"".join(segments[min(kept, 0xFFFF) :])


def unpacked(blob: bytes, base: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the fingerprints of segments of a row, given those of its base (empty for a row without one)."""
    kept = int.from_bytes(blob[:2], "big")
    return (*base[:kept], *(blob[at : at + SIZE] for at in range(2, len(blob), SIZE)))


def shared(before: tuple[bytes, ...], after: tuple[bytes, ...]) -> int:
    """Return the number of leading segments that two requests share."""
    for at, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            return at
    return min(len(before), len(after))
