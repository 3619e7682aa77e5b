"""The contract of a cache of tool results: what it is asked, and what it answers.

`calls.tool_results` asks, and `savings.tools` implements it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from otel_agentcost.core.tool_cache import Keep


class Origin(NamedTuple):
    """Everything besides the arguments that the result of a tool depends on."""

    objects: tuple[object, ...]
    """The tool's function or object, and what the framework passes to it behind the model's back."""
    server: str | None = None
    """The name of its MCP server."""
    version: str = ""
    """The version of its MCP server."""
    reads_only: bool = False
    """True if the server says that the tool changes nothing."""
    destroys: bool = False
    """True if the server says that the tool may destroy something."""
    arguments: object = None
    """What is compared instead of the arguments by name, which may lack some."""


class Wanted(NamedTuple):
    """A call whose result may be known."""

    tool: str
    arguments: Mapping[str, Any]
    keep: Keep
    tenant: str | None
    user: str | None
    run: str | None
    """The id of the run that the call is made in."""
    origin: Origin


class Kept(NamedTuple):
    """A result that was kept."""

    result: Any
    """A copy of its own for each call."""
    age: float
    """Seconds since the tool returned it."""
    nanoseconds: int
    """The time that the tool took."""


class Place(Protocol):
    """The place of one call's result."""

    blocking: bool
    """True if it may wait for a file or a server."""

    def find(self) -> Kept | None:
        """Return the result, if it is known and young enough."""
        ...

    def keep(self, result: Any, nanoseconds: int) -> None:
        """Keep a result, if it can be copied and is small enough."""
        ...


class ToolResults(Protocol):
    """Keeps results of tools."""

    def close(self) -> None:
        """Close the store. A later call opens it again. Never raises."""
        ...

    def place(self, wanted: Wanted) -> Place | None:
        """Return where the result of a call is kept; None if its arguments or its origin cannot be compared."""
        ...
