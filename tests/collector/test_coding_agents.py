"""What coding agents send, through a real collector with the real prices: each call once, with the right dollars."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from grafana.boards import queries
from grafana.preview.board import TimeRange, interpolate
from otel_agentcost.core import semconv
from otel_agentcost.telemetry import signals
from tests.collector.agent_telemetry import (
    CUMULATIVE,
    DELTA,
    counter,
    histogram,
    logs,
    metrics,
    process_starts,
)
from tests.collector.real_collector import Setup, running, span, trace_id
from tests.support import prometheus
from tools.collector import send

FILES = ("pricing.yaml", "metrics.yaml", "agent.yaml", "coding-agents.yaml", "backends/prometheus-scrape.yaml")
COST, TOKENS, UNPRICED = "agentcost_cost_total", "agentcost_tokens_total", "agentcost_unpriced_calls_total"
CALLS, DURATION = "gen_ai_client_operation_cost_count", "gen_ai_client_operation_duration_seconds"
CLAUDE_EVENTS = "com.anthropic.claude_code.events"


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """A collector as it is by default: events are counted, and Copilot's spans. Each test is a user of its own."""
    with running(tmp_path_factory.mktemp("agents"), FILES) as setup:
        yield setup


@pytest.fixture(scope="module")
def by_metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """A collector that counts the metrics of all agents."""
    names = "claude-code|codex|gemini-cli|copilot|opencode"
    with running(tmp_path_factory.mktemp("by-metrics"), FILES, AGENTCOST_AGENTS_BY_METRICS=names) as setup:
        process_starts()
        yield setup


def claude(user: str, **more: Any) -> dict[str, Any]:
    """An event of Claude Code for one request."""
    return {
        "@body": "claude_code.api_request", "event.name": "api_request", "event.sequence": 3, "session.id": "s1",
        "user.id": "device", "user.email": user, "model": "claude-sonnet-4-5-20250929", "cost_usd": 0.0421875,
        "duration_ms": 2500, "input_tokens": 1200, "output_tokens": 800, "cache_read_tokens": 50_000,
        "cache_creation_tokens": 3000, "query_source": "main", **more,
    }  # fmt: skip


def codex(user: str, **more: Any) -> dict[str, Any]:
    """The event of Codex with the usage of one response. Its logger sets only the time of observation."""
    return {
        "@at": 0, "event.name": "codex.sse_event", "event.kind": "response.completed", "conversation.id": "c1",
        "user.account_id": "acc", "user.email": user, "model": "gpt-5-codex", "slug": "gpt-5-codex",
        "input_token_count": 100_000, "output_token_count": 5000, "cached_token_count": 60_000,
        "reasoning_token_count": 2000, "tool_token_count": 105_000, **more,
    }  # fmt: skip


def gemini(user: str, **more: Any) -> dict[str, Any]:
    """An event of Gemini CLI for one response."""
    return {
        "@body": "API response from gemini-2.5-pro. Status: 200. Duration: 2311ms.",
        "event.name": "gemini_cli.api_response", "session.id": "g1", "installation.id": "i1", "user.email": user,
        "model": "gemini-2.5-pro", "duration_ms": 2311, "input_token_count": 12_000, "output_token_count": 350,
        "cached_content_token_count": 8000, "thoughts_token_count": 420, "tool_token_count": 600,
        "total_token_count": 13_370, "status_code": 200, **more,
    }  # fmt: skip


def opencode(user: str, **more: Any) -> dict[str, Any]:
    """An event of opencode's plug-in for one assistant message."""
    return {
        "@body": "api_request", "event.name": "api_request", "session.id": "o1", "user.email": user,
        "model": "claude-sonnet-4-5", "provider": "anthropic", "gen_ai.provider.name": "anthropic",
        "cost_usd": 0.0123, "duration_ms": 1000, "input_tokens": 1000, "output_tokens": 400, "reasoning_tokens": 100,
        "cache_read_tokens": 0, "cache_creation_tokens": 0, **more,
    }  # fmt: skip


