"""xai-sdk against a real server of gRPC with xAI's own messages: chats, streams, deferred ones, images and videos."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Generator, Iterator
from concurrent import futures
from typing import Any

import pytest
from opentelemetry import trace
from pydantic import BaseModel

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry

REASON = "xai-sdk is not here: pip install 'otel-agentcost[coexist]'"
xai_sdk: Any = pytest.importorskip("xai_sdk", reason=REASON)
grpc: Any = pytest.importorskip("grpc", reason=REASON)
protos: Any = pytest.importorskip("xai_sdk.proto", reason=REASON)
user: Any = pytest.importorskip("xai_sdk.chat", reason=REASON).user
chat_pb2, deferred_pb2, image_pb2 = protos.chat_pb2, protos.deferred_pb2, protos.image_pb2
usage_pb2, video_pb2 = protos.usage_pb2, protos.video_pb2

MODEL = "grok-3-mini"
TICKS = 12_345_678
USAGE: dict[str, Any] = {
    "prompt_tokens": 1000,
    "cached_prompt_text_tokens": 400,
    "prompt_text_tokens": 1000,
    "completion_tokens": 200,
    "reasoning_tokens": 100,
    "total_tokens": 1300,
}
USD = (600 * 0.3 + 400 * 0.075 + 300 * 0.5) / 1e6
"""Reasoning is beside the completion: together they are the output."""
SOON = dt.timedelta(milliseconds=5)


class Said(BaseModel):
    number: int


def output(words: str, **more: Any) -> Any:
    message = chat_pb2.CompletionMessage(content=words, role=chat_pb2.ROLE_ASSISTANT, **more)
    return chat_pb2.CompletionOutput(index=0, finish_reason=3, message=message)


class Service:
    """xAI, as far as the tests need it."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.usage = dict(USAGE)
        self.words = "It is four."
        self.polls = 0
        self.refuses = False
        self.chunks = 3

    def __getattr__(self, name: str) -> Callable[[Any, Any], Any]:
        """All other methods of the service."""
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda _request, context: context.abort(grpc.StatusCode.UNIMPLEMENTED, name)

    def _whole(self) -> Any:
        used = usage_pb2.SamplingUsage(**self.usage)
        return chat_pb2.GetChatCompletionResponse(id="c1", model=MODEL, outputs=[output(self.words)], usage=used)

    def GetCompletion(self, request: Any, context: Any) -> Any:  # noqa: N802 (the names of gRPC)
        self.requests.append(request)
        if self.refuses:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
        return self._whole()

    def GetCompletionChunk(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802 (as gRPC has it)
        self.requests.append(request)
        if self.refuses:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
        for at in range(self.chunks):
            delta = chat_pb2.Delta(content="word ", role=chat_pb2.ROLE_ASSISTANT)
            last = at == self.chunks - 1
            piece = chat_pb2.CompletionOutputChunk(index=0, delta=delta, finish_reason=3 if last else 0)
            used = usage_pb2.SamplingUsage(**self.usage) if last else None
            yield chat_pb2.GetChatCompletionChunk(id="c1", model=MODEL, outputs=[piece], usage=used)

    def StartDeferredCompletion(self, request: Any, context: Any) -> Any:  # noqa: N802 (as gRPC has it)
        self.requests.append(request)
        return deferred_pb2.StartDeferredResponse(request_id="d1")

    def GetDeferredCompletion(self, request: Any, context: Any) -> Any:  # noqa: N802 (as gRPC has it)
        self.polls += 1
        if self.polls < 3:
            return chat_pb2.GetDeferredCompletionResponse(status=deferred_pb2.DeferredStatus.PENDING)
        return chat_pb2.GetDeferredCompletionResponse(status=deferred_pb2.DeferredStatus.DONE, response=self._whole())

    def CompactContext(self, request: Any, context: Any) -> Any:  # noqa: N802 (as gRPC has it)
        self.requests.append(request)
        return chat_pb2.CompactContextResponse(
            id="x1", encrypted_content="e", usage=usage_pb2.SamplingUsage(**self.usage)
        )

    def GenerateImage(self, request: Any, context: Any) -> Any:  # noqa: N802 (as gRPC has it)
        self.requests.append(request)
        made = [image_pb2.GeneratedImage(url="https://example.com/1.png", respect_moderation=True)]
        return image_pb2.ImageResponse(images=made, model=request.model, usage=usage_pb2.SamplingUsage(**self.usage))

    def GenerateVideo(self, request: Any, context: Any) -> Any:  # noqa: N802 (as gRPC has it)
        self.requests.append(request)
        return deferred_pb2.StartDeferredResponse(request_id="v1")

    def GetDeferredVideo(self, request: Any, context: Any) -> Any:  # noqa: N802 (as gRPC has it)
        self.polls += 1
        if self.polls < 3:
            return video_pb2.GetDeferredVideoResponse(status=deferred_pb2.DeferredStatus.PENDING)
        made = video_pb2.GeneratedVideo(url="https://example.com/1.mp4", duration=5, respect_moderation=True)
        response = video_pb2.VideoResponse(
            video=made, model="grok-imagine-video", usage=usage_pb2.SamplingUsage(**self.usage)
        )
        return video_pb2.GetDeferredVideoResponse(status=deferred_pb2.DeferredStatus.DONE, response=response)


@pytest.fixture
def service() -> Generator[tuple[Service, str]]:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    made = Service()
    protos.chat_pb2_grpc.add_ChatServicer_to_server(made, server)
    protos.image_pb2_grpc.add_ImageServicer_to_server(made, server)
    protos.video_pb2_grpc.add_VideoServicer_to_server(made, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield made, f"127.0.0.1:{port}"
    server.stop(None).wait()


def connected(address: str, *, asynchronous: bool = False) -> Any:
    kind: Any = xai_sdk.AsyncClient if asynchronous else xai_sdk.Client
    return kind(api_key="none", api_host=address, use_insecure_channel=True)


def chat(client: Any, **more: Any) -> Any:
    return client.chat.create(model=MODEL, messages=[user("How are you today?")], **more)


def judge(telemetry: Telemetry, usd: float = USD) -> None:
    """The only span has the tokens, the cached ones, the reasoning, and the dollars."""
    said = telemetry.attributes()
    assert (said[semconv.INPUT_TOKENS], said[semconv.OUTPUT_TOKENS]) == (1000, 300)
    assert (said[semconv.CACHE_READ_TOKENS], said[semconv.REASONING_TOKENS]) == (400, 100)
    assert said[semconv.PROVIDER] in ("x_ai", "xai")  # the SDK's own name, on its own span
    assert said[semconv.COST] == pytest.approx(usd)
    telemetry.clear()


def test_chats_are_not_missed(telemetry: Telemetry, service: tuple[Service, str]) -> None:
    """Whole, parsed, several at once, streamed, and a compaction."""
    made, address = service
    with budgeted(telemetry), connected(address) as client:
        assert chat(client).sample().content == "It is four."
        judge(telemetry)
        made.words = '{"number": 4}'
        assert chat(client).parse(Said)[1].number == 4
        judge(telemetry)
        assert [chunk.content for _, chunk in chat(client).stream()] == ["word "] * 3
        judge(telemetry)
        client.chat.compact_context(MODEL, [user("How are you today?")])
        judge(telemetry)


async def test_asynchronous_chats_are_not_missed(telemetry: Telemetry, service: tuple[Service, str]) -> None:
    """The same."""
    made, address = service
    with budgeted(telemetry):
        client = connected(address, asynchronous=True)
        assert (await chat(client).sample()).content == "It is four."
        judge(telemetry)
        made.words = '{"number": 4}'
        assert (await chat(client).parse(Said))[1].number == 4
        judge(telemetry)
        assert [chunk.content async for _, chunk in chat(client).stream()] == ["word "] * 3
        judge(telemetry)
        await client.close()


def test_the_cost_of_xai_is_not_computed_again(telemetry: Telemetry, service: tuple[Service, str]) -> None:
    """A response states its cost in ticks of 1e-10 dollars: searches and tools are in it."""
    made, address = service
    made.usage |= {"cost_in_usd_ticks": TICKS, "server_side_tools_used": [1, 1, 2], "num_sources_used": 3}
    with budgeted(telemetry), connected(address) as client:
        chat(client).sample()
        said = telemetry.attributes()
        judge(telemetry, TICKS * 1e-10)
    assert said[semconv.COST_SOURCE] == "provider"


def test_searches_are_not_free(telemetry: Telemetry, service: tuple[Service, str]) -> None:
    """Without a stated cost, what has no price is named."""
    made, address = service
    made.usage |= {"num_sources_used": 3}
    with budgeted(telemetry), connected(address) as client:
        chat(client).sample()
    assert "live search sources" in str(telemetry.attributes()[semconv.UNPRICED])


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
async def test_a_deferred_chat_is_charged_once(
    telemetry: Telemetry, service: tuple[Service, str], *, asynchronous: bool
) -> None:
    """When it is retrieved; polls cost nothing."""
    made, address = service
    with budgeted(telemetry, budgets="total:usd=1"):
        client = connected(address, asynchronous=asynchronous)
        if asynchronous:
            await chat(client).defer(interval=SOON)
            await client.close()
        else:
            chat(client).defer(interval=SOON)
            client.close()
    assert made.polls == 3
    priced = [dict(span.attributes or {}) for span in telemetry.spans if semconv.COST in (span.attributes or {})]
    assert [each[semconv.COST] for each in priced] == [pytest.approx(USD)]


def test_images_and_videos_have_the_cost_that_xai_states(telemetry: Telemetry, service: tuple[Service, str]) -> None:
    """A video has it when it is made."""
    made, address = service
    made.usage = {"cost_in_usd_ticks": TICKS}
    with budgeted(telemetry), connected(address) as client:
        client.image.sample("a cat", "grok-imagine-image")
        assert telemetry.attributes()[semconv.COST] == pytest.approx(TICKS * 1e-10)
        telemetry.clear()
        client.video.generate("a cat", "grok-imagine-video", interval=SOON)
    said = [dict(span.attributes or {}) for span in telemetry.spans]
    costs = [each[semconv.COST] for each in said if semconv.COST in each]
    assert costs == [pytest.approx(TICKS * 1e-10)]


def test_an_image_without_a_cost_is_not_free(telemetry: Telemetry, service: tuple[Service, str]) -> None:
    """It is unpriced."""
    made, address = service
    made.usage = {}
    with budgeted(telemetry), connected(address) as client:
        client.image.sample("a cat", "grok-imagine-image")
    assert semconv.COST not in telemetry.attributes()
    assert telemetry.attributes()[semconv.UNPRICED]


@pytest.mark.parametrize("streamed", [False, True])
async def test_no_budget_is_overspent(telemetry: Telemetry, service: tuple[Service, str], *, streamed: bool) -> None:
    """A call that does not fit is not sent, and the refusal comes out as itself, sync and async."""
    made, address = service
    with budgeted(telemetry, budgets="total:usd=0.0001"):
        client, other = connected(address), connected(address, asynchronous=True)
        with pytest.raises(BudgetExceeded):
            _ = list(chat(client, max_tokens=10_000).stream()) if streamed else chat(client, max_tokens=10_000).sample()
        asked = chat(other, max_tokens=10_000)
        with pytest.raises(BudgetExceeded):
            await (anext(asked.stream()) if streamed else asked.sample())
        client.close()
        await other.close()
    assert made.requests == []


def test_a_limit_that_is_too_high_is_lowered(telemetry: Telemetry, service: tuple[Service, str]) -> None:
    """In a copy: the chat of the application keeps its own."""
    made, address = service
    with budgeted(telemetry, budgets="total:usd=0.001,on_exceed=clamp"), connected(address) as client:
        asked = chat(client, max_tokens=100_000)
        asked.sample()
    assert 0 < made.requests[0].max_tokens < 5_000
    assert asked.proto.max_tokens == 100_000


def test_a_dearer_model_is_not_called_beyond_the_budget(telemetry: Telemetry, service: tuple[Service, str]) -> None:
    """`downgrade` calls the other model."""
    made, address = service
    rules = {"budgets": "total:usd=0.01,on_exceed=downgrade", "downgrade": {"grok-4": MODEL}}
    with budgeted(telemetry, **rules), connected(address) as client:
        client.chat.create(model="grok-4", messages=[user("Hi")], max_tokens=1_000).sample()
    assert made.requests[0].model == MODEL


def test_an_error_is_not_charged(telemetry: Telemetry, service: tuple[Service, str]) -> None:
    """What gRPC raises comes out as it is."""
    made, address = service
    made.refuses = True
    with budgeted(telemetry), connected(address) as client:
        with pytest.raises(grpc.RpcError):
            chat(client).sample()
        with pytest.raises(grpc.RpcError):
            list(chat(client).stream())
    for span in telemetry.spans:
        said = dict(span.attributes or {})
        assert semconv.ERROR_TYPE in said
        assert semconv.COST not in said
        assert semconv.UNPRICED not in said


def test_a_stream_that_is_left_is_not_free(telemetry: Telemetry, service: tuple[Service, str]) -> None:
    """It is estimated, and the call of gRPC is cancelled."""
    made, address = service
    made.chunks = 2000
    with budgeted(telemetry), connected(address) as client:
        stream = chat(client).stream()
        next(stream)
        stream.close()
        said = telemetry.attributes()
    assert said[semconv.ESTIMATED] is True
    assert said[semconv.COST]


def test_a_client_that_is_older_is_not_missed(telemetry: Telemetry, service: tuple[Service, str]) -> None:
    """It was made before `instrument`, and is used again after a second one."""
    made, address = service
    with connected(address) as client:
        asked = chat(client)
        for _ in range(2):
            with budgeted(telemetry):
                asked.sample()
            judge(telemetry)
        asked.sample()
        assert telemetry.spans == ()
    assert len(made.requests) == 3


def test_the_span_of_the_sdk_is_not_doubled(
    telemetry: Telemetry, service: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK opens a span of its own: it has our dollars, and all of its output."""
    made, address = service
    tracer = telemetry.tracer_provider.get_tracer("xai_sdk.sync.chat")
    monkeypatch.setattr("xai_sdk.sync.chat.tracer", tracer)
    with budgeted(telemetry), connected(address) as client:
        chat(client).sample()
        judge(telemetry)
        list(chat(client).stream())
        judge(telemetry)
        made.usage |= {"cost_in_usd_ticks": TICKS}
        chat(client).sample()
        judge(telemetry, TICKS * 1e-10)
    assert trace.get_current_span() is trace.INVALID_SPAN
