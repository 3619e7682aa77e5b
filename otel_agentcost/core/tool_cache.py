"""The rules by which results of tools are kept: how long, and in which scope. No clock, no I/O.

    web_search=15m, read_*=1h, my_orders=5m/user, read_logs=off, auto=10m

`auto` stands for the tools of MCP servers that are trusted to say of themselves that they only read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from otel_agentcost.core import hints
from otel_agentcost.core.by_tool import ByTool

KeepScope = Literal["tenant", "user", "run", "process"]

AUTO: Final = "auto"
OFF: Final = "off"
AUTO_SECONDS: Final = 300
"""How long `auto` keeps a result if it does not say so."""

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST: Final = 7 * 86400
_TIME: Final = re.compile(r"([0-9]{1,6})\s*([smhd])")
_SCOPES: Final[tuple[KeepScope, ...]] = get_args(KeepScope)


class UnclearKeep(ValueError):
    """A rule cannot be understood. The text says what to write."""


@dataclass(frozen=True, slots=True)
class Keep:
    """The rule of one tool: how long its results are kept, and who shares them."""

    seconds: int
    """0: they are not kept."""
    scope: KeepScope = "tenant"
    """`tenant`: calls for the same tenant, without one for the same user; `user`: calls for the same user; `run`: calls
    of the same run; `process`: calls of this process for the same tenant and user. Without what it names, `process`."""

    def __str__(self) -> str:
        if not self.seconds:
            return OFF
        unit = next(unit for unit in ("d", "h", "m", "s") if self.seconds % _SECONDS[unit] == 0)
        return f"{self.seconds // _SECONDS[unit]}{unit}" + (f"/{self.scope}" if self.scope != "tenant" else "")


class ToolCacheRules(ByTool[Keep]):
    """Rules by the name of a tool."""

    __slots__ = ("auto", "off")

    def __init__(self, rules: Mapping[str, Keep] | None = None, auto: Keep | None = None, *, off: bool = False) -> None:
        """Create the rules.

        Args:
            rules: The rules by name; in a name, `*` matches any text.
            auto: The rule for tools that say of themselves that they only read; None for no such rule.
            off: True if nothing is kept, not even what the code asks for.
        """
        super().__init__(rules)
        self.auto = auto
        self.off = off

    def __bool__(self) -> bool:
        return bool(len(self)) or self.auto is not None or self.off

    def __str__(self) -> str:
        if self.off:
            return OFF
        named = [f"{tool}={keep}" for tool, keep in self.items()]
        return ", ".join([*named, *([f"{AUTO}={self.auto}"] if self.auto is not None else [])])


def to_keep(written: object, scope: object = None) -> Keep:
    """Parse how long results are kept.

    Args:
        written: `"15m"`, `"15m/user"`, `"off"`, or seconds as a number.
        scope: The scope, where it is not written.

    Raises:
        UnclearKeep: It is no time from one second to seven days, or no scope.
    """
    if isinstance(written, Keep):
        return written
    text = str(written).strip().lower()
    if text == OFF:
        return Keep(0)
    time, slash, whose = (part.strip() for part in text.partition("/"))
    whose = whose if slash else str("tenant" if scope is None else scope).strip().lower()
    if whose not in _SCOPES:
        raise UnclearKeep(f"{whose!r:.60} is none of {', '.join(_SCOPES)}{hints.near(whose, _SCOPES)}")
    if isinstance(written, int) and not isinstance(written, bool):
        time = f"{written}s"
    found = _TIME.fullmatch(time)
    seconds = int(found[1]) * _SECONDS[found[2]] if found is not None else 0
    if not 0 < seconds <= _LONGEST:
        raise UnclearKeep(f"{written!r:.60} is not a time from 1s to 7d: write 30s, 15m, 1h, 15m/user or off")
    return Keep(seconds, whose)
