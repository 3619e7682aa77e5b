"""Questions about spend and their answers: the same for every source.

`Question(by=("agent", "model"), since=...)` asks for a `Spend` with one line for each agent and model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timezone, tzinfo
from decimal import Decimal
from html import escape
from typing import Final, NamedTuple, Protocol

from otel_agentcost.core import hints, money
from otel_agentcost.errors import AgentCostError

TIMES: Final = ("hour", "day", "week", "month")
"""Groupings by time."""

DIMS: Final = (
    "provider",
    "requested",
    "served",
    "operation",
    "price",
    "book",
    "terms",
    "source",
    "unpriced",
    "error",
    "agent",
    "user",
    "tenant",
    "team",
    "feature",
    "tool",
)
"""What a store keeps of each call for good, in the order of its columns. A text that is not known is empty."""

GROUPINGS: Final = (*TIMES, *("model" if name == "served" else name for name in DIMS))
"""Groupings that are kept for good. A call without an answer has no model that served it: then the requested one is
meant.
"""

SINGLE: Final = ("conversation", "run", "trace")
"""Groupings that only the rows of single calls have, which are kept for some weeks."""


class UnclearQuestion(AgentCostError):
    """A question cannot be understood or answered. The text is one sentence that says what is allowed."""


def groupings(written: str | Sequence[str]) -> tuple[str, ...]:
    """Return the groupings in a text such as `agent,model`, or a sequence of them.

    Raises:
        UnclearQuestion: One of them is unknown.
    """
    names = written.split(",") if isinstance(written, str) else list(written)
    found = tuple(dict.fromkeys(name.strip().lower() for name in names if name.strip()))
    for name in found:
        if name not in GROUPINGS and name not in SINGLE:
            near = hints.near(name, (*GROUPINGS, *SINGLE))
            raise UnclearQuestion(
                f"{name!r:.60} is no grouping{near or '.'} There are {', '.join((*GROUPINGS, *SINGLE))}."
            )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question."""

    by: tuple[str, ...] = ()
    """The groupings; without one, the answer has one line."""
    since: float | None = None
    """Seconds since the epoch; None for all that is kept."""
    until: float | None = None
    zone: tzinfo = timezone.utc
    """The time zone of days, weeks and months."""
    session: str | None = None
    """Only the rows of these processes (`agentcost run`); None for all."""


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
        return Sums(*map(sum, zip(self, other, strict=True)))

    @property
    def usd(self) -> Decimal | None:
        """US dollars, a lower bound if calls are unpriced; None if nothing is known of them."""
        return None if self.unpriced > 0 and not self.nusd else money.from_nano(self.nusd)


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
        return html_table(self)


def answer(question: Question, lines: Sequence[Line], reasons: Mapping[str, int]) -> Spend:
    """Return the answer with its lines in order."""
    if question.by and question.by[0] in TIMES:
        ordered = sorted(lines, key=lambda line: (line.keys[0], -line.sums.nusd, line.keys))
    else:
        ordered = sorted(lines, key=lambda line: (-line.sums.nusd, line.keys))
    return Spend(question.by, tuple(ordered), reasons)


_WAITING: Final = ("billed later", "billed as it runs")
"""Words of reasons for which a cost comes later."""


def open_reasons(unpriced: Mapping[str, int]) -> dict[str, int]:
    """Return why calls are unpriced, and how many: those that got their cost later are no longer among them.

    A row with a cost that came later does not say what it was waited for. That is what is said of most of such calls.

    Args:
        unpriced: Calls by reason. Rows without one count less than 0: the calls whose cost came later.
    """
    later = max(0, -unpriced.get("", 0))
    found: dict[str, int] = {}
    waiting = sorted(unpriced.items(), key=lambda each: (not any(word in each[0] for word in _WAITING), -each[1]))
    for reason, number in waiting:
        if reason and number > 0:
            resolved = min(later, number)
            later -= resolved
            found[reason] = number - resolved
    return {reason: found[reason] for reason in unpriced if found.get(reason)}


class Source(Protocol):
    """Something that answers questions about spend."""

    def spend(self, question: Question) -> Spend:
        """Return the answer. Raises `AgentCostError` where this source has none."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


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


def html_table(spend: Spend, title: str = "") -> str:
    """Return a table in HTML, without styles that a notebook would not have."""
    heads = "".join(f"<th>{escape(name)}</th>" for name in (*spend.by, *COLUMNS))
    rows = [cells(line) for line in spend.lines]
    if spend.by:
        rows.append(("total", *[""] * (len(spend.by) - 1), *figures(spend.total)))
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    return f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
