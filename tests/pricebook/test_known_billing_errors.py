"""What users of other tools were billed or shown wrongly: each must not happen here.

The dollars are worked out by hand from the published prices, which stand in the comments.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.pricebook import PriceBook, open_book

NOW = 1.795e9  # 2026-11-18
BOOK = open_book()

OPENAI: dict[str, Any] = {"provider": "openai", "base_url": "https://api.openai.com/v1/"}
ANTHROPIC: dict[str, Any] = {"provider": "anthropic", "base_url": "https://api.anthropic.com"}
GATEWAY = "https://llm-gateway.example.com/v1"


def cost(*models: str | None, counts: dict[Kind, int] | None = None, at: float = NOW, **call: Any) -> Cost:
    usage = Usage(counts=counts if counts is not None else {"input_tokens": 10**6, "output_tokens": 10**6})
    return BOOK.price(
        usage,
        provider=call.get("provider"),
        base_url=call.get("base_url"),
        models=models,
        at=at,
        terms=call.get("terms", ()),
    )


def test_cached_tokens_are_not_billed_twice() -> None:
    """181 fresh and 1,024 cached tokens of gpt-4o-mini ($0.15, $0.075 cached, $0.60 a million) cost what they cost."""
    counts: dict[Kind, int] = {"input_tokens": 181, "cache_read_tokens": 1024, "output_tokens": 183}
    priced = cost("gpt-4o-mini-2024-07-18", "gpt-4o-mini", counts=counts, **OPENAI)
    assert priced.usd == Decimal("0.00021375")
    assert priced.input_usd == Decimal("0.00002715")
    assert priced.cache_read_usd == Decimal("0.0000768")
    assert priced.output_usd == Decimal("0.0001098")


def test_cache_reads_get_the_cache_price_where_there_is_one_and_else_the_input_price() -> None:
    """Cached tokens are neither free nor lost where a model has no price for them: they are input."""
    counts: dict[Kind, int] = {"cache_read_tokens": 10**6}
    assert cost("claude-sonnet-4-5", counts={"cache_read_tokens": 1000}, **ANTHROPIC).usd == Decimal("0.0003")
    plain = cost("gpt-4", counts=counts, **OPENAI)
    assert plain.usd == cost("gpt-4", counts={"input_tokens": 10**6}, **OPENAI).usd == Decimal(30)
    assert plain.cache_read_usd == plain.usd
    assert plain.unpriced is None


def test_cache_writes_are_not_taken_for_plain_input() -> None:
    """Claude Sonnet 4.5: $3 input, $3.75 written for five minutes, $6 for an hour, $0.30 read, $15 output."""
    call: dict[Kind, int] = {"input_tokens": 181, "cache_read_tokens": 1024, "output_tokens": 183}
    five: dict[Kind, int] = {**call, "cache_write_5m_tokens": 256}
    hour: dict[Kind, int] = {**call, "cache_write_1h_tokens": 256}
    untold: dict[Kind, int] = {**call, "cache_write_tokens": 256}
    assert cost("claude-sonnet-4-5-20250929", counts=five, **ANTHROPIC).usd == Decimal("0.0045552")
    assert cost("claude-sonnet-4-5-20250929", counts=hour, **ANTHROPIC).usd == Decimal("0.0051312")
    assert cost("claude-sonnet-4-5", counts=untold, **ANTHROPIC).cache_write_usd == Decimal("0.00096")


def test_bedrock_prompt_caching_is_not_priced_as_input() -> None:
    """A million cached tokens of a Claude on Bedrock cost a tenth of the input price, not as much as fresh ones."""
    aws: dict[str, Any] = {"provider": "aws", "base_url": "https://bedrock-runtime.us-east-1.amazonaws.com"}
    model = "us.anthropic.claude-3-5-sonnet-20241022-v2:0"
    read = cost(model, counts={"cache_read_tokens": 10**6}, **aws)
    fresh = cost(model, counts={"input_tokens": 10**6}, **aws)
    assert read.usd is not None
    assert fresh.usd is not None
    assert read.usd * 10 == fresh.usd


@pytest.mark.parametrize(
    ("model", "call"),
    [
        ("gpt-7", OPENAI),
        ("gpt-4o-ultra", OPENAI),
        ("gpt-4o-2029-01-01", OPENAI),
        ("gpt-5.9", OPENAI),
        ("claude-sonnet-9", ANTHROPIC),
        ("claude-sonnet-4-9", ANTHROPIC),
        ("claude-opus-9-20300101", ANTHROPIC),
        ("anthropic.claude-9-opus-v1:0", {"provider": "aws"}),
        ("gemini-9-pro", {"provider": "google"}),
        ("grok-99", {"provider": "x-ai"}),
        ("my-gpt-4o", OPENAI),
    ],
)
def test_a_new_model_is_not_priced_as_its_older_sibling(model: str, call: dict[str, Any]) -> None:
    """A name that the book does not know has no price, and the sentence quotes it and says what helps."""
    priced = cost(model, **call)
    assert priced.usd is None
    assert priced.unpriced is not None
    assert repr(model) in priced.unpriced
    assert "OTEL_AGENTCOST_PRICES" in priced.unpriced


def test_the_served_model_sets_the_price_not_the_requested_one() -> None:
    """A router that serves gpt-4o-mini for gpt-4o bills gpt-4o-mini; the name asked for is the second choice."""
    assert cost("gpt-4o-mini-2024-07-18", "gpt-4o", **OPENAI).price == "openai/gpt-4o-mini"
    assert cost(None, "gpt-4o", **OPENAI).price == "openai/gpt-4o"
    assert cost("some-snapshot", "gpt-4o", **OPENAI).price == "openai/gpt-4o"


@pytest.mark.parametrize(("tier", "usd"), [(None, "12.5"), ("default", "12.5"), ("priority", "21.25")])
def test_the_served_tier_sets_the_price(tier: str | None, usd: str) -> None:
    """gpt-4o: $2.50 and $10 as standard, $4.25 and $17 with priority."""
    terms = (("service_tier", tier),) if tier else ()
    assert cost("gpt-4o", terms=terms, **OPENAI).usd == Decimal(usd)


def test_a_batch_is_not_billed_at_the_standard_price() -> None:
    """A batch costs half, for the prices that the provider halves."""
    assert cost("gpt-4o", terms=(("processing", "batch"),), **OPENAI).usd == Decimal("6.25")


@pytest.mark.parametrize(("fresh", "cached", "input_price"), [(1000, 199_000, 3), (1001, 199_000, 6)])
def test_the_long_context_threshold_counts_cached_tokens(fresh: int, cached: int, input_price: int) -> None:
    """Claude Sonnet 4.5 above 200,000 input tokens, cached ones included, costs double, for every token."""
    priced = cost("claude-sonnet-4-5", counts={"input_tokens": fresh, "cache_read_tokens": cached}, **ANTHROPIC)
    assert priced.input_usd == Decimal(fresh * input_price) / 10**6
    assert priced.cache_read_usd == Decimal(cached * input_price) / 10**7


def test_reasoning_tokens_are_not_lost_nor_billed_twice() -> None:
    """Reasoning is output: 500 output tokens of which 448 were thought cost what 500 cost."""
    split = cost("o4-mini", counts={"input_tokens": 100, "output_tokens": 52, "output_reasoning_tokens": 448}, **OPENAI)
    whole = cost("o4-mini", counts={"input_tokens": 100, "output_tokens": 500}, **OPENAI)
    assert split.usd == whole.usd
    assert split.output_usd == whole.output_usd


@pytest.mark.parametrize(
    ("base_url", "model"),
    [
        ("https://acme.openai.azure.com/openai/deployments/x/", "gpt-4o-2024-08-06"),
        ("https://acme.openai.azure.com", "gpt-35-turbo"),
        ("https://acme.cognitiveservices.azure.com/openai", "gpt-4o-mini"),
        ("https://acme.services.ai.azure.com/anthropic/", "claude-sonnet-4-5"),
    ],
)
def test_azure_has_a_price_although_the_sdk_is_openais(base_url: str, model: str) -> None:
    """The address tells the seller; what Azure does not list itself it sells at the maker's prices."""
    priced = cost(model, "my-deployment", provider="openai", base_url=base_url)
    assert priced.usd is not None, priced.unpriced
    assert priced.unpriced is None


