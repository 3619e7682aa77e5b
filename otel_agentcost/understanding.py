"""How a setting is understood: parsers from a value as it was written to a value of the field's type.

Each takes text of the environment, a value of a settings file or an argument of code, and raises `Unclear` for what it
cannot understand; none of them logs or looks anywhere else. `settings.py` has the table that names them. Also here:
how a value is quoted in a sentence that others read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

from otel_agentcost.core import money

CaptureContent = Literal["NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"]


class Unclear(Exception):
    """A value cannot be understood; the text completes "X is 'v', ". Caught by `settings.py`."""


def to_boolean(value: object) -> bool:
    """True or false, in the words that people use for them."""
    word = str(value).lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise Unclear("which is neither true nor false")


def to_text(value: object) -> str:
    """Text, or a number that is meant as text."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise Unclear("which is not text")


def to_path(value: object) -> Path:
    """A path; `~` is the home directory."""
    if not isinstance(value, (str, Path)):
        raise Unclear("which is not a path")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise Unclear("whose home directory is not known") from error


def to_tool_prices(value: object) -> Mapping[str, Decimal]:
    """US dollars a call, by tool: a mapping, or text like `web_search=0.005,read_page=0.001`."""
    pairs: Iterable[tuple[object, object]]
    if isinstance(value, str):
        pairs = [_pair(item) for item in value.split(",") if item.strip()]
    elif isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
    else:
        raise Unclear("which is not of the form tool=dollars,tool=dollars")
    prices: dict[str, Decimal] = {}
    for tool, written in pairs:
        usd = money.from_number(written)
        if usd is None:
            raise Unclear(f"where the price of {tool} is {quoted(written)}, which is not an amount of US dollars")
        if str(tool) in prices:
            raise Unclear(f"which gives {tool} two prices")
        prices[str(tool)] = usd
    return MappingProxyType(prices)


def _pair(item: str) -> tuple[str, str]:
    # From the right: a tool may have any name, a price has no `=` in it.
    tool, equals, usd = item.rpartition("=")
    if not equals or not tool.strip():
        raise Unclear(f"where {quoted(item.strip())} is not of the form tool=dollars")
    return tool.strip(), usd.strip()


def to_capture_content(value: object) -> CaptureContent:
    """Where message content may go. `true` is what older instrumentations called `SPAN_ONLY`."""
    match str(value).upper():
        case "NO_CONTENT" | "FALSE":
            return "NO_CONTENT"
        case "SPAN_ONLY" | "TRUE":
            return "SPAN_ONLY"
        case "EVENT_ONLY":
            return "EVENT_ONLY"
        case "SPAN_AND_EVENT":
            return "SPAN_AND_EVENT"
        case _:
            raise Unclear("which is none of NO_CONTENT, SPAN_ONLY, EVENT_ONLY and SPAN_AND_EVENT")


def without_password(written: str) -> str:
    """`written`, with the user and password of any URL in it made unreadable."""
    return re.sub(r"(//)[^/@\s]*@", r"\1***@", written)


def quoted(value: object) -> str:
    """`value` as it was written, short, and fit for a log that others read."""
    return without_password(f"{value!r:.120}" if isinstance(value, str) else f"{value!s:.120}")
