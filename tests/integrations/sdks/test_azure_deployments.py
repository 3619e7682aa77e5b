"""Azure's deployments: the address names the model that serves a call, whatever the body names.

Each test is named after what must not happen. The clients are the SDK's own, at Azure's real addresses. List prices in
dollars per million tokens: gpt-4o-mini 0.15/0.60, text-embedding-3-small 0.02.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai import AzureOpenAI, OpenAI

from otel_agentcost import BudgetExceeded
from otel_agentcost.integrations.sdks.openai import DEPLOYED
from tests.integrations.sdks.hosts import led
from tests.support.budgeted_calls import budgeted
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply
from tests.support.replies import chat

ASK: Any = [{"role": "user", "content": "What is six by seven?"}]
USED = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
COUNTED = {"input_tokens": 1000, "output_tokens": 100}
NO_RETRY: dict[str, Any] = {"max_retries": 0}


def azure(url: str, **options: Any) -> AzureOpenAI:
    """A client for one Azure resource, whose requests go to `url`."""
    made: dict[str, Any] = {
        "azure_endpoint": "https://acme.openai.azure.com",
        "api_key": "k",
        "api_version": "2024-10-21",
        "http_client": led(url),
        **NO_RETRY,
    }
    return AzureOpenAI(**{**made, **options})


def without_model(client: OpenAI, **more: Any) -> Any:
    """A chat without a model, as LangChain's AzureChatOpenAI makes it."""
    omitted: Any = openai.omit
    return client.chat.completions.create(model=omitted, messages=ASK, **more)


