"""What recorded calls would cost: equal to the price book to the last digit, a range, or refused."""

from __future__ import annotations

import importlib.util
import random
import re
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from otel_agentcost.core import money
from otel_agentcost.core.usage import Usage
from otel_agentcost.insight.repricing import usage_of
from otel_agentcost.insight.what_if import Answer, Change, what_if
from otel_agentcost.insight.what_if_tokenizers import same_tokenizer, tokenizer_of
from otel_agentcost.insight.what_if_tokens import LEAST, Swap
from otel_agentcost.pricebook import PriceBook, open_book
from otel_agentcost.store.questions import Question
from otel_agentcost.store.single_calls import Recorded
from otel_agentcost.store.sources import open_detailed
from tests.recordings.replay import replay
from tests.store.recorded import a_record, changed, spend, url_of
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.wire import genai_prices_usage

LINES = genai_prices_usage.recordings()
BOOK: PriceBook = open_book()
AT = 1_795_000_000.0


@pytest.mark.skipif(not LINES, reason="AGENTCOST_CORPORA names no folder with recordings")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_without_a_change_recordings_cost_what_was_recorded(
    telemetry: Telemetry, model_server: ModelServer, tmp_path: Path
) -> None:
    """To the billionth of a dollar, call by call, and the prices are worked out again, not copied."""
    path = tmp_path / "spend.db"
    with budgeted(telemetry, record=url_of(path)):
        for line in LINES:
            refused = pytest.raises((openai.APIStatusError, anthropic.APIStatusError))
            with refused if line["status"] >= 400 else nullcontext():
                replay(line, model_server)
    with open_detailed(url_of(path)) as source:
        calls = list(source.each(Question()))
    answer = what_if(lambda: calls, BOOK, Change())
    assert answer.low == answer.high == answer.recorded == spend(path).total.nusd
    for call in calls:
        alone = what_if(lambda call=call: [call], BOOK, Change())  # type: ignore[misc]
        assert (alone.low, alone.high) == (alone.recorded, alone.recorded)
    priced = sum(line.calls for line in answer.lines if line.recorded)
    again = ("exact", "at least")  # at least: a search of the call has no price
    exact = sum(line.calls for line in answer.lines if line.sure in again and line.recorded)
    assert exact > 100
    print(f"{exact} of {priced} priced calls are worked out again")
    others = {(line.model, line.why) for line in answer.lines if line.sure not in again and line.recorded}
    assert exact == priced, others
    assert answer.unknown == answer.unpriced == spend(path).total.unpriced


def a_row(model: str = "gpt-4o", *, provider: str = "openai", book: PriceBook = BOOK, **more: Any) -> Recorded:
    """A recorded call, with the dollars of the book."""
    counts = more.pop("counts", {"input_tokens": 1234, "output_tokens": 321})
    terms = more.pop("terms", {})
    usd = cost(model, usage_of(counts), provider=provider, book=book, terms=tuple(terms.items()))
    row = a_record(
        at=AT,
        provider=provider,
        requested=model,
        served=model,
        terms=terms,
        agent="bees",
        nusd=money.to_nano(usd),
        counts=counts,
    )
    return changed(row, **more)


def cost(
    model: str, usage: Usage, *, provider: str = "openai", at: float = AT, book: PriceBook = BOOK, **more: Any
) -> Decimal:
    """The dollars of a usage, by the book."""
    found = book.price(usage, provider=provider, base_url=more.pop("base_url", None), models=(model,), at=at, **more)
    assert found.usd is not None, found.unpriced
    return found.usd


def asked(calls: Iterable[Recorded], change: Change) -> Answer:
    """The answer."""
    given = list(calls)
    return what_if(lambda: given, BOOK, change)


def nano(usd: Decimal) -> int:
    """Billionths of a dollar."""
    return money.to_nano(usd)


