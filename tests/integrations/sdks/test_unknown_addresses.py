"""Calls at addresses that no table knows: gateways and local servers. Their price is that of an assumed provider.

Each test is named after what must not happen. List prices in dollars per million tokens: gpt-4o 2.50/10, gpt-4o-mini
0.15/0.60, MiniMax-M2 0.30/1.20.
"""

from __future__ import annotations

from typing import Any

import pytest
from openai import OpenAI

from otel_agentcost.settings import Settings
from tests.integrations.sdks.hosts import led
from tests.integrations.sdks.priced_spans import spent
from tests.support.budgeted_calls import budgeted
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import chat

ASK: Any = [{"role": "user", "content": "What is six by seven?"}]
USED = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
NO_RETRY: dict[str, Any] = {"max_retries": 0}


@pytest.mark.parametrize(
    ("model", "provider", "price", "usd"),
    [
        ("gpt-4o", "openai", "openai/gpt-4o", 0.0035),
        ("openai/gpt-4o", "openai", "openai/gpt-4o", 0.0035),
        ("minimax/MiniMax-M2", "minimax", "minimax/MiniMax-M2", 0.00042),
    ],
)
def test_a_price_at_an_unknown_address_does_not_look_like_a_known_one(
    model: str, provider: str, price: str, usd: float, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """A gateway or a local server may stand there: priced, and marked; a name's prefix names the provider, too."""
    model_server.replies(json_reply(chat(USED, model=model)))
    with (
        instrumented(telemetry),
        OpenAI(base_url=f"{model_server.url}/v1", api_key="k", **NO_RETRY) as client,
    ):
        client.chat.completions.create(model=model, messages=ASK)
    assert spent(telemetry) == (provider, price, usd, True)


def test_a_downgrade_at_a_gateway_does_not_lose_its_price(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The cheaper model belongs to another provider: its name and its price are that provider's."""
    model_server.replies(json_reply(chat({**USED, "prompt_tokens": 9}, model="gpt-4o-mini")))
    cheaper = {"minimax/MiniMax-M2": "gpt-4o-mini"}
    with (
        budgeted(telemetry, budgets="total:usd=0.0001", on_exceed="downgrade", downgrade=cheaper),
        OpenAI(base_url=f"{model_server.url}/v1", api_key="k", **NO_RETRY) as client,
    ):
        client.chat.completions.create(model="minimax/MiniMax-M2", messages=ASK, max_tokens=100)
    assert spent(telemetry) == ("openai", "openai/gpt-4o-mini", 0.00006135, True)


SETTINGS = [("priced", 0.0035, True), ("free", 0.0, None), ("unpriced", None, None)]


@pytest.mark.parametrize(("private", "usd", "assumed"), SETTINGS)
def test_a_local_model_is_not_billed_like_the_clouds_against_the_users_word(
    private: Any, usd: float | None, assumed: bool | None, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """OTEL_AGENTCOST_PRIVATE_ADDRESSES makes private addresses free or unpriced; all others keep their price."""
    model_server.replies(*[json_reply(chat(USED, model="gpt-4o"))] * 2)
    settings = Settings(private_addresses=private)
    with instrumented(telemetry, settings=settings):
        for url, http in ((model_server.url, None), ("https://llm.acme.example/v1", led(model_server.url))):
            with OpenAI(base_url=url, api_key="k", http_client=http, **NO_RETRY) as client:
                client.chat.completions.create(model="gpt-4o", messages=ASK)
    local, public = (span.attributes or {} for span in telemetry.spans)
    assert (local.get("agentcost.cost.usd"), local.get("agentcost.price.assumed")) == (usd, assumed)
    assert ("agentcost.unpriced" in local) == (usd is None)
    assert (public["agentcost.cost.usd"], public["agentcost.price.assumed"]) == (0.0035, True)


def test_a_budget_does_not_hold_money_for_a_free_address(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Local calls that cost nothing fit into a budget that one call of the cloud would not."""
    model_server.replies(*[json_reply(chat(USED, model="gpt-4o"))] * 3)
    with (
        budgeted(telemetry, budgets="total:usd=0.0001", private_addresses="free"),
        OpenAI(base_url=f"{model_server.url}/v1", api_key="k", **NO_RETRY) as client,
    ):
        for _ in range(3):
            client.chat.completions.create(model="gpt-4o", messages=ASK, max_tokens=1000)
    assert telemetry.total("agentcost.cost") == 0.0
