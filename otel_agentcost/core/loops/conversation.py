"""What a conversation is made of, as far as loops show in it: tool calls, their results, and what was said.

Arguments are compared as canonical JSON: the order of keys, whitespace, and fields that differ with every call by
their nature (request ids, timestamps, attempts) make no other call of it. Large arguments are not parsed, and large
texts are known by a digest of samples. Built by the readers of wire formats and from tool spans.
"""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

from otel_agentcost.core.loops.result_text import VOLATILE_FIELDS, field_name

ARGUMENTS_KEPT: Final = 300
"""Characters of a call's arguments that are kept: to compare, and as evidence."""
RESULT_KEPT: Final = 400
"""The same of its result."""
_PARSED: Final = 16_384
"""Arguments longer than this are compared as the text that they are."""
_LONG: Final = 2_048
"""A text within arguments that is longer is compared by its digest."""
_NAME: Final = 96
"""Characters of a tool's name, and of an id."""
_DEEPEST: Final = 6
_ELEMENTS: Final = 256
_WHOLE: Final = 65_536
_PIECE: Final = 2_048
_PIECES: Final = 16


class ToolCall(NamedTuple):
    """A tool that the model called. Built by `make_tool_call`."""

    id: str | None
    tool: str
    arguments: str
    """Canonical, without what differs every time, and cut to `ARGUMENTS_KEPT`."""
    key: int
    """The same for the same call: of the tool and of all its arguments."""


class ToolResult(NamedTuple):
    """What came back from a tool."""

    id: str | None
    content: str
    error: bool = False
    """Whether the wire format itself says that the call failed."""
    tool: str | None = None
    """Whose result it is, where the format says that in place of an id."""


class TextMessage(NamedTuple):
    """What somebody said."""

    by_model: bool
    text: str


Item = ToolCall | ToolResult | TextMessage


def make_tool_call(id_: str | None, tool: str, arguments: Any) -> ToolCall:
    """The call of `tool` with `arguments`: JSON text, or the value that such a text stands for. Never raises."""
    whole = canonical(arguments)
    tool = shorten_name(tool)
    return ToolCall(
        None if id_ is None else shorten_name(id_), tool, clip(whole, ARGUMENTS_KEPT), hash((tool, digest(whole)))
    )


def shorten_name(name: str) -> str:
    """A tool's name, or a call's id, as it is kept: one that is longer than any real one is cut, and stays itself."""
    return name if len(name) <= _NAME else f"{clip(name, _NAME)}#{digest(name)}"


def canonical(arguments: Any) -> str:
    """One text for all writings of the same arguments; what is no JSON is a text with its whitespace collapsed."""
    value = arguments
    if isinstance(arguments, str):
        if len(arguments) > _PARSED:
            return arguments
        try:
            value = _parsed(arguments) if arguments[:1] in '{["' or arguments[:1].isspace() else arguments
        except (ValueError, RecursionError):
            value = arguments
        if isinstance(value, str):
            return " ".join(value.split())
    try:
        return _ENCODE(value if _is_steady(value, 0) else _steady(value, 0))
    except Exception:  # an object of the application's that is no JSON, a text that is no Unicode, a circle
        return f"<{type(value).__name__}>"


def _parsed(text: str) -> Any:
    """The JSON in a text: at once where it is nothing else, which takes two thirds of what `json.loads` does."""
    if text[:1] == "{":
        value, end = _DECODER.raw_decode(text)
        if end == len(text):
            return value
    return json.loads(text)


_DECODER: Final = json.JSONDecoder()


def _encoder() -> Callable[[Any], str]:
    """Canonical JSON. The encoder in C is made once: `json` makes one for every text, which takes as long again."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    try:
        encode = make(None, repr, json.encoder.encode_basestring, None, ":", ",", True, False, True)
        encode({"b": [1.5, None], "a": "ä"}, 0)
    except Exception:  # another Python, or one that makes it otherwise
        return json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=repr).encode
    return lambda value: "".join(encode(value, 0))


_ENCODE: Final = _encoder()


def _is_steady(value: Any, depth: int) -> bool:
    """Whether `_steady` would return `value` as it is: most often so, and found out in half the time."""
    elements: list[Any]
    if isinstance(value, dict):
        fields: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        if not (fields.keys() <= _STEADY or all(map(_is_steady_name, fields))):
            return False
        elements = list(fields.values())
    elif isinstance(value, list):
        elements = value  # pyright: ignore[reportUnknownVariableType]
    else:
        return not isinstance(value, str) or len(value) <= _LONG
    if depth >= _DEEPEST or len(elements) > _ELEMENTS:
        return False
    for item in elements:
        if type(item) is str:
            if len(item) > _LONG:
                return False
        elif type(item) not in _PLAIN and not _is_steady(item, depth + 1):
            return False
    return True


_STEADY: Final = set[str]()
"""Names of fields that were seen and do not differ every time; as many as `_NAMES`."""
_NAMES: Final = 2_048


def _is_steady_name(name: object) -> bool:
    if type(name) is not str or field_name(name) in VOLATILE_FIELDS:
        return False
    if len(_STEADY) < _NAMES and len(name) <= 64:
        _STEADY.add(name)
    return True


_PLAIN: Final = frozenset({int, float, bool, type(None)})


def _steady(value: Any, depth: int) -> Any:
    """`value` without the fields that differ every time, and with digests for long texts."""
    if type(value) is str:
        return value if len(value) <= _LONG else f"{value[:64]}#{digest(value)}"
    if isinstance(value, dict) and depth < _DEEPEST:
        fields: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType] (mypy bars the cast)
        return {
            str(name): _steady(item, depth + 1)
            for name, item in fields.items()
            if field_name(name) not in VOLATILE_FIELDS
        }
    if isinstance(value, (list, tuple)) and depth < _DEEPEST:
        elements = cast("list[Any]", value)
        steady = [_steady(item, depth + 1) for item in elements[:_ELEMENTS]]
        return steady if len(elements) <= _ELEMENTS else [*steady, f"of {len(elements)}"]
    return value  # pyright: ignore[reportUnknownVariableType]


def digest(text: str) -> int:
    """The same for the same text, within one process. A text of megabytes is known by its length and by samples."""
    size = len(text)
    if size <= _WHOLE:
        return hash(text)
    step = (size - _PIECE) // (_PIECES - 1)
    return hash((size, *(text[at * step : at * step + _PIECE] for at in range(_PIECES))))


def clip(text: str, most: int) -> str:
    """The beginning of `text`: at most `most` characters, fewer where a character takes more than a byte."""
    if len(text) <= most and (len(text) <= most // 4 or text.isascii()):
        return text
    head = text[:most]
    if head.isascii():
        return head
    return head[: most // (4 if max(head) > "\uffff" else 2)]
