"""Marks for the prompt cache: when the real SDKs send them, what they save, and when they stop."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic.lib.bedrock import AnthropicBedrock
from anthropic.lib.vertex import AnthropicVertex

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from otel_agentcost.core.prompt_caches import Prefix
from otel_agentcost.diagnostics import forget_causes
from otel_agentcost.savings.prompt_cache.markers import lifetime_for
from otel_agentcost.testing import Answer, FakeModel, ModelRequest
from tests.calls.test_bill_labels import Elsewhere
from tests.integrations.sdks.bedrock import bedrock
from tests.savings.prompt_cache.test_calls import history
from tests.support.budgeted_calls import Later, budgeted
from tests.support.every_provider import CONVERSE
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import chat, message

MODEL = "claude-sonnet-4-6"
FRESH = Answer("Fine.", input_tokens=5_000)


@pytest.fixture(autouse=True)
def anew() -> None:
    """Each cause of a warning is new."""
    forget_causes()


def ask(client: Any, turns: int, **changed: Any) -> None:
    client.messages.create(**{"model": MODEL, "max_tokens": 20, "messages": history(turns)} | changed)


def bodies(model: FakeModel) -> list[Mapping[str, Any]]:
    return [request.body for request in model.requests]


def marks(model: FakeModel) -> list[Any]:
    return [body.get("cache_control") for body in bodies(model)]


FIVE = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def test_a_prompt_is_marked_once_it_was_seen_twice(telemetry: Telemetry) -> None:
    """One field is added; the rest is sent as it is without this package, and the application's objects stay."""
    model, messages = FakeModel(FRESH), history(3)
    before = copy.deepcopy(messages)
    with model.anthropic() as client:
        ask(client, 0, messages=messages)
    with budgeted(telemetry, prompt_cache="auto"), model.anthropic() as client:
        for turns in range(3):
            ask(client, turns)
        ask(client, 0, messages=messages)
    assert marks(model) == [None, None, None, FIVE, FIVE]
    assert {name: value for name, value in bodies(model)[-1].items() if name != "cache_control"} == bodies(model)[0]
    assert messages == before
    said = [(span.attributes or {}).get(semconv.CACHE_MARKER) for span in telemetry.spans]
    assert said == [None, None, "5m", "5m"]


def test_off_is_the_default(telemetry: Telemetry) -> None:
    """Nothing is marked."""
    model = FakeModel(FRESH)
    with budgeted(telemetry), model.anthropic() as client:
        for turns in range(4):
            ask(client, turns)
    assert marks(model) == [None] * 4


MARKED_ALREADY: dict[str, dict[str, Any]] = {
    "a field": {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
    "the system prompt": {"system": [{"type": "text", "text": "Be brief.", "cache_control": FIVE}]},
    "a tool": {"tools": [{"name": "look", "input_schema": {"type": "object"}, "cache_control": FIVE}]},
    "a block": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": FIVE}]}]},
}


@pytest.mark.parametrize("name", MARKED_ALREADY)
def test_a_prompt_with_marks_stays_as_it_is(telemetry: Telemetry, name: str) -> None:
    """The application knows better."""
    model, more = FakeModel(FRESH), MARKED_ALREADY[name]
    with budgeted(telemetry, prompt_cache="auto"), model.anthropic() as client:
        for turns in range(4):
            ask(client, turns, **more)
    assert marks(model) == [more.get("cache_control")] * 4
    assert all(semconv.CACHE_MARKER not in (span.attributes or {}) for span in telemetry.spans)


@pytest.mark.parametrize(("tokens", "marked"), [(1_228, False), (1_229, True)])
def test_short_prompts_are_not_marked(telemetry: Telemetry, tokens: int, marked: bool) -> None:
    """Below 1.2 times the minimum, 1,024 tokens for this model, it may not be cached at all."""
    model = FakeModel(Answer("Fine.", input_tokens=tokens))
    with budgeted(telemetry, prompt_cache="auto"), model.anthropic() as client:
        for turns in range(3):
            ask(client, turns)
    assert (marks(model)[-1] is not None) == marked


def test_prompts_that_do_not_repeat_are_not_marked(telemetry: Telemetry) -> None:
    """However many there are."""
    model = FakeModel(FRESH)
    with budgeted(telemetry, prompt_cache="auto"), model.anthropic() as client:
        for n in range(5):
            ask(client, 0, messages=[{"role": "user", "content": f"Question {n}"}])
    assert marks(model) == [None] * 5


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (60, [None, None, FIVE, FIVE]),
        (600, [None, None, None, {"type": "ephemeral", "ttl": "1h"}]),
        (4_000, [None] * 4),
    ],
)
def test_the_time_to_live_is_that_of_the_gaps(telemetry: Telemetry, gap: int, expected: list[Any]) -> None:
    """Five minutes, an hour, or none."""
    model, later = FakeModel(FRESH), Later()
    with budgeted(telemetry, later.clock, prompt_cache="auto"), model.anthropic() as client:
        for turns in range(4):
            ask(client, turns)
            later.pass_(gap)
    assert marks(model) == expected