def kinds(setup: Setup, user: str) -> dict[str, float]:
    """The counted tokens of a user, by kind."""
    found = {
        kind: setup.total(TOKENS, user_id=user, gen_ai_token_type=kind)
        for kind in ("input", "cache_read", "cache_write", "output", "reasoning")
    }
    return {kind: number for kind, number in found.items() if number}


def test_dollars_of_claude_code_are_not_computed_again(agents: Setup) -> None:
    """Its own dollars count, and its disjoint tokens, under its name, model and user."""
    send(agents.otlp, logs("claude-code", CLAUDE_EVENTS, [claude("dollars")]), "logs")
    assert agents.until(COST, 0.0421875, user_id="dollars") == 0.0421875
    model = agents.total(COST, user_id="dollars", gen_ai_request_model="claude-sonnet-4-5-20250929")
    agent = agents.total(COST, user_id="dollars", gen_ai_agent_name="claude-code", gen_ai_provider_name="anthropic")
    assert model == agent == agents.total(COST, user_id="dollars", service_name="claude-code") == 0.0421875
    assert kinds(agents, "dollars") == {"input": 1200, "cache_read": 50_000, "cache_write": 3000, "output": 800}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("body", {"event.name": "other-name"}),
        ("field", {"@body": "", "@event": "claude_code.api_request", "event.name": ""}),
        ("strings", {"cost_usd": "0.0421875", "input_tokens": "1200", "duration_ms": "2500"}),
    ],
)
def test_no_form_of_claude_codes_event_is_missed(agents: Setup, name: str, said: dict[str, Any]) -> None:
    """Older versions send numbers as text; newer ones have the event's name in a field. The service may be renamed."""
    send(agents.otlp, logs("my-team", CLAUDE_EVENTS, [claude(f"form-{name}", **said)]), "logs")
    assert agents.until(COST, 0.0421875, user_id=f"form-{name}") == 0.0421875
    assert kinds(agents, f"form-{name}")["input"] == 1200


def test_an_agent_that_sends_metrics_and_events_is_not_counted_twice(agents: Setup) -> None:
    """The events count. The agent's own metrics go on to the backends as they are."""
    cost = counter("claude_code.cost.usage", DELTA, [(0.0421875, {"model": "m", "user.email": "both"})])
    tokens = counter("claude_code.token.usage", DELTA, [(1200, {"type": "input", "model": "m", "user.email": "both"})])
    send(agents.otlp, metrics("claude-code", "com.anthropic.claude_code", cost, tokens), "metrics")
    send(agents.otlp, logs("claude-code", CLAUDE_EVENTS, [claude("both")]), "logs")
    assert agents.until("claude_code_cost_usage_total", 0.0421875, user_email="both") == 0.0421875
    assert agents.until(COST, 0.0421875, user_id="both") == 0.0421875
    time.sleep(1)
    assert agents.total(COST, user_id="both") == 0.0421875
    assert kinds(agents, "both")["input"] == 1200


def test_codex_is_not_left_without_dollars(agents: Setup) -> None:
    """From the price book: 40,000 x $1.25 + 60,000 x $0.125 + 5,000 x $10 a million = $0.1075."""
    plain = {"event.name": "codex.sse_event", "event.kind": "response.completed", "duration_ms": "12", "model": "gpt-5"}
    other = {"event.name": "codex.sse_event", "event.kind": "response.output_item.done", "model": "gpt-5-codex"}
    send(agents.otlp, logs("codex_cli_rs", "codex_otel", [plain, other, codex("codex-user")]), "logs")
    assert agents.until(COST, 0.1075, user_id="codex-user") == pytest.approx(0.1075, abs=1e-9)
    assert kinds(agents, "codex-user") == {"input": 40_000, "cache_read": 60_000, "output": 3000, "reasoning": 2000}
    assert agents.total(COST, gen_ai_agent_name="codex", user_id="codex-user", gen_ai_provider_name="openai") > 0
    assert agents.total(UNPRICED, service_name="codex_cli_rs") == 0