def test_a_model_with_the_same_tokenizer_is_exact() -> None:
    """Call by call, as the book would have priced it; the tokens of an answer are another matter, which is said."""
    rows = [a_row("gpt-4o-2024-08-06", counts={"input_tokens": n, "output_tokens": n // 3 + 1}) for n in (7, 1001, 99)]
    answer = asked([*rows, a_row("gpt-4o-mini")], Change(swaps=[Swap("gpt-4o", "gpt-4.1-mini")]))
    expected = sum(nano(cost("gpt-4.1-mini", usage_of(row.counts))) for row in rows)
    other_model = next(line for line in answer.lines if line.becomes == "gpt-4.1-mini")
    assert (other_model.sure, other_model.low, other_model.high, other_model.calls) == ("exact", expected, expected, 3)
    other = next(line for line in answer.lines if line.model == "gpt-4o-mini")
    assert other.low == other.high == other.recorded
    assert "needs a test" in answer.notes[0]


def test_another_provider_sells_the_model() -> None:
    """At its own prices."""
    row = a_row("claude-sonnet-4-5", provider="anthropic")
    answer = asked([row], Change(swaps=[Swap("claude-sonnet-4-5", "claude-haiku-4-5", "anthropic")]))
    (line,) = answer.lines
    assert line.sure == "exact"
    assert line.low == nano(cost("claude-haiku-4-5", usage_of(row.counts), provider="anthropic"))


@pytest.mark.parametrize(
    ("change", "terms"),
    [
        (Change(terms={"processing": "batch"}), (("processing", "batch"),)),
        (Change(terms={"service_tier": "priority"}), (("service_tier", "priority"),)),
        (Change(at=1_795_700_000.0), ()),
    ],
)
def test_tiers_and_dates_are_exact(change: Change, terms: tuple[tuple[str, str], ...]) -> None:
    """The same tokens at the price of the book."""
    row = a_row()
    expected = nano(cost("gpt-4o", usage_of(row.counts), terms=terms, at=change.at or AT))
    (line,) = asked([row], change).lines
    assert (line.sure, line.low, line.high) == ("exact", expected, expected)


def test_another_price_list_is_exact(tmp_path: Path) -> None:
    """A new contract; and what had no price gets one."""
    file = tmp_path / "new.json"
    prices = {"gpt-4o": {"input_mtok": "1", "output_mtok": "2"}, "ours": {"input_mtok": "3", "output_mtok": "4"}}
    file.write_text(f'{{"models": {str(prices).replace(chr(39), chr(34))}}}', encoding="utf-8")
    unknown = changed(a_row(), requested="ours", served="ours", nusd=None, source="", unpriced="no price for 'ours'")
    answer = asked([a_row(), unknown], Change(book=open_book(file)))
    known, mended = answer.lines
    assert known.low == known.high == 1234 * 1000 + 321 * 2000
    assert (mended.unpriced, mended.recorded, mended.low) == (1, 0, 1234 * 3000 + 321 * 4000)


def test_a_region_keeps_the_factor_of_its_address() -> None:
    """A store has no addresses: the uplift is the one with which the recorded dollars come out."""
    usage = Usage(counts={"input_tokens": 1000, "output_tokens": 100})
    there = cost("gpt-5.6-luna", usage, base_url="https://eu.api.openai.com/v1")
    assert there == cost("gpt-5.6-luna", usage) * Decimal("1.1")
    row = a_row("gpt-5.6-luna", counts=dict(usage.counts), nusd=nano(there))
    assert asked([row], Change()).low == row.nusd
    url = "https://eu.api.openai.com/v1"
    assert asked([a_row("gpt-5.6-luna", counts=dict(usage.counts))], Change(base_url=url)).low == row.nusd
    batch = cost("gpt-5.6-luna", usage, terms=(("processing", "batch"),)) * Decimal("1.1")
    assert asked([row], Change(terms={"processing": "batch"})).low == nano(batch)


@pytest.mark.parametrize(
    ("time_to_live", "counts"),
    [
        ("1h", {"input_tokens": 10, "cache_write_1h_tokens": 700, "cache_read_tokens": 900}),
        ("5m", {"input_tokens": 10, "cache_write_tokens": 700, "cache_read_tokens": 900}),
        ("none", {"input_tokens": 1610}),
    ],
)
def test_another_time_to_live_is_exact_for_the_same_reads(time_to_live: Any, counts: dict[Any, int]) -> None:
    """Writes for an hour cost more than for five minutes, and without a cache all of it is fresh."""
    written = {"input_tokens": 10, "cache_write_tokens": 500, "cache_write_1h_tokens": 200, "cache_read_tokens": 900}
    row = a_row("claude-sonnet-4-5", provider="anthropic", counts=written)
    answer = asked([row], Change(time_to_live=time_to_live))
    assert answer.low == answer.high == nano(cost("claude-sonnet-4-5", Usage(counts=counts), provider="anthropic"))
    assert "another time to live can change that" in answer.notes[-1]


def traffic(calls: int, stretch: float) -> Sequence[Recorded]:
    """Calls of one agent, by Sonnet 4.5 and by Opus 5, which needs more tokens for the same texts."""
    some = random.Random(1)
    rows: list[Recorded] = []
    for _ in range(calls):
        tokens, answer = some.randrange(900, 1100), some.randrange(190, 210)
        counts = {"input_tokens": tokens, "output_tokens": answer}
        rows.append(a_row("claude-sonnet-4-5", provider="anthropic", counts=counts))
        more = {"input_tokens": round(tokens * stretch), "output_tokens": round(answer * stretch)}
        rows.append(a_row("claude-opus-5", provider="anthropic", counts=more))
    return rows


def test_another_tokenizer_is_a_range_from_own_traffic() -> None:
    """The truth is in it, and it is no wider than the traffic says."""
    rows = traffic(200, 1.3)
    answer = asked(rows, Change(swaps=[Swap("claude-sonnet-4-5", "claude-opus-5")]))
    line = next(line for line in answer.lines if line.model == "claude-sonnet-4-5")
    truth = sum(row.nusd or 0 for row in rows if row.names.model == "claude-opus-5")
    assert line.sure == "range"
    assert line.low < truth < line.high
    assert line.high - line.low < truth * 0.05


def test_an_unknown_ratio_is_refused() -> None:
    """With the recorded dollars, and the reason; other calls are answered."""
    rows = traffic(LEAST - 1, 1.3)
    answer = asked([*rows, a_row()], Change(swaps=[Swap("claude-sonnet-4-5", "claude-opus-5")]))
    line = next(line for line in answer.lines if line.model == "claude-sonnet-4-5")
    assert (line.sure, line.low, line.high) == ("refused", line.recorded, line.recorded)
    assert "no agent has 30 calls of both" in line.why


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"source": "provider"}, "the provider said"),
        ({"nusd": 5}, "not those of this price book"),
        ({"nusd": None, "unpriced": "the response has no usage"}, "the response has no usage"),
        ({"tool": "search", "counts": {}}, "a tool"),
    ],
)
def test_what_cannot_be_worked_out_again_keeps_its_dollars(more: dict[str, Any], why: str) -> None:
    """And says why."""
    row = changed(a_row(), **more)
    (line,) = asked([row], Change(terms={"processing": "batch"})).lines
    assert (line.sure, line.low, line.unknown) == ("kept", row.nusd or 0, row.nusd is None)
    assert why in line.why


