"""The price book against the genai-prices library: all of its models, digit for digit, refusals included."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, datetime, time, timezone
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.prices import PRICE_KEYS
from otel_agentcost.core.usage import DIMENSIONS, Count, Kind, Usage
from otel_agentcost.pricebook import BUNDLED, PriceBook, open_book, read_book
from otel_agentcost.pricebook.build import compile_book
from otel_agentcost.pricebook.price_lists import read_model
from tests.pricebook import genai_prices_models

pytestmark = genai_prices_models.needs_library

TERMS: list[tuple[tuple[str, str], ...]] = [
    (),
    (("processing", "batch"),),
    (("service_tier", "default"),),
    (("service_tier", "flex"),),
    (("service_tier", "priority"),),
    (("service_tier", "fast"),),
    (("service_tier", "Priority"),),
    (("speed", "fast"),),
    (("processing", "batch"), ("service_tier", "priority")),
    (("route", "mistral/eu"),),
    (("search_type", "fast"),),
    (("search_type", "web"),),
]

BOOK = open_book()


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return BOOK


def moments(model: Any, rng: random.Random) -> list[float]:
    """Now, long ago, and the moments round each change of the model's prices."""
    found = [datetime(2026, 11, 22, 14, tzinfo=timezone.utc).timestamp(), rng.uniform(1.6e9, 1.9e9) // 1]
    entries: list[Any] = list(model.price_variants or ())
    if hasattr(model.prices, "append"):
        entries.extend(model.prices)
    for entry in entries:
        constraint = entry.constraint
        if hasattr(constraint, "start_date"):
            midnight = datetime.combine(constraint.start_date, time(), tzinfo=timezone.utc).timestamp()
            found += [midnight - 1, midnight]
        if hasattr(constraint, "start_time"):
            for edge in (constraint.start_time, constraint.end_time):
                moment = datetime.combine(date(2026, 11, 20), edge, tzinfo=timezone.utc).timestamp()
                found += [moment - 0.5, moment]
    return found


def outside_peak(model: Any, at: float) -> float:
    """A time of the same day at which the library has the price that holds at `at`.

    The library takes DeepSeek's peak hours for those of all days; the book corrects that (`corrections.json`).
    """
    entries = model.prices if hasattr(model.prices, "append") else []
    if not any(getattr(entry.constraint, "start_time", None) == time(1, tzinfo=timezone.utc) for entry in entries):
        return at
    day = datetime.fromtimestamp(at, timezone.utc)
    works = (
        date(2026, 8, 17) <= day.date()
        and day.weekday() < 5
        and not date(2026, 10, 1) <= day.date() < date(2026, 10, 8)
    )
    return at if works and day.date() != date(2026, 9, 25) else day.replace(hour=12).timestamp()


AUDIO_AS_TEXT = {"gpt-4o-audio-preview", "gpt-4o-mini-audio-preview"}
"""Models whose audio the library bills as text; the book corrects that (`corrections.json`)."""


def without_audio(usage: Usage) -> Usage:
    """`usage` without its audio."""
    counts: dict[Kind, Count] = {kind: count for kind, count in usage.counts.items() if "audio" not in kind}
    return Usage(counts=counts, unsplit=tuple(kind for kind in usage.unsplit if "audio" not in kind))


def assert_near(ours: Decimal, theirs: Decimal | None, what: object) -> None:
    """Equal, but for the 28th digit: what rounding took from the sum must be found in one of our parts."""
    assert theirs is not None
    assert abs(ours - theirs) <= Decimal("1e-24") * max(theirs, Decimal(10**6)), what


def assert_same(ours: Cost, theirs: genai_prices_models.Verdict, usage: Usage, what: object) -> None:
    assert ours.usd == theirs.usd, (what, usage, ours, theirs)
    if theirs.usd is None:
        assert ours.unpriced, what
        return
    total = Decimal(0)
    for part in (ours.input_usd, ours.output_usd, ours.cache_read_usd, ours.cache_write_usd, ours.tool_usd):
        total = money.wide_add(total, part)
    assert total == ours.usd, (what, usage, ours)
    priced: set[Kind] = {PRICE_KEYS[key].kind for key in theirs.priced}
    if "audio_seconds" not in priced:  # that price has no direction, and the library counts it to neither side
        input_usd = money.wide_add(ours.input_usd, money.wide_add(ours.cache_read_usd, ours.cache_write_usd))
        assert_near(ours.output_usd, theirs.output_usd, (what, usage, ours, theirs))
        assert_near(input_usd, theirs.input_usd, (what, usage, ours, theirs))
    without: set[Kind] = {
        kind for kind in usage.counts if not any(DIMENSIONS[unit] <= DIMENSIONS[kind] for unit in priced)
    }
    if not priced:  # a free model
        without = {kind for kind in without if ("family", "tokens") not in DIMENSIONS[kind]}
    for kind in usage.counts:
        assert (f"{kind} (" in (ours.unpriced or "")) == (kind in without), (what, usage, ours.unpriced)


def test_every_model_of_the_library_costs_the_same_here(book: PriceBook) -> None:
    """Every model, by every name that its rules are about, over usages, dates and terms: equal to the last digit."""
    rng = random.Random(20261122)
    compared: Counter[str] = Counter()
    for provider in genai_prices_models.providers():
        for model in provider.models:
            names = list(dict.fromkeys(genai_prices_models.names_of(model, rng)))
            instants = moments(model, rng)
            contexts = TERMS if model.price_variants else [(), (), (), TERMS[1]]
            rounds = max(2 * len(names), 2 * len(instants), 16)
            for turn, drawn in enumerate(genai_prices_models.usages(rng, rounds)):
                usage = without_audio(drawn) if model.id in AUDIO_AS_TEXT else drawn
                name = names[turn % len(names)]
                at = instants[turn % len(instants)]
                terms = contexts[turn % len(contexts)] if turn % 3 else rng.choice(contexts)
                shown = outside_peak(model, at) if provider.id == "deepseek" else at
                theirs = genai_prices_models.verdict(usage, name, provider=provider.id, at=shown, terms=terms)
                ours = book.price(usage, provider=provider.id, base_url=None, models=(name,), at=at, terms=terms)
                if theirs.usd is None and ours.usd is not None:
                    prefix = name.lower().split("/")[0]
                    assert "/" in name or "models" in name, (provider.id, name, ours)
                    compared[f"beyond the library: {prefix}/"] += 1
                    continue
                if theirs.usd is not None and "has no price of" in (ours.unpriced or "") and ours.usd is None:
                    # A term that the library prices as if it had not been said: refused here, and it was ignored there.
                    told = tuple(term for term in terms if f"{term[0]} {term[1]!r}" not in (ours.unpriced or ""))
                    ignored = genai_prices_models.verdict(usage, name, provider=provider.id, at=shown, terms=told)
                    assert ignored.usd == theirs.usd, (provider.id, name, at, terms)
                    compared["terms that the library ignores"] += 1
                    continue
                assert_same(ours, theirs, usage, (provider.id, name, at, terms))
                compared["refused alike" if theirs.usd is None else "priced alike"] += 1
            compared["models"] += 1
    print(dict(compared))
    assert compared["models"] == 2330
    assert compared["priced alike"] > 28_000


def test_other_ways_to_name_a_call_lead_to_the_same_price(book: PriceBook) -> None:
    """By other names of providers, by address, by the model alone, through litellm: as the library has it."""
    rng = random.Random(3)
    usage = Usage(counts={"input_tokens": 1000, "cache_read_tokens": 100, "output_tokens": 500})
    compared: Counter[str] = Counter()
    at = moments(genai_prices_models.providers()[0].models[0], rng)[0]
    ways = [*provider_names(), *base_urls()]
    for provider in genai_prices_models.providers():
        for model in provider.models:
            name = next(genai_prices_models.names_of(model, rng))
            who = rng.choice(ways)
            for way in (who, {}, {"provider": "litellm"}):
                spelled = rng.choice([f"{provider.id}/{name}", name]) if way.get("provider") == "litellm" else name
                theirs = genai_prices_models.verdict(
                    usage, spelled, at=at, provider=way.get("provider"), base_url=way.get("base_url")
                )
                ours = book.price(
                    usage, provider=way.get("provider"), base_url=way.get("base_url"), models=(spelled,), at=at
                )
                if theirs.usd is None and ours.usd is not None:
                    assert "/" in spelled, (way, spelled)  # a prefix that names the provider: tested by its own
                    continue
                assert ours.usd == theirs.usd, (way, spelled, ours, theirs)
                compared["refused" if theirs.usd is None else "priced"] += 1
    assert compared["priced"] > 1_000
    assert compared["refused"] > 1_000


def provider_names() -> list[dict[str, str]]:
    """Names of providers as the library is asked for them."""
    odd = ["nobody", "AWS-Bedrock", "google-vertex", " OpenAI ", "xai", "together_ai", "huggingface:groq", "mistralai"]
    return [{"provider": name} for name in [*odd, *(provider.id for provider in genai_prices_models.providers())]]


def base_urls() -> list[dict[str, str]]:
    """Addresses of the providers, and some that nearly are."""
    urls = [
        "https://api.openai.com/v1/",
        "https://acme.openai.azure.com/openai/deployments/x",
        "https://acme.services.ai.azure.com/anthropic",
        "https://us-east5-aiplatform.googleapis.com/v1",
        "https://generativelanguage.googleapis.com/v1beta/openai/",
        "https://bedrock-runtime.eu-central-1.amazonaws.com",
        "https://bedrock-runtime.eu-central-1.amazonaws.com.evil.example",
        "https://openrouter.ai/api/v1",
        "https://api.openrouter.ai/v1",
        "https://dbc-1.cloud.databricks.com/serving-endpoints",
        "https://dbc-1.cloud.databricks.com/other",
        "https://api.cloudflare.com/client/v4/accounts/abc/ai/v1",
        "https://router.huggingface.co/groq/openai/v1",
        "https://acme--app.modal.run/v1",
        "http://localhost:11434/v1",
        "https://gateway.example.com",
        "https://api.minimaxi.com/v1",
        "https://api.moonshot.cn/v1",
    ]
    literal = [provider.api_pattern.replace("\\", "") for provider in genai_prices_models.providers()]
    return [{"base_url": url} for url in [*urls, *literal]]


@given(
    name=st.one_of(
        st.text(max_size=40),
        st.from_regex(
            r"(gpt|claude|gemini|grok|o)-?[1-9](\.[0-9])?(-(mini|opus|sonnet|flash|pro|20[0-9]{6}))*", fullmatch=True
        ),
    ),
    provider=st.sampled_from(
        ["openai", "anthropic", "google", "azure", "aws", "openrouter", "x-ai", "mistral", "groq"]
    ),
)
@settings(max_examples=400, deadline=None)
def test_made_up_names_are_priced_only_where_the_library_does(name: str, provider: str) -> None:
    """A name that no rule of the library knows has no price here, however much it resembles one that has."""
    usage = Usage(counts={"input_tokens": 1000, "output_tokens": 500})
    theirs = genai_prices_models.verdict(usage, name, provider=provider, at=1.79e9)
    ours = BOOK.price(usage, provider=provider, base_url=None, models=(name,), at=1.79e9)
    if "/" not in name:
        assert ours.usd == theirs.usd


@pytest.mark.parametrize(
    "counts",
    [
        {"input_tokens": 10, "input_audio_tokens": 20, "cache_read_tokens": 30, "output_tokens": 5},
        {"input_tokens": 10, "input_image_tokens": 20, "cache_read_tokens": 30, "output_image_tokens": 5},
    ],
)
def test_an_unknown_split_is_refused_where_the_library_refuses(book: PriceBook, counts: dict[Kind, Count]) -> None:
    """Where the provider did not say which tokens were cached audio, each model is priced or refused as there."""
    modality: list[Kind] = (
        ["cache_audio_read_tokens"] if "input_audio_tokens" in counts else ["cache_image_read_tokens"]
    )
    usage = Usage(counts=counts, unsplit=tuple(modality))
    refused = 0
    for provider in genai_prices_models.providers():
        for model in provider.models:
            if provider.find_model(model.id) is not model or model.id in AUDIO_AS_TEXT:
                continue
            theirs = genai_prices_models.verdict(usage, model.id, provider=provider.id, at=1.79e9)
            ours = book.price(usage, provider=provider.id, base_url=None, models=(model.id,), at=1.79e9)
            assert ours.usd == theirs.usd, (provider.id, model.id)
            refused += theirs.usd is None
    assert refused > 5


def test_the_committed_book_is_what_the_library_compiles_to() -> None:
    """The book in the package was not edited, and is up to date with the library that is tested against."""
    committed = BUNDLED.read_text(encoding="utf-8")
    assert committed == compile_book(date.fromisoformat(read_book().date))
    assert read_book().version == version("genai-prices")


def test_every_price_list_of_the_book_is_consistent(book: PriceBook) -> None:
    """No list or variant of the book contradicts itself, at any date."""
    for provider in book.book.providers:
        for entry in book.book.models_of(provider).entries:
            prices = read_model(entry["id"], entry)
            for at in [0.0, 1.79e9, *(item.period.start for item in prices.lists if item.period.start is not None)]:
                for terms in TERMS:
                    prices.quote(at, dict(terms))
