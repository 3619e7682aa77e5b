"""A store with two weeks of calls: four models, two providers, tools, caches, failures, and a call without a price."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from otel_agentcost.core import semconv
from tests.insight.recorded_calls import BEGAN, HAIKU, Recording
from tests.store.recorded import a_call, url_of

BOLD = "=1+1|<script>alert(1)</script>\x1b[31m"
"""A name that does something in a terminal, a spreadsheet, a page and Markdown, where they let it."""


def filled(path: Path, *, until: float = BEGAN) -> Path:
    """Write the store."""
    recording = Recording(path, began=until - 14 * 86_400)
    models = (HAIKU, ("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("google", "gemini-2.5-flash"))
    for number in range(14 * 8):
        who = {
            semconv.USER: f"u{number % 30}",
            semconv.TEAM: "blue",
            semconv.FEATURE: BOLD if number % 3 else "nightly",
        }
        cached = {"cache_read_tokens": 3001} if number % 2 else {}
        write = {"cache_write_5m_tokens": 4001} if number % 4 == 0 else {}
        counts = {"input_tokens": 1003 + number, "output_tokens": 77, **cached, **write}
        error = "TimeoutError" if number % 10 == 0 else None
        recording.call(
            counts, after=3 * 3600 - 10, model=models[number % 4], who=who, error=error, trace=number // 3 + 1,
            agent=f"agent-{number % 5}",
        )  # fmt: skip
        tool = a_call(Decimal("0.0000000015"), who={semconv.AGENT: "agent-1"})
        tool = tool._replace(names=("execute_tool", "", None, None), tool="search", calls=0, tokens=None, call=None)
        recording.writer.settled(tool._replace(answer=None))
    recording.writer.settled(a_call(None, model="inert", unpriced="nobody knows inert"))
    recording.close()
    return path


@pytest.fixture(scope="session")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store; nothing writes into it."""
    return filled(tmp_path_factory.mktemp("weeks") / "spend.db")


@pytest.fixture
def store(weeks: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store, as the environment names it."""
    monkeypatch.setenv("OTEL_AGENTCOST_RECORD", url_of(weeks))
    return weeks