def test_thoughts_and_tool_prompts_of_gemini_are_not_left_out(agents: Setup) -> None:
    """4,600 x $1.25 + 8,000 x $0.125 + 770 x $10 a million = $0.01445. The same call's second event adds nothing."""
    twin = {
        "event.name": "gen_ai.client.inference.operation.details", "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "gcp.vertex_ai", "gen_ai.request.model": "gemini-2.5-pro", "user.email": "gemini-user",
        "gen_ai.usage.input_tokens": 12_000, "gen_ai.usage.output_tokens": 350,
    }  # fmt: skip
    said = {"gen_ai.token.type": "input", "gen_ai.request.model": "gemini-2.5-pro"}
    copy = histogram("gen_ai.client.token.usage", CUMULATIVE, [(1, 12_000, said)])
    mine = counter("gemini_cli.token.usage", CUMULATIVE, [(12_000, {"type": "input", "model": "gemini-2.5-pro"})])
    send(agents.otlp, metrics("gemini-cli", "gemini-cli", copy, mine), "metrics")
    send(agents.otlp, logs("gemini-cli", "gemini-cli", [gemini("gemini-user"), twin]), "logs")
    assert agents.until(COST, 0.01445, user_id="gemini-user") == pytest.approx(0.01445, abs=1e-9)
    assert kinds(agents, "gemini-user") == {"input": 4600, "cache_read": 8000, "output": 350, "reasoning": 420}
    assert agents.until("gemini_cli_token_usage_total", 12_000) == 12_000
    usage = "gen_ai_client_token_usage_sum"
    assert agents.total(usage, service_name="gemini-cli", gen_ai_token_type="input") == 12_600
    assert agents.total(CALLS, service_name="gemini-cli") == 1
    assert agents.total(f"{DURATION}_sum", service_name="gemini-cli") == pytest.approx(2.311)


def test_a_long_prompt_is_not_priced_as_a_short_one(agents: Setup) -> None:
    """Above 200,000 tokens, gemini-2.5-pro costs $2.50 and $15 a million: 300,000 and 1,000 are $0.765."""
    said = {"input_token_count": 300_000, "output_token_count": 1000, "cached_content_token_count": 0}
    long = gemini("long-prompt", **said, thoughts_token_count=0, tool_token_count=0)
    send(agents.otlp, logs("gemini-cli", "gemini-cli", [long]), "logs")
    assert agents.until(COST, 0.765, user_id="long-prompt") == pytest.approx(0.765, abs=1e-9)


def test_opencode_is_not_counted_by_its_spans_too(agents: Setup) -> None:
    """Its plug-in sends an event, metrics and an OpenInference span of each message. The event's dollars count."""
    llm = {
        "openinference.span.kind": "LLM", "llm.model_name": "claude-sonnet-4-5", "llm.provider": "anthropic",
        "llm.token_count.prompt": 1000, "llm.token_count.completion": 400, "cost_usd": 0.0123, "user.id": "oc",
    }  # fmt: skip
    agents.send(span(trace_id(), llm), service="opencode", scope="com.opencode")
    send(agents.otlp, logs("opencode", "com.opencode", [opencode("oc")]), "logs")
    assert agents.until(COST, 0.0123, user_id="oc") == 0.0123
    time.sleep(1)
    assert agents.total(COST, user_id="oc", gen_ai_agent_name="opencode") == agents.total(COST, user_id="oc") == 0.0123
    assert kinds(agents, "oc") == {"input": 1000, "output": 400, "reasoning": 100}


def test_zero_dollars_of_opencode_are_not_believed(agents: Setup) -> None:
    """It says 0 for a subscription and for models without a price: 1,000 x $3 + 500 x $15 a million = $0.0105."""
    send(agents.otlp, logs("opencode", "com.opencode", [opencode("oc-free", cost_usd=0)]), "logs")
    assert agents.until(COST, 0.0105, user_id="oc-free") == pytest.approx(0.0105, abs=1e-9)
    unknown = opencode("oc-unknown", cost_usd=0, model="big-pickle", provider="opencode")
    send(agents.otlp, logs("opencode", "com.opencode", [unknown | {"gen_ai.provider.name": "opencode"}]), "logs")
    assert agents.until(UNPRICED, 1, gen_ai_request_model="big-pickle") == 1
    assert agents.total(COST, user_id="oc-unknown") == 0


