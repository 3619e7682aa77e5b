"""The bills that are fetched: OpenAI's and Anthropic's through their SDKs, and what is wrong in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from otel_agentcost.store.bills import bill_source, providers
from otel_agentcost.store.bills.bill import Ask, Bill, BillError, BillLine, UsageLine
from otel_agentcost.store.bills.openai import line_of
from otel_agentcost.testing.server import Reply, json_reply
from tests.store.bills.servers import KEY, AnthropicServer, OpenAIServer
from tests.support.model_server import ModelServer

SINCE, UNTIL = date(2026, 11, 1), date(2026, 11, 6)
KEYS = {"openai": "OPENAI_ADMIN_KEY", "anthropic": "ANTHROPIC_ADMIN_KEY", "openrouter": "OPENROUTER_MANAGEMENT_KEY"}
LUNA = "gpt-5.6-luna"


def fetch(provider: str, server: ModelServer, responder: Any, **more: Any) -> Bill:
    """The bill that a server gives."""
    server.responder = responder
    base = f"{server.url}/v1" if provider == "openai" else server.url
    return bill_source(provider).fetch(Ask(SINCE, UNTIL, {KEYS[provider]: KEY}, more.get("base_url", base)))


def test_providers_are_found_by_listing_the_folder() -> None:
    """One more file is one more provider."""
    assert {"openai", "anthropic"} <= set(providers())
    for name in providers():
        source = bill_source(name)
        assert source.SUMMARY
        assert source.NAMES
    with pytest.raises(BillError, match="did you mean openai"):
        bill_source("opnai")


# --- OpenAI ---


def openai_server() -> OpenAIServer:
    """Five days, over three pages."""
    days = [f"2026-11-0{number}" for number in range(1, 6)]
    server = OpenAIServer()
    server.costs = [(day, f"{LUNA}, input", 0.1, 100_000.0) for day in days]
    server.costs += [("2026-11-03", "web search tool calls", 0.05, None), ("2026-11-09", f"{LUNA}, input", 9.0, 1.0)]
    server.usage = [
        (
            day,
            {
                "model": LUNA,
                "batch": batch,
                "service_tier": "default",
                "num_model_requests": 10,
                "input_tokens": 60_000,
                "input_cached_tokens": 9_000,
                "input_cache_write_tokens": 1_000,
                "output_tokens": 5_000,
                "input_audio_tokens": 2_000,
            },
        )
        for day in days
        for batch in (False, True)
    ]
    return server


def test_openai_costs_and_usage_are_read_page_by_page(model_server: ModelServer) -> None:
    """With the key of an administrator alone, by UTC day."""
    server = openai_server()
    bill = fetch("openai", model_server, server)
    assert sum(line.nusd for line in bill.lines) == 550_000_000
    assert BillLine("2026-11-03", "", "", "web search", "tool", 50_000_000) in bill.lines
    assert BillLine("2026-11-01", LUNA, None, "input", "tokens", 100_000_000, None, 100_000) in bill.lines
    tokens = {"input": 48_000, "audio input": 2_000, "cache read": 9_000, "cache write": 1_000, "output": 5_000}
    assert [line for line in bill.usage if line.day == "2026-11-05"] == [
        UsageLine("2026-11-05", LUNA, tier, 10, tokens) for tier in ("", "batch")
    ]
    assert sum("/costs" in request.path for request in server.requests) == 3
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("item", "model", "tier", "kind"),
    [
        ("gpt-4o-mini-2024-07-18, cached input", "gpt-4o-mini-2024-07-18", None, "cache read"),
        ("priority | gpt-5.6-sol, output, long context", "gpt-5.6-sol", "priority", "output"),
        ("gpt-audio-mini-2025-12-15 audio, input", "gpt-audio-mini-2025-12-15", None, "audio input"),
        ("gpt-image-2.5-flare image, output", "gpt-image-2.5-flare", None, "image output"),
        ("gpt-6-astra, input_tokens", "gpt-6-astra", None, "input"),
        (f"{LUNA}, cache writes", LUNA, None, "cache write"),
        ("batch | gpt-4o, input", "gpt-4o", "batch", "input"),
        ("gpt-4o", "gpt-4o", None, ""),
    ],
)
def test_line_items_name_model_tier_and_kind(item: str, model: str, tier: str | None, kind: str) -> None:
    """As organizations have seen them."""
    line = line_of("2026-11-01", item, 1, 3.0, "1000_tokens", {"gpt-4o"})
    assert (line.model, line.tier, line.kind, line.sort, line.tokens) == (model, tier, kind, "tokens", 3000)


def test_what_is_no_token_is_a_tool_or_something_else() -> None:
    """Its dollars are in the bill all the same."""
    assert line_of("d", "Vector storage", 7, 1.0, "gibibyte_hours", ()).sort == "tool"
    assert line_of("d", None, 7, None, None, ()) == BillLine("d", "", "", "an amount without a name", "other", 7)
    for item, nusd in (
        ("Promotional credit", -5),
        ("Taxes", 0),
        ("State tax", 3),
        ("Goodwill", -1),
        ("Search fees", 2),
    ):
        assert line_of("d", item, nusd, None, None, ()) == BillLine("d", "", "", item.lower(), "other", nusd)


# --- Anthropic ---

SONNET = {"model": "claude-sonnet-4-5", "service_tier": "standard", "inference_geo": "global", "speed": "standard"}


def anthropic_server() -> AnthropicServer:
    """Two days with a discount, batches and searches."""
    server = AnthropicServer()
    tokens = {"cost_type": "tokens"}
    server.costs = [
        ("2026-11-01", {**SONNET, **tokens, "token_type": "uncached_input_tokens"}, "264.5", "300.0"),
        ("2026-11-01", {**SONNET, **tokens, "token_type": "cache_creation.ephemeral_1h_input_tokens"}, "1.25", "1.25"),
        ("2026-11-02", {**SONNET, **tokens, "service_tier": "batch", "token_type": "output_tokens"}, "75", "75"),
        ("2026-11-02", {"cost_type": "web_search"}, "10", "10"),
    ]
    server.usage = [
        ("2026-11-01", {**SONNET}, {"input": 1_000_000, "write_1h": 2083, "requests": 7}),
        ("2026-11-02", {**SONNET, "service_tier": "batch"}, {"output": 100_000, "requests": 3}),
    ]
    return server


def test_anthropic_costs_are_fractional_cents_with_their_discount(model_server: ModelServer) -> None:
    """The amount after the discount is the bill, and the list amount stays beside it."""
    server = anthropic_server()
    bill = fetch("anthropic", model_server, server)
    assert bill.lines == [
        BillLine("2026-11-01", "claude-sonnet-4-5", "", "input", "tokens", 2_645_000_000, 3_000_000_000),
        BillLine("2026-11-01", "claude-sonnet-4-5", "", "cache write 1h", "tokens", 12_500_000, 12_500_000),
        BillLine("2026-11-02", "claude-sonnet-4-5", "batch", "output", "tokens", 750_000_000, 750_000_000),
        BillLine("2026-11-02", "", "", "web search", "tool", 100_000_000, 100_000_000),
    ]
    assert bill.usage == [
        UsageLine("2026-11-01", "claude-sonnet-4-5", "", 7, {"input": 1_000_000, "cache write 1h": 2083}),
        UsageLine("2026-11-02", "claude-sonnet-4-5", "batch", 3, {"output": 100_000}),
    ]
    assert {request.headers["anthropic-beta"] for request in server.requests} == {"analytics-usage-cost-2026-08-24"}
    assert sum("/analytics/cost" in request.path for request in server.requests) == 2  # two pages


def test_a_long_period_is_asked_for_in_parts(model_server: ModelServer) -> None:
    """One request may span 31 days."""
    server = anthropic_server()
    model_server.responder = server
    variables = {"ANTHROPIC_ADMIN_KEY": KEY}
    bill_source("anthropic").fetch(Ask(date(2026, 10, 1), date(2026, 12, 1), variables, model_server.url))
    starts = {request.path.partition("starting_at=")[2][:10] for request in server.requests}
    assert starts == {"2026-10-01", "2026-11-01"}


def test_the_older_reports_are_asked_where_there_is_nothing_newer(model_server: ModelServer) -> None:
    """They have no number of requests, which is said."""
    cost = {"day": "2026-11-01", "currency": "USD", "amount": "300.0", "cost_type": "tokens", **SONNET}
    server = AnthropicServer(
        older={
            "cost_report": [
                {**cost, "token_type": "uncached_input_tokens"},
                {**cost, "day": "2026-11-02", "amount": "10", "cost_type": "web_search", "model": None},
            ],
            "usage_report/messages": [
                {"day": "2026-11-01", **SONNET, "uncached_input_tokens": 1_000_000, "cache_creation": None}
            ],
        }
    )
    bill = fetch("anthropic", model_server, server)
    assert [(line.kind, line.nusd) for line in bill.lines] == [("input", 3_000_000_000), ("web search", 100_000_000)]
    assert bill.usage == [UsageLine("2026-11-01", "claude-sonnet-4-5", "", None, {"input": 1_000_000})]
    assert "count no requests" in bill.notes[0]


# --- What is wrong ---


@pytest.mark.parametrize(("provider", "make"), [("openai", openai_server), ("anthropic", anthropic_server)])
@pytest.mark.parametrize(
    ("status", "said"), [(401, "refused the key"), (403, "refused the key"), (429, "too many requests"), (500, "500")]
)
def test_what_a_provider_refuses_is_one_sentence_without_the_key(
    model_server: ModelServer, provider: str, make: Callable[[], Any], status: int, said: str
) -> None:
    """The answer to a wrong key quotes it: the sentence has nothing of the answer."""
    server = make()
    server.status = status
    with pytest.raises(BillError, match=said) as raised:
        fetch(provider, model_server, server)
    assert KEY not in str(raised.value)
    assert raised.value.__cause__ is None
    assert str(raised.value).endswith(".")


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_missing_key_is_said_with_its_name(provider: str) -> None:
    """Before anything is sent."""
    with pytest.raises(BillError, match=KEYS[provider]):
        bill_source(provider).fetch(Ask(SINCE, UNTIL, {KEYS[provider]: " "}))
    for key in ("sk-admin\n-key", "sk-admin -key", "sk-ädmin"):
        with pytest.raises(BillError, match=f"{KEYS[provider]} has a character that no key has") as raised:
            bill_source(provider).fetch(Ask(SINCE, UNTIL, {KEYS[provider]: key}))
        assert key not in str(raised.value)


@pytest.mark.parametrize(
    ("provider", "make", "currency"),
    [("openai", openai_server, "eur"), ("openai", openai_server, None), ("anthropic", anthropic_server, "EUR")],
)
def test_another_currency_is_refused(
    model_server: ModelServer, provider: str, make: Callable[[], Any], currency: str | None
) -> None:
    """No exchange rate is guessed."""
    server = make()
    server.currency = currency
    with pytest.raises(BillError, match="only US dollars"):
        fetch(provider, model_server, server)


def test_money_is_never_silently_nothing(model_server: ModelServer) -> None:
    """A line without an amount, and an amount that is no number."""
    server = openai_server()
    server.costs.append(("2026-11-04", f"{LUNA}, output", None, 5.0))
    with pytest.raises(BillError, match="has no amount"):
        fetch("openai", model_server, server)
    other = anthropic_server()
    other.costs.append(("2026-11-02", {**SONNET, "cost_type": "tokens"}, "a lot", "0"))
    with pytest.raises(BillError, match="no number"):
        fetch("anthropic", model_server, other)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ({"object": "page", "data": [], "has_more": True, "next_page": "again"}, "no end"),
        ({"object": "page", "data": [], "has_more": True, "next_page": None}, "does not say which"),
        ({"hello": "world"}, "no page of a list"),
        ([1, 2], "cannot be read|no page"),
    ],
)
def test_pages_that_lead_nowhere_are_said(model_server: ModelServer, page: Any, said: str) -> None:
    """And not asked for without end."""

    def answer(_request: object) -> Reply:
        return json_reply(page)

    with pytest.raises(BillError, match=said):
        fetch("openai", model_server, answer)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_an_address_without_a_server_is_said(model_server: ModelServer, provider: str) -> None:
    """Without a password that it has."""
    with pytest.raises(BillError, match="cannot be reached") as raised:
        fetch(provider, model_server, None, base_url="http://me:hidden@127.0.0.1:9/v1")
    assert "hidden" not in str(raised.value)


# --- OpenRouter ---


def activity(day: str = "2026-11-03", **more: Any) -> dict[str, Any]:
    """One item, with the fields of the SDK's own type (docs: client-sdks/python/components/activityitem)."""
    return {
        "date": day,
        "model": "openai/gpt-4.1",
        "model_permaslug": "openai/gpt-4.1-2025-04-14",
        "endpoint_id": "550e8400-e29b-41d4-a716-446655440000",
        "provider_name": "OpenAI",
        "usage": 0.015,
        "byok_usage_inference": 0.0,
        "requests": 5,
        "prompt_tokens": 50,
        "completion_tokens": 125,
        "reasoning_tokens": 25,
    } | more


