"""What docs/history.md says, run as it stands there."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost import Settings
from otel_agentcost.savings.context import change, hook, memory
from otel_agentcost.settings.on_context import OnContext
from tests.savings.context.histories import ask_chat, plain, turns
from tests.support.budgeted_calls import answering, budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tools import documents

PAGE = (documents.ROOT / "docs" / "history.md").read_text(encoding="utf-8")


def test_the_example_shortens_a_long_history(telemetry: Telemetry, model_server: ModelServer) -> None:
    """To its first message, a note and the question."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    messages = turns(plain)
    with budgeted(telemetry):
        try:
            exec(code, {})
            ask_chat(answering(model_server), messages)
        finally:
            otel_agentcost.on_context(None)
    note = plain("assistant", "(earlier steps are left out)")
    assert model_server.requests[-1].json["messages"] == [messages[0], note, messages[-1]]


def test_the_values_are_understood() -> None:
    """As they stand there."""
    value: Any = Settings(on_context="package.module:shorten,least=50000,growth=0.5").on_context
    assert value == OnContext("package.module:shorten", (("least", 50_000), ("growth", 0.5)))
    assert Settings(on_context="native,least=50000").on_context == OnContext("native", (("least", 50_000),))


def test_the_figures_are_right() -> None:
    """20,000 tokens, 25 %, 30 seconds, 64 conversations, 16 million characters, three refusals; 8 and 46 calls."""
    assert (hook.LEAST, hook.GROWTH, hook.SECONDS, memory.MOST) == (20_000, 0.25, 30, 64)
    assert (memory.MOST_CHARACTERS, change._REFUSALS) == (16_000_000, 3)
    told = hook.LongContext(
        messages=[],
        tokens=100_000,
        growth=0,
        calls=5,
        model=None,
        provider="anthropic",
        agent=None,
        input_usd=Decimal(1),
        read_usd=Decimal("0.1"),
        write_usd=Decimal("1.25"),
    )
    assert told.break_even_calls(60_000) == pytest.approx(7.67, abs=0.01)
    assert told.break_even_calls(20_000) == pytest.approx(46)


def test_every_field_is_in_the_table() -> None:
    """And nothing else."""
    written = set(re.findall(r"`(\w+)(?:\(cleared\))?`", "".join(re.findall(r"^\| `.*?\|", PAGE, re.MULTILINE))))
    fields = {name for name in dir(hook.LongContext) if not name.startswith("_")} | set(
        hook.LongContext.__dataclass_fields__
    )
    assert written == fields