def test_copilot_costs_what_github_bills(agents: Setup) -> None:
    """4.2 credits of a cent each, on the span of the call. The agent's span has the sum, which adds nothing."""
    trace = trace_id()
    said = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "github", "gen_ai.request.model": "claude-sonnet-5",
        "gen_ai.usage.input_tokens": 20_000, "gen_ai.usage.cache_read.input_tokens": 15_000,
        "gen_ai.usage.output_tokens": 700, "user.id": "copilot-user", "github.copilot.cost": 1.0,
    }  # fmt: skip
    root = span(trace, {**said, "gen_ai.operation.name": "invoke_agent", "github.copilot.nano_aiu": 4_200_000_000})
    call = span(trace, {**said, "github.copilot.nano_aiu": 4_200_000_000}, parent=root["spanId"])
    priced = {**said, "gen_ai.request.model": "gpt-5.4", "user.id": "copilot-book"}
    agents.send(
        call, root, span(trace, priced, parent=root["spanId"]), service="github-copilot", scope="github.copilot"
    )
    labels = {"gen_ai.token.type": "input", "gen_ai.request.model": "claude-sonnet-5"}
    copy = histogram("gen_ai.client.token.usage", DELTA, [(2, 40_000, labels)])
    send(agents.otlp, metrics("github-copilot", "github.copilot", copy), "metrics")
    assert agents.until(COST, 0.042, user_id="copilot-user") == pytest.approx(0.042, abs=1e-12)
    assert agents.total(COST, user_id="copilot-user", gen_ai_agent_name="copilot") == pytest.approx(0.042, abs=1e-12)
    # Without credits, the price book's list of GitHub: 5,000 x $2.50 + 15,000 x $0.25 + 700 x $15 a million.
    assert agents.until(COST, 0.02675, user_id="copilot-book") == pytest.approx(0.02675, abs=1e-9)
    time.sleep(1)
    usage = "gen_ai_client_token_usage_sum"
    assert agents.total(usage, service_name="github-copilot", gen_ai_token_type="input") == 40_000


@pytest.mark.parametrize(
    ("name", "said", "reason"),
    [
        ("negative", {"input_token_count": -5}, "the event's token counts are malformed"),
        ("fraction", {"output_token_count": 0.5}, "the event's token counts are malformed"),
        ("text", {"cached_token_count": "many"}, "the event's token counts are malformed"),
        ("flag", {"reasoning_token_count": True}, "the event's token counts are malformed"),
        ("huge", {"input_token_count": 2**62}, "the event's token counts are malformed"),
        ("zeros", {"input_token_count": 0, "output_token_count": 0, "cached_token_count": 0},
         "the event counts no tokens, neither of the input nor of the output"),
        ("model", {"model": "gpt-never"}, "the price book has no price for the model"),
        ("no-model", {"model": 7}, "the price book has no price for the model"),
    ],
)  # fmt: skip
def test_a_bad_event_is_never_a_wrong_dollar(agents: Setup, name: str, said: dict[str, Any], reason: str) -> None:
    """It is counted as a call without a price, with the reason, and the next event is priced."""
    model = said.get("model", f"gpt-5-codex-{name}")
    before = agents.total(UNPRICED, agentcost_unpriced_reason=reason)
    bad = codex(f"bad-{name}", **{**said, "model": model})
    send(agents.otlp, logs("codex_exec", "codex_otel", [bad, codex(f"good-{name}")]), "logs")
    assert agents.until(UNPRICED, before + 1, agentcost_unpriced_reason=reason) == before + 1
    assert agents.until(COST, 0.1075, user_id=f"good-{name}") == pytest.approx(0.1075, abs=1e-9)
    assert agents.total(COST, user_id=f"bad-{name}") == 0