def test_a_tier_without_a_price_is_refused() -> None:
    """It is not the standard price."""
    (line,) = asked([a_row()], Change(terms={"service_tier": "scale"})).lines
    assert (line.sure, line.low) == ("refused", line.recorded)
    assert "scale" in line.why


def test_tokenizers_are_those_of_the_makers() -> None:
    """OpenAI's as in tiktoken, Google's as in its SDK; what is not known is shared with nobody."""
    tiktoken = pytest.importorskip("tiktoken.model", reason="tiktoken is not installed")
    chats = [
        name
        for name in tiktoken.MODEL_TO_ENCODING
        if name.startswith(("gpt-3", "gpt-4", "gpt-5", "o1", "o3", "o4", "text-embedding"))
    ]
    names = [
        *chats,
        "gpt-4o-2024-08-06",
        "gpt-5.6-luna",
        "gpt-4.1-mini",
        "gpt-4-turbo",
        "ft:gpt-4o:acme",
        "gpt-oss-120b",
    ]
    assert {name: tokenizer_of(name) for name in names} == {
        name: tiktoken.encoding_name_for_model(name) for name in names
    }
    spec = importlib.util.find_spec("google.genai")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).with_name("_local_tokenizer_loader.py").read_text(encoding="utf-8")
    table = dict(re.findall(r'"(gemini-[\w.-]+)": "(gemma\d)"', source))
    assert len(table) > 10
    assert {name: tokenizer_of(name) for name in table} == table
    assert same_tokenizer("claude-sonnet-4-5-20250929", "us.anthropic.claude-haiku-4-5-20251001-v1:0")
    assert same_tokenizer("claude-opus-5-5", "claude-sonnet-5")
    assert not same_tokenizer("claude-opus-4-6", "claude-opus-4-7")
    assert not same_tokenizer("claude-nova-9", "claude-nova-8")
    assert same_tokenizer("claude-nova-9", "claude-nova-9")
    assert tokenizer_of("gpt-6-astra") is None


