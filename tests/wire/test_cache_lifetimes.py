"""Cache writes whose lifetime only the request says: a write for an hour is not billed as one for five minutes."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from otel_agentcost.core import semconv
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import message

UNSPLIT = {"input_tokens": 1000, "cache_creation_input_tokens": 1000, "output_tokens": 100}


def marked(*lifetimes: str | None) -> list[Any]:
    marks = [{"type": "ephemeral"} if each is None else {"type": "ephemeral", "ttl": each} for each in lifetimes]
    return [{"type": "text", "text": "Be brief.", "cache_control": mark} for mark in marks]


@pytest.mark.parametrize(
    ("system", "usage", "usd", "unpriced"),
    [
        (marked("1h"), UNSPLIT, 0.0105, False),
        (marked("1h", "1h"), UNSPLIT, 0.0105, False),
        (marked(None), UNSPLIT, 0.00825, False),
        (marked("5m", "1h"), UNSPLIT, 0.00825, True),
        (marked("1h"), {**UNSPLIT, "cache_creation": {"ephemeral_5m_input_tokens": 1000}}, 0.00825, False),
    ],
    ids=["an hour", "an hour twice", "the default", "both", "the response says it"],
)
def test_an_hour_in_the_cache_is_not_billed_as_five_minutes(
    telemetry: Telemetry, model_server: ModelServer, system: list[Any], usage: Any, usd: float, *, unpriced: bool
) -> None:
    """1,000 tokens written: 0.006 dollars for an hour, 0.00375 for five minutes; both marks are a lower bound."""
    model_server.replies(json_reply(message(usage)))
    with (
        instrumented(telemetry),
        anthropic.Anthropic(base_url=model_server.url, api_key="none", max_retries=0) as client,
    ):
        asked: list[Any] = [{"role": "user", "content": "Hi"}]
        client.messages.create(model="claude-sonnet-4-6", max_tokens=100, messages=asked, system=system)
    said = dict(telemetry.attributes())
    assert said[semconv.COST] == pytest.approx(usd)
    assert (semconv.UNPRICED in said) is unpriced
