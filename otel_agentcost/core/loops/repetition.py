"""Count repetitions, and define when they are a loop.

A repetition has a weight in units of `FULL`: the full weight if nothing happened since the previous one, less if
something did (the user spoke, a file was written, other calls had new results), and hardly any if the tool reports that
it is not done yet. This module has values only; `detector` decides which calls are repetitions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Rule = Literal["repeat", "cycle", "near_repeat", "error_storm", "no_progress", "stall"]

Similarity = Callable[[str, str], float]
"""Compares two texts: 0 (nothing in common) to 1 (equal)."""

FULL: Final = 60
SOFT: Final = 40
"""Needs one repetition more than three with the full weight."""
WEAK: Final = 30
"""Needs twice as many repetitions."""
FAINT: Final = 15
"""Needs four times as many."""
SLIGHT: Final = 4
"""Thirty times as many are needed."""
PATIENT: Final = 1
"""A call that waits: needs sixty times as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The thresholds for loops. The defaults were chosen by measurement: see `tests/core/loops`."""

    repeats: int = 3
    """The number of equal events that is a loop (`LOOP_MAX_REPEATS`); at least 2."""
    stall: int = 8
    """The number of consecutive turns without a new result that is a loop."""
    arguments: float = 0.5
    """The similarity (0 to 1) of arguments whose results are equal and informative."""
    arguments_to_nothing: float = 0.7
    """The similarity of arguments whose results are equal and uninformative."""
    results: float = 0.9
    """The similarity of results in prose with the same content."""
    answers: float = 0.85
    """The similarity of answers of the model with the same content."""
    errors: float = 0.9
    """The similarity of failures of one kind."""
    apart: int = 5
    """The number of calls with new results between two equal calls, above which the later one has little weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A loop in a conversation."""

    rule: Rule
    tool: str | None
    """The tool that repeats; None if the model repeats itself."""
    repeats: int
    """The number of calls of one kind, rounds of a cycle, equal answers, or turns without a new result."""
    since: int
    """The position (`at`) at which the first of them was fed."""
    arguments: str = ""
    """The start of the arguments of the latest call, or of the repeated answer."""
    result: str = ""
    """The start of the result of the latest call."""
    period: int = 1
    """The number of different calls in one round."""
    first: bool = True
    """True if this loop was not reported before. It is reported again in every further round."""


class Repetition:
    """The count of one kind of call, failure or answer, with a snapshot of the progress at its latest occurrence."""

    __slots__ = (
        "arguments",
        "credit",
        "drafts",
        "key",
        "near",
        "novel",
        "order",
        "raw",
        "repeats",
        "reported",
        "result",
        "reworded",
        "since",
        "stable_text",
        "started",
        "things",
        "tool",
        "topics",
        "turn",
        "user",
        "wordings",
        "writes",
    )

    def __init__(self, tool: str | None, at: int) -> None:
        self.tool = tool
        self.since = at
        self.repeats = 1
        self.credit = FULL
        self.near = self.reworded = False
        self.reported = False
        self.turn = self.order = self.started = self.novel = self.writes = self.user = self.key = self.raw = (
            self.things
        ) = self.topics = self.drafts = 0
        self.stable_text: str | int | None = None
        """The stable text of its result, or a digest of it if it is long; None if it was not computed."""
        self.arguments = ""
        self.wordings: tuple[str, ...] = ()
        """Earlier wordings of the arguments."""
        self.result = ""

    def again(self, weight: int) -> None:
        self.repeats += 1
        self.credit += weight

    def restart(self, at: int) -> None:
        """Start counting anew: the latest occurrence differs from the earlier ones."""
        self.since = at
        self.repeats = 1
        self.credit = FULL
        self.near = self.reworded = False
        self.reported = False
        self.started = self.order

    def size(self) -> int:
        """Return its approximate size in bytes."""
        wordings = sum(text.__sizeof__() for text in self.wordings) if self.wordings else 0
        return 600 + self.arguments.__sizeof__() + self.result.__sizeof__() + wordings

    def finding(self, rule: Rule, period: int = 1) -> Finding:
        found = Finding(
            rule=rule,
            tool=self.tool,
            repeats=self.repeats,
            since=self.since,
            arguments=self.arguments,
            result=self.result,
            period=period,
            first=not self.reported,
        )
        self.reported = True
        return found
