"""LiteLLM's own functions: each call is one span and one charge, whatever is below it, and a refusal is itself."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.integrations.sdks.litellm_kinds import KINDS, Kind, respond
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply, sse_reply

litellm: Any = pytest.importorskip("litellm", reason="litellm is not here: `make frameworks`")

pytestmark = pytest.mark.filterwarnings("ignore")  # LiteLLM's own: tasks, sockets, and serialization

MESSAGES = [{"role": "user", "content": "How are you today?"}]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
USD = 0.00027
"""1,000 input tokens at $0.15 and 200 output tokens at $0.60 a million."""
SERVED = "gpt-4o-mini-2024-07-18"
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is four."}}
WHOLE = {"id": "c1", "object": "chat.completion", "created": 1, "model": SERVED, "choices": [CHOICE], "usage": USAGE}
CHUNK = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": SERVED}
PIECE = {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "word "}, "finish_reason": None}]}
EVENTS = [
    *[PIECE] * 5,
    {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {**CHUNK, "choices": [], "usage": USAGE},
]
CLAUDE = "anthropic/claude-3-5-haiku-20241022"
CLAUDE_ANSWER = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "claude-3-5-haiku-20241022",
    "content": [{"type": "text", "text": "Well."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 50},
}
CLAUDE_USD = (100 * 0.8 + 50 * 0.08 + 20 * 4) / 1e6


@pytest.fixture
def ask(model_server: ModelServer) -> dict[str, Any]:
    """The arguments of a call to the local server."""
    return {
        "model": "gpt-4o-mini",
        "messages": MESSAGES,
        "api_base": model_server.url + "/v1",
        "api_key": "none",
        "max_retries": 0,
    }


@pytest.fixture(autouse=True)
def quiet() -> Generator[None]:
    """Without a cache, before and after."""
    litellm.suppress_debug_info = True
    litellm.cache = None
    yield
    litellm.cache = None


def spent(telemetry: Telemetry) -> tuple[object, object, object]:
    """Tokens and dollars of the only span: there is no second one of the SDK below."""
    said = telemetry.attributes()
    return said.get(semconv.INPUT_TOKENS), said.get(semconv.OUTPUT_TOKENS), said.get(semconv.COST)


def test_a_call_is_not_charged_twice(telemetry: Telemetry, model_server: ModelServer, ask: dict[str, Any]) -> None:
    """LiteLLM calls OpenAI through openai, which is patched too."""
    model_server.replies(json_reply(WHOLE))
    with budgeted(telemetry):
        answered = litellm.completion(**ask)
    assert answered.choices[0].message.content == "It is four."
    assert spent(telemetry) == (1000, 200, USD)
    assert telemetry.total("agentcost.cost") == pytest.approx(USD)


def test_another_provider_is_not_missed(telemetry: Telemetry, model_server: ModelServer) -> None:
    """LiteLLM calls Anthropic through its own HTTP client."""
    model_server.replies(json_reply(CLAUDE_ANSWER))
    with budgeted(telemetry):
        litellm.completion(CLAUDE, MESSAGES, api_base=model_server.url, api_key="none")
    assert spent(telemetry) == (150, 20, pytest.approx(CLAUDE_USD))
    assert telemetry.attributes()[semconv.PROVIDER] == "anthropic"


@pytest.mark.parametrize("options", [None, {"include_usage": True}], ids=["as it is", "with usage"])
def test_a_stream_is_not_guessed(
    telemetry: Telemetry, model_server: ModelServer, ask: dict[str, Any], options: Any
) -> None:
    """LiteLLM notes the usage of a stream, whether or not the application asks for it."""
    model_server.replies(sse_reply(EVENTS, done=True), sse_reply(EVENTS, done=True))
    more: Any = {} if options is None else {"stream_options": options}
    without = litellm.completion(**ask, stream=True, **more)
    kind, chunks = type(without), len(list(without))
    with budgeted(telemetry):
        stream = litellm.completion(**ask, stream=True, **more)
        assert type(stream) is kind
        assert len(list(stream)) == chunks
    assert spent(telemetry) == (1000, 200, USD)
    assert semconv.ESTIMATED not in telemetry.attributes()


@pytest.mark.parametrize("options", [None, {"include_usage": True}], ids=["as it is", "with usage"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
async def test_a_stream_without_a_usage_is_marked_as_estimated(
    telemetry: Telemetry, model_server: ModelServer, ask: dict[str, Any], options: Any, asynchronous: bool
) -> None:
    """LiteLLM counts the tokens itself, and notes its count like that of a provider."""
    model_server.replies(sse_reply(EVENTS[:-1], done=True))
    more: Any = {"stream": True, **({} if options is None else {"stream_options": options})}
    with budgeted(telemetry):
        if asynchronous:
            async for _ in await litellm.acompletion(**ask, **more):
                pass
        else:
            list(litellm.completion(**ask, **more))
    said = telemetry.attributes()
    assert said[semconv.ESTIMATED] is True
    assert said[semconv.OUTPUT_TOKENS]


@pytest.mark.parametrize("end", ["closed", "dropped"])
def test_a_stream_that_is_not_read_is_not_forgotten(
    telemetry: Telemetry, model_server: ModelServer, ask: dict[str, Any], end: str
) -> None:
    """LiteLLM's streams refer to themselves: a dropped one is settled with the next garbage collection."""
    model_server.replies(sse_reply(EVENTS, done=True))
    with budgeted(telemetry):
        stream = litellm.completion(**ask, stream=True)
        next(stream)
        if end == "closed":
            stream.close()
        del stream
        for _ in range(50):
            gc.collect()
            if telemetry.spans:
                break
            time.sleep(0.1)
        assert telemetry.attributes()[semconv.ESTIMATED] is True


