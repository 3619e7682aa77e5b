"""What a store keeps and deletes while time goes on, or a clock jumps; and names and reasons that stay apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from otel_agentcost.cli._figures import spend_table
from otel_agentcost.core import semconv
from otel_agentcost.store.writer import Writer
from tests.store.recorded import NO_SPAN, a_call, rows, spend, writer_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store that is not there yet."""
    return tmp_path / "spend.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    """A writer that is closed at the end."""
    with closing(writer_of(path)) as writer:
        yield writer


def test_old_calls_go_and_their_hours_stay(path: Path) -> None:
    """After the days of the setting; the sums of hours are kept for good."""
    now = [1_800_000_000.0]
    writer = writer_of(path, days=35, clock=lambda: now[0])
    for _ in range(2):
        writer.settled(a_call())
        writer.event("loop", "repeat", NO_SPAN, agent=None, usd=None)
        writer.flush(last=True)
        now[0] += 35 * 86_400
    now[0] += 86_400
    writer.settled(a_call(Decimal("0.002")))
    writer.event("loop", "other", NO_SPAN, agent=None, usd=None)
    writer.flush(last=True)
    assert len(rows(path)) == 3, "nobody has recorded a day between them: the clock may have jumped"
    for day in range(7):
        now[0] += 86_400
        writer.settled(a_call(Decimal("0.003")))
        writer.flush(last=True)
        assert len(rows(path)) == 4 + day if day < 5 else 7
    writer.close()
    assert [row["nusd"] for row in rows(path)] == [2_000_000, *[3_000_000] * 7]
    assert [row["what"] for row in rows(path, "SELECT * FROM event")] == ["other"]
    assert spend(path).usd == Decimal("0.025")


@pytest.mark.parametrize("days", [3, 40, 4000])
@pytest.mark.parametrize("anew", [True, False], ids=["another process", "the same process"])
def test_a_clock_that_jumps_deletes_nothing(path: Path, days: int, *, anew: bool) -> None:
    """Single calls of a month stay, however long the wrong clock goes on within a day, and after it is right again."""
    start = 1_800_000_000.0
    now = [start]
    writer = writer_of(path, days=35, clock=lambda: now[0])

    def called(at: float) -> None:
        now[0] = at
        writer.settled(a_call())
        writer.event("loop", "repeat", NO_SPAN, agent=None, usd=None)
        writer.flush(last=True)

    for day in range(35):
        called(start + day * 86_400)
    if anew:
        writer.close()
        writer = writer_of(path, days=35, clock=lambda: now[0])
    jumped = start + (34 + days) * 86_400
    for seconds in (0, 100, 20 * 3600):
        called(jumped + seconds)
    called(start + 35 * 86_400 - 60)
    writer.close()
    assert len(rows(path)) == len(rows(path, "SELECT * FROM event")) == 39


def test_a_clock_that_stays_wrong_for_days_deletes_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Six days far in the future, and it is said once; then the clock is right again, and what is old goes."""
    start = 1_900_000_000.0
    now = [start]
    writer = writer_of(path, days=35, clock=lambda: now[0])

    def called(day: float) -> None:
        now[0] = start + day * 86_400
        writer.settled(a_call())
        writer.flush(last=True)

    for day in range(35):
        called(day)
    for day in range(6):
        called(400 + day)
    assert len(rows(path)) == 41
    assert caplog.text.count("the clock may have jumped") == 1
    for day in range(36, 40):
        called(day)
    writer.close()
    in_order = [row["at"] for row in rows(path, "SELECT at FROM call ORDER BY at")]
    assert in_order[0] == int((start + 4 * 86_400) * 1000)
    assert len(in_order) == 41


def test_names_with_the_character_that_parts_them_stay_apart(writer: Writer, path: Path) -> None:
    """A user of one tenant must not be booked as another user of another one."""
    writer.settled(a_call(who={semconv.USER: "a\0b", semconv.TENANT: "c"}))
    writer.settled(a_call(who={semconv.USER: "a", semconv.TENANT: "b\0c"}))
    writer.close()
    assert [(row["user"], row["tenant"]) for row in rows(path)] == [("a\0b", "c"), ("a", "b\0c")]
    assert len(spend(path, "user", "tenant")) == 2


def test_a_cost_that_came_later_is_no_reason_any_more(path: Path) -> None:
    """In an hour of its own, too: the total has no unpriced call, and says nothing of one."""
    now = [1_800_000_000.0]
    writer = writer_of(path, clock=lambda: now[0])
    writer.settled(a_call(None, unpriced="the answer is billed later"))
    writer.settled(a_call(None, unpriced="no price for 'inert'"))
    now[0] += 3600
    writer.settled(a_call()._replace(calls=0, resolves=1))
    writer.close()
    found = spend(path, "hour")
    assert (found.total.unpriced, found.reasons) == (1, {"no price for 'inert'": 1})
    assert "unpriced: 1 call: no price for 'inert'" in spend_table(found)
    for by in ((), ("model",), ("trace",)):
        assert spend(path, *by).reasons == found.reasons


def test_the_hour_of_an_answer_that_was_billed_later_is_not_unpriced(path: Path) -> None:
    """Nor does the hour of its cost hide another call without a price; and an unknown call stays unknown."""
    now = [1_800_000_000.0]
    writer = writer_of(path, clock=lambda: now[0])
    writer.settled(a_call(None, unpriced="no price for 'inert'"))
    now[0] += 3600
    for _ in range(2):
        writer.settled(a_call(None, unpriced="the answer is billed later"))
    now[0] += 3600
    writer.settled(a_call()._replace(calls=0, resolves=1))
    writer.settled(a_call(None, unpriced="no price for 'inert'"))
    writer.close()
    for by in (("hour",), ("hour", "model"), ("hour", "trace")):
        found = spend(path, *by)
        assert [(line.sums.unpriced, line.sums.calls) for line in found] == [(1, 1), (1, 2), (1, 1)]
        assert found.total == spend(path).total
    later = spend(path, "hour", since=now[0] - now[0] % 3600)
    assert [line.sums.unpriced for line in later] == [0], "its call is in no line here"
