"""The cause of a shortfall: which part of the prompt has changed since the provider cached it. Pure.

The thresholds are those that pydantic-ai and Claude Code use, too: a break has cost more than 5 % of the cached prefix,
and at least 2,000 tokens. Smaller shortfalls come and go with every provider.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from otel_agentcost.core.prompt_caches import Reason
from otel_agentcost.savings.prompt_cache.segments import Role

LEAST: Final = 2_000
"""Tokens."""
_SHARE: Final = 20
"""A break has lost more than one part in so many."""


class Cause(NamedTuple):
    """The first part of a prompt that differs from the one that was cached."""

    reason: Reason
    segment: str = ""
    """Its place, such as `tools[3]` or `messages[7]`; the name of a parameter; empty if no part differs."""


def is_short(established: int, read: int) -> bool:
    """Return True if so much less was read than was cached that it is a break."""
    lost = established - read
    return lost >= LEAST and lost * _SHARE > established


def is_other_role(before: Role, after: Role) -> bool:
    """Return True if a request is one of another agent, which has the same messages: a title, a summary, a judge."""
    if before.model != after.model:
        return before.tools != after.tools or before.system != after.system
    return before.system != after.system and before.tools != after.tools and not (before.tools and after.tools)


def role_cause(before: Role, after: Role) -> Cause | None:
    """Return the first difference before the messages; None if there is none."""
    if before.model != after.model:
        return Cause("model", "model")
    if before.tools != after.tools:
        return Cause("tools", f"tools[{_first(before.tools, after.tools)}]")
    if before.system != after.system:
        place = f"[{_first(before.system, after.system)}]" if before.listed and after.listed else ""
        return Cause("system", f"system{place}")
    if before.marked and not after.marked:
        return Cause("parameter", "cache_control")
    if before.parameters != after.parameters:
        old, new = dict(before.parameters), dict(after.parameters)
        names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        return Cause("parameter", names[0])
    return None


def message_cause(at: int, *, instruction: bool) -> Cause:
    """Return the cause if message `at` differs. A system prompt may be the first of the messages."""
    return Cause("system" if instruction else "messages", f"messages[{at}]")


def _first(before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """Return the position of the first element that differs: that of the first one that is new or gone, at the end."""
    most = min(len(before), len(after))
    return next((at for at in range(most) if before[at] != after[at]), most)
