"""Calls that are answered from the cache: what they cost, what their spans say, and what budgets and loops see."""

from __future__ import annotations

import asyncio
import pickle
import random
import sys
from copy import deepcopy
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

import otel_agentcost
from otel_agentcost.core.budgets import read
from tests.calls.test_loops import agent as circle
from tests.calls.test_loops import in_a_trace
from tests.savings.responses.asked import ASK, STREAM, ask, async_client, caching, client, words
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import PLAIN_USD, chat


def test_off_by_default(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Without the setting, every call is made."""
    with caching(model_server, telemetry, cache=()) as made:
        assert words(made) != words(made)


def test_a_hit_costs_nothing_and_says_what_it_saved(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The span has the tokens of the answer under names that no backend prices; metrics count savings, and no cost."""
    with caching(model_server, telemetry) as made:
        first, second = ask(made), ask(made)
    assert first == second
    assert len(model_server.requests) == 1
    assert telemetry.total("agentcost.cost") == PLAIN_USD
    assert telemetry.total("agentcost.savings", **{"agentcost.savings.kind": "response_cache"}) == PLAIN_USD
    assert telemetry.total("gen_ai.client.token.usage") == 150
    said: dict[str, Any] = dict(telemetry.spans[1].attributes or {})
    assert not [name for name in said if name.startswith(("gen_ai.usage", "agentcost.cost"))]
    assert said.pop("agentcost.cache.age_s") < 60
    assert {name: value for name, value in said.items() if name.startswith("agentcost.")} == {
        "agentcost.cache": "hit",
        "agentcost.cache.input_tokens": 100,
        "agentcost.cache.output_tokens": 50,
        "agentcost.cache.saved_usd": PLAIN_USD,
        "agentcost.calls": 0,
        "agentcost.watched": True,
    }
    assert said["gen_ai.response.finish_reasons"] == ("stop",)


def test_content_is_captured_of_a_hit_too(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Both spans have the same words."""
    with caching(model_server, telemetry, capture_content="SPAN_ONLY") as made:
        for _ in range(2):
            ask(made)
            list(made.chat.completions.create(**STREAM))
    one, streamed, hit, replayed = (dict(span.attributes or {}) for span in telemetry.spans)
    assert (hit["agentcost.cache"], replayed["agentcost.cache"]) == ("hit", "hit")
    for name in ("gen_ai.input.messages", "gen_ai.output.messages"):
        assert (hit[name], replayed[name]) == (one[name], streamed[name])


def test_an_object_of_a_hit_can_be_copied_and_pickled(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Objects and responses of a hit are those of a live call, but quicker."""
    with caching(model_server, telemetry) as made:
        live = made.chat.completions.with_raw_response.create(**ASK)
        hit = made.chat.completions.with_raw_response.create(**ASK)
    for one, other in ((live.parse(), hit.parse()), (live.http_response, hit.http_response)):
        assert type(one) is type(other)
        assert pickle.dumps(deepcopy(other))
    assert pickle.loads(pickle.dumps(hit.parse())) == live.parse()
    assert dict(live.http_response.headers) == dict(hit.http_response.headers)
    assert live.http_response.elapsed > hit.http_response.elapsed
    assert (live.http_response.http_version, hit.http_response.reason_phrase) == ("HTTP/1.1", "OK")


def test_a_stream_is_replayed_in_the_pieces_in_which_it_came(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A reader of raw bytes gets the same pieces."""
    with caching(model_server, telemetry) as made:
        live, hit = (
            list(made.chat.completions.with_raw_response.create(**STREAM).http_response.iter_raw()) for _ in range(2)
        )
    assert live == hit
    assert len(hit) > 3
    assert len(model_server.requests) == 1


def test_one_answer_serves_sync_and_async_clients(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The clients of one SDK send the same request."""

    async def again() -> Any:
        async with async_client(model_server) as made:
            return await made.chat.completions.create(**ASK)

    with caching(model_server, telemetry) as made:
        assert ask(made) == asyncio.run(again())


def test_a_stream_is_no_answer_to_a_call_without_one(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Nor is a stream with other events."""
    with caching(model_server, telemetry) as made:
        list(made.chat.completions.create(**STREAM))
        ask(made)
        other: dict[str, Any] = {**STREAM, "stream_options": {"include_usage": True, "include_obfuscation": False}}
        list(made.chat.completions.create(**other))
    assert len(model_server.requests) == 3


# --- whose an answer is ---


def test_two_tenants_do_not_share(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Neither do a tenant and a user of the same name, nor they and a call without either."""
    with caching(model_server, telemetry) as made:
        said: dict[str, str] = {}
        for tenant in ("acme", "umbrella", "acme"):
            with otel_agentcost.attribute(tenant=tenant):
                assert said.setdefault(tenant, found := words(made)) == found
        with otel_agentcost.attribute(user="acme"):
            said["user"] = words(made)
        said["nobody"] = words(made)
    assert len(set(said.values())) == 4


def test_users_of_a_tenant_share(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The tenant decides where there is one."""
    with caching(model_server, telemetry) as made:
        with otel_agentcost.attribute(tenant="acme", user="u1"):
            one = words(made)
        with otel_agentcost.attribute(tenant="acme", user="u2"):
            assert words(made) == one


def test_two_keys_do_not_share(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Another key may have other rights, also with the same attribution. The call is made as a first one."""
    with (
        caching(model_server, telemetry, budgets=read(["total/day:calls=2"])) as made,
        client(model_server, api_key="other") as other,
    ):
        one, another = words(made), words(other)
        assert one != another
        assert (words(made), words(other)) == (one, another)
        with pytest.raises(otel_agentcost.BudgetExceeded):
            words(made, "b")
    assert len(model_server.requests) == 2


def test_two_keys_do_not_share_in_tasks_either(model_server: ModelServer, telemetry: Telemetry) -> None:
    """An asynchronous call, whole and streamed, is made if the request that is sent is another one."""

    async def said(key: str) -> tuple[str, str]:
        async with async_client(model_server, api_key=key) as made:
            answer = await made.chat.completions.create(**ASK)
            pieces = [chunk async for chunk in await made.chat.completions.create(**STREAM)]
        return str(answer.choices[0].message.content), "".join(
            str(piece.choices[0].delta.content) for piece in pieces if piece.choices
        )

    with caching(model_server, telemetry):
        one, other = asyncio.run(said("one")), asyncio.run(said("other"))
        assert asyncio.run(said("other")) == other
    assert not set(one) & set(other)
    assert len(model_server.requests) == 4


class Own(httpx2.Client):
    """A client of an application that chooses its transport by itself: nothing can be replayed to it."""

    def _transport_for_url(self, url: httpx2.URL) -> httpx2.BaseTransport:
        return self._transport


def test_a_call_that_cannot_be_replayed_is_counted(model_server: ModelServer, telemetry: Telemetry) -> None:
    """It was sent without a reservation, because an answer was there: budgets count it all the same."""
    rules = read(["total/day:calls=2"])
    with caching(model_server, telemetry, budgets=rules) as made, client(model_server, http_client=Own()) as own:
        assert words(made) != words(own)
        with pytest.raises(otel_agentcost.BudgetExceeded):
            words(made, "b")
        with pytest.raises(otel_agentcost.BudgetExceeded):
            words(own)
    assert len(model_server.requests) == 2
    assert telemetry.total("agentcost.cost") == pytest.approx(2 * PLAIN_USD)


class Sender(httpx2.Client):
    """A client of an application that sends by itself."""

    def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
        with httpx2.HTTPTransport() as transport:
            response: httpx2.Response = transport.handle_request(request)
            response.request = request
            response.read()
            return response


def test_a_client_that_sends_by_itself_is_asked_of_budgets_before(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """There is an answer, but it could not be served: nothing is sent that no budget has admitted."""
    rules = read(["total/day:calls=1"])
    with caching(model_server, telemetry, budgets=rules) as made, client(model_server, http_client=Sender()) as own:
        words(made)
        with pytest.raises(otel_agentcost.BudgetExceeded):
            words(own)
    assert len(model_server.requests) == 1


def test_a_hook_that_sends_a_hit_elsewhere_is_asked_of_budgets_before(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """The request of a hit goes to another host than its answer came from: it is not sent without admission."""
    with ModelServer() as other:
        port = int(other.url.rpartition(":")[2])

        def hook(request: httpx2.Request) -> None:
            request.url = request.url.copy_with(port=port)

        hooked = httpx2.Client(event_hooks={"request": [hook]})
        rules = read(["total/day:calls=1"])
        with (
            caching(model_server, telemetry, budgets=rules) as made,
            client(model_server, http_client=hooked) as elsewhere,
        ):
            words(made)
            with pytest.raises(otel_agentcost.BudgetExceeded):
                words(elsewhere)
        assert other.requests == []


def test_transports_of_an_application_do_not_share(model_server: ModelServer, telemetry: Telemetry) -> None:
    """They may add a key, or send a request elsewhere. Two clients with one of them share."""

    class Adding(httpx2.BaseTransport):
        def __init__(self) -> None:
            self.below = httpx2.HTTPTransport()

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            return self.below.handle_request(request)

        def close(self) -> None:
            self.below.close()

    one, two = Adding(), Adding()
    with caching(model_server, telemetry):
        clients = [client(model_server, http_client=httpx2.Client(transport=each)) for each in (one, two, one)]
        said = [words(each) for each in clients]
        for each in clients:
            each.close()
    assert said[0] == said[2] != said[1]


def test_hooks_run_once_if_another_key_asks(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A request that is not answered by the cache is not begun twice."""
    ran: list[str] = []
    hooks: Any = {"request": [lambda _: ran.append("request")], "response": [lambda _: ran.append("response")]}
    with (
        caching(model_server, telemetry) as made,
        client(model_server, api_key="other", http_client=httpx2.Client(event_hooks=hooks)) as other,
    ):
        words(made)
        words(other)
    assert ran == ["request", "response"]


def test_hooks_run_once_for_a_client_whose_key_is_known(model_server: ModelServer, telemetry: Telemetry) -> None:
    """What a client has sent before says who asks, where the SDK does not: here a hook sets the key."""
    ran: list[str] = []

    def hook(request: httpx2.Request) -> None:
        ran.append("request")
        request.headers["Authorization"] = "Bearer other"

    with (
        caching(model_server, telemetry) as made,
        client(model_server, http_client=httpx2.Client(event_hooks={"request": [hook]})) as other,
    ):
        words(other, "first")
        words(made)
        words(other)
    assert len(ran) == 2


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups of exceptions are new in Python 3.11")
def test_a_group_of_tasks_does_not_show_that_nothing_was_replayed(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """A library that sends in a group of tasks wraps what comes out of them."""

    async def said(key: str) -> str:
        async def hook(request: httpx2.Request) -> None:
            request.headers["x-key"] = key

        http = httpx2.AsyncClient(event_hooks={"request": [hook]})

        groups: Any = asyncio

        class Grouped(AsyncOpenAI):
            async def _send_request(self, *args: Any, **kwargs: Any) -> Any:
                async with groups.TaskGroup() as group:
                    task = group.create_task(super()._send_request(*args, **kwargs))
                return task.result()

        async with Grouped(base_url=f"{model_server.url}/v1", api_key="none", max_retries=0, http_client=http) as made:
            return str((await made.chat.completions.create(**ASK)).choices[0].message.content)

    with caching(model_server, telemetry):
        assert asyncio.run(said("one")) != asyncio.run(said("two"))


def test_a_tier_has_an_answer_of_its_own(model_server: ModelServer, telemetry: Telemetry) -> None:
    """What a hit saves is what its own request would have cost."""
    with caching(model_server, telemetry) as made:
        assert words(made, service_tier="flex") != words(made)


def test_users_that_only_the_request_names_do_not_share(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Without attribution, the request's own `user` counts."""
    with caching(model_server, telemetry) as made:
        assert words(made, user="u1") == words(made, user="u1") != words(made, user="u2")


def test_no_answer_crosses_in_2_000_calls(model_server: ModelServer, telemetry: Telemetry) -> None:
    """What an answer says names its tenant and its question."""

    def reply(request: Any) -> Any:
        asked = request.json["messages"][0]["content"]
        return json_reply(chat(text=f"{request.headers['x-tenant']} asked {asked}"))

    model_server.responder = reply
    draw = random.Random(15)
    with caching(model_server, telemetry) as made:
        clients = {f"t{number}": made.with_options(default_headers={"x-tenant": f"t{number}"}) for number in range(50)}
        asked: set[tuple[str, str]] = set()
        for _ in range(2_000):
            tenant, question = f"t{draw.randrange(50)}", f"q{draw.randrange(8)}"
            with otel_agentcost.attribute(tenant=tenant):
                assert words(clients[tenant], question) == f"{tenant} asked {question}"
            asked.add((tenant, question))
    assert len(model_server.requests) == len(asked) < 401


# --- budgets, the ledger, loops ---


def looping(request: Any) -> Any:
    """A model that asks for the same tool call for ever."""
    call = {"id": f"call-{len(request.json['messages'])}", "type": "function"}
    body = chat()
    body["choices"][0] |= {"finish_reason": "tool_calls"}
    body["choices"][0]["message"] = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{**call, "function": {"name": "search", "arguments": '{"query": "bees"}'}}],
    }
    return json_reply(body)


def test_budgets_count_what_was_paid_and_nothing_else(
    model_server: ModelServer, telemetry: Telemetry, tmp_path: Any
) -> None:
    """Hits take no call and no dollar of a budget, and come when it is used up; ledger, metrics and runs agree."""
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    rules = read(["total/day:usd=1", "total/day:calls=3"])
    with caching(model_server, telemetry, budgets=rules, ledger=ledger) as made:
        for question in ("a", "b", "a", "a", "b", "c", "a"):
            words(made, question)
        with pytest.raises(otel_agentcost.BudgetExceeded):
            words(made, "d")
        assert words(made, "a"), "a cached answer needs no budget"
        with otel_agentcost.run("job") as run:
            words(made, "a")
        assert (run.tally.llm_usd, run.tally.llm_calls) == (Decimal(0), 0)
    assert len(model_server.requests) == 3
    assert telemetry.total("agentcost.cost") == pytest.approx(3 * PLAIN_USD)
    assert telemetry.total("agentcost.savings") == pytest.approx(6 * PLAIN_USD)


def test_a_loop_sees_a_hit_as_the_same_result(model_server: ModelServer, telemetry: Telemetry) -> None:
    """An agent that goes round in circles is stopped, whether its answers are cached or not."""
    model_server.responder = looping
    with caching(model_server, telemetry, loop_action="block", cache_tool_calls=True, cache_sampling="any") as made:
        made_calls: list[int] = []
        for _ in range(2):
            with in_a_trace(telemetry), pytest.raises(otel_agentcost.LoopDetected) as caught:
                circle(made, ["Nothing found."])
            assert (caught.value.tool, caught.value.rule) == ("search", "repeat")
            made_calls.append(len(model_server.requests))
    assert made_calls in ([3, 3], [4, 4])


def test_the_answer_of_another_model_is_not_kept(model_server: ModelServer, telemetry: Telemetry) -> None:
    """A budget sends the request to a cheaper model: that is no answer of the model that was asked for."""
    settings: dict[str, Any] = {"budgets": read(["total/day:usd=0.02"])}
    chain = {"gpt-4o": "gpt-4o-mini"}
    with caching(model_server, telemetry, **settings, on_exceed="downgrade", downgrade=chain) as made:
        for _ in range(2):
            ask(made, model="gpt-4o", max_tokens=1999)
    assert [request.json["model"] for request in model_server.requests] == ["gpt-4o-mini"] * 2
