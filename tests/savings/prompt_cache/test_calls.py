"""Broken prompt caches on calls of the real SDKs: the event, the metrics, the dollars, and the breaker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from otel_agentcost.testing import Answer, FakeModel
from tests.support.budgeted_calls import Later, budgeted
from tests.support.in_memory import Telemetry

SYSTEM = "You are a careful agent."
TOOLS = [{"name": f"t{n}", "description": "does things", "input_schema": {"type": "object"}} for n in range(4)]


def answers(*cached: tuple[int, int]) -> FakeModel:
    """A model whose answers have read and written so many tokens, beside 10 fresh ones."""
    return FakeModel(
        *(
            Answer("Fine.", input_tokens=read + written + 10, cache_read_tokens=read, cache_write_tokens=written)
            for read, written in cached
        )
    )


def history(turns: int) -> list[dict[str, Any]]:
    """The messages of a request after so many turns."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Find the bug."}]
    for turn in range(turns):
        messages += [{"role": "assistant", "content": f"step {turn}"}, {"role": "user", "content": f"go on, {turn}"}]
    return messages


def claude(client: Any, turns: int, **changed: Any) -> None:
    """Make one call of an agent."""
    client.messages.create(
        **{"model": "claude-sonnet-4-6", "max_tokens": 20, "system": SYSTEM, "tools": TOOLS, "messages": history(turns)}
        | changed
    )


def breaks(telemetry: Telemetry) -> list[dict[str, Any]]:
    """The attributes of the events, without the common beginning of their names."""
    prefix = "agentcost.prompt_cache."
    return [
        {name.removeprefix(prefix): value for name, value in (event.attributes or {}).items()}
        for span in telemetry.spans
        for event in span.events
        if event.name == semconv.E_PROMPT_CACHE
    ]


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def test_a_break_is_an_event_with_its_dollars(telemetry: Telemetry) -> None:
    """41,200 tokens that are written again at $3.75 and could have been read at $0.30, per million."""
    model = answers((0, 41_200), (41_200, 500), (0, 42_200))
    with budgeted(telemetry), model.anthropic() as client, otel_agentcost.attribute(agent="coder"):
        claude(client, 0)
        claude(client, 1)
        claude(client, 2, tools=[*TOOLS[:3], {**TOOLS[3], "description": "does other things"}])
    lost = 41_700 * (Decimal("3.75") - Decimal("0.30")) / 1_000_000
    (event,) = breaks(telemetry)
    assert event == {"reason": "tools", "segment": "tools[3]", "lost_tokens": 41_700, "lost_usd": float(lost)}
    assert telemetry.total("agentcost.prompt_cache.lost") == float(lost)
    assert telemetry.total("agentcost.prompt_cache.breaks", agentcost__prompt_cache__reason="tools") == 1


def test_openai_has_no_writes(telemetry: Telemetry) -> None:
    """Tokens that OpenAI did not read are fresh ones: $2.50 instead of $1.25 per million for gpt-4o."""
    model = answers((0, 0), (10_000, 0), (1_024, 0))
    with budgeted(telemetry), model.openai() as client:
        for turns, system in ((0, "a"), (1, "a"), (2, "b")):
            messages: list[Any] = [{"role": "system", "content": system}, *history(turns)]
            if turns == 2:
                model.answers(Answer("Fine.", input_tokens=11_024, cache_read_tokens=1_024))
            client.chat.completions.create(model="gpt-4o", messages=messages)
    (event,) = breaks(telemetry)
    assert (event["reason"], event["segment"], event["lost_tokens"]) == ("system", "messages[0]", 8_976)
    assert event["lost_usd"] == float(Decimal(8_976) * Decimal("1.25") / 1_000_000)


def test_no_dollars_are_guessed(telemetry: Telemetry) -> None:
    """A model without a price has an event with its tokens, and no dollars."""
    with budgeted(telemetry), answers((0, 9_000), (0, 9_500)).anthropic() as client:
        claude(client, 0, model="claude-unheard-of")
        claude(client, 1, model="claude-unheard-of", system="Other.")
    (event,) = breaks(telemetry)
    assert event == {"reason": "system", "segment": "system", "lost_tokens": 9_000}
    assert telemetry.total("agentcost.prompt_cache.lost") == 0


