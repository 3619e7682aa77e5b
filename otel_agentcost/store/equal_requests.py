"""Requests, and calls of tools, that were made more than once: the questions that need fingerprints.

A source that has them is a `Fingerprinted` one; `fingerprinted` says so where it is not. Spans have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from otel_agentcost.store.questions import Question
from otel_agentcost.store.single_calls import Detailed, Names, NoSingleCalls


class Request(NamedTuple):
    """A request, or a call of a tool, whose equal was made in the same period."""

    fingerprint: bytes
    names: Names
    began: float
    """Seconds since the epoch."""
    ended: float
    nusd: int | None
    """Billionths of a dollar; None if nothing of the cost is known."""
    stop: str
    process: int
    """The number of the process that made it."""


@runtime_checkable
class Fingerprinted(Detailed, Protocol):
    """A source that has fingerprints of requests, too."""

    def requests(self, question: Question) -> Iterator[Request]:
        """Yield each of the requests of a period that were made more than once, in the order of their beginnings.

        Raises:
            UnclearPeriod: Single calls of the period are deleted, and only sums of their hours are kept.
        """
        ...


def fingerprinted(source: Detailed, where: str) -> Fingerprinted:
    """Return a source that has fingerprints.

    Args:
        source: A source that has single calls.
        where: Its name, for the sentence.

    Raises:
        NoSingleCalls: It has none.
    """
    if isinstance(source, Fingerprinted):
        return source
    raise NoSingleCalls(f"{where} has no fingerprints of requests: name a store such as sqlite:////path/to/file.")
