"""Tokens by type, what caches save, and what failed calls cost: figures that boards add up."""

from __future__ import annotations

from typing import Any

import pytest
from openai import APIConnectionError
from opentelemetry.metrics import CallbackOptions

import otel_agentcost
from otel_agentcost.core import semconv
from otel_agentcost.core.usage import Tokens
from otel_agentcost.telemetry.metrics import TokenSums
from tests.support import foreign_spans as foreign
from tests.support.budgeted_calls import ASK
from tests.support.budgeted_calls import client as of_server
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.openai_call import ask, client
from tests.support.replies import CACHED, THOUGHT, chat, chat_stream

SAVED = 1024 * (0.15 - 0.075) / 1e6
"""What gpt-4o-mini's cache saves of the usage `CACHED`."""


def by_type(telemetry: Telemetry) -> dict[Any, float]:
    points: Any = telemetry.points("agentcost.tokens")
    return {(point.attributes or {}).get(semconv.TOKEN_TYPE): point.value for point in points}


def test_each_token_is_counted_once(telemetry: Telemetry) -> None:
    """Cached tokens are taken out of the input, and thought ones out of the output; no type comes with a 0."""
    with instrumented(telemetry):
        ask(client(chat(CACHED)))
        assert by_type(telemetry) == {"input": 181, "cache_read": 1024, "output": 183}
        ask(client(chat(THOUGHT)))
    found = by_type(telemetry)
    thought = THOUGHT["completion_tokens_details"]["reasoning_tokens"]
    assert thought
    assert found["reasoning"] == thought
    assert found["output"] == 183 + THOUGHT["completion_tokens"] - thought
    assert sum(found.values()) == CACHED["total_tokens"] + THOUGHT["total_tokens"]


def test_spans_of_other_instrumentations_add_their_tokens(telemetry: Telemetry) -> None:
    """Tokens by type are ours to count there too, for whom the call is; the conventions' metric stays theirs."""
    with instrumented(telemetry), otel_agentcost.attribute(user="u1"):
        foreign.call(telemetry)
    assert by_type(telemetry) == {"input": 181, "cache_read": 1024, "output": 183}
    assert telemetry.total("agentcost.tokens", user__id="u1") == 1388
    assert telemetry.points("gen_ai.client.token.usage") == ()


def observed(sums: TokenSums) -> list[tuple[dict[str, Any], float]]:
    return [(dict(point.attributes or {}), point.value) for point in sums.observe(CallbackOptions())]


def test_types_that_come_late_are_bounded_too() -> None:
    """Attribute sets that got one type each, and all five later, stay within the limit; no token is lost."""
    sums = TokenSums()
    for _ in range(2):
        for number in range(1500):
            sums.add_to((("user.id", f"user-{number}"),), Tokens(input=7))
            sums.add_to((("user.id", f"user-{number}"),), Tokens(10, 5, 2, 1, 3))
    found = observed(sums)
    assert len(found) <= 1901
    assert sum(count for _, count in found) == 2 * 1500 * (7 + 15)
    assert [count > 0 for said, count in found if "otel.metric.overflow" in said] == [True]


def test_counts_that_contradict_each_other_take_nothing_off() -> None:
    """More cached tokens than there is input: a sum never falls."""
    sums = TokenSums()
    sums.add_to((), Tokens(input=5, output=1, cache_read=9, reasoning=4))
    assert {said["gen_ai.token.type"]: count for said, count in observed(sums)} == {
        "cache_read": 9,
        "reasoning": 4,
    }


def test_what_a_cache_saves_is_told(telemetry: Telemetry) -> None:
    """The span has it beside the dollars, which do not contain it, and so has the metric; no other span has."""
    with instrumented(telemetry):
        ask(client(chat(CACHED)))
        ask(client(chat()))
    cached, plain = (dict(span.attributes or {}) for span in telemetry.spans)
    assert cached[semconv.CACHE_SAVINGS] == pytest.approx(SAVED, abs=1e-15)
    assert semconv.CACHE_SAVINGS not in plain
    assert telemetry.total("agentcost.savings") == pytest.approx(SAVED, abs=1e-15)
    (point,) = telemetry.points("agentcost.savings")
    assert (point.attributes or {})[semconv.SAVINGS_KIND] == "cache"


def test_a_cache_without_a_price_saves_nothing(telemetry: Telemetry) -> None:
    """Groq bills cached tokens as others."""
    with instrumented(telemetry):
        foreign.call(telemetry)
    assert semconv.CACHE_SAVINGS not in telemetry.attributes()
    assert telemetry.points("agentcost.savings") == ()


def test_dollars_of_a_failed_call_name_the_error(telemetry: Telemetry, model_server: ModelServer) -> None:
    """A stream that breaks off has cost money: the sum of dollars says what for, and the tokens do not split by it."""
    model_server.responder = lambda _request: chat_stream(drop=True)
    with of_server(model_server) as made, instrumented(telemetry), pytest.raises(APIConnectionError):
        list(made.chat.completions.create(**ASK, stream=True))
    (cost,) = telemetry.points("agentcost.cost")
    said = dict(cost.attributes or {})
    assert said[semconv.ERROR_TYPE] == telemetry.attributes()[semconv.ERROR_TYPE]
    assert telemetry.total("agentcost.cost") == telemetry.attributes()[semconv.COST]
    for name in ("agentcost.tokens", "gen_ai.client.operation.cost"):
        assert all(semconv.ERROR_TYPE not in (point.attributes or {}) for point in telemetry.points(name))


@pytest.mark.parametrize(("told", "error"), [({semconv.ERROR_TYPE: "timeout"}, "timeout"), ({}, "_OTHER")])
def test_dollars_of_a_failed_call_of_another_instrumentation(telemetry: Telemetry, told: Any, error: str) -> None:
    """What its span says that went wrong, or that something did."""
    with instrumented(telemetry), foreign.span_of(telemetry, says={**foreign.SAYS, **told}) as span:
        foreign.failed(span)
    (cost,) = telemetry.points("agentcost.cost")
    assert (cost.attributes or {})[semconv.ERROR_TYPE] == error