def test_the_deployment_in_a_clients_address_is_not_lost(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The body names no model; the deployment is the model on the span and on the metric."""
    model_server.replies(json_reply(chat(USED, model="gpt-4o-mini")))
    with instrumented(telemetry), azure(model_server.url, azure_deployment="gpt-4o-mini") as client:
        without_model(client, max_tokens=200)
    assert model_server.requests[0].path.startswith("/openai/deployments/gpt-4o-mini/chat/completions")
    assert telemetry.span().name == "chat gpt-4o-mini"
    assert telemetry.attributes()["gen_ai.request.model"] == "gpt-4o-mini"
    assert telemetry.total("agentcost.cost", gen_ai__request__model="gpt-4o-mini") == pytest.approx(0.00021)


def test_the_deployment_in_a_gateways_address_is_not_lost(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Cloudflare's gateway has the resource and the deployment in its own form of the address."""
    model_server.replies(json_reply({**chat(USED), "model": None}))
    url = "https://gateway.ai.cloudflare.com/v1/acct/gate/azure-openai/acme/gpt-4o-mini"
    with (
        instrumented(telemetry),
        OpenAI(base_url=url, api_key="k", http_client=led(model_server.url), **NO_RETRY) as client,
    ):
        without_model(client)
    assert telemetry.attributes()["gen_ai.provider.name"] == "azure.ai.openai"
    assert telemetry.attributes()["agentcost.cost.usd"] == 0.00021
    assert "agentcost.price.assumed" not in telemetry.attributes()
    assert telemetry.attributes()["gen_ai.request.model"] == "gpt-4o-mini"


def test_forty_calls_of_a_deployment_do_not_pass_a_budget(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Forty at once of a deployment that only the client's address names: together they stay within $0.001."""
    used = {"prompt_tokens": 9, "completion_tokens": 200, "total_tokens": 209}
    model_server.responder = lambda _: json_reply(chat(used, model="gpt-4o-mini"))

    def one(client: AzureOpenAI) -> bool:
        try:
            without_model(client, max_tokens=200)
        except BudgetExceeded:
            return False
        return True

    with (
        budgeted(telemetry, budgets="total:usd=0.001", wait_seconds=0),
        azure(model_server.url, azure_deployment="gpt-4o-mini") as client,
        ThreadPoolExecutor(40) as threads,
    ):
        made = list(threads.map(one, [client] * 40))
    assert 1 <= sum(made) < 40
    assert 0 < telemetry.total("agentcost.cost") <= 0.001


@pytest.mark.parametrize("extra", [False, True], ids=["model", "extra_body"])
def test_the_model_of_the_body_does_not_override_the_deployment(
    extra: bool, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """Azure ignores the body's model: a stream that is cut off is priced by the deployment that served it."""
    model_server.replies(json_reply({**chat(USED), "model": None}))
    options: dict[str, Any] = {} if extra else {"azure_deployment": "gpt-4o-mini"}
    asked: dict[str, Any] = (
        {"model": "gpt-4o-mini", "extra_body": {"model": "gpt-4o"}} if extra else {"model": "gpt-4o"}
    )
    with instrumented(telemetry), azure(model_server.url, **options) as client:
        client.chat.completions.create(messages=ASK, **asked)
    assert "/deployments/gpt-4o-mini/" in model_server.requests[0].path
    assert telemetry.attributes()["gen_ai.request.model"] == "gpt-4o-mini"
    assert telemetry.attributes()["agentcost.cost.usd"] == 0.00021


def test_the_deployment_is_not_taken_for_the_model_where_the_body_decides(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """The SDK leaves the deployment out of the address of `/responses`."""
    body = {"id": "r", "object": "response", "status": "completed", "model": "gpt-4o", "output": [], "usage": COUNTED}
    model_server.replies(json_reply(body))
    with instrumented(telemetry), azure(model_server.url, azure_deployment="gpt-4o-mini") as client:
        client.responses.create(model="gpt-4o", input="What is six by seven?")
    assert "/deployments/" not in model_server.requests[0].path
    assert telemetry.attributes()["gen_ai.request.model"] == "gpt-4o"


def test_a_plain_clients_deployment_is_not_lost(model_server: ModelServer, telemetry: Telemetry) -> None:
    """`OpenAI(base_url=".../deployments/...")`, as many call Azure through a gateway, for embeddings too."""
    vectors: dict[str, Any] = {
        "object": "list",
        "model": None,
        "data": [],
        "usage": {"prompt_tokens": 1000, "total_tokens": 1000},
    }
    model_server.replies(json_reply(vectors))
    url = "https://acme.openai.azure.com/openai/deployments/text-embedding-3-small"
    with (
        instrumented(telemetry),
        OpenAI(base_url=url, api_key="k", http_client=led(model_server.url), **NO_RETRY) as client,
    ):
        client.post("/embeddings", body={"input": "bees"}, cast_to=dict[str, Any])
    assert telemetry.attributes()["gen_ai.request.model"] == "text-embedding-3-small"
    assert telemetry.attributes()["agentcost.cost.usd"] == 0.00002


def test_a_deployment_with_a_name_of_its_own_does_not_escape_a_budget(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """No price list has `prod`; the model that the body names bounds the call, as the application means it."""
    model_server.responder = lambda _: json_reply(chat(USED, model="gpt-4o-mini"))
    with (
        budgeted(telemetry, budgets="total:usd=0.0005"),
        azure(model_server.url, azure_deployment="prod") as client,
        pytest.raises(BudgetExceeded),
    ):
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK, max_tokens=1000)
    assert not model_server.requests


def test_a_clamped_call_of_a_deployment_does_not_lose_its_model(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """A lower output limit is a new request, which the same deployment serves."""
    limits: list[object] = []

    def answer(request: Request) -> Reply:
        limits.append(request.json.get("max_tokens"))
        return json_reply(chat({**USED, "prompt_tokens": 9}, model="gpt-4o-mini"))

    model_server.responder = answer
    with (
        budgeted(telemetry, budgets="total:usd=0.0005", on_exceed="clamp"),
        azure(model_server.url, azure_deployment="gpt-4o-mini") as client,
    ):
        without_model(client, max_tokens=4000)
    (limit,) = limits
    assert isinstance(limit, int)
    assert limit < 4000
    assert telemetry.attributes()["gen_ai.request.model"] == "gpt-4o-mini"


def test_the_paths_of_deployments_are_not_others_than_the_sdks() -> None:
    """The SDK's own list, where it has one."""
    listed: Any = openai.lib.azure._deployments_endpoints
    assert set(DEPLOYED) == listed


def test_a_span_of_another_instrumentation_is_not_doubled_by_a_deployment(
    model_server: ModelServer, telemetry: Telemetry
) -> None:
    """Others name the body's model: their span is that of the same call, and is charged once."""
    model_server.replies(json_reply(chat(USED, model="gpt-4o-mini")))
    tracer = telemetry.tracer_provider.get_tracer("other")
    asked: Mapping[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    with (
        instrumented(telemetry),
        azure(model_server.url, azure_deployment="gpt-4o-mini") as client,
        tracer.start_as_current_span("chat gpt-4o", attributes=asked),
    ):
        client.chat.completions.create(model="gpt-4o", messages=ASK)
    assert telemetry.attributes()["agentcost.cost.usd"] == 0.00021
