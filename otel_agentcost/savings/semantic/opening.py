"""Opens the semantic cache in shadow that the settings describe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from operator import attrgetter
from typing import Any

from otel_agentcost.diagnostics import alarm
from otel_agentcost.savings.responses.keys import canonical
from otel_agentcost.savings.semantic.shadow import Shadow, path_beside


def open_shadow(
    stores: Iterable[str | None], embed: Any, judge: Any = None, clock: Callable[[], float] = time.time
) -> Shadow | None:
    """Return the shadow; None if something is missing, which is logged. No function is imported yet.

    Args:
        stores: URLs of stores. The counts are beside the first one that is a file.
        embed: The user's function, or its name.
        judge: The user's function, or its name; None without one.
        clock: Returns seconds since the epoch.
    """
    path = path_beside(*stores)
    if embed is None or path is None:
        missing = (
            "OTEL_AGENTCOST_CACHE_EMBED=module:function"
            if embed is None
            else "a store in a file: OTEL_AGENTCOST_CACHE_STORE or OTEL_AGENTCOST_RECORD, such as sqlite:////path/file"
        )
        alarm(f"otel-agentcost: semantic-shadow counts nothing. It needs {missing}.")
        return None
    importing = partial(function_of, judge) if judge is not None else None
    return Shadow(path, partial(function_of, embed), importing, canonical, clock)


def function_of(named: Any) -> Any:
    """Return a function by its name, `module:function`, or the function itself."""
    if not isinstance(named, str):
        return named
    module, _, name = named.partition(":")
    return attrgetter(name)(import_module(module))