@pytest.mark.parametrize(
    ("gaps", "since", "long", "expected"),
    [
        ((), 5, True, None),
        ((5,), 5, True, 300),
        ((5,), 269, True, 300),
        ((5,), 271, True, None),
        ((5, 5), 271, True, 3600),
        ((5, 5), 271, False, None),
        ((600, 5), 5, True, 300),
        ((5, 4000), 5, True, None),
    ],
)
def test_what_pays(gaps: tuple[float, ...], since: float, long: bool, expected: float | None) -> None:
    """Two calls before, each with a margin within the time to live; three for the hour, which costs more to write."""
    assert lifetime_for(Prefix(5_000, 0, 1, gaps, since), long=long) == expected


# --- what it saves ----------------------------------------------------------------------------------------------------


def test_what_marks_save_is_counted_net(telemetry: Telemetry) -> None:
    """From the usage of the answers: read at a tenth, written at five quarters of the price of fresh tokens."""
    answers = [Answer("Fine.", input_tokens=n, cache_read_tokens=r, cache_write_tokens=w) for n, r, w in USED]
    model = FakeModel(FRESH, FRESH, *answers)
    with budgeted(telemetry, prompt_cache="auto"), model.anthropic() as client:
        for turns in range(5):
            ask(client, turns)
    price = 3e-6
    nets = [price * (0.9 * read - 0.25 * written) for _, read, written in USED]
    said = [(span.attributes or {}).get(semconv.CACHE_MARKER_NET) for span in telemetry.spans]
    assert said[:2] == [None, None]
    assert said[2:] == pytest.approx(nets)
    assert nets[0] < 0
    saved = telemetry.total("agentcost.prompt_cache.saved")
    assert saved == pytest.approx(sum(nets))


USED = [(5_000, 0, 4_990), (5_100, 4_990, 100), (5_200, 5_090, 100)]


