"""Values of what was spent: sums over calls, the lines of an answer, and how they are written for people.

The spend store, the sources and the commands share them, and so does a run in a notebook.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from html import escape
from operator import add
from typing import Final, NamedTuple

from otel_agentcost.core import money


class Sums(NamedTuple):
    """Sums over calls."""

    calls: int = 0
    """Model calls."""
    tools: int = 0
    """Tool calls."""
    priced: int = 0
    """Rows with dollars."""
    unpriced: int = 0
    """Calls whose cost is unknown in whole or in part: the dollars are a lower bound then."""
    nusd: int = 0
    """Known billionths of a dollar."""
    input: int = 0
    """Input tokens, with cached ones."""
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    """Output tokens, with reasoning."""
    reasoning: int = 0
    saved: int = 0
    """Billionths of a dollar that the providers' caches saved. They are no part of `nusd`."""

    def plus(self, other: Sums) -> Sums:
        """Return both together."""
        return Sums._make(map(add, self, other))

    @property
    def usd(self) -> Decimal | None:
        """US dollars, a lower bound if calls are unpriced; None if nothing is known of them."""
        return None if self.unpriced > 0 and not self.nusd else money.from_nano(self.nusd)


class Table(NamedTuple):
    """One table."""

    title: str
    heads: Sequence[str]
    """Empty for a list of sentences: each row is one."""
    rows: Sequence[Sequence[str]]
    words: int
    """The number of leading columns that are words. The others are numbers."""


class Line(NamedTuple):
    """One line of an answer."""

    keys: tuple[str, ...]
    """The values of the groupings, in their order. Empty for calls without one."""
    sums: Sums

    @property
    def usd(self) -> Decimal | None:
        """US dollars, a lower bound if calls are unpriced; None if nothing is known of them."""
        return self.sums.usd


@dataclass(frozen=True, slots=True)
class Spend:
    """The answer to a question: lines, the dearest first, or in the order of time where that is the first grouping."""

    by: tuple[str, ...]
    lines: tuple[Line, ...]
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])
    """Why calls are unpriced, and how many are so."""

    def __iter__(self) -> Iterator[Line]:
        """Yield the lines."""
        return iter(self.lines)

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self.lines)

    @property
    def total(self) -> Sums:
        """All lines together."""
        whole = Sums()
        for line in self.lines:
            whole = whole.plus(line.sums)
        return whole

    @property
    def usd(self) -> Decimal | None:
        """US dollars of all lines, a lower bound if calls are unpriced; None if nothing is known of them."""
        return self.total.usd

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        return table_html(table_of(self))


def by_dollars(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return lines in their order: the dearest first."""
    return tuple(sorted(lines, key=lambda line: (-line.sums.nusd, line.keys)))


_WAITING: Final = ("billed later", "billed as it runs")
"""Words of reasons for which a cost comes later."""


def is_awaited(reason: str) -> bool:
    """Return True if a call is unpriced only until its cost comes."""
    return any(word in reason for word in _WAITING)


def open_reasons(unpriced: Mapping[str, int]) -> dict[str, int]:
    """Return why calls are unpriced, and how many: those that got their cost later are no longer among them.

    A row with a cost that came later does not say what it was waited for. That is what is said of most of such calls.

    Args:
        unpriced: Calls by reason. Rows without one count less than 0: the calls whose cost came later.
    """
    later = max(0, -unpriced.get("", 0))
    found: dict[str, int] = {}
    waiting = sorted(unpriced.items(), key=lambda each: (not is_awaited(each[0]), -each[1]))
    for reason, number in waiting:
        if reason and number > 0:
            resolved = min(later, number)
            later -= resolved
            found[reason] = number - resolved
    return {reason: found[reason] for reason in unpriced if found.get(reason)}


# --- Writing ----------------------------------------------------------------------------------------------------------

COLUMNS: Final = ("calls", "tools", "input", "cached", "output", "dollars")
"""The figures of a line, by the titles of their columns."""


def dollars(sums: Sums, *, exact: bool = False) -> str:
    """Write dollars: `$0.012`, `>=$0.012` if calls are missing from it, `unpriced` if nothing is known."""
    usd = sums.usd
    if usd is None:
        return "unpriced"
    if exact:
        whole, _, fraction = f"{usd:f}".partition(".")
        written = f"{whole}.{fraction.rstrip('0'):0<2}"
    else:
        written = f"{usd:.6f}"
    return f"{'>=' if sums.unpriced > 0 else ''}${written}"


def cells(line: Line) -> tuple[str, ...]:
    """Return a line of the table as text: its keys, then its figures."""
    return (*map(shown, line.keys), *figures(line.sums))


def shown(name: str) -> str:
    """Return a name for a table; a dash for none."""
    return printable(name) or "-"


def printable(text: str) -> str:
    """Return a text without characters that would do something where it is shown."""
    return text if text.isprintable() else repr(text)[1:-1]


def figures(sums: Sums) -> tuple[str, ...]:
    """Return the figures of `COLUMNS` as text."""
    return (
        f"{sums.calls:,}",
        f"{sums.tools:,}",
        f"{sums.input:,}",
        f"{sums.cache_read:,}",
        f"{sums.output:,}",
        dollars(sums),
    )


def table_of(spend: Spend, title: str = "") -> Table:
    """Return the lines of an answer and their total."""
    rows = [cells(line) for line in spend]
    words = len(spend.by)
    if words:
        rows.append(("total", *[""] * (words - 1), *figures(spend.total)))
    return Table(title, (*spend.by, *COLUMNS), rows, words)


def table_html(table: Table) -> str:
    """Return a table in HTML."""
    caption = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    heads = "".join(f"<th>{escape(name)}</th>" for name in table.heads)
    head = f"<thead><tr>{heads}</tr></thead>" if heads else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return f"<table>{caption}{head}<tbody>{body}</tbody></table>"