def pending(**more: Any) -> Recorded:
    """A call whose answer is billed later."""
    given = {"counts": {}, "nusd": None, "source": "", "unpriced": "the answer is billed later", **more}
    return changed(a_row(), **given)


def test_a_cost_that_came_later_is_that_of_its_call() -> None:
    """A background answer is two rows and one call, whatever the change; one that is still open stays unpriced."""
    later = a_row(calls=0, resolves=1)
    answer = asked([pending(), later], Change())
    assert [(line.sure, line.calls, line.low, line.unpriced, line.unknown) for line in answer.lines] == [
        ("exact", 1, later.nusd, 0, 0)
    ]
    before = pending(served="")  # the answer alone names the model that served it
    swap = asked([before, later, pending()], Change(swaps=[Swap("gpt-4o", "gpt-4.1-mini")]))
    assert (sum(line.calls for line in swap.lines), swap.unpriced, swap.unknown) == (2, 1, 1)
    batch = asked([pending(requested="", served=""), later], Change())
    assert [(line.calls, line.unpriced) for line in batch.lines] == [(1, 0)]
    assert asked([later], Change()).unpriced == 0, "its call is before the period"


def test_a_part_without_a_price_makes_a_lower_bound() -> None:
    """As in `spend`: neither the recorded dollars nor the others are the whole cost."""
    row = a_row(unpriced="web search of x has no price")
    (line,) = asked([row], Change()).lines
    assert (line.sure, line.why, line.unpriced, line.unknown) == ("at least", row.names.unpriced, 1, 1)
    (line,) = asked([row], Change(swaps=[Swap("gpt-4o", "gpt-4.1-mini")])).lines
    assert (line.sure, line.becomes, line.unknown) == ("at least", "gpt-4.1-mini", 1)
    (line,) = asked([changed(row, source="provider")], Change()).lines
    assert (line.sure, line.unknown) == ("kept", 1)


def test_a_part_that_another_price_list_has_is_whole(tmp_path: Path) -> None:
    """What the book could not price is known with one that can."""
    path = tmp_path / "own.yaml"
    path.write_text("providers: {openai: {models: {mine: {input_mtok: 1, output_mtok: 2}}}}", encoding="utf-8")
    counts = {"input_tokens": 1_000_000, "output_tokens": 0}
    why = BOOK.price(usage_of(counts), provider="openai", base_url=None, models=("mine",), at=AT).unpriced
    row = changed(a_row(), requested="mine", served="mine", counts=counts, nusd=None, source="", unpriced=why or "")
    (line,) = asked([row], Change(book=open_book(path))).lines
    assert (line.sure, line.low, line.unpriced, line.unknown) == ("exact", 10**9, 1, 0)


def test_what_no_price_list_keeps_for_an_hour_is_refused() -> None:
    """No dollars are better than a difference of nothing; without writes, there is none."""
    written = {"input_tokens": 10, "cache_write_tokens": 8000, "output_tokens": 50}
    row = a_row("gpt-5.6-luna", counts=written)
    (line,) = asked([row], Change(time_to_live="1h")).lines
    assert (line.sure, line.why) == ("refused", "openai/gpt-5.6-luna has no price for what a cache keeps for an hour")
    for change in (Change(time_to_live="5m"), Change(time_to_live="none")):
        assert asked([row], change).lines[0].sure == "exact"
    assert asked([a_row("gpt-5.6-luna")], Change(time_to_live="1h")).lines[0].sure == "exact"


def test_the_same_model_of_another_provider_is_named_with_it() -> None:
    """Its name alone would be that of the old one."""
    swap = Swap("gpt-4o", "gpt-4o", "azure.ai.openai")
    answer = asked([a_row()], Change(swaps=[swap]))
    assert [(line.sure, line.becomes) for line in answer.lines] == [("exact", "azure.ai.openai/gpt-4o")]
    assert (answer.missed, asked([a_row("gpt-4.1")], Change(swaps=[swap])).missed) == ((), (swap,))
