"""Calls whose cost came later than their hour: in answers by time, they are no longer unpriced in the line of the call.

A row with such a cost has one unpriced call less than none. Without this, the line of the call would say `unpriced` for
good, and the line of the cost could hide another call without a price.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from otel_agentcost.core.spend import Line, is_awaited
from otel_agentcost.store.questions import TIMES

Reasons = Mapping[tuple[str, ...], Mapping[str, int]]
"""Unpriced calls by the keys of a line and their reason. Without a reason: below 0 for each cost that came later."""


def moved(by: Sequence[str], lines: Iterable[Line], reasons: Reasons) -> list[Line]:
    """Return lines by time in which calls whose cost came later are settled where they were made.

    The sums over all lines stay the same. A cost whose call is in no line here stays where it is.

    Args:
        by: The groupings.
        lines: The lines.
        reasons: Why their calls are unpriced.
    """
    times = [at for at, name in enumerate(by) if name in TIMES]
    others = [at for at in range(len(by)) if at not in times]
    if not times:
        return list(lines)
    groups: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for keys in sorted(reasons, key=lambda keys: [keys[at] for at in times]):
        groups.setdefault(tuple(keys[at] for at in others), []).append(keys)
    changes: dict[tuple[str, ...], int] = {}
    for group in groups.values():
        _settle(group, reasons, changes)
    return [
        line._replace(sums=line.sums._replace(unpriced=line.sums.unpriced + changes.get(line.keys, 0)))
        for line in lines
    ]


def _settle(group: Iterable[tuple[str, ...]], reasons: Reasons, changes: dict[tuple[str, ...], int]) -> None:
    """Let each cost settle the oldest call that waits for one."""
    waiting: deque[tuple[tuple[str, ...], int]] = deque()
    for keys in group:
        found = reasons[keys]
        awaited = sum(number for reason, number in found.items() if number > 0 and is_awaited(reason))
        if awaited:
            waiting.append((keys, awaited))
        later = -min(0, found.get("", 0))
        while later and waiting:
            first, number = waiting.popleft()
            settled = min(number, later)
            later -= settled
            changes[first] = changes.get(first, 0) - settled
            changes[keys] = changes.get(keys, 0) + settled
            if number > settled:
                waiting.appendleft((first, number - settled))
