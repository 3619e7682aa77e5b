"""Sessions of Anthropic's managed agents: charged when an idle session is read, each turn once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

import otel_agentcost
from otel_agentcost import BudgetExceeded
from otel_agentcost.core import semconv
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply

EVENT: Any = {"type": "user.message", "content": [{"type": "text", "text": "6 x 7"}]}
TURN = 0.00425
"""What a turn uses of claude-haiku-4-5: 1,000 tokens in, 5,000 read from the cache, 1,000 written for five minutes and
300 out, at $1, $0.10, $1.25 and $5 a million."""


class Provider:
    """One session. Each of its turns uses the same tokens."""

    def __init__(self) -> None:
        self.turns = 0
        self.status = "idle"
        self.agent: dict[str, Any] = {"id": "agent_1", "model": {"id": "claude-haiku-4-5"}, "type": "agent"}

    def __call__(self, request: Request) -> Reply:
        if request.path.partition("?")[0].endswith("/events"):
            self.turns += 1
            return json_reply({"data": [{**EVENT, "id": "sevt_1"}]})
        if request.body and request.json.get("initial_events"):
            return json_reply(self.session(0, "running"))
        return json_reply(self.session(self.turns, self.status))

    def session(self, turns: int, status: str) -> dict[str, Any]:
        usage = {
            "input_tokens": 1000 * turns, "output_tokens": 300 * turns, "cache_read_input_tokens": 5000 * turns,
            "cache_creation": {"ephemeral_5m_input_tokens": 1000 * turns, "ephemeral_1h_input_tokens": 0},
            "active_seconds": 12.5, "list_cost": {"amount": "1", "currency": "USD"},
        }  # fmt: skip
        return {"id": "sesn_1", "type": "session", "status": status, "agent": self.agent, "usage": usage}


@pytest.fixture
def provider(model_server: ModelServer) -> Provider:
    made = Provider()
    model_server.responder = made
    return made


@pytest.fixture
def claude(model_server: ModelServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=model_server.url, api_key="none", max_retries=0) as made:
        yield made


def create(claude: anthropic.Anthropic, **more: Any) -> None:
    claude.beta.sessions.create(agent="agent_1", environment_id="env_1", **more)


def usd(telemetry: Telemetry) -> float:
    return round(telemetry.total("agentcost.cost"), 9)


def test_each_turn_is_charged_once(telemetry: Telemetry, claude: anthropic.Anthropic, provider: Provider) -> None:
    """The usage of a session is that of all its turns: only what is new is charged. Polls cost nothing."""
    with budgeted(telemetry, budgets="total:usd=1"), otel_agentcost.run("job") as block:
        create(claude)
        for turn in (1, 2, 3):
            claude.beta.sessions.events.send("sesn_1", events=[EVENT])
            provider.status = "running"
            claude.beta.sessions.retrieve("sesn_1")
            assert usd(telemetry) == round(TURN * (turn - 1), 9)
            provider.status = "idle"
            for _ in range(3):
                claude.beta.sessions.retrieve("sesn_1")
            assert usd(telemetry) == round(TURN * turn, 9)
        assert (block.llm_calls, round(float(block.cost_usd or 0), 9)) == (3, round(3 * TURN, 9))
    said = [dict(span.attributes or {}) for span in telemetry.spans]
    priced = [each for each in said if each.get(semconv.COST) == TURN]
    assert len(priced) == 3
    assert priced[0][semconv.CONVERSATION] == "sesn_1"
    assert priced[0]["gen_ai.usage.output_tokens"] == 300
    assert priced[0][semconv.UNPRICED] == "the runtime of the session is billed by the hour, which is not priced"


def test_several_turns_may_be_read_together(
    telemetry: Telemetry, claude: anthropic.Anthropic, provider: Provider
) -> None:
    """With the first events in the creation, too; archiving a session returns it."""
    with budgeted(telemetry):
        create(claude, initial_events=[EVENT])
        provider.turns = 1
        claude.beta.sessions.events.send("sesn_1", events=[EVENT])
        claude.beta.sessions.archive("sesn_1")
        assert usd(telemetry) == round(2 * TURN, 9)


def test_a_session_that_has_not_run_yet_is_waited_for(
    telemetry: Telemetry, claude: anthropic.Anthropic, provider: Provider
) -> None:
    """It may be idle still when it is read."""
    with budgeted(telemetry):
        create(claude)
        claude.beta.sessions.events.send("sesn_1", events=[EVENT])
        provider.turns = 0
        claude.beta.sessions.retrieve("sesn_1")
        assert usd(telemetry) == 0
        provider.turns = 1
        claude.beta.sessions.retrieve("sesn_1")
        assert usd(telemetry) == TURN


def test_a_session_of_another_process_is_charged_from_where_it_is_known(
    telemetry: Telemetry, claude: anthropic.Anthropic, provider: Provider
) -> None:
    """What it had used before is not this process's: the first turn is unpriced, unless the session was read before."""
    provider.turns = 7
    with budgeted(telemetry):
        claude.beta.sessions.events.send("sesn_1", events=[EVENT])
        claude.beta.sessions.retrieve("sesn_1")
        assert usd(telemetry) == 0
        assert "not known" in str(dict(telemetry.spans[-1].attributes or {})[semconv.UNPRICED])
        claude.beta.sessions.events.send("sesn_1", events=[EVENT])
        claude.beta.sessions.retrieve("sesn_1")
        assert usd(telemetry) == TURN
    with budgeted(telemetry):
        claude.beta.sessions.retrieve("sesn_1")
        claude.beta.sessions.events.send("sesn_1", events=[EVENT])
        claude.beta.sessions.retrieve("sesn_1")
        assert usd(telemetry) == 2 * TURN


