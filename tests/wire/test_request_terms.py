"""What a request asks for that sets its price, if the provider serves it so: for the worst case before the call."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from otel_agentcost.core.call import Answer
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import open_book
from tests.wire.reading import ask, whole

GEMINI = "models/gemini-2.5-pro:generateContent"
PATHS = {
    "openai_chat": "/chat/completions",
    "openai_completions": "/completions",
    "openai_responses": "/responses",
    "anthropic_messages": "/v1/messages",
    "gemini": GEMINI,
}

AT = datetime(2026, 11, 20, tzinfo=timezone.utc).timestamp()
BOOK = open_book()
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "input_tokens": 1000, "output_tokens": 100}


def price(provider: str, model: str, terms: tuple[tuple[str, str], ...]) -> Any:
    usage = Usage(counts={"input_tokens": 1000, "output_tokens": 100})
    return BOOK.price(usage, provider=provider, base_url=None, models=(model,), at=AT, terms=terms)


def served_so(form: str, asked: Any) -> Answer:
    """The answer of a provider that serves a call just as it was asked."""
    if form == "gemini":
        used = {"promptTokenCount": 1000, "candidatesTokenCount": 100, "serviceTier": asked["serviceTier"].upper()}
        return whole(form, {"usageMetadata": used}, asked, GEMINI)
    if form == "anthropic_messages":
        return whole(form, {"usage": {**USAGE, **asked}}, asked)
    return whole(form, {"usage": USAGE, **asked}, asked, PATHS[form])


@pytest.mark.parametrize(
    ("form", "provider", "model", "asked"),
    [
        ("openai_chat", "openai", "gpt-4.1", {"service_tier": "priority"}),
        ("openai_chat", "openai", "gpt-5-mini", {"service_tier": "flex"}),
        ("openai_chat", "groq", "llama-3.3-70b-versatile", {"service_tier": "flex"}),
        ("openai_completions", "openai", "gpt-4.1", {"service_tier": "priority"}),
        ("openai_responses", "openai", "gpt-5-mini", {"service_tier": "priority"}),
        ("anthropic_messages", "anthropic", "claude-opus-4-8", {"speed": "fast"}),
        ("anthropic_messages", "anthropic", "claude-opus-4-8", {"inference_geo": "us"}),
        ("anthropic_messages", "anthropic", "claude-opus-4-8", {"speed": "fast", "inference_geo": "us"}),
        ("gemini", "gcp.gemini", "gemini-3.8-flash-tts", {"serviceTier": "flex"}),
        ("gemini", "gcp.gemini", "gemini-3.8-flash-tts", {"serviceTier": "priority"}),
    ],
)
def test_what_is_asked_for_is_priced_as_if_it_were_served(form: str, provider: str, model: str, asked: Any) -> None:
    """The terms have the very form that those of the answer have, and its price."""
    call, answer = ask(form, asked, PATHS[form]), served_so(form, asked)
    assert call.asked_terms == answer.terms
    assert call.asked_terms
    cost = price(provider, model, call.asked_terms)
    assert cost == price(provider, model, answer.terms)
    if provider != "groq":
        assert cost.usd != price(provider, model, ()).usd


@pytest.mark.parametrize(
    ("form", "asked"),
    [
        ("openai_chat", {}),
        ("openai_chat", {"service_tier": "auto"}),
        ("openai_chat", {"service_tier": "default"}),
        ("openai_chat", {"service_tier": "scale"}),
        ("openai_responses", {"service_tier": None}),
        ("openai_responses", {"service_tier": 3}),
        ("anthropic_messages", {"service_tier": "auto", "speed": "standard", "inference_geo": "global"}),
        ("anthropic_messages", {"speed": None, "inference_geo": ["us"]}),
        ("gemini", {"serviceTier": "standard"}),
        ("gemini", {"config": {"temperature": 1}}),
    ],
)
def test_what_is_asked_for_at_the_list_price_says_nothing(form: str, asked: Any) -> None:
    """Nor does capacity that was paid in advance, which has no price."""
    assert ask(form, asked, PATHS[form]).asked_terms == ()