def test_azures_cached_tokens_have_the_cached_price() -> None:
    """gpt-4o on Azure: a cached token costs half of a fresh one."""
    azure: dict[str, Any] = {"provider": "azure", "base_url": "https://acme.openai.azure.com"}
    assert cost("gpt-4o", counts={"cache_read_tokens": 10**6}, **azure).usd == Decimal("1.25")


@pytest.mark.parametrize(
    "model",
    [
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "jp.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
        "amazon.nova-lite-v1:0",
        "apac.amazon.nova-lite-v1:0",
        "us.meta.llama3-3-70b-instruct-v1:0",
    ],
)
def test_bedrock_regional_and_arn_ids_have_a_price(model: str) -> None:
    """Inference profiles, regions and whole ARNs name a model that the book knows; through any SDK."""
    url = "https://bedrock-runtime.eu-central-1.amazonaws.com"
    for provider in ("aws", "anthropic", "aws.bedrock"):
        assert cost(model, provider=provider, base_url=url).usd is not None


def test_a_regional_bedrock_endpoint_costs_more_than_the_global_one() -> None:
    """The region is part of the price, so it must not be cut off the name."""
    aws: dict[str, Any] = {"provider": "aws"}
    regional = cost("us.anthropic.claude-sonnet-4-5-20250929-v1:0", **aws)
    everywhere = cost("global.anthropic.claude-sonnet-4-5-20250929-v1:0", **aws)
    assert regional.usd is not None
    assert everywhere.usd is not None
    assert regional.usd > everywhere.usd


