"""Sums by the groupings of a question, from rows of any source, in memory: one entry for each line of the answer."""

from __future__ import annotations

from collections.abc import Mapping

from otel_agentcost.store.billed_later import moved
from otel_agentcost.store.periods import label
from otel_agentcost.store.questions import TIMES, Line, Question, Spend, Sums, answer, open_reasons


class Summing:
    """The lines of one answer, while rows come."""

    def __init__(self, question: Question) -> None:
        """Begin an answer without lines."""
        self._question = question
        self._lines: dict[tuple[str, ...], Sums] = {}
        self._reasons: dict[str, int] = {}
        self._unpriced: dict[tuple[str, ...], dict[str, int]] = {}

    def add(self, at: float, keys: Mapping[str, str], sums: Sums, reason: str = "") -> None:
        """Add a row.

        Args:
            at: Its time, in seconds since the epoch. It is within the period.
            keys: The values of the groupings of the question, without those of time.
            sums: Its figures.
            reason: Why it is unpriced.
        """
        question = self._question
        key = tuple(label(name, question.zone, at) if name in TIMES else keys[name] for name in question.by)
        before = self._lines.get(key)
        self._lines[key] = sums if before is None else before.plus(sums)
        if sums.unpriced:
            self._reasons[reason] = self._reasons.get(reason, 0) + sums.unpriced
            of_line = self._unpriced.setdefault(key, {})
            of_line[reason] = of_line.get(reason, 0) + sums.unpriced

    def spend(self) -> Spend:
        """Return the answer."""
        lines = [Line(key, sums) for key, sums in self._lines.items() if any(sums)]
        if self._reasons.get("", 0) < 0:
            lines = moved(self._question.by, lines, self._unpriced)
        counted = any(line.sums.unpriced for line in lines)
        return answer(self._question, lines, open_reasons(self._reasons) if counted else {})
