"""The recorded dollars come out again, however a call was priced; other prices stand on that."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from otel_agentcost.core import money
from otel_agentcost.core.cost import Cost
from otel_agentcost.insight import focus
from otel_agentcost.insight.recommendations import Seen
from otel_agentcost.insight.repricing import Basis, Repricing, usage_of
from tests.insight.recorded_calls import BEGAN, book
from tests.store.recorded import a_record, changed

COUNTS = {"input_tokens": 1_000, "cache_read_tokens": 500, "output_tokens": 100}
REGIONAL = "https://eu.api.openai.com/v1"
REPRICING = Repricing(book())


def cost(model: str, provider: str, counts: Mapping[Any, Any] = COUNTS, base_url: str | None = None) -> Cost:
    """The cost of a usage, by the book."""
    found = book().price(usage_of(counts), provider=provider, base_url=base_url, models=(model,), at=BEGAN)
    assert found.unpriced is None
    return found


def nano(*costs: Cost) -> int:
    """Billionths of a dollar."""
    whole = costs[0]
    for each in costs[1:]:
        whole += each
    assert whole.usd is not None
    return money.to_nano(whole.usd)


def test_the_name_in_the_request_sets_the_price_at_bedrock() -> None:
    """As `calls.pricing` has it: a regional profile is dearer than the model that served the call."""
    profile, model = "us.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5-20251001-v1:0"
    priced = cost(profile, "aws.bedrock")
    for price in (priced.price, ""):
        names: dict[str, Any] = {"provider": "aws.bedrock", "requested": profile, "served": model, "price": price or ""}
        call = a_record(at=BEGAN, nusd=nano(priced), counts=COUNTS, **names)
        assert REPRICING.basis(call) == Basis("aws.bedrock", (profile, model))


def test_a_price_key_says_what_the_names_do_not() -> None:
    """An address named the provider, and no address is kept."""
    priced = cost("gpt-4o", "openai")
    call = a_record(at=BEGAN, nusd=nano(priced), counts=COUNTS, requested="ours", served="ours", provider="my-proxy")
    assert not REPRICING.same(call)
    assert REPRICING.basis(changed(call, price="openai/gpt-4o")) == Basis("openai", ("gpt-4o",))


def test_the_uplift_of_an_address_comes_out() -> None:
    """Other counts have it, too; another model only if it has one there."""
    priced = cost("gpt-5.6-luna", "openai", base_url=REGIONAL)
    names: dict[str, Any] = {"provider": "openai", "requested": "gpt-5.6-luna", "price": "openai/gpt-5.6-luna"}
    call = a_record(at=BEGAN, nusd=nano(priced), counts=COUNTS, **names)
    seen = Seen(call, None, REPRICING)
    assert seen.basis == Basis("openai", (None, "gpt-5.6-luna"), Decimal("1.1"))
    fresh = {"input_tokens": 1_000, "output_tokens": 100}
    less = nano(priced) - nano(cost("gpt-5.6-luna", "openai", fresh, REGIONAL))
    assert seen.saved(fresh) == less > 0
    plain = nano(cost("gpt-4o-mini", "openai", base_url=REGIONAL))
    assert plain == nano(cost("gpt-4o-mini", "openai"))
    assert seen.saved(model=("openai", "gpt-4o-mini")) == nano(priced) - plain
    (first, *_) = focus.parts(call, REPRICING)
    assert first.meter.price == priced.input_usd / 1_000


def test_another_model_within_a_call_keeps_its_price_and_is_a_row_of_its_own() -> None:
    """In the bill, under its own name; the dollars of all rows are those of the call."""
    inner = {"input_tokens": 70, "output_tokens": 20}
    own, other = cost("claude-sonnet-4-5", "anthropic"), cost("claude-haiku-4-5", "anthropic", inner)
    names: dict[str, Any] = {"provider": "anthropic", "requested": "claude-sonnet-4-5", "price": own.price or ""}
    call = a_record(at=BEGAN, nusd=nano(own, other), counts=COUNTS, extra=[("claude-haiku-4-5", inner, {})], **names)
    basis = REPRICING.whole_basis(call)
    assert basis is not None
    cheaper = nano(cost("claude-haiku-4-5", "anthropic"), other)
    assert REPRICING.nusd(call, REPRICING.instead(basis, "claude-haiku-4-5")) == cheaper
    parts = list(focus.parts(call, REPRICING))
    assert [(part.names.requested, part.names.price, part.meter.kind, part.quantity) for part in parts] == [
        ("claude-sonnet-4-5", own.price, "input", 1_000),
        ("claude-sonnet-4-5", own.price, "output", 100),
        ("claude-sonnet-4-5", own.price, "cache read", 500),
        ("claude-haiku-4-5", other.price, "input", 70),
        ("claude-haiku-4-5", other.price, "output", 20),
    ]
    assert sum(part.billed for part in parts) == money.from_nano(nano(own, other))


@pytest.mark.parametrize(
    "more", [{"nusd": 5}, {"nusd": None}, {"source": "provider"}, {"unpriced": "a search has no price"}]
)
def test_other_dollars_have_no_basis(more: dict[str, Any]) -> None:
    """Nothing is saved, and the bill has the call in one piece."""
    call = a_record(at=BEGAN, nusd=nano(cost("gpt-4o", "openai")), counts=COUNTS, provider="openai", requested="gpt-4o")
    assert REPRICING.same(call)
    other = changed(call, **more)
    assert not REPRICING.same(other)
    assert Seen(other, None, REPRICING).saved({"input_tokens": 1}) == 0
    assert [part.meter.kind for part in focus.parts(other, REPRICING)] == ["calls"]
