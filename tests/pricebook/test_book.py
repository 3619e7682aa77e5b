"""The price book under load and abuse: it never raises, stays small, serves threads, and loads nothing heavy."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import NOTHING, Usage
from otel_agentcost.pricebook import NoPrice, PriceMatch, open_book
from otel_agentcost.pricebook.compiled import BookFile
from otel_agentcost.pricebook.matching import ModelIndex, dashed_date, matches

BOOK = open_book()
CHAT = Usage(counts={"input_tokens": 1000, "cache_read_tokens": 100, "output_tokens": 500})

ANYTHING = st.one_of(
    st.none(), st.text(max_size=30), st.integers(), st.floats(), st.binary(max_size=5), st.lists(st.text(max_size=3))
)


@given(
    provider=ANYTHING,
    base_url=ANYTHING,
    models=st.one_of(ANYTHING, st.tuples(ANYTHING, ANYTHING)),
    at=ANYTHING,
    terms=st.one_of(ANYTHING, st.tuples(st.tuples(ANYTHING, ANYTHING))),
    counts=st.one_of(st.none(), st.dictionaries(st.sampled_from(["input_tokens", "x", 1]), ANYTHING, max_size=3)),
)
@settings(max_examples=500, deadline=None)
def test_pricing_never_raises(**call: Any) -> None:
    """Whatever a provider or an SDK puts into any of the values, the answer is a cost: dollars, or a reason."""
    usage = Usage(counts=call.pop("counts"))
    for models in (call.pop("models"), ("gpt-4o",)):
        cost = BOOK.price(usage, models=models, **call)
        assert isinstance(cost, Cost)
        assert cost.usd is not None or cost.unpriced


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf, -1e300, 1e300])
def test_a_moment_that_is_none_still_gives_an_answer(at: float) -> None:
    """A clock that is broken makes no exception, for models whose price changes by the hour too."""
    for provider, model in (("openai", "gpt-4o"), ("deepseek", "deepseek-chat")):
        cost = BOOK.price(CHAT, provider=provider, base_url=None, models=(model,), at=at)
        assert cost.usd is not None or cost.unpriced


def test_made_up_names_do_not_fill_the_memory() -> None:
    """However many unknown names, addresses and terms come, what is kept of them stays within a few megabytes."""
    book = open_book()
    tracemalloc.start()
    try:
        for turn in range(4_000):
            book.price(NOTHING, provider="openai", base_url=f"http://h{turn}", models=(f"m{turn}",), at=0.0)
            book.price(NOTHING, provider="openai", base_url=None, models=("gpt-4o",), at=0.0, terms=(("k", str(turn)),))
            book.price(NOTHING, provider="openai", base_url=None, models=("x" * 5000 + str(turn),), at=0.0)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 6_000_000


def test_threads_share_a_book() -> None:
    """Eight threads that meet a fresh book at once all get the prices that one alone gets."""
    calls = [
        (provider, f"{model}{suffix}")
        for provider, model in [("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro")]
        for suffix in ("", "-x", "-20250929")
    ] * 40

    def price_all(book: Any) -> list[Decimal | None]:
        return [
            book.price(CHAT, provider=provider, base_url=None, models=(model,), at=1.79e9 + turn).usd
            for turn, (provider, model) in enumerate(calls)
        ]

    expected = price_all(open_book())
    fresh = open_book()
    with ThreadPoolExecutor(8) as pool:
        assert all(result == expected for result in pool.map(price_all, [fresh] * 8))


def test_opening_and_pricing_load_neither_the_library_nor_pydantic_nor_yaml() -> None:
    """A process that prices calls has none of the heavy modules, and no file of another package open."""
    code = """
import sys
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import open_book
usage = Usage(counts={"input_tokens": 1})
cost = open_book().price(usage, provider="openai", base_url=None, models=("gpt-4o",), at=1e9)
print(cost.usd, sorted({"genai_prices", "pydantic", "yaml", "httpx2", "difflib"} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "0.0000025 []\n"


def test_opening_reads_no_models() -> None:
    """Only the header is parsed at start-up; a provider's models are, when it is first used."""
    book = open_book()
    parsed = cast("dict[str, object]", vars(book.book)["_models"])
    assert parsed == {}
    book.price(CHAT, provider="openai", base_url=None, models=("gpt-4o",), at=0.0)
    assert list(parsed) == ["openai"]


def test_find_says_whose_price_it_is_or_why_there_is_none() -> None:
    """The lookup without a usage: provider, model and prices, or a sentence."""
    found = BOOK.find(("gpt-4o-2024-08-06", None), None, "azure")
    assert isinstance(found, PriceMatch)
    assert (found.provider, found.model, found.prices.name, found.terms_apply) == (
        "azure", "gpt-4o", "openai/gpt-4o", False,
    )  # fmt: skip
    assert isinstance(BOOK.find((None,), None, None), NoPrice)
    assert BOOK.find(("m",), None, "nobody") == NoPrice(
        "no price for 'm': provider 'nobody' is not in the price book; "
        "add one to the file that OTEL_AGENTCOST_PRICES names"
    )


def test_terms_do_not_change_another_providers_price() -> None:
    """Azure sells gpt-4o at OpenAI's standard price: OpenAI's priority price is not known to be Azure's."""
    terms = (("service_tier", "priority"),)

    def usd(provider: str, terms: tuple[tuple[str, str], ...] = ()) -> Decimal | None:
        return BOOK.price(CHAT, provider=provider, base_url=None, models=("gpt-4o",), at=1.795e9, terms=terms).usd

    assert usd("azure", terms) is None
    assert usd("azure", (("service_tier", "default"),)) == usd("azure") == usd("openai")
    assert usd("openai", terms) != usd("openai")


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"not json\n", b'{"format":"otel-agentcost price book 2"}\n'])
def test_what_is_no_book_is_refused(content: bytes) -> None:
    """A file of another format, or of a later one, is not read as if it were a price book."""
    with pytest.raises(ValueError):
        BookFile(content)


@pytest.mark.parametrize(
    ("name", "dashed"),
    [
        ("gpt-5.2-20251211", "gpt-5.2-2025-12-11"),
        ("a-20251211-b-20260101", "a-2025-12-11-b-2026-01-01"),
        ("a-20251211:free", "a-2025-12-11:free"),
        ("a-20250230", "a-20250230"),
        ("a-19991231", "a-19991231"),
        ("a-202512111", "a-202512111"),
        ("a20251211", "a20251211"),
    ],
)
def test_compact_dates_are_spelt_out(name: str, dashed: str) -> None:
    """Only what is a date of this century, between dashes, is read as one."""
    assert dashed_date(name) == dashed


def test_the_first_rule_that_matches_wins() -> None:
    """Models are tried in the order of the book, whether by exact name or by rule."""
    index = ModelIndex([{"starts_with": "a"}, "abc", {"or": ["x", {"ends_with": "z"}]}, "x", {"contains": "b"}])
    assert [index.first(name) for name in ("abc", "x", "xz", "qb", "q", "bz")] == [0, 2, 2, 4, None, 2]
    assert ModelIndex(["abc", {"starts_with": "a"}]).first("abc") == 0
    assert matches({"and": [{"starts_with": "a"}, {"regex": "^a[0-9]$"}]}, "a7")
    assert not matches({"and": [{"starts_with": "a"}, {"regex": "^a[0-9]$"}]}, "ax")