def test_an_opaque_bedrock_profile_is_not_guessed() -> None:
    """An application inference profile does not say its model."""
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
    assert cost(arn, provider="aws").usd is None


@pytest.mark.parametrize(
    "model",
    [
        "openai/gpt-5.2-20251211",
        "openai/gpt-5.2",
        "anthropic/claude-sonnet-4.5",
        "google/gemini-3.5-flash-20260101",
    ],
)
def test_openrouters_dated_names_have_a_price(model: str) -> None:
    """OpenRouter's names, with and without its compact dates, are priced as OpenRouter sells them."""
    priced = cost(model, provider="openai", base_url="https://openrouter.ai/api/v1")
    assert priced.usd is not None, priced.unpriced
    assert (priced.price or "").startswith("openrouter/")


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("google/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("publishers/google/models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5"),
        ("publishers/anthropic/models/claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5"),
    ],
)
@pytest.mark.parametrize(
    "call",
    [
        {"provider": "google", "base_url": "https://generativelanguage.googleapis.com/"},
        {"provider": "google", "base_url": "https://us-central1-aiplatform.googleapis.com/"},
        {"provider": "gcp.vertex_ai"},
        {"provider": "gcp.gemini"},
    ],
)
def test_vertex_and_gemini_names_have_a_price(model: str, price: str, call: dict[str, Any]) -> None:
    """Resource paths only say where a model is, not which; Claude on Vertex costs what Google asks."""
    assert cost(model, **call).price == price


