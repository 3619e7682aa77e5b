"""Parse the settings of the tool cache: its rules, and the MCP servers that it believes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, cast

from otel_agentcost.core.budgets import split_items
from otel_agentcost.core.tool_cache import AUTO, AUTO_SECONDS, OFF, Keep, ToolCacheRules, UnclearKeep, to_keep
from otel_agentcost.settings.parsers import InvalidValue, Items, quoted

_FORM: Final = "tool=time"


def to_tool_cache(value: object) -> ToolCacheRules:
    """Parse the rules of the tool cache: a mapping, or text like `web_search=15m,read_*=1h,auto`."""
    if isinstance(value, ToolCacheRules):
        return value
    if isinstance(value, str) and value.strip().lower() == OFF:
        return ToolCacheRules(off=True)
    rules: dict[str, Keep] = {}
    items = Items()
    for pair in _pairs(value):
        with items.item():
            tool, keep = _rule(pair)
            if rules.pop(tool, None) is not None:  # neither of the two is sure
                raise InvalidValue(f"which has two times for {tool}")
            rules[tool] = keep
    auto = rules.pop(AUTO, None)
    return items.checked(ToolCacheRules(rules, auto if auto is not None and auto.seconds else None))


def to_servers(value: object) -> tuple[str, ...]:
    """Parse the names of MCP servers, joined by `,`."""
    listed = isinstance(value, (list, tuple))
    names = cast("Iterable[object]", value) if listed else str(value).split(",")
    items = Items()
    found: list[str] = []
    for name in dict.fromkeys(name for each in names if (name := str(each).strip())):
        with items.item():
            if not re.fullmatch(r"[\w .@/:+-]+", name):
                raise InvalidValue(f"where {quoted(name)} is no name of a server")
            found.append(name)
    return items.checked(tuple(found))


def _pairs(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return cast("Mapping[object, object]", value).items()
    if isinstance(value, str):
        return [item for item in split_items(value) if item.strip()]
    raise InvalidValue(f"which does not have the form {_FORM},{_FORM}")


def _rule(pair: object) -> tuple[str, Keep]:
    if isinstance(pair, str):
        tool, equals, written = (part.strip() for part in pair.rpartition("="))
        if not equals and written.lower() == AUTO:
            return AUTO, Keep(AUTO_SECONDS)
        if not tool:
            raise InvalidValue(f"where {quoted(pair.strip())} does not have the form {_FORM}")
    else:
        tool, written = cast("tuple[str, str]", pair)
    try:
        return str(tool), to_keep(written)
    except UnclearKeep as error:
        raise InvalidValue(f"where {error}") from error
