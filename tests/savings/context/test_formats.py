"""Shorter histories: what the real SDKs send with the hook and without it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost.core import semconv
from otel_agentcost.savings.context.hook import LongContext
from tests.savings.context.histories import (
    FORMATS,
    LEAST,
)
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer


@pytest.mark.parametrize("name", FORMATS)
def test_the_shorter_history_is_the_only_change_on_the_wire(
    telemetry: Telemetry, server: ModelServer, name: str
) -> None:
    """And the application's messages stay as they are; the next request is shortened in the same way, unasked."""
    ask, field, messages = FORMATS[name]
    before = copy.deepcopy(messages)
    told: list[LongContext] = []

    def hook(context: LongContext) -> list[Any]:
        told.append(context)
        lead = [m for m in context.messages if m["role"] == "system"]
        rest = context.messages[len(lead) :]
        return [*lead, *rest[:2], *rest[-1:]]

    ask(server, messages)
    alone = server.requests[-1].json
    with budgeted(telemetry):
        otel_agentcost.on_context(hook, least=LEAST)
        ask(server, messages)
        sent = server.requests[-1].json
        answered, asked = dict(messages[-2]), dict(messages[-1])
        ask(server, [*messages, answered, asked])
    again = server.requests[-1].json
    lead = len(alone[field]) - 11
    kept = [*alone[field][: lead + 2], alone[field][-1]]
    assert sent == {**alone, field: kept}
    assert again[field] == [*kept, alone[field][-2], alone[field][-1]]
    assert messages == before
    assert len(told) == 1
    assert told[0].tokens > LEAST
    first, second = (dict[str, Any](span.attributes or {}) for span in telemetry.spans)
    before_hook = first[semconv.CONTEXT_TOKENS] + first[semconv.CONTEXT_COMPACTED]
    assert told[0].tokens == pytest.approx(before_hook, abs=2)
    assert second[semconv.CONTEXT_COMPACTED] > 0
