"""google-adk: an agent's tools, each within the span that ADK makes of the call."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_agentcost import BudgetExceeded, tool
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import counted, one_call, priced, tool_spans
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply
from tests.support.replies import content

agents: Any = pytest.importorskip("google.adk.agents", reason="google-adk is not here: `make frameworks`")
adk_telemetry: Any = pytest.importorskip("google.adk.telemetry", reason="google-adk is not here: `make frameworks`")
runners: Any = pytest.importorskip("google.adk.runners", reason="google-adk is not here: `make frameworks`")
types: Any = pytest.importorskip("google.genai.types", reason="google-adk is not here: `make frameworks`")
# ADK and what it needs warn of each other, and its client, when found unused, of an event loop that has ended.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def spans_of_adk(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What ADK makes spans with is the global provider, which is none of one test's own. And it closes no client."""
    to(telemetry.tracer_provider, monkeypatch)
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def to(provider: trace.TracerProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has ADK make its spans there: its tracers stand for those of the global provider, as soon as there is one."""
    modules = [module for name, module in sys.modules.copy().items() if name.startswith("google.adk")]
    for tracer in {adk_telemetry.tracer, *(vars(module)["tracer"] for module in modules if "tracer" in vars(module))}:
        monkeypatch.setattr(tracer, "_real_tracer", provider.get_tracer("gcp.vertex.agent"))


def calls(*queries: str, turn: str = "") -> Reply:
    """An answer of the model that calls `search`, once for each of `queries`, in parallel."""
    given = [{"name": "search", "args": {"query": query}, "id": f"call_{query}{turn}"} for query in queries]
    return json_reply(content(parts=[{"functionCall": call} for call in given]))


CALL, DONE = calls("bees"), json_reply(content())


def a_tool(function: Callable[..., Any]) -> Any:
    """`function`, as a tool called `search`, with types and no names of types."""
    function.__annotations__ = get_type_hints(function)
    function.__name__ = "search"
    return function


@a_tool
def search(query: str) -> str:
    """Finds pages."""
    return f"pages on {query}"


@a_tool
async def a_coroutine(query: str) -> str:
    """Finds pages."""
    return f"pages on {query}"


@a_tool
def fail(query: str) -> str:
    """Finds pages."""
    raise KeyError(query)


async def run(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, *replies: Reply, using: Any = search, **more: Any
) -> None:
    """One question to an agent, until it has answered."""
    server.replies(*(replies or (CALL, DONE)))
    monkeypatch.setenv("GOOGLE_API_KEY", "none")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
    agent = agents.LlmAgent(name="finder", model="gemini-2.5-flash", tools=[using], **more)
    runner = runners.InMemoryRunner(agent=agent, app_name="app")
    session = await runner.session_service.create_session(app_name="app", user_id="u1")
    said = types.Content(role="user", parts=[types.Part(text="?")])
    async for _ in runner.run_async(user_id="u1", session_id=session.id, new_message=said):
        pass


@pytest.mark.parametrize("using", [search, a_coroutine], ids=["function", "coroutine"])
async def test_a_tool_that_the_model_called_is_one_span(
    using: Any, telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ADK's own, with the price and the id of the model's call."""
    with priced(telemetry):
        await run(model_server, monkeypatch, using=using)
    said = one_call(telemetry)
    (span,) = tool_spans(telemetry)
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "gcp.vertex.agent"
    assert said[semconv.TOOL_CALL_ID] == "call_bees"
    assert semconv.TOOL_ARGUMENTS not in said
    assert "pages on bees" in model_server.requests[1].body.decode()


async def test_content_is_on_the_span_where_it_is_captured(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the conventions' own attributes."""
    with priced(telemetry, capture_content="SPAN_ONLY"):
        await run(model_server, monkeypatch)
    said = one_call(telemetry)
    assert (said[semconv.TOOL_ARGUMENTS], said[semconv.TOOL_RESULT]) == ('{"query": "bees"}', "pages on bees")


async def test_calls_of_one_answer_are_a_call_each(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ADK makes a span of them together as well, which is none."""
    with priced(telemetry):
        await run(model_server, monkeypatch, calls("bees", "ants", "wasps"), DONE)
    assert counted(telemetry) == (3, 0.75)


async def test_an_exception_is_on_the_span(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever called the agent gets it."""
    with priced(telemetry), pytest.raises(KeyError):
        await run(model_server, monkeypatch, using=fail)
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"


async def test_a_price_of_the_function_itself_counts_once(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decorated function is one call, at the decorator's price, on ADK's span."""
    with priced(telemetry):
        await run(model_server, monkeypatch, using=tool(usd="0.5")(search))
    one_call(telemetry, usd=0.5)


async def test_the_same_call_again_and_again_is_a_loop(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen in the conversation and by the tool: once in both."""
    with priced(telemetry):
        await run(model_server, monkeypatch, *(calls("bees", turn=str(turn)) for turn in range(4)), DONE)
    found = [event for span in telemetry.spans for event in span.events if event.name == semconv.E_LOOP]
    assert [(event.attributes or {})[semconv.LOOP_RULE] for event in found] == ["repeat"]
    assert counted(telemetry) == (4, 1.0)


async def test_calls_of_a_trace_that_is_not_recorded_count_too(
    model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sampled away, there is no span of ADK's that could be counted; a budget of tool calls holds all the same."""
    off = Telemetry(sampler=ALWAYS_OFF)
    to(off.tracer_provider, monkeypatch)
    asked = [calls("bees", turn=str(turn)) for turn in range(4)]
    with priced(off, trace_max_tool_calls=2), pytest.raises(BudgetExceeded):
        await run(model_server, monkeypatch, *asked, DONE)
    assert off.spans == ()
    assert off.total("agentcost.cost", gen_ai__operation__name=semconv.EXECUTE_TOOL) == 0.75
    off.shutdown()


async def test_where_adk_makes_no_span_of_it_we_do(
    telemetry: Telemetry, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its spans may go elsewhere, or nowhere."""
    to(trace.NoOpTracerProvider(), monkeypatch)
    with priced(telemetry):
        await run(model_server, monkeypatch)
    (span,) = tool_spans(telemetry)
    assert span.name == "execute_tool search"
    assert (span.attributes or {})[semconv.COST] == 0.25
