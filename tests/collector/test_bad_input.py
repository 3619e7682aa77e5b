"""What nobody should send, and some do: the collector keeps running, and prices nothing wrongly."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.collector.pricing_collector import Pricing
from tests.collector.real_collector import SHAPES, needed

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1_000_000,
    "gen_ai.usage.output_tokens": 0,
}
USD = 2.5
"""What that call costs: $2.50 a million input tokens."""


@pytest.mark.parametrize(
    "tokens", ["abc", "", "1e6", " 12", "-5", -1, -0.5, 0.5, math.nan, math.inf, -math.inf, 1e300, 2**62, True, "1.5"]
)
def test_a_count_that_is_none_leaves_the_call_unpriced(pricing: Pricing, tokens: Any) -> None:
    """Negative, broken, not a number, larger than anything: no dollars, and the reason."""
    for name in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.cache_read.input_tokens"):
        (got,) = pricing.price([CALL | {name: tokens}])
        assert "agentcost.cost.usd" not in got
        assert got["agentcost.unpriced"] == "the span's token counts are malformed"
        assert got["agentcost.cost.basis"] == "unpriced"  # so it is counted as that, and its tokens are not


@pytest.mark.parametrize("tokens", ["1000000", 1_000_000.0, 1_000_000])
def test_a_count_is_a_count_however_it_is_written(pricing: Pricing, tokens: Any) -> None:
    """Some instrumentations write whole numbers as text or as 100.0; afterwards they are whole numbers."""
    (got,) = pricing.price([CALL | {"gen_ai.usage.input_tokens": tokens}])
    assert got["agentcost.cost.usd"] == pytest.approx(USD, abs=1e-12)
    assert got["gen_ai.usage.input_tokens"] == 1_000_000
    assert type(got["gen_ai.usage.input_tokens"]) is int


def test_no_usage_is_a_reason_and_a_failure_is_none(pricing: Pricing) -> None:
    """A call that came back without usage is unpriced; one that failed cost nothing that its span knows of."""
    bare = {key: value for key, value in CALL.items() if "usage" not in key}
    answered, failed = pricing.price([bare, bare | {"@error": True}])
    assert answered["agentcost.unpriced"] == "the span has no usage"
    assert "agentcost.unpriced" not in failed
    assert "agentcost.cost.usd" not in answered
    assert "agentcost.cost.usd" not in failed


def test_zeros_are_never_a_free_call(pricing: Pricing) -> None:
    """Servers that count nothing write zeros: unpriced, with a reason. A cost that the provider reports stays."""
    zeros = CALL | {"gen_ai.usage.input_tokens": 0}
    told = {"gen_ai.usage.cost.amount": 0.25, "gen_ai.usage.cost.source": "provider"}
    silent = {name: value for name, value in zeros.items() if "output" not in name}
    for call in (zeros, silent):
        (got,) = pricing.price([call])
        assert "agentcost.cost.usd" not in got
        assert "counts no tokens" in got["agentcost.unpriced"]
    reported, failed = pricing.price([zeros | told, zeros | {"@error": True}])
    assert reported["agentcost.cost.usd"] == 0.25
    assert "agentcost.unpriced" not in reported
    assert "agentcost.unpriced" not in failed


@pytest.mark.parametrize(
    "model",
    [
        "x" * 1_000_000,
        "a|b",
        "gpt-4o|",
        "\n",
        "gpt-4o\nx",
        "#own-0",
        "gpt-4o>1",
        "gpt-4o@flex",
        "gpt-4o<",
        "gpt-4o\t@batch",
        "",
        7,
        "ﷺ" * 99,
    ],
)
def test_a_name_that_is_none_has_no_price(pricing: Pricing, model: Any) -> None:
    """Names of a megabyte, and such as look like lines of our tables: unpriced, with a reason, and never 0."""
    (got,) = pricing.price([CALL | {"gen_ai.request.model": model}])
    assert "agentcost.cost.usd" not in got
    assert got["agentcost.unpriced"]


def test_unknown_models_are_marked(pricing: Pricing) -> None:
    """A model that the book does not know has a reason in the place of dollars."""
    (got,) = pricing.price([CALL | {"gen_ai.request.model": "gpt-99-turbo"}])
    assert got["agentcost.unpriced"] == "the price book has no price for the model"
    assert "agentcost.cost.usd" not in got


def test_what_an_application_knows_is_never_written_over(pricing: Pricing) -> None:
    """Dollars, or a reason for none, that came with the span stay; it is no span of this collector's."""
    ours, unpriced, upstream = pricing.price(
        [
            CALL | {"agentcost.cost.usd": 0.125},
            CALL | {"agentcost.unpriced": "because"},
            CALL | {"agentcost.cost.usd": 2.5, "agentcost.cost.basis": "collector"},
        ]
    )
    assert ours["agentcost.cost.usd"] == 0.125
    assert "agentcost.cost.basis" not in ours
    assert unpriced["agentcost.unpriced"] == "because"
    assert "agentcost.cost.usd" not in unpriced
    assert (upstream["agentcost.cost.usd"], upstream["agentcost.cost.basis"]) == (2.5, "upstream")