async def test_asynchronous_calls_are_not_missed(
    telemetry: Telemetry, model_server: ModelServer, ask: dict[str, Any]
) -> None:
    """`acompletion` calls `completion` in a thread: one span."""
    model_server.replies(json_reply(WHOLE), sse_reply(EVENTS, done=True))
    with budgeted(telemetry):
        await litellm.acompletion(**ask)
        assert spent(telemetry) == (1000, 200, USD)
        telemetry.clear()
        stream = await litellm.acompletion(**ask, stream=True)
        assert len([chunk async for chunk in stream]) == 6
        assert spent(telemetry) == (1000, 200, USD)


def test_responses_and_embeddings_are_not_missed(
    telemetry: Telemetry, model_server: ModelServer, ask: dict[str, Any]
) -> None:
    """`responses` of a provider that has none is a `completion` inside: one span."""
    data = [{"object": "embedding", "index": 0, "embedding": [0.1]}]
    usage = {"prompt_tokens": 50, "total_tokens": 50}
    embedded = {"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage}
    model_server.replies(json_reply(CLAUDE_ANSWER), json_reply(embedded))
    with budgeted(telemetry):
        litellm.responses(model=CLAUDE, input="How are you?", api_base=model_server.url, api_key="none")
        assert spent(telemetry) == (150, 20, pytest.approx(CLAUDE_USD))
        telemetry.clear()
        litellm.embedding(model="text-embedding-3-small", input=["hi"], api_base=ask["api_base"], api_key="none")
        assert spent(telemetry) == (50, 0, 0.000001)


def test_an_answer_from_the_cache_is_not_charged(
    telemetry: Telemetry, model_server: ModelServer, ask: dict[str, Any]
) -> None:
    """LiteLLM's cache answers the second call: no request, no dollars."""
    model_server.replies(json_reply(WHOLE))
    litellm.cache = litellm.Cache()
    with budgeted(telemetry):
        litellm.completion(**ask, caching=True)
        litellm.completion(**ask, caching=True)
    first, second = (dict(span.attributes or {}) for span in telemetry.spans)
    assert (first[semconv.COST], second[semconv.COST]) == (USD, 0)
    assert len(model_server.requests) == 1


def test_a_mock_is_no_call(telemetry: Telemetry, ask: dict[str, Any]) -> None:
    """`mock_response` calls no model."""
    with budgeted(telemetry):
        litellm.completion(**ask, mock_response="Hi")
    assert telemetry.spans == ()


def test_fallbacks_are_calls_of_their_own(telemetry: Telemetry, model_server: ModelServer, ask: dict[str, Any]) -> None:
    """The first model fails, the second answers: two spans, one with dollars."""
    model_server.replies(json_reply({"error": {"message": "no"}}, status=500), json_reply(WHOLE))
    with budgeted(telemetry):
        litellm.completion(**ask, fallbacks=["gpt-4.1-mini"])
    first, second = (dict(span.attributes or {}) for span in telemetry.spans)
    assert semconv.COST not in first
    assert second[semconv.COST] == USD


def test_a_router_is_not_charged_twice(telemetry: Telemetry, model_server: ModelServer, ask: dict[str, Any]) -> None:
    """The router's own name of a model is not that of the call."""
    params = {name: value for name, value in ask.items() if name != "messages"}
    model_server.replies(json_reply(WHOLE))
    router = litellm.Router(model_list=[{"model_name": "fast", "litellm_params": params}])
    with budgeted(telemetry):
        router.completion(model="fast", messages=MESSAGES)
    assert spent(telemetry) == (1000, 200, USD)
    assert telemetry.attributes()[semconv.REQUEST_MODEL] == "gpt-4o-mini"


@pytest.mark.parametrize("how", ["plain", "retries", "fallbacks", "router"])
def test_a_refusal_is_not_wrapped(
    telemetry: Telemetry, model_server: ModelServer, ask: dict[str, Any], how: str
) -> None:
    """`BudgetExceeded` itself, and nothing was sent."""
    params = {name: value for name, value in ask.items() if name != "messages"}
    router = litellm.Router(model_list=[{"model_name": "fast", "litellm_params": params}], num_retries=2)
    calls: dict[str, Callable[[], Any]] = {
        "plain": lambda: litellm.completion(**ask, max_tokens=1000),
        "retries": lambda: litellm.completion(**ask, max_tokens=1000, num_retries=2),
        "fallbacks": lambda: litellm.completion(**ask, max_tokens=1000, fallbacks=["gpt-4.1-mini"]),
        "router": lambda: router.completion(model="fast", messages=MESSAGES, max_tokens=1000),
    }
    with budgeted(telemetry, budgets="total:usd=0.0001"), pytest.raises(BudgetExceeded):
        calls[how]()
    assert model_server.requests == []
    if how in ("plain", "retries"):
        assert telemetry.total("agentcost.budget.refusals") == 1


def test_a_limit_is_lowered_in_what_is_sent(
    telemetry: Telemetry, model_server: ModelServer, ask: dict[str, Any]
) -> None:
    """`clamp` reaches the provider."""
    model_server.replies(json_reply(WHOLE))
    with budgeted(telemetry, budgets="total:usd=0.001,on_exceed=clamp"):
        litellm.completion(**ask, max_tokens=10_000)
    assert 0 < model_server.requests[0].json["max_tokens"] < 2_000


def test_nothing_is_printed_that_litellm_alone_would_not_print(
    telemetry: Telemetry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints a hint if it is asked for the provider of a model that it does not know: to standard output."""
    monkeypatch.setattr(litellm, "suppress_debug_info", False)

    def printed() -> str:
        capsys.readouterr()
        with pytest.raises(litellm.exceptions.BadRequestError):
            litellm.completion(model="unheard-of", messages=[{"role": "user", "content": "Hi"}])
        return capsys.readouterr().out

    without = printed()
    with budgeted(telemetry, budgets="total:usd=1"):
        assert printed() == without != ""
    assert litellm.suppress_debug_info is False


def test_an_error_is_litellm_s_own(telemetry: Telemetry, model_server: ModelServer, ask: dict[str, Any]) -> None:
    """What LiteLLM raises passes unchanged, and costs nothing."""
    model_server.replies(json_reply({"error": {"message": "no"}}, status=400))
    with budgeted(telemetry), pytest.raises(litellm.exceptions.BadRequestError):
        litellm.completion(**ask)
    said = telemetry.attributes()
    assert said[semconv.ERROR_TYPE] == "litellm.exceptions.BadRequestError"
    assert semconv.UNPRICED not in said


async def run(kind: Kind, server: ModelServer, of: Any, *, asynchronous: bool, **more: Any) -> Any:
    """Call a function of LiteLLM, or of a router, and read its answer to the end."""
    if of is litellm:
        address = server.url + ("/v2/rerank" if kind.function == "rerank" else "/v1")
        more = {"model": kind.model, "api_base": address, "api_key": "none", "max_retries": 0, **more}
    made = getattr(of, ("a" if asynchronous else "") + kind.function)(**kind.arguments, **more)
    result = await made if asynchronous else made
    if kind.streamed:
        _ = [each async for each in result] if asynchronous else list(result)
    return result


def judge_kind(kind: Kind, telemetry: Telemetry) -> None:
    """One span, with the dollars, or with the reason why there are none."""
    said = telemetry.attributes()
    if kind.usd is not None:
        assert said[semconv.COST] == pytest.approx(kind.usd)
    else:
        assert said.get(semconv.COST) or said.get(semconv.UNPRICED)
    telemetry.clear()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
async def test_no_other_function_is_missed_or_doubled(
    telemetry: Telemetry, model_server: ModelServer, name: str, *, asynchronous: bool
) -> None:
    """Each is one call, whatever is below it."""
    model_server.responder = respond
    with budgeted(telemetry):
        await run(KINDS[name], model_server, litellm, asynchronous=asynchronous)
        judge_kind(KINDS[name], telemetry)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
async def test_no_other_function_overspends(
    telemetry: Telemetry, model_server: ModelServer, name: str, *, asynchronous: bool
) -> None:
    """What is refused is not sent, and comes out as itself."""
    model_server.responder = respond
    with budgeted(telemetry, budgets="total:calls=1"):
        await run(KINDS["rerank"], model_server, litellm, asynchronous=asynchronous)
        with pytest.raises(BudgetExceeded):
            await run(KINDS[name], model_server, litellm, asynchronous=asynchronous)
    assert len(model_server.requests) == 1


@pytest.mark.parametrize("name", ["text", "rerank", "image", "transcription", "speech"])
async def test_no_function_of_a_router_is_missed(telemetry: Telemetry, model_server: ModelServer, name: str) -> None:
    """A router calls the functions of LiteLLM; a refusal comes out of it as itself, and it does not retry it."""
    kind = KINDS[name]
    model_server.responder = respond
    address = model_server.url + ("/v2/rerank" if name == "rerank" else "/v1")
    params = {"model": kind.model, "api_base": address, "api_key": "none", "max_retries": 0}
    router = litellm.Router(model_list=[{"model_name": "fast", "litellm_params": params}], num_retries=2)
    with budgeted(telemetry, budgets="total:calls=1"):
        await run(kind, model_server, router, asynchronous=True, model="fast")
        judge_kind(kind, telemetry)
        with pytest.raises(BudgetExceeded):
            await run(kind, model_server, router, asynchronous=True, model="fast")
    assert len(model_server.requests) == 1
