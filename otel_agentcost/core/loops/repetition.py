"""How repetitions are counted, and when they are a loop.

A repetition counts for more or less, in units of `FULL`: fully where nothing happened since the last one, for less
where something did (the user spoke, a file was written, much else was learned) and hardly at all where the tool says
that it is not done yet. Values only; `watch` decides what is a repetition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Rule = Literal["repeat", "cycle", "near_repeat", "error_storm", "no_progress", "stall"]

Similarity = Callable[[str, str], float]
"""How alike two texts are: 0 (not at all) to 1 (the same)."""

FULL: Final = 60
SOFT: Final = 40
"""Of three repetitions that count so much, one more is needed."""
WEAK: Final = 30
"""Twice as many are needed."""
FAINT: Final = 15
"""Four times as many are needed."""
SLIGHT: Final = 4
"""Thirty times as many are needed."""
PATIENT: Final = 1
"""Waiting: sixty times as many are needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When repetitions are a loop. The defaults were chosen by measurement: see `tests/core/loops`."""

    repeats: int = 3
    """How often the same happens before it is a loop (`LOOP_MAX_REPEATS`); at least 2."""
    stall: int = 8
    """How many turns in a row may bring nothing new."""
    arguments: float = 0.5
    """How alike the words of arguments must be, where their results are the same and say something."""
    arguments_to_nothing: float = 0.7
    """The same where the results say nothing."""
    results: float = 0.9
    """How alike results in prose must be to tell the same."""
    answers: float = 0.85
    """How alike two answers of the model must be to say the same."""
    errors: float = 0.9
    """How alike two failures must be to be of one kind."""
    apart: int = 5
    """How many calls that bring something new may come between two of the same; after more, the later one is weak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A loop that a conversation is in."""

    rule: Rule
    tool: str | None
    """None where it is no tool that repeats."""
    repeats: int
    """How often it happened: the calls of one kind, the rounds of a cycle, the answers, or the turns that brought
    nothing."""
    since: int
    """The `at` with which the first of them was fed."""
    arguments: str = ""
    """Of the latest call; or the answer that repeats. Cut off."""
    result: str = ""
    """What the latest call brought. Cut off."""
    period: int = 1
    """How many different calls are one round."""
    first: bool = True
    """Whether this loop is found for the first time: it is found again at every further round."""


class Repetition:
    """Something that happens again and again: one kind of call, of failure, of answer."""

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
        """Of its result; a digest where that is long, None where it was not worked out."""
        self.arguments = ""
        self.wordings: tuple[str, ...] = ()
        """What the arguments were before, where it is another wording."""
        self.result = ""

    def again(self, weight: int) -> None:
        self.repeats += 1
        self.credit += weight

    def restart(self, at: int) -> None:
        """What happened last was something else, and is the first of its kind."""
        self.since = at
        self.repeats = 1
        self.credit = FULL
        self.near = self.reworded = False
        self.reported = False
        self.started = self.order

    def size(self) -> int:
        """Bytes that it takes, about."""
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
