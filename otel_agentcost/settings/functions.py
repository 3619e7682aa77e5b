"""Parses the names of the application's functions: `module:function`. Nothing is imported here."""

from __future__ import annotations

import re
from typing import Any, Final

from otel_agentcost.settings.parsers import InvalidValue

_NAME: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def to_function(value: object) -> Any:
    """Parse a function: the function itself, or where it is."""
    if callable(value):
        return value
    written = str(value).strip()
    if not _NAME.fullmatch(written):
        raise InvalidValue("which names no function: write module:function, such as myapp.caches:embed")
    return written


def shown_function(function: object) -> str:
    """Return the name of a function."""
    if isinstance(function, str):
        return function
    return f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__name__)}"
