"""Recorded calls for tests of insights: written by the store's own writer, priced by the price book, read back."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from otel_agentcost.core import semconv
from otel_agentcost.core.usage import Usage
from otel_agentcost.insight.recommendations import Finding
from otel_agentcost.insight.report import Period, Report, Wanted, report_of
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.pricebook import PriceBook, open_book
from otel_agentcost.settings import Settings
from otel_agentcost.store.sources.sqlite import SqliteSource
from otel_agentcost.store.writer import Writer
from otel_agentcost.telemetry.receiver import Settled
from tests.store.recorded import a_call, writer_of

BEGAN = 1_795_996_800.0
"""A midnight (UTC) for which the book has all prices: 2026-11-30."""

HAIKU = ("anthropic", "claude-haiku-4-5")


@lru_cache(maxsize=1)
def book() -> PriceBook:
    """The bundled price book."""
    return open_book()


class Recording:
    """A store that is being written, with a clock of its own."""

    def __init__(self, path: Path, *, began: float = BEGAN) -> None:
        self.path = path
        self.now = began
        self.writer: Writer = writer_of(path, clock=lambda: self.now, days=10_000)

    def call(
        self,
        counts: Mapping[Any, int],
        *,
        after: float = 10.0,
        model: tuple[str, str] = HAIKU,
        messages: Sequence[str] = ("system", "Hi"),
        trace: int = 7,
        agent: str = "bees",
        terms: tuple[tuple[str, str], ...] = (),
        **other: Any,
    ) -> Settled:
        """Record a call, priced by the book, some seconds after the last one."""
        self.now += after
        provider, name = model
        cost = book().price(
            Usage(counts=counts),
            provider=provider,
            base_url=None,
            models=(name,),
            at=self.now,
            terms=terms,
        )
        who = {semconv.AGENT: agent, semconv.USER: "u1", **other.pop("who", {})}
        stop = other.pop("stop", "stop")
        call = a_call(cost.usd, who=who, model=name, counts=counts, messages=messages, trace=trace)
        assert call.answer is not None
        answer = call.answer._replace(finish_reasons=(stop,), terms=terms)
        call = call._replace(
            names=(other.pop("operation", "chat"), provider, name, name), cost=cost, answer=answer, **other
        )
        self.writer.settled(call)
        return call

    def close(self) -> None:
        """Write everything."""
        self.writer.close()


@contextmanager
def opened(path: Path) -> Generator[SqliteSource]:
    """The store, open for reading."""
    source = SqliteSource(path)
    try:
        yield source
    finally:
        source.close()


def reported(path: Path, since: float | None = None, until: float = BEGAN + 86_400, **other: Any) -> Report:
    """The report of a store."""
    zone = Settings().time_zone
    wanted = Wanted(period=Period(since, until), now=other.pop("now", until), zone=zone, **other)
    with opened(path) as source:
        return report_of(source, wanted, Repricing(book()))


def found(path: Path, **other: Any) -> dict[str, list[Finding]]:
    """The findings of a store by the name of their recommendation."""
    by_name: dict[str, list[Finding]] = {}
    for finding in reported(path, **other).findings:
        by_name.setdefault(finding.name, []).append(finding)
    return by_name
