"""Questions about spend and their answers: the same for every source.

`Question(by=("agent", "model"), since=...)` asks for a `Spend` with one line for each agent and model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timezone, tzinfo
from typing import Final, Protocol

from otel_agentcost.core import hints
from otel_agentcost.core.spend import (
    COLUMNS,
    Line,
    Spend,
    Sums,
    by_dollars,
    cells,
    dollars,
    figures,
    open_reasons,
    printable,
    shown,
)
from otel_agentcost.errors import AgentCostError

__all__ = [
    "COLUMNS",
    "DIMS",
    "GROUPINGS",
    "SINGLE",
    "TIMES",
    "Line",
    "Question",
    "Source",
    "Spend",
    "Sums",
    "UnclearQuestion",
    "answer",
    "cells",
    "dollars",
    "figures",
    "groupings",
    "open_reasons",
    "printable",
    "shown",
]

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

SINGLE: Final = ("conversation", "run", "nested_run", "trace")
"""Groupings that only the rows of single calls have, which are kept for some weeks.

`run` is the outermost run of a call, so that a run has the cost of those within it, and the lines add up. `nested_run`
is the innermost one, where that is another.
"""


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


def answer(question: Question, lines: Sequence[Line], reasons: Mapping[str, int]) -> Spend:
    """Return the answer with its lines in order."""
    if question.by and question.by[0] in TIMES:
        ordered = tuple(sorted(lines, key=lambda line: (line.keys[0], -line.sums.nusd, line.keys)))
    else:
        ordered = by_dollars(lines)
    return Spend(question.by, ordered, reasons)


class Source(Protocol):
    """Something that answers questions about spend."""

    def spend(self, question: Question) -> Spend:
        """Return the answer. Raises `AgentCostError` where this source has none."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...
