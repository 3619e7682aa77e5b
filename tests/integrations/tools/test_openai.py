"""openai: what the SDK's own runner of responses calls, functions and a computer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded, tool
from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import counted, one_call, priced, tool_spans
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply
from tests.support.replies import response

openai: Any = pytest.importorskip("openai", reason="openai is not here: `make frameworks`")
runner: Any = pytest.importorskip("openai.lib.responses_tool_runner", reason="this release of openai has no runner")
computer: Any = pytest.importorskip("openai.lib.computer", reason="this release of openai has no runner")

PARAMETERS = {
    "type": "object",
    "properties": {"query": {"type": "string"}},
    "required": ["query"],
    "additionalProperties": False,
}
SEARCH = {"type": "function", "name": "search", "description": "Finds pages.", "parameters": PARAMETERS, "strict": True}
ASK = {"model": "gpt-4o-mini", "input": "?"}


def calls(*queries: str, turn: str = "") -> Reply:
    """An answer of the model that calls `search`, once for each of `queries`, in parallel."""
    items = [
        {
            "id": f"fc_{query}{turn}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{query}{turn}",
            "name": "search",
            "arguments": json.dumps({"query": query}),
        }
        for query in queries
    ]
    return json_reply(response(id=f"resp_{turn}", output=items))


CALL, DONE = calls("bees"), json_reply(response())


def find(arguments: dict[str, Any]) -> str:
    return f"pages on {arguments['query']}"


async def find_async(arguments: dict[str, Any]) -> str:
    return f"pages on {arguments['query']}"


def fail(arguments: dict[str, Any]) -> str:
    raise KeyError(arguments["query"])


def run(server: ModelServer, *replies: Reply, using: Any = find) -> None:
    """One question, and whatever the runner makes of it."""
    server.replies(*(replies or (CALL, DONE)))
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        made = runner.ResponsesToolRunner(functions=[runner.RegisteredFunction(SEARCH, using)])
        made.run(client, ASK, max_steps=8)


def test_a_function_that_the_model_called_is_one_span(telemetry: Telemetry, model_server: ModelServer) -> None:
    """With the id of the model's call; content only where it is asked for."""
    with priced(telemetry):
        run(model_server)
    said = one_call(telemetry)
    assert said[semconv.TOOL_CALL_ID] == "call_bees"
    assert semconv.TOOL_ARGUMENTS not in said


async def test_so_is_one_of_an_asynchronous_client(telemetry: Telemetry, model_server: ModelServer) -> None:
    """With its content, which is asked for."""
    model_server.replies(CALL, DONE)
    made = runner.AsyncResponsesToolRunner(functions=[runner.AsyncRegisteredFunction(SEARCH, find_async)])
    with priced(telemetry, capture_content="SPAN_ONLY"):
        async with openai.AsyncOpenAI(base_url=f"{model_server.url}/v1", api_key="none", max_retries=0) as client:
            await made.run(client, ASK, max_steps=8)
    said = one_call(telemetry)
    assert (said[semconv.TOOL_ARGUMENTS], said[semconv.TOOL_RESULT]) == ('{"query": "bees"}', "pages on bees")


def test_calls_of_one_answer_are_a_span_each(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Each with its own id."""
    with priced(telemetry):
        run(model_server, calls("bees", "ants"), DONE)
    ids = [(span.attributes or {})[semconv.TOOL_CALL_ID] for span in tool_spans(telemetry)]
    assert ids == ["call_bees", "call_ants"]
    assert counted(telemetry) == (2, 0.5)


def test_an_exception_ends_the_run_and_is_on_the_span(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The runner raises one of its own."""
    with priced(telemetry), pytest.raises(runner.ToolRunnerError):
        run(model_server, using=fail)
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"


def test_a_price_of_the_function_itself_counts_once(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A decorated function is one call, at the decorator's price."""
    with priced(telemetry):
        run(model_server, using=tool(usd="0.5", name="search")(find))
    one_call(telemetry, usd=0.5)


def test_the_same_call_again_and_again_is_a_loop(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Seen in the conversation and by the function: once in both."""
    with priced(telemetry):
        run(model_server, *(calls("bees", turn=str(turn)) for turn in range(4)), DONE)
    found = [event for span in telemetry.spans for event in span.events if event.name == semconv.E_LOOP]
    assert [(event.attributes or {})[semconv.LOOP_RULE] for event in found] == ["repeat"]
    assert counted(telemetry) == (4, 1.0)


def test_calls_count_in_budgets(telemetry: Telemetry, model_server: ModelServer) -> None:
    """The model is not asked again once the calls are used up; the runner passes the refusal on as its cause."""
    asked = [calls("bees", turn=str(turn)) for turn in range(4)]
    with priced(telemetry, trace_max_tool_calls=2), pytest.raises((BudgetExceeded, runner.ToolRunnerError)):
        run(model_server, *asked, DONE)
    assert counted(telemetry) == (3, 0.75)
    assert len(model_server.requests) == 3


class Screen:
    """A computer that can only be looked at."""

    def screenshot(self) -> Any:
        return {"type": "computer_screenshot", "image_url": "data:image/png;base64,AAAA"}

    def click(self, action: Any) -> None:
        """Nothing happens."""

    double_click = drag = keypress = move = scroll = type = wait = click


def test_a_call_of_the_computer_is_one_call(telemetry: Telemetry) -> None:
    """However many actions are in it."""
    from openai.types.responses import ResponseComputerToolCall

    call = ResponseComputerToolCall.model_validate(
        {
            "id": "cu_1",
            "type": "computer_call",
            "call_id": "call_1",
            "status": "completed",
            "pending_safety_checks": [],
            "actions": [{"type": "wait"}, {"type": "screenshot"}],
        }
    )
    with priced(telemetry, capture_content="SPAN_ONLY"):
        computer.ComputerToolset(Screen()).execute(call)
    said = one_call(telemetry, tool="computer", usd=None)
    assert said[semconv.TOOL_CALL_ID] == "call_1"
    assert said[semconv.TOOL_ARGUMENTS] == '{"actions": [{"type": "wait"}, {"type": "screenshot"}]}'
