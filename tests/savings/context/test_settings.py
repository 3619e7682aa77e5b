"""The setting: hooks by name, and the providers' own context management."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest

import otel_agentcost
from otel_agentcost.core import semconv
from otel_agentcost.savings.context.hook import LongContext
from tests.calls.test_bill_labels import Elsewhere
from tests.savings.context.histories import (
    LEAST,
    ask_chat,
    plain,
    shortened,
    turns,
)
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import response

# --- the setting ------------------------------------------------------------------------------------------------------


def named(told: LongContext) -> list[Any]:
    """The hook that the settings below name."""
    return shortened(told)


def test_the_setting_names_a_hook(telemetry: Telemetry, server: ModelServer) -> None:
    """With options."""
    with budgeted(telemetry, on_context=f"{__name__}:named,least={LEAST}"):
        ask_chat(server, turns(plain))
    assert len(server.requests[-1].json["messages"]) == 3


@pytest.mark.parametrize("target", ["no.such.module:hook", f"{__name__}:nothing", f"{__name__}:LONG"])
def test_a_hook_that_does_not_exist_is_said_once(
    telemetry: Telemetry, server: ModelServer, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests are sent as they are."""
    messages = turns(plain)
    with budgeted(telemetry, on_context=target):
        for _ in range(2):
            ask_chat(server, messages)
    assert server.requests[-1].json["messages"] == messages
    assert caplog.text.count(f"OTEL_AGENTCOST_ON_CONTEXT names {target}, which cannot be used") == 1


@pytest.mark.parametrize("value", ["hook", "a:b,least=x", "a:b,most=5", "a:b,growth=-1", "a b:c", ":f"])
def test_a_value_that_names_no_hook_is_a_mistake(value: str) -> None:
    """Code gets the exception."""
    with pytest.raises(otel_agentcost.SettingsError, match="on_context"):
        otel_agentcost.Settings(on_context=value)


# --- the providers' own context management ----------------------------------------------------------------------------


def test_native_sets_what_the_application_has_not_set(telemetry: Telemetry, server: ModelServer) -> None:
    """At Anthropic's own address with its beta header; elsewhere, and where something is set, nothing changes."""
    tools: Any = [{"name": "look", "input_schema": {"type": "object"}}]
    http: Any = httpx2.Client(transport=Elsewhere(server))
    said: Any = [plain("user", "Hi")]
    with (
        budgeted(telemetry, on_context="native,least=50000"),
        anthropic.Anthropic(api_key="none", max_retries=0, http_client=http) as made,
        anthropic.Anthropic(api_key="none", max_retries=0, base_url=server.url) as elsewhere,
    ):
        made.messages.create(model="claude-sonnet-5", max_tokens=5, messages=said, tools=tools)
        made.beta.messages.create(
            model="claude-sonnet-5", max_tokens=5, messages=said, tools=tools, betas=["compact-2026-01-12"]
        )
        set_already: Any = {"edits": []}
        made.beta.messages.create(
            model="claude-sonnet-5", max_tokens=5, messages=said, tools=tools, context_management=set_already
        )
        made.messages.create(model="claude-next", max_tokens=5, messages=said, tools=tools)
        elsewhere.messages.create(model="claude-sonnet-5", max_tokens=5, messages=said, tools=tools)
    edit = {"type": "clear_tool_uses_20250919", "trigger": {"type": "input_tokens", "value": 50_000}}
    managed = [request.json.get("context_management") for request in server.requests]
    assert managed == [{"edits": [edit]}, {"edits": [edit]}, {"edits": []}, None, None]
    betas = [request.headers.get("anthropic-beta") for request in server.requests]
    assert betas[:2] == ["context-management-2025-06-27", "compact-2026-01-12,context-management-2025-06-27"]
    assert betas[3:] == [None, None]
    natives = [(span.attributes or {}).get(semconv.CONTEXT_NATIVE) for span in telemetry.spans]
    assert natives == [True, True, None, None, None]


AZURE: list[Any] = [
    {"azure_endpoint": "https://x.openai.azure.com"},
    {"base_url": "https://x.openai.azure.com/openai/v1"},
]


def test_native_compacts_only_what_openai_stores(telemetry: Telemetry, server: ModelServer) -> None:
    """A request that has its whole history would have to be compacted again with each call."""
    with (
        budgeted(telemetry, on_context="native"),
        openai.OpenAI(api_key="none", max_retries=0, http_client=httpx2.Client(transport=Elsewhere(server))) as made,
    ):
        made.responses.create(model="gpt-5.6-luna", input="Hi", previous_response_id="resp_1")
        made.responses.create(model="gpt-5.6-luna", input="Hi")
        made.responses.create(model="gpt-4o-mini", input="Hi", previous_response_id="resp_1")
        server.responder = lambda _: json_reply(response())
        for where in AZURE:
            with openai.AzureOpenAI(
                api_key="none",
                api_version="2025-03-01-preview",
                max_retries=0,
                http_client=httpx2.Client(transport=Elsewhere(server)),
                **where,
            ) as azure:
                azure.responses.create(model="gpt-5.6-luna", input="Hi", previous_response_id="resp_1")
    managed = [request.json.get("context_management") for request in server.requests]
    compacts = [{"type": "compaction", "compact_threshold": 200_000}]
    assert managed == [compacts, None, None, None, compacts], "the dated versions of Azure's API lack the field"
    assert "context_management" not in json.dumps(server.requests[1].json)
