"""Single calls, for questions that sums cannot answer: a price that is applied again, a bill, the dearest runs.

They are read one after the other, so that the memory of a reader does not grow with their number. A source that has
them is a `Detailed` one; `detailed` says so where it is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol, runtime_checkable

from otel_agentcost.core.usage import NO_TOKENS, Count, Tokens
from otel_agentcost.store import fingerprints
from otel_agentcost.store.offered_tools import Definitions
from otel_agentcost.store.prompt_marks import PromptMarks
from otel_agentcost.store.questions import Question, Source, Sums, UnclearQuestion
from otel_agentcost.store.rows import counts_of

Terms = tuple[tuple[str, str], ...]
"""Conditions of a price, as the price book takes them: pairs such as `("service_tier", "flex")`."""


class NoSingleCalls(UnclearQuestion):
    """A source has sums only."""


@lru_cache(maxsize=4096)
def terms_of(written: str) -> Terms:
    """Return terms that a store has as text, such as `processing=batch,service_tier=flex`."""
    pairs = (part.partition("=") for part in written.split(",") if part)
    return tuple((name, value) for name, _, value in pairs)


class Names(NamedTuple):
    """The values that calls are grouped by: the columns of `questions.DIMS`. A text that is not known is empty."""

    provider: str
    requested: str
    served: str
    operation: str
    price: str
    book: str
    terms: str
    source: str
    unpriced: str
    error: str
    agent: str
    user: str
    tenant: str
    team: str
    feature: str
    tool: str

    @property
    def model(self) -> str:
        """The model that served the call, else the requested one."""
        return self.served or self.requested

    @property
    def conditions(self) -> Terms:
        """The terms of the price, as the price book takes them."""
        return terms_of(self.terms)


class Part(NamedTuple):
    """Tokens of another model within a call, or of another attempt."""

    model: str | None
    counts: Mapping[str, Count]
    terms: Terms


class Recorded(NamedTuple):
    """One call as it was recorded."""

    number: int
    at: float
    """The time of the settlement, in seconds since the epoch."""
    names: Names
    calls: int
    """1 for a model call; 0 for a tool, and for what is settled after its call."""
    nusd: int | None
    """Billionths of a dollar; None if nothing of the cost is known."""
    tokens: Tokens | None
    """All of them, with those of other models within the call."""
    units: str | None
    """The counts as JSON, where the sums of tokens do not say it all."""
    stop: str
    conversation: str
    trace: str
    base: int | None
    """The number of an earlier call whose prompt this one begins like."""
    segments: bytes | None
    resolves: int = 0
    """1 if a call that was recorded as unpriced has its whole cost by this row."""
    characters: int | None = None
    """The characters of the prompt and the tools, as JSON; None if they are not known."""
    offered: Definitions = ()
    """The tools that the request offers: their names, and the characters of their definitions."""

    @property
    def counts(self) -> Mapping[str, Count]:
        """The disjoint counts by kind, without those of `extra`; empty if no tokens are known."""
        if self.tokens is None and self.units is None:
            return {}
        return counts_of(self.tokens or NO_TOKENS, self.units)

    @property
    def extra(self) -> tuple[Part, ...]:
        """The tokens of other models within the call, and of other attempts."""
        if self.units is None or '"extra"' not in self.units:
            return ()
        found = json.loads(self.units).get("extra", ())
        return tuple(
            Part(model, counts_of(NO_TOKENS, json.dumps({"units": counts})), tuple(terms.items()))
            for model, counts, terms in found
        )

    @property
    def marks(self) -> PromptMarks | None:
        """The marks of the prompt for the cache, and what changes in it; None if it has neither, or if that is not
        known.
        """
        if self.units is None or '"marks"' not in self.units:
            return None
        return PromptMarks(*json.loads(self.units)["marks"])

    @property
    def kept(self) -> int:
        """The leading segments of the prompt that are those of the base."""
        return int.from_bytes(self.segments[:2], "big") if self.segments else 0

    @property
    def own(self) -> tuple[bytes, ...]:
        """The fingerprints of the other segments."""
        return fingerprints.unpacked(b"\0\0" + self.segments[2:], ()) if self.segments else ()

    @property
    def chain(self) -> str:
        """The conversation, else the trace: calls whose prompts grow from one another."""
        return self.conversation or self.trace


class Dear(NamedTuple):
    """A run and what it cost."""

    run: str
    """The id of the run, else that of its trace."""
    agent: str
    """The agent of its dearest calls."""
    began: float
    """Seconds since the epoch."""
    ended: float
    sums: Sums


class Repeated(NamedTuple):
    """A request that was sent, or a tool that was called, again and again for one user or tenant."""

    names: Names
    """Those of its first call."""
    calls: int
    nusd: int
    """Known billionths of a dollar of all of them."""
    first: int
    """Those of the first one."""


@runtime_checkable
class Detailed(Source, Protocol):
    """A source that has single calls, too."""

    lacks: str
    """A sentence about what its calls do not have; empty if they have everything."""

    def hold(self) -> None:
        """Answer all further questions from what is there now, so that they agree while others write."""
        ...

    def kept_since(self) -> float:
        """Return the time since when all single calls are kept, in seconds since the epoch; 0 if none was deleted."""
        ...

    def each(self, question: Question) -> Iterator[Recorded]:
        """Yield the calls of a period in the order of time. The groupings do not matter.

        Raises:
            UnclearPeriod: Single calls of the period are deleted, and only sums of their hours are kept.
        """
        ...

    def dearest(self, question: Question, number: int) -> Sequence[Dear]:
        """Return the runs of a period that cost most."""
        ...

    def repeated(self, question: Question) -> Iterator[Repeated]:
        """Yield the requests of a period that were sent more than once for one tenant, else user, else process."""
        ...

    def repeated_tools(self, question: Question) -> Iterator[Repeated]:
        """Yield the tool calls that were made more than once in one run (outside of runs: on one UTC day), for one
        tenant, else user, else process.
        """
        ...

    def loops(self, question: Question) -> tuple[int, int]:
        """Return the number of loops that were found in a period, and the billionths of a dollar that they wasted."""
        ...


def detailed(source: Source, where: str) -> Detailed:
    """Return a source that has single calls.

    Args:
        source: Any source.
        where: Its name, for the sentence.

    Raises:
        NoSingleCalls: It has sums only.
    """
    if isinstance(source, Detailed):
        return source
    raise NoSingleCalls(
        f"{where} has no single calls: name a store such as sqlite:////path/to/file, or where the spans are."
    )
