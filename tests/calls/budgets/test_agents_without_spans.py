"""Budgets of a trace for agents of programs without a tracer provider: each run of an agent is one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from openai import OpenAI
from opentelemetry import trace

import otel_agentcost
from otel_agentcost import BudgetExceeded, Settings, runtime
from otel_agentcost.calls import work
from otel_agentcost.calls.agent_run import Agent
from otel_agentcost.runtime import Clock
from tests.calls.test_agent_run import WRITER, run
from tests.support.budgeted_calls import Later, answering, ask, client, until_refused
from tests.support.model_server import ModelServer


@contextmanager
def without_provider(model_server: ModelServer, clock: Clock | None = None, **settings: Any) -> Generator[OpenAI]:
    """Instrumented, with a provider that makes no spans."""
    answering(model_server)
    no_spans = trace.NoOpTracerProvider()
    runtime.start(tracer_provider=no_spans, settings=Settings(**settings), clock=clock or Clock())
    try:
        with client(model_server) as made:
            yield made
    finally:
        otel_agentcost.uninstrument()


def test_an_agent_without_a_span_has_an_allowance_of_its_own(model_server: ModelServer) -> None:
    """As it has with one: a worker that runs agents for weeks is never refused for the earlier ones, and a runaway is.

    Agents inside belong to the outermost one, by threads too. Calls outside share the allowance of the process.
    """
    with without_provider(model_server, trace_max_llm_calls=3) as made:
        for _ in range(50):
            with run():
                ask(made)
                with run(WRITER):
                    ask(made)
        with run(), run(WRITER):
            calls, error = until_refused(lambda: ask(made))
            with run(), pytest.raises(BudgetExceeded):
                ask(made)
        assert calls == 3
        assert until_refused(lambda: ask(made))[0] == 3
        with run(Agent(name=None)):
            assert until_refused(lambda: ask(made))[0] == 3
    assert " of run of agent researcher " in str(error)
    assert str(error).endswith(" The next run of agent researcher has a new allowance.")


def test_an_agent_opens_no_hole_in_what_is_around_it(model_server: ModelServer) -> None:
    """A run or a unit of work that is open around agents without spans keeps its one allowance."""
    with without_provider(model_server, trace_max_llm_calls=3) as made:

        def agents() -> int:
            def agent() -> None:
                with run():
                    ask(made)

            return until_refused(agent)[0]

        with otel_agentcost.run("job"):
            assert agents() == 3
        unit = work.enter("web request")
        assert unit is not None
        assert agents() == 3
        unit.leave()
        with run():

            def job() -> None:
                with otel_agentcost.run("job"):
                    ask(made)

            assert until_refused(job)[0] == 3


def test_a_run_inside_an_agent_without_a_span_is_part_of_it(model_server: ModelServer) -> None:
    """Seconds count from the first call of the agent, and a loop is one of the agent."""
    later = Later()
    with without_provider(model_server, later.clock, trace_max_seconds=60) as made:
        for _ in range(3):
            with run():
                ask(made)
                later.pass_(61)
                with otel_agentcost.run("job"), pytest.raises(BudgetExceeded, match="61 of 60 seconds have passed"):
                    ask(made)
