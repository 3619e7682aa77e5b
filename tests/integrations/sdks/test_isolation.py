"""Places in which a measured call must not differ from an unmeasured one, and in which its dollars are easily lost."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import threading
from collections.abc import Callable, Generator
from typing import Any

import httpx2
import pydantic
import pytest
from openai import APIError, AsyncOpenAI, LengthFinishReasonError, OpenAI
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from otel_agentcost.core import semconv
from tests.integrations.sdks.openai_shapes import ASK
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.openai_call import async_client
from tests.support.replies import PLAIN_USD, chat

STREAM = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-5-mini","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":"Forty"},"finish_reason":null}]}\n\n'
) * 3


def client(answer: Callable[[httpx2.Request], httpx2.Response], **more: Any) -> OpenAI:
    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    given: dict[str, Any] = {"api_key": "none", "max_retries": 0, "http_client": http, **more}
    return OpenAI(**given)


def streaming(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=STREAM)


class Stepwise:
    """Awaits a coroutine as some frameworks do: each step in a copy of the context."""

    def __init__(self, coroutine: Any) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        while True:
            try:
                waiting = contextvars.copy_context().run(self._coroutine.send, None)
            except StopIteration as done:
                return done.value
            yield waiting


def test_a_call_that_is_driven_in_other_contexts_keeps_its_answer(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """The application gets what it paid for, and nothing is logged of contexts."""

    async def main() -> Any:
        made: AsyncOpenAI = async_client()
        return await Stepwise(made.chat.completions.create(**ASK))

    with instrumented(telemetry):
        assert asyncio.run(main()).usage.total_tokens == 150
    assert telemetry.attributes()[semconv.COST] == pytest.approx(PLAIN_USD)
    assert "detach" not in caplog.text


class Answer(pydantic.BaseModel):
    word: str


def test_an_answer_that_the_sdk_refuses_to_parse_is_billed(telemetry: Telemetry) -> None:
    """`parse` raises for an answer cut off by its limit; the provider bills it all the same, and so do we."""
    body = chat(model=ASK["model"])
    body["choices"][0]["finish_reason"] = "length"
    with instrumented(telemetry), pytest.raises(LengthFinishReasonError):
        client(lambda _: httpx2.Response(200, json=body)).chat.completions.parse(**ASK, response_format=Answer)
    said = telemetry.attributes()
    assert said[semconv.COST] == pytest.approx(PLAIN_USD)
    assert semconv.UNPRICED not in said
    assert str(said[semconv.ERROR_TYPE]).endswith("LengthFinishReasonError")


def test_a_refusal_of_the_provider_is_still_not_billed(telemetry: Telemetry) -> None:
    """A 429 with a body that looks like usage costs nothing."""
    with instrumented(telemetry), pytest.raises(APIError):
        client(lambda _: httpx2.Response(429, json=chat(model=ASK["model"]))).chat.completions.create(**ASK)
    assert semconv.COST not in telemetry.attributes()


class Locking(SpanProcessor):
    """An application's own processor, with a lock that is not to be entered twice."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ended: list[str] = []

    def on_end(self, span: ReadableSpan) -> None:
        with self.lock:
            self.ended.append(span.name)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True

    def snapshot(self) -> list[str]:
        with self.lock:
            gc.collect()
            return list(self.ended)


def test_a_stream_dropped_under_a_processors_lock_does_not_wait_for_it(telemetry: Telemetry) -> None:
    """The finalizer leaves the span for later instead of ending it into a lock that its own thread holds."""
    mine = Locking()
    telemetry.tracer_provider.add_span_processor(mine)
    with instrumented(telemetry):
        stream: Any = client(streaming).chat.completions.create(**ASK, stream=True)
        next(iter(stream))
        cycle: list[Any] = [stream]
        cycle.append(cycle)
        del stream, cycle
        done = threading.Thread(target=mine.snapshot, daemon=True)
        done.start()
        done.join(10)
        assert not done.is_alive()
        telemetry.tracer_provider.force_flush()
    assert len(telemetry.spans) == 1