def test_expiry_is_an_attribute(telemetry: Telemetry) -> None:
    """After six minutes the span says why nothing was read, and there is no event."""
    later = Later()
    with budgeted(telemetry, later.clock), answers((0, 9_000), (0, 9_500)).anthropic() as client:
        claude(client, 0)
        later.pass_(360)
        claude(client, 1)
    assert breaks(telemetry) == []
    assert attributes(telemetry.spans[-1])[semconv.PROMPT_CACHE_REASON] == "ttl_expired"


def test_streams_are_watched(telemetry: Telemetry) -> None:
    """A stream is compared when it ends."""
    with budgeted(telemetry), answers((0, 9_000), (0, 9_500)).anthropic() as client:
        for turns in (0, 1):
            list(
                client.messages.create(
                    model="claude-sonnet-4-6", max_tokens=20, system=f"{turns}", messages=history(turns), stream=True
                )
            )
    assert [event["segment"] for event in breaks(telemetry)] == ["system"]


def test_a_breaker_stops_a_run(telemetry: Telemetry) -> None:
    """`cache=2/10m` opens after two broken caches; refusals and loops do not count for it, nor breaks for `trips`."""
    model = answers((0, 9_000), (0, 9_500), (0, 9_900), (0, 9_999))
    rules = "agent:cache=2/10m,open=15m; agent:trips=1/10m,open=15m"
    with (
        budgeted(telemetry, breakers=rules),
        model.anthropic() as client,
        otel_agentcost.attribute(agent="coder"),
    ):
        for turns in range(3):
            claude(client, turns, system=f"It is 12:0{turns}.")
        with pytest.raises(BudgetExceeded) as caught:
            claude(client, 3)
    assert caught.value.reason == "circuit"
    assert "2 broken prompt caches within 10m" in str(caught.value)
    assert len(breaks(telemetry)) == 2


def test_it_can_be_turned_off(telemetry: Telemetry) -> None:
    """With `prompt_cache_health=off` nothing is watched."""
    with (
        budgeted(telemetry, prompt_cache_health="off"),
        answers((0, 9_000), (0, 9_500)).anthropic() as client,
    ):
        claude(client, 0)
        claude(client, 1, system="Other.")
    assert breaks(telemetry) == []


def test_threads_have_conversations_of_their_own(telemetry: Telemetry) -> None:
    """Eight threads, each with one break: eight events."""

    def run(number: int, client: Any) -> None:
        with otel_agentcost.attribute(conversation=f"c{number}"):
            for turns in range(6):
                claude(client, turns, system=f"agent {number}" + (" (changed)" if turns > 3 else ""))

    models = [answers((0, 9_000), (9_000, 99), (9_099, 99), (9_198, 99), (0, 9_400), (9_400, 99)) for _ in range(8)]
    with budgeted(telemetry):
        clients = [model.anthropic() for model in models]
        threads = [threading.Thread(target=run, args=(at, client)) for at, client in enumerate(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [event["segment"] for event in breaks(telemetry)] == ["system"] * 8


def test_tasks_have_conversations_of_their_own(telemetry: Telemetry) -> None:
    """The same with tasks of one event loop."""

    async def run(number: int) -> None:
        model = answers((0, 9_000), (9_000, 99), (0, 9_400), (9_400, 99))
        client = model.async_anthropic()
        for turns in range(4):
            await client.messages.create(
                model="claude-sonnet-4-6",
                max_tokens=20,
                system=f"agent {number}" + (" (changed)" if turns > 1 else ""),
                messages=history(turns),
            )

    async def run_all() -> None:
        await asyncio.gather(*(run(number) for number in range(8)))

    with budgeted(telemetry):
        asyncio.run(run_all())
    assert [event["segment"] for event in breaks(telemetry)] == ["system"] * 8