@pytest.mark.parametrize("cost", [-1.0, "free", "", "1e9", 5_000_000.0, True])
def test_bad_dollars_are_not_believed(agents: Setup, cost: Any) -> None:
    """1,200 x $3 + 50,000 x $0.30 + 3,000 x $3.75 + 800 x $15 a million = $0.04185, from the price book."""
    user = f"cost-{cost}"
    send(agents.otlp, logs("claude-code", CLAUDE_EVENTS, [claude(user, cost_usd=cost)]), "logs")
    assert agents.until(COST, 0.04185, user_id=user) == pytest.approx(0.04185, abs=1e-9)


def test_logs_of_other_services_are_not_model_calls(agents: Setup) -> None:
    """An application may log an `api_request` with a cost, or GenAI attributes; a record may have nothing at all."""
    theirs = {"event.name": "api_request", "cost_usd": 3.0, "input_tokens": 5, "model": "gpt-5", "user.email": "theirs"}
    genai = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-5", "gen_ai.usage.input_tokens": 9_000_000}
    send(agents.otlp, logs("shop", "shop.api", [theirs, {**genai, "user.id": "theirs"}, {}]), "logs")
    send(agents.otlp, logs("", "", [{"@body": "hello"}]), "logs")
    send(agents.otlp, logs("claude-code", CLAUDE_EVENTS, [claude("after-theirs")]), "logs")
    assert agents.until(COST, 0.0421875, user_id="after-theirs") == 0.0421875
    assert agents.total(COST, user_id="theirs") == agents.total(UNPRICED, service_name="shop") == 0


def test_spans_of_applications_are_priced_as_before(agents: Setup) -> None:
    """An application whose service has the name of no agent: its call costs what it did, and so do its metrics."""
    call = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5",
        "gen_ai.usage.input_tokens": 100_000, "gen_ai.usage.output_tokens": 0, "user.id": "application",
    }  # fmt: skip
    agents.send(span(trace_id(), call), service="codex-reviews")
    assert agents.until(COST, 0.125, user_id="application") == pytest.approx(0.125, abs=1e-9)


def test_metrics_count_where_they_are_chosen_and_events_do_not(by_metrics: Setup) -> None:
    """Claude Code sends deltas, of two sessions at once; opencode sends running sums, twice."""
    who = {"user.email": "m-claude", "model": "claude-sonnet-4-5"}
    points = [(0.25, {**who, "session.id": "a"}), (0.5, {**who, "session.id": "b"})]
    tokens = [
        (float(n), {**who, "type": t})
        for n, t in ((10, "input"), (20, "output"), (30, "cacheRead"), (40, "cacheCreation"))
    ]
    made = counter("claude_code.cost.usage", DELTA, points), counter("claude_code.token.usage", DELTA, tokens)
    send(by_metrics.otlp, metrics("claude-code", "com.anthropic.claude_code", *made), "metrics")
    send(by_metrics.otlp, logs("claude-code", CLAUDE_EVENTS, [claude("m-claude")]), "logs")
    for usd in (0.125, 0.375):
        whose = {"user.email": "m-opencode", "model": "gpt-5", "session.id": "a"}
        running_sum = counter("opencode.cost.usage", CUMULATIVE, [(usd, whose)])
        send(by_metrics.otlp, metrics("opencode", "com.opencode", running_sum), "metrics")
    assert by_metrics.until(COST, 0.75, user_id="m-claude") == 0.75
    assert kinds(by_metrics, "m-claude") == {"input": 10, "output": 20, "cache_read": 30, "cache_write": 40}
    assert by_metrics.until(COST, 0.375, user_id="m-opencode") == 0.375
    time.sleep(1)
    assert by_metrics.total(COST, user_id="m-claude", gen_ai_agent_name="claude-code") == 0.75


