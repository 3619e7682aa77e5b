"""Single calls of a store: each as it was recorded, in their order, and a sentence where they are no longer kept."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from otel_agentcost.core.call import Answer, Charge
from otel_agentcost.core.usage import Usage
from otel_agentcost.store.periods import UnclearPeriod
from otel_agentcost.store.questions import Question, Source, Spend, UnclearQuestion
from otel_agentcost.store.schema import StoreError
from otel_agentcost.store.single_calls import NoSingleCalls, Part, Recorded, detailed, terms_of
from otel_agentcost.store.sources import open_detailed
from tests.store.recorded import a_call, spend, url_of, writer_of

BEGAN = 1_790_000_000.0


def store(path: Path, hours: int) -> str:
    """A store with a call each hour."""
    clock = [BEGAN]
    writer = writer_of(path, clock=lambda: clock[0])
    for number in range(hours):
        clock[0] = BEGAN + number * 3600
        writer.settled(a_call(Decimal("0.25"), counts={"input_tokens": number + 1}))
    writer.close()
    return url_of(path)


def recorded_calls(url: str, since: float | None, until: float | None) -> list[Recorded]:
    """The calls of a period."""
    with open_detailed(url) as source:
        return list(source.each(Question(since=since, until=until)))


class Totals:
    """A source with sums only."""

    def spend(self, question: Question) -> Spend:
        return Spend(question.by, ())

    def close(self) -> None:
        return


def test_calls_of_a_period_come_in_their_order(tmp_path: Path) -> None:
    """The beginning is in it, the end is not."""
    url = store(tmp_path / "spend.db", 5)
    assert [call.counts["input_tokens"] for call in recorded_calls(url, None, None)] == [1, 2, 3, 4, 5]
    some = recorded_calls(url, BEGAN + 3600, BEGAN + 3 * 3600)
    assert [(call.at, call.nusd) for call in some] == [(BEGAN + 3600, 250_000_000), (BEGAN + 7200, 250_000_000)]


def test_rare_units_and_other_models_within_a_call_are_kept(tmp_path: Path) -> None:
    """As they were counted; a call without usage has no counts."""
    path = tmp_path / "spend.db"
    writer = writer_of(path)
    usage = Usage(counts={"input_tokens": 7, "cache_write_1h_tokens": 5, "audio_seconds": Decimal("1.5")})
    extra = Charge(model="other", usage=Usage(counts={"output_tokens": 3}), terms=(("service_tier", "flex"),))
    writer.settled(a_call()._replace(answer=Answer(usage=usage, extra=(extra,)), tokens=usage.tokens()))
    writer.settled(a_call(None, unpriced="the response has no usage")._replace(answer=None, tokens=None))
    writer.close()
    first, second = recorded_calls(url_of(path), None, None)
    assert dict(first.counts) == dict(usage.counts)
    assert first.extra == (Part("other", {"output_tokens": 3}, (("service_tier", "flex"),)),)
    assert (second.counts, second.nusd, second.names.unpriced) == ({}, None, "the response has no usage")


def test_calls_that_are_no_longer_kept_are_said(tmp_path: Path) -> None:
    """Sums of hours are no calls; a later period is answered."""
    path = tmp_path / "spend.db"
    url = store(path, 10)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM call WHERE at < ?", ((BEGAN + 5 * 3600) * 1000,))
    connection.close()
    with pytest.raises(UnclearPeriod, match=r"^Single calls are kept since .* UTC, .* OTEL_AGENTCOST_RECORD_DAYS"):
        recorded_calls(url, None, None)
    assert len(recorded_calls(url, BEGAN + 5 * 3600, None)) == 5
    with pytest.raises(UnclearPeriod, match=r"begin later, at a full hour, or leave out .*, run, nested_run, trace"):
        spend(path, "trace")
    assert spend(path, "trace", since=BEGAN + 5 * 3600).total.calls == 5


def test_an_hour_of_which_a_part_is_kept_is_said(tmp_path: Path) -> None:
    """Its first calls are deleted with the hours before."""
    path = tmp_path / "spend.db"
    url = store(path, 10)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM call WHERE at < ?", ((BEGAN + 5 * 3600) * 1000,))
    connection.close()
    with pytest.raises(UnclearPeriod):
        recorded_calls(url, BEGAN + 5 * 3600 - 1, None)


def test_a_period_is_answered_before_which_nothing_is_kept(tmp_path: Path) -> None:
    """A period without any call, or before the first one of a store that has all of them."""
    path = tmp_path / "spend.db"
    url = store(path, 10)
    assert len(recorded_calls(url, BEGAN - 86_400 * 9, None)) == 10
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM call WHERE at < ?", ((BEGAN + 5 * 3600) * 1000,))
    connection.close()
    assert recorded_calls(url, BEGAN - 86_400 * 9, BEGAN - 86_400) == []


def test_a_store_without_any_single_call_says_so(tmp_path: Path) -> None:
    """All are deleted; a later period has none."""
    path = tmp_path / "spend.db"
    url = store(path, 3)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM call")
    connection.close()
    with pytest.raises(UnclearPeriod, match="No single call of this time is kept"):
        recorded_calls(url, None, None)
    with open_detailed(url) as source:
        assert list(source.each(Question(since=source.kept_since()))) == []


def test_sources_without_single_calls_are_refused() -> None:
    """In one sentence."""
    source: Source = Totals()
    with pytest.raises(NoSingleCalls, match=r"^'prometheus://host' has no single calls: name a store"):
        detailed(source, "'prometheus://host'")


def test_other_sources_and_files_are_refused(tmp_path: Path) -> None:
    """In one sentence."""
    with pytest.raises(UnclearQuestion, match="is no source of spend"):
        recorded_calls("nowhere://host", None, None)
    with pytest.raises(StoreError, match="There is no store"):
        recorded_calls(url_of(tmp_path / "nothing.db"), None, None)


def test_terms_are_read_as_they_were_written() -> None:
    """Pairs, joined by commas."""
    assert terms_of("processing=batch,service_tier=flex") == (("processing", "batch"), ("service_tier", "flex"))
    assert terms_of("") == ()