@pytest.mark.parametrize(
    ("provider", "model", "price"),
    [
        ("azure.ai.openai", "gpt-4o", "openai/gpt-4o"),
        ("aws.bedrock", "amazon.nova-lite-v1:0", "aws/amazon.nova-lite-v1:0"),
        ("gcp.gen_ai", "gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("x_ai", "grok-4", "x-ai/grok-4-0709"),
        ("mistral_ai", "mistral-large-latest", "mistral/mistral-large"),
        ("deepseek", "deepseek-chat", "deepseek/deepseek-chat"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc", "openai/ft:gpt-4o-mini"),
    ],
)
def test_the_conventions_provider_names_are_understood(provider: str, model: str, price: str) -> None:
    """What GenAI spans call a provider leads to its prices (Azure's OpenAI is Azure, which sells OpenAI's models)."""
    assert cost(model, provider=provider).price == price


@pytest.mark.parametrize(
    ("models", "price"),
    [
        (("gpt-4o",), "openai/gpt-4o"),
        (("openai/gpt-4o",), "openai/gpt-4o"),
        (("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"), "anthropic/claude-sonnet-4-5"),
        (("vertex_ai/gemini-2.5-flash",), "google/gemini-2.5-flash"),
        (("bedrock/us.amazon.nova-lite-v1:0",), "aws/amazon.nova-lite-v1:0"),
        (("azure/gpt-4o",), "openai/gpt-4o"),
        (("openrouter/anthropic/claude-sonnet-4.5",), "openrouter/anthropic/claude-sonnet-4.5"),
        (("claude-sonnet-4-5",), None),  # a gateway's own name for something: not OpenAI's, so not known
        (("anthropic/claude-sonnet-9",), None),
        (("somebody/gpt-4o",), None),
        (("llama3.2",), None),
    ],
)
def test_a_gateway_is_priced_by_the_sdks_provider_or_by_the_prefix(models: tuple[str, ...], price: str | None) -> None:
    """At an address that is nobody's, the SDK's own models have their price, and a prefix may name another provider."""
    for base_url in (GATEWAY, "http://localhost:4000"):
        assert cost(*models, provider="openai", base_url=base_url).price == price


def test_a_resellers_model_is_not_taken_for_the_makers() -> None:
    """openai/gpt-oss-120b is what Groq calls its own offer: its price, not that of a provider named openai."""
    assert cost("openai/gpt-oss-120b", provider="groq", base_url=GATEWAY).price == "groq/openai/gpt-oss-120b"


def test_web_searches_are_billed_and_named_where_they_are_not() -> None:
    """Searches at the provider cost by the thousand; where a model has no price for them, the cost says so."""
    counts: dict[Kind, int] = {"input_tokens": 100, "web_searches": 3}
    assert cost("claude-sonnet-4-5", counts=counts, **ANTHROPIC).tool_usd == Decimal("0.03")
    bare = cost("davinci-002", counts=counts, **OPENAI)
    assert bare.unpriced == "no price for web_searches (3)"
    assert bare.usd == cost("davinci-002", counts={"input_tokens": 100}, **OPENAI).usd


def test_the_price_of_the_day_counts() -> None:
    """A call is priced as of its own time, so that replays and late exports keep their dollars."""
    assert cost("o3", at=1.745e9, **OPENAI).usd == Decimal(50)  # $10 and $40 a million until June 2025
    assert cost("o3", **OPENAI).usd == Decimal(10)
    before = cost("gpt-4o", at=1.75e9, terms=(("service_tier", "priority"),), **OPENAI)
    assert before.usd is None  # priority prices are recorded from 2026-10-12 on: what they were before is not known


def test_the_ten_step_example_costs_what_the_readme_says() -> None:
    """38,800 input and 3,200 output tokens of gpt-4o are $0.129; the tools make it $0.142."""
    counts: dict[Kind, int] = {"input_tokens": 38_800, "output_tokens": 3_200}
    assert cost("gpt-4o", counts=counts, **OPENAI).usd == Decimal("0.129")


def test_a_password_in_an_address_is_not_told() -> None:
    """The reason for a missing price quotes the host, and not who logs in there."""
    reason = cost("x", base_url="https://user:s3cret@host.example/v1?key=s3cret").unpriced or ""
    assert "https://host.example" in reason
    assert "s3cret" not in reason


def test_no_provider_at_all_is_told_from_the_model_as_the_library_does() -> None:
    """Where nothing is known but the model, its maker's rule decides; a name that is no maker's has no price."""
    assert cost("gpt-4o").price == "openai/gpt-4o"
    assert cost("claude-sonnet-4-5").price == "anthropic/claude-sonnet-4-5"
    assert cost("house-model").usd is None
    assert cost(None).unpriced == "the call names no model"


def test_the_book_type_is_public() -> None:
    """What `open_book` gives is the class that others name in their signatures."""
    assert isinstance(BOOK, PriceBook)