def test_tokens_that_agents_count_twice_are_counted_once(by_metrics: Setup) -> None:
    """Codex's and Gemini CLI's input contains cached tokens. Without dollars, their calls are unpriced, not free."""
    who = {"model": "gpt-5-codex", "user.email": "m-codex"}
    counts = (("input", 100.0), ("cached_input", 60.0), ("output", 50.0), ("reasoning_output", 20.0), ("total", 150.0))
    made = histogram("codex.turn.token_usage", DELTA, [(2, total, {**who, "token_type": t}) for t, total in counts])
    send(by_metrics.otlp, metrics("codex_exec", "codex", made), "metrics")
    assert by_metrics.until(TOKENS, 150, user_id="m-codex") == 150
    assert kinds(by_metrics, "m-codex") == {"input": 40, "cache_read": 60, "output": 30, "reasoning": 20}
    reason = "the agent's metrics have no dollars; its events can be priced"
    assert by_metrics.until(UNPRICED, 2, gen_ai_request_model="gpt-5-codex", agentcost_unpriced_reason=reason) == 2
    who = {"model": "gemini-2.5-pro", "user.email": "m-gemini", "session.id": "g"}
    for factor in (1, 2, 2, 2):  # an idle process goes on sending its sums
        counts = (("input", 100), ("cache", 70), ("output", 30), ("thought", 5), ("tool", 8))
        made = counter("gemini_cli.token.usage", CUMULATIVE, [(n * factor, {**who, "type": t}) for t, n in counts])
        send(by_metrics.otlp, metrics("gemini-cli", "gemini-cli", made), "metrics")
    assert by_metrics.until(TOKENS, 286, user_id="m-gemini") == 286
    assert kinds(by_metrics, "m-gemini") == {"input": 76, "cache_read": 140, "output": 60, "reasoning": 10}
    time.sleep(1)
    assert by_metrics.total(UNPRICED, gen_ai_request_model="gemini-2.5-pro") == 2


def test_copilots_own_metrics_are_kept_where_its_spans_are_not_counted(by_metrics: Setup) -> None:
    """Its token metric has the name and the labels of the conventions already. It has no dollars."""
    said = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "github", "gen_ai.request.model": "gpt-5.4",
        "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 10, "github.copilot.nano_aiu": 1_000_000_000,
    }  # fmt: skip
    by_metrics.send(span(trace_id(), said), service="github-copilot")
    labels = {"gen_ai.token.type": "input", "gen_ai.request.model": "gpt-5.4"}
    own = histogram("gen_ai.client.token.usage", DELTA, [(1, 1000, labels)])
    send(by_metrics.otlp, metrics("github-copilot", "github.copilot", own), "metrics")
    assert by_metrics.until("gen_ai_client_token_usage_sum", 1000, service_name="github-copilot") == 1000
    time.sleep(1)
    assert by_metrics.total(COST, service_name="github-copilot") == 0


def test_boards_show_coding_agents(agents: Setup, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The overview's own queries: the dollars of one agent, and its number of calls, as Prometheus answers them."""
    prometheus.needed()
    folder = tmp_path_factory.mktemp("prometheus")
    server = prometheus.Prometheus(folder, scrape=[f"127.0.0.1:{agents.prometheus}"]).start()
    try:
        events = [claude("board-user", cost_usd=usd) for usd in (1.25, 0.5)]
        send(agents.otlp, logs("claude-board", CLAUDE_EVENTS, events), "logs")
        where = queries.equals(semconv.AGENT, "claude-code")
        assert _board(server, queries.total(signals.COST, queries.RANGE, where), 1.75) == pytest.approx(1.75, abs=0.005)
        calls = queries.total(signals.DURATION, part="count")
        assert _board(server, calls, 2) == pytest.approx(2, abs=0.01)
    finally:
        server.stop()


def _board(server: prometheus.Prometheus, expression: str, wanted: float) -> float:
    """What a board says of the last ten minutes, as soon as it is the wanted value, or after some seconds."""
    deadline = time.monotonic() + 20
    while True:
        window = TimeRange(end=time.time(), seconds=600, scrape=1)
        given = dict.fromkeys(queries.VARIABLES, ".*") | {"service": "claude-board"} | window.built_in()
        found = server.query(interpolate(expression, given), window.end)
        value = sum(series.last for series in found)
        if abs(value - wanted) < 0.001 or time.monotonic() > deadline:
            return value
        time.sleep(0.3)