def test_what_another_client_does_within_a_call_is_not_charged_to_it(telemetry: Telemetry) -> None:
    """A transport that asks a reranker with an SDK of its own: only the outer call's tokens are the call's."""
    usage = {"prompt_tokens": 999_999, "completion_tokens": 0, "total_tokens": 999_999}
    inner = client(lambda _: httpx2.Response(200, json={"usage": usage, "model": "rerank"}))

    def answer(_request: httpx2.Request) -> httpx2.Response:
        inner.post("/rerank", body={}, cast_to=object)
        return httpx2.Response(200, json=chat(model=ASK["model"]))

    with instrumented(telemetry):
        client(answer).chat.completions.create(**ASK)
    said = telemetry.attributes()
    assert (said[semconv.INPUT_TOKENS], said[semconv.COST]) == (100, pytest.approx(PLAIN_USD))
    assert semconv.UNPRICED not in said


@pytest.mark.parametrize(
    ("base_url", "usd"),
    [
        ("http://litellm-1.us-east-1.elb.amazonaws.com/v1", 0.5),
        ("https://company.azure-api.net/v1", 0.5),
        ("http://localhost:4000/v1", 0.5),
        ("https://api.openai.com/v1", PLAIN_USD),
    ],
)
def test_a_gateways_own_price_is_believed_and_openais_is_not(telemetry: Telemetry, base_url: str, usd: float) -> None:
    """A load balancer at a cloud's address is no model provider; a header from OpenAI itself sets no price."""
    reply = httpx2.Response(200, json=chat(model=ASK["model"]), headers={"x-litellm-response-cost": "0.5"})
    with instrumented(telemetry):
        client(lambda _: reply, base_url=base_url).chat.completions.create(**ASK)
    assert telemetry.attributes()[semconv.COST] == pytest.approx(usd)


def test_an_absurd_cost_of_a_provider_spoils_no_sum(telemetry: Telemetry) -> None:
    """Beyond all bounds, a reported cost is no cost: the call is priced by the book, and the counter goes on."""
    body = chat(model=ASK["model"])
    body["usage"]["cost"] = "1e400"
    with instrumented(telemetry):
        made = client(lambda _: httpx2.Response(200, json=body), base_url="http://gateway/v1")
        made.chat.completions.create(**ASK)
        made.chat.completions.create(**ASK)
    assert telemetry.total("agentcost.cost") == pytest.approx(2 * PLAIN_USD)


def test_an_applications_chat_span_does_not_take_an_embedding(telemetry: Telemetry) -> None:
    """Retrieval inside a hand-made chat span: the embedding has its own span, the chat's figures go on the chat's."""
    embedding = {
        "object": "list",
        "model": "text-embedding-3-small",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
        "usage": {"prompt_tokens": 1000, "total_tokens": 1000},
    }

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=embedding if "embeddings" in request.url.path else chat(model=ASK["model"]))

    asked = {semconv.OPERATION: "chat", semconv.REQUEST_MODEL: ASK["model"]}
    with instrumented(telemetry):
        made = client(answer)
        tracer = telemetry.tracer_provider.get_tracer("application")
        with tracer.start_as_current_span("mine", attributes=asked):
            made.embeddings.create(model="text-embedding-3-small", input="bees")
            made.chat.completions.create(**ASK)
    assert telemetry.attributes("embeddings text-embedding-3-small")[semconv.COST] == pytest.approx(0.00002)
    assert telemetry.attributes("mine")[semconv.COST] == pytest.approx(PLAIN_USD)
    assert len(telemetry.spans) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_forked_child_does_not_settle_its_parents_stream(telemetry: Telemetry) -> None:
    """The stream that was open at the fork is charged once, by the parent."""
    with instrumented(telemetry):
        stream: Any = client(streaming).chat.completions.create(**ASK, stream=True)
        next(iter(stream))
        child = os.fork()
        if child == 0:
            stream.close()
            os._exit(len(telemetry.spans))
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        for _ in stream:
            pass
    assert len(telemetry.spans) == 1