def test_a_providers_own_cost_is_kept(pricing: Pricing) -> None:
    """What the response itself said goes before any price list; in dollars only, and never another's estimate."""
    said = {
        "gen_ai.usage.cost.amount": 0.75,
        "gen_ai.usage.cost.currency": "USD",
        "gen_ai.usage.cost.source": "provider",
    }
    theirs, local, euros, negative = pricing.price(
        [
            CALL | said | {"gen_ai.request.model": "no-such-model"},
            CALL | said | {"gen_ai.usage.cost.source": "local"},
            CALL | said | {"gen_ai.usage.cost.currency": "EUR"},
            CALL | said | {"gen_ai.usage.cost.amount": -1.0},
        ]
    )
    assert theirs["agentcost.cost.usd"] == 0.75
    assert "agentcost.unpriced" not in theirs
    for other in (local, euros, negative):
        assert other["agentcost.cost.usd"] == pytest.approx(USD)
    assert local["gen_ai.usage.cost.amount"] == 0.75  # left as it was said


def test_a_cost_in_the_providers_own_usage_is_not_ignored(pricing: Pricing) -> None:
    """Logfire passes the usage object on: its cost counts at the hosts of the provider that reports it."""

    def call(host: str, usage: str) -> dict[str, Any]:
        return CALL | {"server.address": host, "gen_ai.usage.raw": usage}

    ticks = '{"prompt_tokens":1,"cost_in_usd_ticks":185874000}'
    right = pricing.price(
        [
            call("api.x.ai", ticks),
            call("us-east-1.api.x.ai", ticks),
            call("openrouter.ai", '{"cost": 0.0185874, "is_byok": false}'),
            call("api.perplexity.ai", '{"cost":{"total_cost":0.0185874}}'),
            call("api.deepinfra.com", '{"estimated_cost": 0.0185874}'),
        ]
    )
    for got in right:
        assert got["agentcost.cost.usd"] == pytest.approx(0.0185874)
        assert got["gen_ai.usage.cost.source"] == "provider"
    wrong = pricing.price(
        [
            call("api.openai.com", ticks),
            call("api.x.ai", '{"cost_in_usd_ticks":0}'),
            call("api.x.ai", '{"cost_in_usd_ticks":-5}'),
            call("api.x.ai", '{"cost_in_usd_ticks":1e30}'),
            call("api.x.ai", '{"cost_in_usd_ticks":"many"}'),
            call("openrouter.ai", '{"cost": 0.001, "is_byok": true}'),
            call("openrouter.ai", '{"cost": 0.001'),
        ]
    )
    for got in wrong:
        assert got.get("agentcost.cost.usd", USD) == pytest.approx(USD)
        assert "gen_ai.usage.cost.source" not in got


def test_a_reported_cost_of_zero_is_not_believed(pricing: Pricing) -> None:
    """Tokens that have a price were billed."""
    said = {"gen_ai.usage.cost.amount": 0.0, "gen_ai.usage.cost.source": "provider"}
    (got,) = pricing.price([CALL | said])
    assert got["agentcost.cost.usd"] == pytest.approx(USD)


def test_tools_in_the_providers_own_usage_are_not_passed_over(pricing: Pricing) -> None:
    """A span has no prices of tools: what is not known to be free is named beside the dollars of the tokens."""
    named, free, none = pricing.price(
        [
            CALL | {"gen_ai.usage.raw": '{"server_tool_use":{"web_fetch_requests":1,"web_search_requests":2}}'},
            CALL | {"gen_ai.usage.raw": '{"server_tool_use":{"web_fetch_requests":12,"web_search_requests":0}}'},
            CALL | {"gen_ai.usage.raw": '{"server_tool_use":null,"output_tokens":7}'},
        ]
    )
    assert named["agentcost.unpriced"] == "the price of the tools in server_tool_use is not known"
    for got in (named, free, none):
        assert got["agentcost.cost.usd"] == pytest.approx(USD)
    assert "agentcost.unpriced" not in free
    assert "agentcost.unpriced" not in none


def test_agents_and_tools_are_no_calls(pricing: Pricing) -> None:
    """Spans that stand for many calls carry their sums: they are never priced, so nothing counts twice."""
    operations = ("invoke_agent", "invoke_workflow", "create_agent", "execute_tool", "something", "")
    for got in pricing.price([CALL | {"gen_ai.operation.name": operation} for operation in operations]):
        assert not {key for key in got if key.startswith("agentcost.")}


