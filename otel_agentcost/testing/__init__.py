"""Tests of your own agent: without a server, without a key, and with the real SDKs.

    from otel_agentcost.testing import Answer, exceeded, recording

    def test_an_agent_says_that_its_budget_is_used_up():
        with recording() as made:
            made.model.answers(Answer("Forty-two.", input_tokens=1000, output_tokens=5))
            client = made.model.openai()
            my_agent(client)
            assert made.calls[0].usd == Decimal("0.0025")
            with exceeded(), pytest.raises(BudgetExceeded):
                my_agent(client)

`FakeModel` is the transport of real SDK clients, and answers with the texts, tool calls, usage and errors that the
test wants. `recording()` instruments for a block, and keeps every call as a value. `exceeded()` has calls refused.
With pytest, the fixture `agentcost` is a `recording()`. SDKs, HTTP libraries and pytest are imported by nothing here
before they are needed.
"""

from __future__ import annotations

from otel_agentcost.testing.answers import Answer, Failure, ModelRequest, ToolCall
from otel_agentcost.testing.calls import CallExporter, RecordedCall, RecordedTool
from otel_agentcost.testing.fake_model import FakeModel
from otel_agentcost.testing.recording import Recording, exceeded, recording
from otel_agentcost.testing.server import ModelServer

__all__ = [
    "Answer",
    "CallExporter",
    "Failure",
    "FakeModel",
    "ModelRequest",
    "ModelServer",
    "RecordedCall",
    "RecordedTool",
    "Recording",
    "ToolCall",
    "exceeded",
    "recording",
]