def test_openrouter_has_one_amount_for_all_tokens(model_server: ModelServer) -> None:
    """With what was paid for keys of one's own, which is said."""
    seen: list[str] = []

    def answer(request: Any) -> Reply:
        seen.append(request.headers["authorization"])
        return json_reply(
            {"data": [activity(), activity("2026-11-04", byok_usage_inference=0.5), activity("2026-10-01")]}
        )

    bill = fetch("openrouter", model_server, answer)
    assert [(line.day, line.nusd, line.kind) for line in bill.lines] == [
        ("2026-11-03", 15_000_000, ""),
        ("2026-11-04", 515_000_000, ""),
    ]
    assert bill.usage[0] == UsageLine("2026-11-03", "openai/gpt-4.1-2025-04-14", "", 5, {"input": 50, "output": 125})
    assert bill.merged["cache read"] == "input"
    assert "$0.500000 of it was paid to other providers" in bill.notes[1]
    assert seen == [f"Bearer {KEY}"]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (json_reply({"error": KEY}, status=401), "refused the key"),
        (json_reply({"error": KEY}, status=429), "too many requests"),
        (json_reply({"error": KEY}, status=500), "500"),
        (json_reply({"hello": "world"}), "no list of activity"),
        (json_reply({"data": [activity(usage="a lot")]}), "no number"),
        (json_reply({"data": [activity(prompt_tokens="a lot")]}), "prompt_tokens .* are no number"),
        (json_reply({"data": [activity("yesterday")]}), "has no day"),
        (json_reply({"data": ["a line"]}), "has no day"),
        (Reply(body=b"<html>"), "cannot be read"),
    ],
)
def test_what_openrouter_refuses_is_one_sentence(model_server: ModelServer, reply: Reply, said: str) -> None:
    """Without the key."""
    with pytest.raises(BillError, match=said) as raised:
        fetch("openrouter", model_server, lambda _request: reply)
    assert KEY not in str(raised.value)