def test_a_call_that_the_application_watches_is_left_to_it(pricing: Pricing) -> None:
    """Beside our package other instrumentations' spans of the same call are left over: they cost nothing more."""
    (got,) = pricing.price([CALL | {"agentcost.watched": True}])
    assert {key for key in got if key.startswith("agentcost.")} == {"agentcost.watched"}


SCOPES = ("openinference.instrumentation.langchain", "pydantic-ai", "opentelemetry.instrumentation.crewai")
REPORTED = {"gen_ai.usage.cost.amount": 1.0, "gen_ai.usage.cost.source": "provider"}


@pytest.mark.parametrize("scope", SCOPES)
def test_frameworks_are_not_priced(pricing: Pricing, scope: str) -> None:
    """A framework's span beside the SDK's own would be the same dollars twice: it is neither priced nor counted."""
    for got in pricing.price([CALL, CALL | REPORTED], scope=scope):
        assert "AGENTCOST_PRICED_FRAMEWORKS" in got["agentcost.unpriced"]
        assert "agentcost.cost.usd" not in got
        assert got["agentcost.cost.basis"] == "unpriced"


def test_scopes_can_be_left_alone(tmp_path: Path) -> None:
    """Where two instrumentations see the same calls, one of them is named; an empty variable names none."""
    needed()
    for ignored, left in (("[.]openai", True), ("", False)):
        folder = tmp_path / f"ignored{ignored.strip('[.]')}"
        folder.mkdir()
        environment = {"AGENTCOST_IGNORED_SCOPES": ignored, "AGENTCOST_PRICED_FRAMEWORKS": ""}
        running = Pricing(folder, SHAPES / "pricing.yaml", **environment)
        try:
            (openai,) = running.price([CALL], scope="opentelemetry.instrumentation.openai.v1")
            assert ("agentcost.cost.usd" not in openai) is left
            (framework,) = running.price([CALL], scope=SCOPES[0])
            assert "agentcost.cost.usd" not in framework
        finally:
            running.collector.stop()


@pytest.mark.parametrize(
    ("provider", "model"),
    [("ollama", "deepseek/deepseek-r1"), ("vllm", "openai/gpt-oss-20b"), ("LM Studio", "google/gemini-2.5-pro")],
)
def test_ones_own_machine_sells_nothing(pricing: Pricing, provider: str, model: str) -> None:
    """What runs at home is named after its maker, and costs none of his prices."""
    (got,) = pricing.price([CALL | {"gen_ai.provider.name": provider, "gen_ai.request.model": model}])
    assert "agentcost.cost.usd" not in got


def test_pictures_cost_more_than_their_span_says(pricing: Pricing) -> None:
    """Where pictures have a price of their own and the span does not tell them apart, the dollars are a lower bound."""
    model = {"gen_ai.provider.name": "gcp.gemini", "gen_ai.request.model": "gemini-2.5-flash-image"}
    (got,) = pricing.price([CALL | model | {"gen_ai.usage.output_tokens": 1290}])
    assert got["agentcost.cost.usd"] > 0
    assert "pictures" in got["agentcost.unpriced"]


def test_the_ai_sdk_before_its_sixth_leaves_out_cached_tokens_of_anthropic(pricing: Pricing) -> None:
    """It passes on what the provider counts, which for Anthropic is without the cached ones."""
    claude = {
        "gen_ai.system": "anthropic.messages",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.usage.input_tokens": 100_000,
    }
    five = {
        "ai.operationId": "ai.streamText.doStream",
        "ai.usage.cachedInputTokens": 50_000,
        "gen_ai.usage.output_tokens": 0,
    }
    six = {"ai.usage.inputTokenDetails.cacheReadTokens": 50_000}
    earlier, later = pricing.price([claude | five, claude | five | six], scope="ai")
    assert earlier["agentcost.cost.usd"] == pytest.approx(0.1 * 3 + 0.05 * 0.3)
    assert later["agentcost.cost.usd"] == pytest.approx(0.05 * 3 + 0.05 * 0.3)


def test_frameworks_are_priced_where_it_is_asked_for(tmp_path: Path) -> None:
    """Where nothing else makes spans of the calls, frameworks' spans have the dollars."""
    needed()
    running = Pricing(tmp_path, SHAPES / "pricing.yaml", AGENTCOST_PRICED_FRAMEWORKS="langchain|crewai")
    try:
        costs = {scope: running.price([CALL], scope=scope)[0].get("agentcost.cost.usd") for scope in SCOPES}
        assert costs == {SCOPES[0]: pytest.approx(USD), SCOPES[1]: None, SCOPES[2]: pytest.approx(USD)}
    finally:
        running.collector.stop()


