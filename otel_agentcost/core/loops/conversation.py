"""The items of a conversation that loop detection needs: tool calls, their results, and messages.

Arguments are compared as canonical JSON: the order of keys, whitespace, and volatile fields (request ids, timestamps,
attempts) do not matter. Large arguments are not parsed, and large texts are identified by a digest of samples. The
readers of wire formats and of tool spans make these items.
"""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

from otel_agentcost.core.loops.result_text import VOLATILE_FIELDS, field_name

ARGUMENTS_KEPT: Final = 300
"""Characters of a call's arguments that are kept, for comparison and as evidence."""
RESULT_KEPT: Final = 400
"""Characters of its result that are kept."""
_PARSED: Final = 16_384
"""Arguments with more characters are compared as plain text."""
_LONG: Final = 2_048
"""A text within arguments with more characters is compared by its digest."""
_NAME: Final = 96
"""Characters of a tool's name, or of an id, that are kept."""
_DEEPEST: Final = 6
_ELEMENTS: Final = 256
_WHOLE: Final = 65_536
_PIECE: Final = 2_048
_PIECES: Final = 16


class ToolCall(NamedTuple):
    """A tool call of the model. Made by `make_tool_call`."""

    id: str | None
    tool: str
    arguments: str
    """Canonical JSON without volatile fields, cut to `ARGUMENTS_KEPT` characters."""
    key: int
    """A hash of the tool and all arguments: equal calls have equal keys."""


class ToolResult(NamedTuple):
    """The result of a tool call."""

    id: str | None
    content: str
    error: bool = False
    """True if the wire format marks the call as failed."""
    tool: str | None = None
    """The tool, for formats that name it instead of an id."""


class TextMessage(NamedTuple):
    """A message with text, of the model or of the user."""

    by_model: bool
    text: str


Item = ToolCall | ToolResult | TextMessage


def make_tool_call(id_: str | None, tool: str, arguments: Any) -> ToolCall:
    """Make the item for a tool call. Never raises.

    Args:
        id_: The model's id of the call, if the format has one.
        tool: The name of the tool.
        arguments: JSON text, or the value that it stands for.
    """
    whole = canonical(arguments)
    tool = shorten_name(tool)
    return ToolCall(
        None if id_ is None else shorten_name(id_), tool, clip(whole, ARGUMENTS_KEPT), hash((tool, digest(whole)))
    )


def shorten_name(name: str) -> str:
    """Cut a tool's name or a call's id to `_NAME` characters; a digest keeps cut ones distinct."""
    return name if len(name) <= _NAME else f"{clip(name, _NAME)}#{digest(name)}"


def canonical(arguments: Any) -> str:
    """Return one text for all spellings of the same arguments. In text that is not JSON, whitespace is collapsed."""
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
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError):
        # Not JSON, not Unicode, a circular reference, a `repr` that fails. The exception of a signal handler passes.
        return f"<{type(value).__name__}>"


def _parsed(text: str) -> Any:
    """Parse JSON. Decoding an object directly takes two thirds of the time of `json.loads`."""
    if text[:1] == "{":
        value, end = _DECODER.raw_decode(text)
        if end == len(text):
            return value
    return json.loads(text)


_DECODER: Final = json.JSONDecoder()


def _encoder() -> Callable[[Any], str]:
    """Return an encoder for canonical JSON. It is made once: `json` makes one for each text, which doubles the time."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    try:
        encode = make(None, repr, json.encoder.encode_basestring, None, ":", ",", True, False, True)
        encode({"b": [1.5, None], "a": "ä"}, 0)
    except Exception:  # another implementation of Python
        return json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=repr).encode
    return lambda value: "".join(encode(value, 0))


_ENCODE: Final = _encoder()


def _is_steady(value: Any, depth: int) -> bool:
    """Return whether `_steady` would return `value` unchanged. This is the usual case and takes half the time."""
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
"""Names of fields that are not volatile: a cache of at most `_NAMES`."""
_NAMES: Final = 2_048


def _is_steady_name(name: object) -> bool:
    if type(name) is not str or field_name(name) in VOLATILE_FIELDS:
        return False
    if len(_STEADY) < _NAMES and len(name) <= 64:
        _STEADY.add(name)
    return True


_PLAIN: Final = frozenset({int, float, bool, type(None)})


def _steady(value: Any, depth: int) -> Any:
    """Return `value` without volatile fields and with digests in place of long texts."""
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
    """Return a hash of a text, stable within one process. Long texts are hashed by their length and samples."""
    size = len(text)
    if size <= _WHOLE:
        return hash(text)
    step = (size - _PIECE) // (_PIECES - 1)
    return hash((size, *(text[at * step : at * step + _PIECE] for at in range(_PIECES))))


def clip(text: str, most: int) -> str:
    """Return the start of `text`: at most `most` characters, fewer if characters take more than a byte of memory."""
    if len(text) <= most and (len(text) <= most // 4 or text.isascii()):
        return text
    head = text[:most]
    if head.isascii():
        return head
    return head[: most // (4 if max(head) > "\uffff" else 2)]
