"""The usage of sessions, such as those of Anthropic's managed agents: a running total of all their turns."""

from __future__ import annotations

from typing import Final

from otel_agentcost.core.call import Answer
from otel_agentcost.core.usage import Count, Kind, Usage

UNKNOWN_START: Final = "what the session had used before is not known: it was not created or read before its first turn"


def used_since(answer: Answer, before: Usage) -> Answer:
    """Return the answer of a session with what it has used since `before`, its total at that time."""
    if answer.usage is None:
        return answer
    fresh: dict[Kind, Count] = {}
    for kind, count in answer.usage.counts.items():
        if (more := count - before.counts.get(kind, 0)) > 0:
            fresh[kind] = more
    return answer._replace(usage=Usage(counts=fresh))


def is_overtaken(total: Usage, known: Usage) -> bool:
    """Return True if a session has used more than `total` already: its answer was overtaken by a later one."""
    return any(total.counts.get(kind, 0) < count for kind, count in known.counts.items())
