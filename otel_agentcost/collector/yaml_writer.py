"""Write YAML as text, without a library, for all generated files.

Strings are quoted as in JSON, which is valid YAML, or in single quotes, so that YAML finds no special character.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable
from typing import Any, cast

__all__ = ["comment", "document"]

_WIDTH = 118
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./]*|\d[\d.]*[A-Za-z]+")


def document(heading: str, content: dict[str, Any]) -> str:
    """Return the text of a file: `heading` as a comment, then `content`."""
    return f"{comment(heading)}\n" + "\n".join(_lines(content, "")) + "\n"


def comment(text: str) -> str:
    """Return `text` as a comment: wrapped, with its paragraphs kept."""
    rows: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        rows += [*(f"# {row}" for row in _wrapped(paragraph)), "#"]
    return "\n".join(rows[:-1])


def _wrapped(paragraph: str) -> list[str]:
    return textwrap.wrap(" ".join(paragraph.split()), _WIDTH - 2, break_on_hyphens=False, break_long_words=False)


def _lines(value: Any, indent: str) -> Iterable[str]:
    if isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield from _entry(f"{indent}{key}:", inner, indent + "  ")
    else:
        for inner in cast("list[Any]", value):
            flow = _flow(inner)
            if isinstance(inner, dict) and (_nested(inner) or len(indent) + len(flow) > _WIDTH - 2):
                rows = list(_lines(inner, indent + "  "))
                yield f"{indent}- {rows[0].lstrip()}"
                yield from rows[1:]
            else:
                yield f"{indent}- {flow}"


def _entry(start: str, value: Any, indent: str) -> Iterable[str]:
    """Yield a key and its value: on one line if that is short and not nested."""
    if not isinstance(value, (dict, list)):
        yield f"{start} {_flow(value)}"
        return
    flow = _flow(value)
    if len(start) + 1 + len(flow) <= _WIDTH and not (isinstance(value, dict) and _nested(value)):
        yield f"{start} {flow}"
        return
    yield start
    yield from _lines(value, indent)


def _nested(value: Any) -> bool:
    return any(isinstance(inner, (dict, list)) for inner in cast("dict[str, Any]", value).values())


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, cast("Iterable[Any]", value))) + "]"
    if isinstance(value, str) and _plain(value):
        return value
    text = json.dumps(value, ensure_ascii=False)
    # OTTL literals read better within single quotes, if nothing in them needs escaping.
    return f"'{value}'" if "\\" in text and "'" not in value and text.count("\\") == value.count('"') else text


def _plain(text: str) -> bool:
    """Return whether `text` needs no quotes: names of components, durations."""
    return (
        text.replace("/", "").replace("_", "").replace(".", "").isalnum()
        and not (text[0].isdigit() and not text[-1].isalpha())
        and text not in {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
    )