def test_cached_tokens_outside_of_the_input_are_told_apart(pricing: Pricing) -> None:
    """The conventions' input contains the cached tokens. Where it is less than these it cannot; afterwards it does."""
    cached = {"gen_ai.usage.cache_read.input_tokens": 600_000}
    inclusive, exclusive = pricing.price([CALL | cached, CALL | cached | {"gen_ai.usage.input_tokens": 400_000}])
    for got in (inclusive, exclusive):
        assert got["gen_ai.usage.input_tokens"] == 1_000_000
        assert got["agentcost.cost.usd"] == pytest.approx(0.4 * 2.5 + 0.6 * 1.25)
        assert got["agentcost.cost.cache_savings_usd"] == pytest.approx(0.6 * 1.25)


def test_nothing_of_the_working_is_left(pricing: Pricing) -> None:
    """No scratch value, no empty attribute is left on a span, priced or not."""
    spans: list[dict[str, Any]] = [
        CALL,
        CALL | {"gen_ai.request.model": "x/y"},
        CALL | {"gen_ai.usage.input_tokens": "no"},
    ]
    for got in pricing.price(spans):
        assert not {key for key, value in got.items() if value is None or key.startswith("agentcost.tmp")}


@pytest.mark.parametrize("amount", [math.inf, math.nan, 1e300, -1.0, "0.5"])
def test_a_cost_that_cannot_be_is_not_taken_over(pricing: Pricing, amount: Any) -> None:
    """One infinite amount would make every sum infinite, for ever: the price list goes before it."""
    (got,) = pricing.price([CALL | {"gen_ai.usage.cost.amount": amount, "gen_ai.usage.cost.source": "provider"}])
    assert got["agentcost.cost.usd"] == pytest.approx(USD)


def test_nobody_can_ask_for_another_pass(pricing: Pricing) -> None:
    """The attribute by which a span gets a second look counts for nothing when it comes from outside."""
    again = {"agentcost.tmp.again": "openai|gpt-4o-mini"}
    theirs, call, none = pricing.price(
        [CALL | again | {"agentcost.cost.usd": 0.5}, CALL | again, again | {"gen_ai.usage.input_tokens": 1_000}]
    )
    assert theirs["agentcost.cost.usd"] == 0.5
    assert call["agentcost.cost.usd"] == pytest.approx(USD)
    assert "agentcost.cost.usd" not in none


def test_how_long_cache_writes_live_is_believed(pricing: Pricing) -> None:
    """Anthropic's own spans say it, and an hour costs more; where nothing says it, the cheaper is counted, and said."""
    claude = CALL | {
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.usage.cache_write.input_tokens": 1_000_000,
    }
    hour = "anthropic.usage.cache_creation.ephemeral_1h_input_tokens"
    unsaid, half, whole, wrong = pricing.price(
        [claude, claude | {hour: 500_000}, claude | {hour: 1_000_000}, claude | {hour: 2_000_000}]
    )
    costs = [got["agentcost.cost.usd"] for got in (unsaid, half, whole, wrong)]
    assert costs == pytest.approx([7.5, 0.5 * 7.5 + 0.5 * 12, 12, 7.5])
    assert "how long" in unsaid["agentcost.unpriced"]
    assert "agentcost.unpriced" not in half


def test_a_providers_own_usage_is_read_where_nothing_else_tells(pricing: Pricing) -> None:
    """Logfire puts cached counts down in the provider's own usage alone, as JSON."""
    raw = (
        '{"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 600000}}',
        '{"input_tokens_details": {"cached_tokens": 600000}}',
        '{"cache_read_input_tokens": 600000, "cache_creation": {"ephemeral_1h_input_tokens": 0}}',
        '{"prompt_tokens_details": {"cached_tokens": null}}',
        '{"prompt_tokens_details": null, "cached_tokens": []}',
        '{"cached_tokens',
        "[]",
    )
    got = [one["agentcost.cost.usd"] for one in pricing.price([CALL | {"gen_ai.usage.raw": one} for one in raw])]
    assert got == pytest.approx([0.4 * 2.5 + 0.6 * 1.25] * 3 + [USD] * 4)
    (cut,) = pricing.price([CALL | {"gen_ai.usage.raw": '{"prompt_tokens_details": {"cached_tokens": 600000, "au'}])
    assert "agentcost.cost.usd" not in cut
    assert "cut off" in cut["agentcost.unpriced"]


def test_the_collector_says_nothing_of_all_that(pricing: Pricing) -> None:
    """Bad spans are no reason to fill a log."""
    pricing.price([CALL])
    said = pricing.collector.said()
    assert "warn" not in said
    assert "error" not in said