@pytest.mark.asyncio
async def test_an_async_client_is_charged_alike(
    telemetry: Telemetry, model_server: ModelServer, provider: Provider
) -> None:
    """The same with the asynchronous client, and raw responses."""
    del provider
    async with anthropic.AsyncAnthropic(base_url=model_server.url, api_key="none", max_retries=0) as made:
        with budgeted(telemetry):
            await made.beta.sessions.create(agent="agent_1", environment_id="env_1")
            await made.beta.sessions.events.send("sesn_1", events=[EVENT])
            await made.beta.sessions.with_raw_response.retrieve("sesn_1")
            assert usd(telemetry) == TURN


def test_several_models_are_not_priced_as_one(
    telemetry: Telemetry, claude: anthropic.Anthropic, provider: Provider
) -> None:
    """A session of several agents does not count their models apart."""
    provider.agent["multiagent"] = {"type": "coordinator", "agents": []}
    with budgeted(telemetry):
        create(claude)
        claude.beta.sessions.events.send("sesn_1", events=[EVENT])
        claude.beta.sessions.retrieve("sesn_1")
    assert usd(telemetry) == 0
    assert "several models" in str(dict(telemetry.spans[-1].attributes or {})[semconv.UNPRICED])


def test_budgets_are_checked_when_events_are_sent(
    telemetry: Telemetry, claude: anthropic.Anthropic, provider: Provider
) -> None:
    """Reading a session is never refused; the next events are."""
    del provider
    with budgeted(telemetry, budgets="total:usd=0.004"):
        create(claude)
        claude.beta.sessions.events.send("sesn_1", events=[EVENT])
        claude.beta.sessions.retrieve("sesn_1")
        with pytest.raises(BudgetExceeded):
            claude.beta.sessions.events.send("sesn_1", events=[EVENT])


def test_turns_that_nobody_reads_hold_no_budget(
    telemetry: Telemetry, claude: anthropic.Anthropic, provider: Provider
) -> None:
    """Several events are sent before the session is read: its usage is theirs, and their worst cases are given back."""
    del provider
    with budgeted(telemetry, budgets="total:tokens=400000"):
        create(claude)
        for _ in range(12):
            for _ in range(2):
                claude.beta.sessions.events.send("sesn_1", events=[EVENT])
            claude.beta.sessions.retrieve("sesn_1")
    assert usd(telemetry) == pytest.approx(24 * TURN)


def test_an_old_answer_of_a_session_is_not_charged(
    telemetry: Telemetry, claude: anthropic.Anthropic, provider: Provider
) -> None:
    """A poll that is overtaken by a later one charges nothing again, and loses nothing."""
    with budgeted(telemetry):
        create(claude)
        for turn in range(1, 5):
            claude.beta.sessions.events.send("sesn_1", events=[EVENT])
            if turn > 2:  # the answer to a poll of an earlier turn
                provider.turns = turn - 2
                claude.beta.sessions.retrieve("sesn_1")
                provider.turns = turn
            claude.beta.sessions.retrieve("sesn_1")
    assert usd(telemetry) == pytest.approx(4 * TURN)
