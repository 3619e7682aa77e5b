"""The text fields of a multipart body: a file to transcribe stands beside the name of the model."""

from __future__ import annotations

import re
from typing import Any, Final

_BOUNDARY: Final = re.compile(r'boundary="?([^";,]+)', re.IGNORECASE)
_NAME: Final = re.compile(rb'(?i)content-disposition:[^\r\n]*?[; ]name="([^"\r\n]*)"')
_FILE: Final = re.compile(rb"(?i)content-disposition:[^\r\n]*?[; ]filename\*?=")
_LONGEST_HEADER: Final = 4096
_LONGEST_VALUE: Final = 64 * 1024
_MOST_PARTS: Final = 100


def fields_in(content: Any, content_type: str) -> dict[str, Any] | None:
    """Return the short text fields of a body, by name; None if it is no multipart body.

    Args:
        content: The body, as bytes or text. Files in it are skipped, not read.
        content_type: The header, which names the boundary.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        return None
    data = content.encode("utf-8", "replace") if isinstance(content, str) else bytes(content)
    boundary = b"--" + found[1].strip().encode("latin-1", "replace")
    fields: dict[str, Any] = {}
    at = data.find(boundary)
    for _ in range(_MOST_PARTS):
        begin = at + len(boundary) + 2
        at = data.find(b"\r\n" + boundary, begin)
        if at < 0:
            break
        head = data[begin : begin + _LONGEST_HEADER].partition(b"\r\n\r\n")[0]
        name, size = _NAME.search(head), at - begin - len(head) - 4
        if name is not None and _FILE.search(head) is None and 0 <= size <= _LONGEST_VALUE:
            fields[name[1].decode("utf-8", "replace")] = as_value(data[begin + len(head) + 4 : at])
        at += 2
    return fields


def as_value(written: Any) -> Any:
    """Return the value of a text field: a boolean if it is written as one."""
    text = written.decode("utf-8", "replace") if isinstance(written, bytes) else written
    return {"true": True, "false": False}.get(text, text) if isinstance(text, str) else text
