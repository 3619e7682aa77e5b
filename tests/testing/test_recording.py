"""`recording()` and `exceeded()`: calls as values, and refusals as they happen in production."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_agentcost
from otel_agentcost import BudgetExceeded, LoopDetected, Settings
from otel_agentcost.testing import Answer, FakeModel, ToolCall, exceeded, recording

HELLO: Any = [{"role": "user", "content": "Hello"}]
SEARCH = Answer(tools=(ToolCall("search", {"query": "bees"}),), input_tokens=100, output_tokens=10)


def ask(client: Any, model: str = "gpt-4o-mini") -> Any:
    return client.chat.completions.create(model=model, messages=HELLO)


@otel_agentcost.tool(usd="0.005")
def search(query: str) -> str:
    return f"Nothing about {query}."


def agent(client: Any) -> str:
    """An agent with a tool, that never gives up."""
    history: list[Any] = [*HELLO]
    while True:
        said = client.chat.completions.create(model="gpt-4o-mini", messages=history).choices[0].message
        if not said.tool_calls:
            return str(said.content)
        history.append(said.model_dump(exclude_none=True))
        history += [{"role": "tool", "tool_call_id": call.id, "content": search("bees")} for call in said.tool_calls]


def test_a_call_says_whose_it_was() -> None:
    """Attribution that the application sets is on the recorded call."""
    with recording() as made, otel_agentcost.attribute(user="ada", tenant="acme", feature="chat", agent="helper"):
        ask(made.model.openai())
    (call,) = made.calls
    assert (call.user, call.tenant, call.feature, call.agent, call.team) == ("ada", "acme", "chat", "helper", None)
    assert (call.operation, call.provider, call.model) == ("chat", "openai", "gpt-4o-mini")
    assert len(call.trace_id) == 32


def test_tools_are_recorded_beside_model_calls() -> None:
    """A run of an agent is its model calls and its tools, each with its price, and their sum."""
    with recording() as made:
        made.model.answers(SEARCH, Answer("Bees shiver.", input_tokens=200, output_tokens=20))
        assert agent(made.model.openai()) == "Bees shiver."
    assert [(tool.name, tool.usd, tool.error) for tool in made.tools] == [("search", Decimal("0.005"), None)]
    assert made.usd == sum((call.usd or 0 for call in made.calls), Decimal("0.005")) == Decimal("0.005063")
    made.clear()
    assert (made.calls, made.tools, made.usd) == ((), (), Decimal(0))


def test_an_unpriced_call_says_why() -> None:
    """A model that the price book does not know has no dollars, and a reason."""
    with recording() as made:
        ask(made.model.openai(), model="never-heard-of")
    (call,) = made.calls
    assert call.usd is None
    assert "never-heard-of" in str(call.unpriced)


def test_exceeded_refuses_the_next_call() -> None:
    """The call raises before anything is sent, and is recorded as refused; afterwards calls are admitted again."""
    with recording() as made:
        client = made.model.openai()
        with exceeded(), pytest.raises(BudgetExceeded) as caught:
            ask(client)
        assert made.model.requests == []
        ask(client)
    assert (caught.value.scope, caught.value.unit, caught.value.reason) == ("run", "usd", "spent")
    assert [(call.refused, call.error) for call in made.calls] == [
        (True, "otel_agentcost.BudgetExceeded"),
        (False, None),
    ]


def test_exceeded_refuses_what_has_no_price() -> None:
    """A model without a price is refused too."""
    with recording() as made, exceeded(), pytest.raises(BudgetExceeded):
        ask(made.model.openai(), model="never-heard-of")


def test_exceeded_can_come_in_the_middle_of_a_run() -> None:
    """With `after`, so many calls are admitted first."""
    with recording() as made, exceeded(after=2):
        client = made.model.openai()
        ask(client)
        ask(client)
        with pytest.raises(BudgetExceeded):
            ask(client)
    assert [call.refused for call in made.calls] == [False, False, True]


def test_exceeded_refuses_async_and_streamed_calls() -> None:
    """Every surface is refused at the same place, which is below all of them."""

    async def run(model: FakeModel) -> None:
        with pytest.raises(BudgetExceeded):
            await model.async_openai().chat.completions.create(model="gpt-4o-mini", messages=HELLO)
        with pytest.raises(BudgetExceeded):
            await model.google().aio.models.generate_content(model="gemini-2.5-flash", contents="Hello")
        with pytest.raises(BudgetExceeded):
            model.anthropic().messages.create(model="claude-haiku-4-5", max_tokens=9, messages=HELLO, stream=True)

    with recording() as made, exceeded():
        asyncio.run(run(made.model))
    assert [call.refused for call in made.calls] == [True, True, True]


def test_a_model_that_repeats_itself_is_a_loop() -> None:
    """An answer that calls the same tool for ever is stopped by the loop detection, if the settings say so."""
    with recording(settings=Settings(loop_action="block")) as made:
        made.model.answers(SEARCH)
        with pytest.raises(LoopDetected) as caught:
            agent(made.model.openai())
    assert caught.value.tool == "search"
    assert made.calls[-1].refused


def test_settings_of_the_test_hold() -> None:
    """A budget of the settings is enforced in the block; the environment says nothing there."""
    with recording(settings=Settings(trace_max_llm_calls=1)) as made, otel_agentcost.run("two calls"):
        ask(made.model.openai())
        with pytest.raises(BudgetExceeded):
            ask(made.model.openai())


def test_an_applications_own_provider_can_be_used() -> None:
    """Spans go to the application's provider, which is left running."""
    provider = TracerProvider(shutdown_on_exit=False)
    with recording(tracer_provider=provider) as made:
        with provider.get_tracer("app").start_as_current_span("work") as span:
            ask(made.model.openai())
        assert made.calls[0].trace_id == f"{span.get_span_context().trace_id:032x}"
    assert provider.get_tracer("app").start_span("later").is_recording()


def test_what_cannot_work_is_said() -> None:
    """Neither recording twice nor refusing without instrumentation can work, and both say so."""
    with pytest.raises(RuntimeError, match="not instrumented"), exceeded():
        raise AssertionError
    with pytest.raises(ValueError, match="negative"), exceeded(after=-1):
        raise AssertionError
    with recording(), pytest.raises(RuntimeError, match="instrumented already"), recording():
        raise AssertionError
