"""PromQL, made from the table of signals: no metric and no label is spelled anywhere else.

All windows are of counters that may be sparse: a model, an agent or a user that was not there a moment ago. Prometheus'
own `increase` begins at a series' first sample, so that the dollars which brought the series into being are lost; and
it extrapolates, so that 3 loops are 3.02.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import WHERE, Signal, label

RANGE: Final = "$__range"
"""The stretch of time that the board shows."""
HOUR: Final = "1h"
_WORDS: Final = {
    semconv.REQUEST_MODEL: "model", semconv.PROVIDER: "provider", semconv.AGENT: "agent", semconv.USER: "user",
    semconv.TEAM: "team", semconv.FEATURE: "feature", semconv.TOOL: "tool", semconv.REASON: "reason",
    semconv.ERROR_TYPE: "error", WHERE[0]: "service",
}  # fmt: skip
"""What attributes are called where something has none."""

VARIABLES: Final = {
    "service": WHERE[0],
    "environment": WHERE[1],
    "provider": semconv.PROVIDER,
    "model": semconv.REQUEST_MODEL,
    "agent": semconv.AGENT,
    "team": semconv.TEAM,
    "user": semconv.USER,
}
"""The variables that all boards have, and which attribute each of them chooses."""


def filters(signal: Signal) -> list[str]:
    """The variables that choose among the series of `signal`: those whose label it has."""
    return [name for name, attribute in VARIABLES.items() if attribute in (*WHERE, *signal.attributes)]


def select(signal: Signal, *where: str, part: str = "") -> str:
    """The series of `signal` that the variables choose. `part` of a histogram is `sum`, `count` or `bucket`."""
    chosen = [f'{label(VARIABLES[name])}=~"${name}"' for name in filters(signal)]
    name = signal.prometheus + (f"_{part}" if part else "")
    return f"{name}{{{', '.join([*chosen, *where])}}}"


def grew(series: str, window: str, ago: str = "") -> str:
    """By how much counters grew in the `window` that ended `ago`, to be summed.

    The value at its end less that before it, and all of it where there was none before (within an hour: a gap between
    scrapes is no birth). So the first dollars of a series count, nothing is extrapolated, and windows beside each other
    add up. A counter that began again within the window is left to `increase`.
    `ago` is written before the window, as in 1w2h: its unit is the larger one.
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
    """How much was counted in a window, split by attributes."""
    return f"{_sum(by)} ({grew(select(signal, *where, part=part), window, ago)})"


def hourly(signal: Signal, *where: str, by: Sequence[str] = (), part: str = "") -> str:
    """How much was counted in the hour before each point of a graph: so many an hour."""
    return total(signal, HOUR, *where, by=by, part=part)


def quantile(share: float, signal: Signal, window: str, *where: str, ago: str = "") -> str:
    """The value below which a `share` of a histogram's values lie, to the width of its buckets."""
    return f"histogram_quantile({share}, {total(signal, window, *where, by=('le',), part='bucket', ago=ago)})"


def change(signal: Signal, *where: str, by: Sequence[str], ago: str) -> str:
    """What was counted in the range, less what was counted in the same stretch `ago`; what is new or gone included."""
    now, then = total(signal, RANGE, *where, by=by), total(signal, RANGE, *where, by=by, ago=ago)
    return f'{_sum(by)} ({now} or label_replace(-1 * {then}, "then", "1", "", ""))'


def largest(signal: Signal, *by: str) -> str:
    """The value of a gauge that several processes may report."""
    return f"max by ({', '.join(label(name) for name in by)}) ({select(signal)})"


def zero(query: str) -> str:
    """0 where nothing was ever counted: for what is good news when it is absent."""
    return f"{query} or vector(0)"


def share(part: str, whole: str) -> str:
    """A part of a whole; nothing where there is no whole."""
    return f"({part}) / ({whole} > 0)"


def named(query: str, *by: str) -> str:
    """`query` with a word where it has no label `by`, so that no bar and no row is without a name."""
    for name in by:
        word = f"(no {_WORDS[name]})" if name in _WORDS else "(none)"
        query = f'label_replace({query}, "{_label(name)}", "{word}", "{_label(name)}", "")'
    return query


def top(query: str, most: int = 10) -> str:
    """The largest ones."""
    return f"topk({most}, {query})"


def legend(*by: str) -> str:
    """What a series is called in a legend."""
    return " · ".join(f"{{{{{_label(name)}}}}}" for name in by)


def equals(name: str, value: str) -> str:
    """A condition on an attribute, for `where`."""
    return f'{label(name)}="{value}"'


def differs(name: str, value: str) -> str:
    """The opposite."""
    return f'{label(name)}!="{value}"'


def like(name: str, pattern: str) -> str:
    """A condition on an attribute, as a regular expression."""
    return f'{label(name)}=~"{pattern}"'


def _sum(by: Sequence[str]) -> str:
    return f"sum by ({', '.join(map(_label, by))})" if by else "sum"


def _label(name: str) -> str:
    """What Prometheus calls an attribute. `$...` is one that the reader of the board chooses: its value is a label."""
    return name if name[0] == "$" else label(name)
