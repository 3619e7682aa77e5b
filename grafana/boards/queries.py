"""Builds PromQL from the table of signals; no other module spells a metric or a label.

Counters may be sparse, and series of new models, agents and users appear at any time. Prometheus' own `increase` starts
at the first sample of a series, so it misses the first value of a new series; and it extrapolates, so 3 loops
become 3.02. `growth` avoids both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import WHERE, Signal, label

RANGE: Final = "$__range"
"""The time range of the board."""
HOUR: Final = "1h"
_WORDS: Final = {
    semconv.REQUEST_MODEL: "model", semconv.PROVIDER: "provider", semconv.AGENT: "agent", semconv.USER: "user",
    semconv.TEAM: "team", semconv.FEATURE: "feature", semconv.TOOL: "tool", semconv.REASON: "reason",
    semconv.ERROR_TYPE: "error", WHERE[0]: "service",
}  # fmt: skip
"""Words for "(no ...)", the label of series without the attribute."""

VARIABLES: Final = {
    "service": WHERE[0],
    "environment": WHERE[1],
    "provider": semconv.PROVIDER,
    "model": semconv.REQUEST_MODEL,
    "agent": semconv.AGENT,
    "team": semconv.TEAM,
    "user": semconv.USER,
}
"""The variables of all boards, each with the attribute that it filters by."""


def filters(signal: Signal) -> list[str]:
    """Return the variables that filter the series of `signal`: those whose attribute it has."""
    return [name for name, attribute in VARIABLES.items() if attribute in (*WHERE, *signal.attributes)]


def select(signal: Signal, *where: str, part: str = "") -> str:
    """Return the selector of a signal with all filters. `part` of a histogram is `sum`, `count` or `bucket`."""
    applied = [f'{label(VARIABLES[name])}=~"${name}"' for name in filters(signal)]
    name = signal.prometheus + (f"_{part}" if part else "")
    return f"{name}{{{', '.join([*applied, *where])}}}"


def growth(series: str, window: str, ago: str = "") -> str:
    """Return the growth of counters in the `window` that ended `ago`, for use in a sum.

    The growth is the value at the end of the window minus the value before it. A series without a sample in the hour
    before the window is new and counts in full; an hour, because a gap between scrapes does not make a series new. So
    first values count, nothing is extrapolated, and adjacent windows add up. Counters that restart within the window
    use `increase`. `ago` must have a larger unit than `window`, because they are joined to one offset such as 1w2h.
    """
    then = f" offset {ago}" if ago else ""
    over = f"{series}[{window}]{then}"
    end, before = f"last_over_time({over})", f"last_over_time({series}[1h] offset {ago}{window})"
    return f"(({end} - {before} >= 0 or {end}) unless resets({over}) > 0) or increase({over})"


def total(
    signal: Signal,
    window: str = RANGE,
    *where: str,
    by: Sequence[str] = (),
    part: str = "",
    ago: str = "",
) -> str:
    """Return the sum of a signal over a window, split by attributes."""
    return f"{_sum(by)} ({growth(select(signal, *where, part=part), window, ago)})"


def hourly(signal: Signal, *where: str, by: Sequence[str] = (), part: str = "") -> str:
    """Return the sum of a signal over the hour before each point of a graph."""
    return total(signal, HOUR, *where, by=by, part=part)


def quantile(share: float, signal: Signal, window: str, *where: str, ago: str = "") -> str:
    """Return a quantile of a histogram; it is as exact as the histogram's buckets."""
    return f"histogram_quantile({share}, {total(signal, window, *where, by=('le',), part='bucket', ago=ago)})"


def change(signal: Signal, *where: str, by: Sequence[str], ago: str) -> str:
    """Return the sum over the range minus that of the same range `ago`; new and vanished series are included."""
    now, then = total(signal, RANGE, *where, by=by), total(signal, RANGE, *where, by=by, ago=ago)
    return f'{_sum(by)} ({now} or label_replace(-1 * {then}, "then", "1", "", ""))'


def maximum(signal: Signal, *by: str) -> str:
    """Return a gauge that several processes may report: the largest value counts."""
    return f"max by ({', '.join(label(name) for name in by)}) ({select(signal)})"


def or_zero(query: str) -> str:
    """Return `query`, or 0 if it has no series."""
    return f"{query} or vector(0)"


def share(part: str, whole: str) -> str:
    """Return a ratio; no series if the whole is 0."""
    return f"({part}) / ({whole} > 0)"


def with_default(query: str, *by: str) -> str:
    """Return `query` with "(no model)" and the like as the value of missing labels, so that every row has a name."""
    for name in by:
        word = f"(no {_WORDS[name]})" if name in _WORDS else "(none)"
        query = f'label_replace({query}, "{_label(name)}", "{word}", "{_label(name)}", "")'
    return query


def top(query: str, most: int = 10) -> str:
    """Return the `most` largest series."""
    return f"topk({most}, {query})"


def legend(*by: str) -> str:
    """Return the legend of series: the values of these attributes."""
    return " · ".join(f"{{{{{_label(name)}}}}}" for name in by)


def equals(name: str, value: str) -> str:
    """Return a condition for `where`: the attribute has this value."""
    return f'{label(name)}="{value}"'


def not_equals(name: str, value: str) -> str:
    """Return a condition for `where`: the attribute has another value."""
    return f'{label(name)}!="{value}"'


def matches(name: str, pattern: str) -> str:
    """Return a condition for `where`: the attribute matches a regular expression."""
    return f'{label(name)}=~"{pattern}"'


def _sum(by: Sequence[str]) -> str:
    return f"sum by ({', '.join(map(_label, by))})" if by else "sum"


def _label(name: str) -> str:
    """Return the Prometheus label of an attribute. A variable such as `$by` holds a label already."""
    return name if name[0] == "$" else label(name)