def test_of_calls_in_parallel_one_is_marked(telemetry: Telemetry) -> None:
    """The others cannot read what it writes."""
    model, begun = FakeModel(FRESH), threading.Barrier(6)
    with budgeted(telemetry, prompt_cache="auto"), model.anthropic() as client:
        for turns in range(3):
            ask(client, turns)
        answered = len(model.requests)

        def answer(request: ModelRequest) -> Answer:
            begun.wait(10)
            return FRESH

        slow = FakeModel(answer)
        with slow.anthropic() as other:
            threads = [threading.Thread(target=ask, args=(other, 3)) for _ in range(6)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
        ask(client, 4)
    assert answered == 3
    assert sum(mark is not None for mark in marks(slow)) == 1
    assert marks(model)[-1] is not None


@pytest.mark.parametrize("field", ["system", "tools"])
def test_other_tools_and_system_prompts_are_other_beginnings(telemetry: Telemetry, field: str) -> None:
    """Although the messages are the same."""
    model = FakeModel(FRESH)

    def changed(n: int) -> dict[str, Any]:
        tool = {"name": f"look{n}", "input_schema": {"type": "object"}}
        return {field: f"Document {n}" if field == "system" else [tool]}

    with budgeted(telemetry, prompt_cache="auto"), model.anthropic() as client:
        for n in range(5):
            ask(client, 0, **changed(n))
        assert marks(model) == [None] * 5
        for _ in range(2):
            ask(client, 0, **changed(4))
    assert marks(model)[5:] == [None, FIVE]


def test_budgets_reserve_for_the_writes(telemetry: Telemetry) -> None:
    """The worst case of a marked request has the price of writing: where a fresh one just fits, it is refused."""
    model = FakeModel(FRESH)
    question: Any = {"messages": [{"role": "user", "content": "word " * 5_000}], "max_tokens": 1}
    with model.anthropic() as client:
        with budgeted(telemetry, budgets="total:usd=0.000001"), pytest.raises(BudgetExceeded) as refused:
            ask(client, 0, **question)
        worst = float(refused.value.requested or 0)
        before = 2 * 0.01503
        for setting in ("off", "auto"):
            with budgeted(telemetry, prompt_cache=setting, budgets=f"total:usd={before + 1.2 * worst:.6f}"):
                ask(client, 0, **question)
                ask(client, 0, **question)
                if setting == "off":
                    ask(client, 0, **question)
                else:
                    with pytest.raises(BudgetExceeded) as marked:
                        ask(client, 0, **question)
                    assert float(marked.value.requested or 0) >= 1.25 * worst


# --- other places -----------------------------------------------------------------------------------------------------


def test_converse_gets_a_cache_point(telemetry: Telemetry, model_server: ModelServer) -> None:
    """At the end of the last message, if botocore knows it."""
    usage = {"inputTokens": 5_000, "outputTokens": 5, "totalTokens": 5_005}
    model_server.responder = lambda _: json_reply({**CONVERSE, "usage": usage})
    said = [{"role": each["role"], "content": [{"text": each["content"]}]} for each in history(3)]
    with bedrock(model_server) as client, budgeted(telemetry, prompt_cache="auto"):
        for turns in (1, 3, 5):
            client.converse(modelId="anthropic.claude-3-7-sonnet-20250219-v1:0", messages=said[:turns])
    sent = [request.json["messages"] for request in model_server.requests]
    assert sent[:2] == [said[:1], said[:3]]
    assert sent[2] == [*said[:4], {**said[4], "content": [*said[4]["content"], {"cachePoint": {"type": "default"}}]}]


CLOUDS: dict[str, Callable[[ModelServer], Any]] = {
    "bedrock": lambda server: AnthropicBedrock(
        aws_access_key="none", aws_secret_key="none", aws_region="us-east-1", base_url=server.url, max_retries=0
    ),
    "vertex": lambda server: AnthropicVertex(
        access_token="none",
        project_id="p",
        region="us-east5",
        max_retries=0,
        http_client=httpx2.Client(transport=Elsewhere(server)),
    ),
}


@pytest.mark.parametrize("name", CLOUDS)
def test_clouds_get_a_mark_at_the_last_block(telemetry: Telemetry, model_server: ModelServer, name: str) -> None:
    """They have no field for the whole request."""
    model_server.responder = lambda _: json_reply(message({"input_tokens": 5_000, "output_tokens": 5}))
    names = {"bedrock": "anthropic.claude-sonnet-4-6", "vertex": "claude-sonnet-4-6"}
    with budgeted(telemetry, prompt_cache="auto"), CLOUDS[name](model_server) as client:
        for turns in range(3):
            ask(client, turns, model=names[name])
    sent = [request.json for request in model_server.requests]
    assert "cache_control" not in json.dumps(sent[:2])
    block = {"type": "text", "text": "go on, 1", "cache_control": FIVE}
    assert sent[2]["messages"] == [*history(2)[:-1], {"role": "user", "content": [block]}]
    assert "cache_control" not in sent[2]


def test_a_server_that_only_looks_like_anthropic_gets_no_marks(telemetry: Telemetry, model_server: ModelServer) -> None:
    """It may refuse them."""
    model_server.responder = lambda _: json_reply(message({"input_tokens": 5_000, "output_tokens": 5}))
    with (
        budgeted(telemetry, prompt_cache="auto"),
        anthropic.Anthropic(api_key="none", base_url=model_server.url, max_retries=0) as client,
    ):
        for turns in range(4):
            ask(client, turns)
    assert all("cache_control" not in request.json for request in model_server.requests)


@pytest.mark.parametrize("model", ["anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-opus-20240229-v1:0"])
def test_models_that_bedrock_does_not_cache_get_no_mark(
    telemetry: Telemetry, model_server: ModelServer, model: str
) -> None:
    """It refuses them."""
    model_server.responder = lambda _: json_reply(message({"input_tokens": 50_000, "output_tokens": 5}))
    with budgeted(telemetry, prompt_cache="auto"), CLOUDS["bedrock"](model_server) as client:
        for turns in range(4):
            ask(client, turns, model=model)
    assert all("cache_control" not in json.dumps(request.json) for request in model_server.requests)


def test_openai_gets_no_key_for_calls_that_continue_nothing(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A key of their own would part them from the others that begin alike. Nor does a compaction."""
    model_server.responder = lambda request: json_reply(
        chat({"prompt_tokens": 2_000, "completion_tokens": 5})
        if request.path.endswith("/completions")
        else {"id": "x", "object": "response.compaction", "created_at": 1, "output": []}
    )
    http: Any = httpx2.Client(transport=Elsewhere(model_server))
    said: Any = [{"role": "user", "content": "word " * 2_000}]
    with (
        budgeted(telemetry, prompt_cache="auto"),
        openai.OpenAI(api_key="none", max_retries=0, http_client=http) as made,
    ):
        for n in range(3):
            lead: Any = [{"role": "system", "content": "word " * 2_000}, {"role": "user", "content": f"ticket {n}"}]
            made.chat.completions.create(model="gpt-4o-mini", messages=lead)
        for _ in range(2):
            made.responses.compact(model="gpt-5.6", input=said)
    assert all("prompt_cache_key" not in request.json for request in model_server.requests)


def test_openai_gets_a_key_for_each_conversation(telemetry: Telemetry, model_server: ModelServer) -> None:
    """From the second call on; another one for other conversations and tenants; none where one is set."""
    model_server.responder = lambda _: json_reply(chat({"prompt_tokens": 2_000, "completion_tokens": 5}))
    long, other = ([{"role": "user", "content": word * 2_000}] for word in ("word ", "ward "))
    more: Any = [*long, {"role": "assistant", "content": "Yes"}, {"role": "user", "content": "So?"}]

    def send(made: openai.OpenAI, messages: Any, **changed: Any) -> Any:
        made.chat.completions.create(model="gpt-4o-mini", messages=messages, **changed)
        return model_server.requests[-1].json.get("prompt_cache_key")

    with (
        budgeted(telemetry, prompt_cache="auto"),
        openai.OpenAI(
            api_key="none", max_retries=0, http_client=httpx2.Client(transport=Elsewhere(model_server))
        ) as made,
        openai.OpenAI(api_key="none", max_retries=0, base_url=model_server.url + "/v1") as elsewhere,
    ):
        assert send(made, long) is None
        first, second = send(made, more), send(made, more)
        with otel_agentcost.attribute(tenant="another"):
            assert send(made, more) is None
            third = send(made, more)
        assert send(made, other) is None
        keys = (first, send(made, other), third)
        assert first == second
        assert len(set(keys)) == 3
        assert all(isinstance(key, str) and len(key) == 32 for key in keys)
        assert send(made, long, prompt_cache_key="own") == "own"
        assert send(made, [{"role": "user", "content": "Hi"}]) is None
        assert send(elsewhere, long) is None
    assert (telemetry.spans[1].attributes or {})[semconv.CACHE_MARKER] == "key"
