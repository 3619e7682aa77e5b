"""The invariant: any grouping adds up to what the ledger, the spans and the metrics have, to the nano-dollar."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import otel_agentcost
from otel_agentcost.core import money, semconv
from otel_agentcost.store.questions import GROUPINGS, SINGLE, Sums
from otel_agentcost.telemetry.receiver import Settled
from tests.recordings.replay import replay
from tests.store.recorded import a_call, nano, rows, spend, url_of, writer_of
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.wire import genai_prices_usage

LINES = genai_prices_usage.recordings()


@pytest.mark.skipif(not LINES, reason="AGENTCOST_CORPORA names no folder with recordings")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_recordings_add_up_the_same_everywhere(telemetry: Telemetry, model_server: ModelServer, tmp_path: Path) -> None:
    """Through the real SDKs. The running sums of metrics are not rounded up for each call, as ledgers do."""
    path = tmp_path / "spend.db"
    with budgeted(telemetry, record=url_of(path), budgets="total:usd=1000,on_exceed=warn"):
        for line in LINES:
            refused = pytest.raises((openai.APIStatusError, anthropic.APIStatusError))
            with refused if line["status"] >= 400 else nullcontext():
                replay(line, model_server)
        (ledger,) = otel_agentcost.remaining()
    total = spend(path).total
    amounts = [money.from_number((span.attributes or {}).get(semconv.COST)) for span in telemetry.spans]
    assert total.nusd == nano(path) == sum(money.to_nano(usd) for usd in amounts if usd is not None)
    assert isinstance(ledger.spent, Decimal)
    assert money.to_nano(ledger.spent) == total.nusd
    points: Any = telemetry.points("agentcost.cost")
    in_metrics = sum((Decimal(repr(point.value)) for point in points), start=Decimal(0))
    assert 0 <= total.nusd - in_metrics * 10**9 < total.priced
    points = telemetry.points("agentcost.tokens")
    assert sum(point.value for point in points) == total.input + total.output
    assert total.calls == len(telemetry.spans) == len(rows(path))
    for by in (*GROUPINGS, *SINGLE):
        assert spend(path, by).total == total, by


NAMES = st.sampled_from(["", "a", "b", "ü", "x" * 600])
KINDS = st.sampled_from(["input_tokens", "cache_read_tokens", "output_tokens"])
AMOUNTS = st.none() | st.decimals(min_value=0, max_value=1000, places=12)


@st.composite
def settled_calls(draw: st.DrawFn) -> Settled:
    """Any call, priced or not, of anybody."""
    usd = draw(AMOUNTS)
    unpriced = draw(st.sampled_from([None, "because"])) if usd is not None else "nobody knows"
    who = {name: draw(NAMES) for name in (semconv.AGENT, semconv.USER, semconv.FEATURE)}
    counts = draw(
        st.dictionaries(st.sampled_from(["input_tokens", "cache_read_tokens", "output_tokens"]), st.integers(1, 10**9))
    )
    call = a_call(usd, who=who, counts=counts, unpriced=unpriced, trace=draw(st.integers(0, 3)))
    if draw(st.booleans()):
        return call
    return call._replace(names=("execute_tool", "", None, None), calls=0, tool=draw(NAMES.filter(bool)), tokens=None)


@settings(max_examples=25)
@given(calls=st.lists(settled_calls(), max_size=40), flushes=st.sets(st.integers(0, 40)))
def test_any_calls_add_up_the_same_in_every_grouping(calls: list[Settled], flushes: set[int]) -> None:
    """From the sums of hours and from single calls, however the rows came into transactions."""
    clock = [1_790_000_000.0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spend.db"
        writer = writer_of(path, clock=lambda: clock[0])
        for number, call in enumerate(calls):
            clock[0] += 1_234.5
            writer.settled(call)
            if number in flushes:
                writer.flush(last=True)
        writer.close()
        if not calls:
            assert not path.exists()
            return
        known = [money.to_nano(call.cost.usd) for call in calls if call.cost.usd is not None]
        total = spend(path).total
        assert (total.nusd, total.priced) == (sum(known), len(known))
        assert total.unpriced == sum(call.cost.unpriced is not None for call in calls)
        assert (total.calls, total.tools) == (
            sum(call.calls for call in calls),
            sum(call.tool is not None for call in calls),
        )
        for by in (*GROUPINGS, *SINGLE):
            found = spend(path, by)
            assert found.total == total, by
            assert spend(path, by, since=1_790_000_000.5) == found, by  # from single calls: no hour begins there
            assert all(line.usd is not None or line.sums.unpriced for line in found), by
        single, hours = spend(path, "trace", "agent"), spend(path, "agent")
        for line in hours:
            mine = [other.sums for other in single if other.keys[1] == line.keys[0]]
            assert _sum(mine) == line.sums


def _sum(found: list[Sums]) -> Sums:
    whole = Sums()
    for each in found:
        whole = whole.plus(each)
    return whole
