"""ibm-watsonx-ai sends its requests by httpx: they are seen there, counted, and limited."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry

watsonx: Any = pytest.importorskip("ibm_watsonx_ai", reason="ibm-watsonx-ai: `make frameworks ARGS=watsonx`")
foundation: Any = pytest.importorskip("ibm_watsonx_ai.foundation_models", reason="ibm-watsonx-ai is not here")

pytestmark = pytest.mark.filterwarnings("ignore")  # of the SDK

MODEL = "ibm/granite-4-h-small"
URL = "https://us-south.ml.cloud.ibm.com"
PRICES = {"models": {MODEL: {"input_mtok": 0.06, "output_mtok": 0.25}}}
USD = (1000 * 0.06 + 200 * 0.25) / 1e6
SAID = {"index": 0, "message": {"role": "assistant", "content": "It is four."}, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
CHAT = {"id": "c1", "model_id": MODEL, "created": 1, "choices": [SAID], "usage": USAGE}
COUNTS = {"generated_token_count": 200, "input_token_count": 1000, "stop_reason": "eos_token"}
TEXT = {"model_id": MODEL, "created_at": "2026-11-01T00:00:00Z", "results": [{"generated_text": "Four.", **COUNTS}]}
VECTORS = {"model_id": MODEL, "results": [{"embedding": [0.1]}], "input_token_count": 500}


PROJECT = {"resources": [], "entity": {"storage": {"type": "bmcos_object_storage"}, "compute": []}}
"""What the SDK asks for before a call."""


def event(body: Any) -> bytes:
    return f"id: 1\nevent: message\ndata: {json.dumps(body)}\n\n".encode()


def answer(request: httpx.Request) -> httpx.Response:
    """What watsonx answers, as its reference has it."""
    path = request.url.path
    if path.endswith("/chat_stream"):
        pieces = [{"id": "c1", "model_id": MODEL, "choices": [{"index": 0, "delta": {"content": "word "}}]}] * 3
        last = {"id": "c1", "model_id": MODEL, "choices": [], "usage": USAGE}
        body = b"".join(map(event, [*pieces, last]))
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    if path.endswith("/generation_stream"):
        pieces = [
            {"model_id": MODEL, "results": [{"generated_text": "word ", "generated_token_count": 100 * at,
             "input_token_count": 1000 if at == 1 else 0, "stop_reason": "not_finished" if at == 1 else "eos_token"}]}
            for at in (1, 2)
        ]  # fmt: skip
        body = b"".join(map(event, pieces))
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    known = {"/chat": CHAT, "/generation": TEXT, "/embeddings": VECTORS}
    found = next((body for end, body in known.items() if re.search(f"/text{end}$", path)), PROJECT)
    return httpx.Response(200, json=found)


@pytest.fixture
def sent() -> list[httpx.Request]:
    return []


@pytest.fixture
def client(sent: list[httpx.Request]) -> Any:
    """A client of the SDK whose requests to watsonx are answered here."""

    def respond(request: httpx.Request) -> httpx.Response:
        if "/text/" in request.url.path:
            sent.append(request)
        return answer(request)

    made: Callable[[], Any] = lambda: watsonx.APIClient(  # noqa: E731 (the SDK asks for its versions at once)
        watsonx.Credentials(url=URL, token="none"), httpx_client=httpx.Client(transport=httpx.MockTransport(respond))
    )
    return made()


def model(client: Any, **more: Any) -> Any:
    return foundation.ModelInference(model_id=MODEL, api_client=client, project_id="p", validate=False, **more)


@pytest.fixture
def prices(tmp_path: Any) -> str:
    """The book has no price of watsonx: a price file can."""
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(PRICES))
    return str(file)


def judge(telemetry: Telemetry) -> None:
    said = telemetry.attributes()
    assert (said[semconv.INPUT_TOKENS], said[semconv.OUTPUT_TOKENS]) == (1000, 200)
    assert (said[semconv.PROVIDER], said[semconv.REQUEST_MODEL]) == ("ibm.watsonx.ai", MODEL)
    assert said[semconv.COST] == pytest.approx(USD)
    telemetry.clear()


def test_calls_are_not_missed(telemetry: Telemetry, client: Any, prices: str) -> None:
    """Chats and texts, whole and streamed."""
    messages = [{"role": "user", "content": "How are you today?"}]
    with budgeted(telemetry, prices=prices):
        model(client).chat(messages=messages)
        judge(telemetry)
        assert list(model(client).chat_stream(messages=messages))
        judge(telemetry)
        model(client).generate(prompt="How are you today?")
        judge(telemetry)
        assert list(model(client).generate_text_stream(prompt="How are you today?"))
        judge(telemetry)


def test_no_budget_is_overspent(telemetry: Telemetry, client: Any, prices: str, sent: list[httpx.Request]) -> None:
    """A call that does not fit is not sent, and the refusal comes out as itself."""
    with budgeted(telemetry, prices=prices, budgets="total:usd=0.0001"):
        with pytest.raises(BudgetExceeded):
            model(client).chat(messages=[{"role": "user", "content": "Hi"}], params={"max_tokens": 10_000})
        with pytest.raises(BudgetExceeded):
            model(client).generate(prompt="Hi", params={"max_new_tokens": 10_000})
    assert sent == []


def test_a_call_without_a_price_is_not_free(telemetry: Telemetry, client: Any) -> None:
    """Its tokens are counted."""
    with budgeted(telemetry):
        model(client).generate(prompt="Hi")
    said = telemetry.attributes()
    assert said[semconv.INPUT_TOKENS] == 1000
    assert f"no price for '{MODEL}'" in str(said[semconv.UNPRICED])
