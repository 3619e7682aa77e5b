"""SDKs that we do not patch, beside the instrumentations that see them: priced, charged once, refused, left alone."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import pytest

from otel_agentcost import BudgetExceeded
from tests.coexistence.foreign_sdks import FOREIGN, GROQ_USD, Foreign, answer
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

CASES = [
    pytest.param(
        one,
        id=one.name,
        marks=pytest.mark.skipif(
            not one.installed, reason="other instrumentations are not installed: pip install 'otel-agentcost[coexist]'"
        ),
    )
    for one in FOREIGN
]
STOPPABLE = [case for case, one in zip(CASES, FOREIGN, strict=True) if one.refusable]
OTHERS = [case for case, one in zip(CASES, FOREIGN, strict=True) if not one.refusable]


@contextmanager
def beside(*neighbours: Foreign, telemetry: Telemetry) -> Generator[None]:
    """With these instrumentations on, for a block."""
    theirs = Telemetry()
    with ExitStack() as stack:
        stack.callback(theirs.shutdown)
        for one in neighbours:
            one.instrument(telemetry, theirs)
            stack.callback(one.made().uninstrument)
        yield


@pytest.fixture
def server(model_server: ModelServer) -> ModelServer:
    """Answers calls of all these SDKs."""
    model_server.responder = answer
    return model_server


@pytest.mark.parametrize("foreign", CASES)
def test_priced_and_charged_once(telemetry: Telemetry, server: ModelServer, foreign: Foreign) -> None:
    """A call has one span, with its dollars; the root's sum, the metric and the number of requests agree."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    with beside(foreign, telemetry=telemetry), budgeted(telemetry), tracer.start_as_current_span("root"):
        foreign.call(server.url)
    (span,) = (span for span in telemetry.spans if span.name != "root")
    given = dict(span.attributes or {})
    assert given["agentcost.cost.usd"] == pytest.approx(foreign.usd)
    assert "agentcost.unpriced" not in given
    assert telemetry.attributes("root")["agentcost.trace.cost_usd"] == pytest.approx(foreign.usd)
    assert telemetry.total("agentcost.cost") == pytest.approx(foreign.usd)
    assert len(server.requests) == 1


@pytest.mark.parametrize("foreign", STOPPABLE)
def test_refused_before_it_is_sent(telemetry: Telemetry, server: ModelServer, foreign: Foreign) -> None:
    """When the budget is used up, the application gets the exception, and the server no request."""
    with beside(foreign, telemetry=telemetry), budgeted(telemetry, budgets="total:calls=2"):
        foreign.call(server.url)
        foreign.call(server.url)
        for _ in range(3):
            with pytest.raises(BudgetExceeded, match="total:calls=2"):
                foreign.call(server.url)
    assert len(server.requests) == 2
    assert telemetry.total("agentcost.budget.refusals") == 3
    assert len(telemetry.spans) == 5


@pytest.mark.parametrize("foreign", OTHERS)
def test_not_refusable_but_counted(telemetry: Telemetry, server: ModelServer, foreign: Foreign) -> None:
    """Where the instrumentation would swallow a refusal, calls are made, counted, and said to be past the budget."""
    with beside(foreign, telemetry=telemetry), budgeted(telemetry, budgets="total:calls=1"):
        for _ in range(3):
            foreign.call(server.url)
    assert len(server.requests) == 3
    assert telemetry.total("agentcost.cost") == pytest.approx(3 * foreign.usd)
    assert telemetry.total("agentcost.budget.unenforced.calls") == 2


@pytest.mark.parametrize("foreign", CASES)
def test_without_us_the_same_is_sent(telemetry: Telemetry, server: ModelServer, foreign: Foreign) -> None:
    """Where no budget is set, the provider gets the same requests as without us."""
    with beside(foreign, telemetry=telemetry):
        foreign.call(server.url)
        with budgeted(telemetry):
            foreign.call(server.url)
    first, second = (request.body for request in server.requests)
    assert first == second


@pytest.mark.skipif(not FOREIGN[0].installed or not FOREIGN[2].installed, reason="groq is not seen by both")
@pytest.mark.parametrize("order", ["one first", "the other first"])
def test_two_instrumentations_of_one_sdk(telemetry: Telemetry, server: ModelServer, order: str) -> None:
    """Both make a span of the call; one charge, one place in the budget."""
    both = (FOREIGN[0], FOREIGN[2]) if order == "one first" else (FOREIGN[2], FOREIGN[0])
    with beside(*both, telemetry=telemetry), budgeted(telemetry, budgets="total:calls=2"):
        FOREIGN[0].call(server.url)
        FOREIGN[0].call(server.url)
        assert len(telemetry.spans) == 4
    assert telemetry.total("agentcost.cost") == pytest.approx(2 * GROQ_USD)
    assert telemetry.total("agentcost.budget.refusals") == 0
