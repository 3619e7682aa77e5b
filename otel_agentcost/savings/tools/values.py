"""Results of tools as bytes, and back.

In this process's memory they are pickled, so that each call gets a copy of the same types. Only plain types are: of
other objects, a copy may lack something, or be another to the application (a copied sentinel is not the sentinel). In a
store that others can write to they are JSON, and only those are kept there that JSON can hold: a pickle of a stranger
could do anything.
"""

from __future__ import annotations

import json
import pickle
import struct
from typing import Any, Final, NamedTuple, cast

from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.savings.tools.state import is_bounded

__all__ = ["MOST_BYTES", "Value", "packed", "to_json", "to_pickle", "unpacked"]

MOST_BYTES: Final = 1_000_000
"""The size of the largest result that is kept."""

_HEAD: Final = struct.Struct("<Bq")
_PICKLE: Final = 1
_JSON: Final = 2
_LEAVES: Final = (str, int, float, bool, type(None))


class Value(NamedTuple):
    """A result, and how long the tool took."""

    result: Any
    nanoseconds: int


def to_pickle(result: Any) -> bytes | None:
    """Return a pickle of a result; None if it is more than its content, or is too large."""
    if not is_bounded(result, MOST_BYTES):
        return None
    try:
        text = pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # an object may raise anything
        reraise_foreign(error)
        return None
    return text if len(text) <= MOST_BYTES else None


def to_json(result: Any) -> bytes | None:
    """Return the JSON of a result; None if that would be another result, or is too large."""
    if not is_bounded(result, MOST_BYTES) or not _is_json(result, 0):
        return None
    try:
        text = json.dumps(result, separators=(",", ":"))
        same = json.loads(text) == result  # not for NaN, nor for halves of surrogate pairs beside each other
    except ValueError:  # a number of more digits than Python reads
        return None
    return text.encode("ascii") if same and len(text) <= MOST_BYTES else None


def _is_json(value: Any, depth: int) -> bool:
    kind = type(cast("object", value))
    if kind in _LEAVES:
        return True
    if depth > 32:
        return False
    if kind is list:
        return all(_is_json(item, depth + 1) for item in value)
    return kind is dict and all(type(key) is str and _is_json(item, depth + 1) for key, item in value.items())


def packed(body: bytes, nanoseconds: int, *, json: bool) -> bytes:
    """Return the bytes to store."""
    return _HEAD.pack(_JSON if json else _PICKLE, nanoseconds) + body


def unpacked(stored: bytes, *, shared: bool) -> Value | None:
    """Return what was stored; None if it cannot be read.

    Args:
        stored: The bytes.
        shared: True if others can write to the store: a pickle from there is not read.
    """
    if len(stored) < _HEAD.size:
        return None
    form, nanoseconds = _HEAD.unpack_from(stored)
    body = stored[_HEAD.size :]
    if form == _PICKLE and not shared:
        return _of_pickle(body, nanoseconds)
    if form != _JSON:
        return None
    try:
        return Value(json.loads(body), nanoseconds)
    except ValueError:
        return None


def _of_pickle(body: bytes, nanoseconds: int) -> Value | None:
    try:
        return Value(pickle.loads(body), nanoseconds)  # noqa: S301 (made by this process, from its own memory)
    except Exception as error:  # an object may raise anything
        reraise_foreign(error)
        return None
