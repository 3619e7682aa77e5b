"""What a real Prometheus answers: the dollars of the counters, by what their labels say, and no more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_agentcost.cli import main
from otel_agentcost.store.questions import Question, Spend
from otel_agentcost.store.sources import open_source
from tests.support import prometheus

HOUR = 3600.0
NOON = (time.time() // HOUR - 30) * HOUR

MODEL = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o"'
SERVED = f'{MODEL},gen_ai_response_model="gpt-4o-2024-08-06"'

COUNTERS: dict[str, list[tuple[int, float]]] = {
    # One that ran before, one that begins and ends within the period, and one that begins anew.
    f'agentcost_cost_total{{instance="a",{SERVED},gen_ai_agent_name="bees"}}': [(-600, 5.0), (600, 5.1), (4000, 5.3)],
    f'agentcost_cost_total{{instance="b",{SERVED},gen_ai_agent_name="bees"}}': [(1000, 0.000000123)],
    f'agentcost_cost_total{{instance="c",{SERVED},gen_ai_agent_name="ants"}}': [(900, 2.0), (1800, 2.5), (2700, 0.25)],
    'agentcost_cost_total{instance="c",gen_ai_operation_name="execute_tool",gen_ai_tool_name="fetch"}': [(900, 0.01)],
    f'agentcost_tokens_total{{{SERVED},gen_ai_agent_name="bees",gen_ai_token_type="input"}}': [(900, 100), (5000, 150)],
    f'agentcost_tokens_total{{{SERVED},gen_ai_agent_name="bees",gen_ai_token_type="cache_read"}}': [(900, 40)],
    f'agentcost_tokens_total{{{SERVED},gen_ai_agent_name="bees",gen_ai_token_type="reasoning"}}': [(900, 7)],
    f'agentcost_savings_total{{{SERVED},agentcost_savings_kind="cache"}}': [(900, 0.5)],
    f'agentcost_savings_total{{{SERVED},agentcost_savings_kind="downgrade"}}': [(900, 9.0)],
    f'agentcost_unpriced_calls_total{{{MODEL},agentcost_unpriced_reason="nobody knows"}}': [(900, 2)],
    f"gen_ai_client_operation_duration_seconds_count{{{SERVED}}}": [(900, 11)],
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with these counters, every minute."""
    prometheus.needed()
    folder = tmp_path_factory.mktemp("prometheus")
    server = prometheus.Prometheus(folder)
    server.backfill(_history(folder / "history.om"))
    server.start()
    yield server.url.replace("http://", "prometheus://")
    server.stop()


def _history(path: Path) -> Path:
    lines: list[str] = []
    for name in dict.fromkeys(series.partition("{")[0] for series in COUNTERS):
        lines.append(f"# TYPE {name} unknown")
        for series, points in COUNTERS.items():
            if series.startswith(f"{name}{{"):
                lines += _samples(series, points)
    path.write_text("\n".join([*lines, "# EOF\n"]))
    return path


def _samples(series: str, points: list[tuple[int, float]]) -> Iterator[str]:
    """A point a minute, until half an hour after the last change."""
    for at in range(points[0][0], points[-1][0] + 1800, 60):
        value = next(value for when, value in reversed(points) if when <= at)
        yield f"{series} {value} {NOON + at:.0f}"


def ask(url: str, *by: str, since: float = NOON, until: float | None = None) -> Spend:
    """The answer of the source."""
    return open_source(url).spend(Question(by=by, since=since, until=until))


def test_every_dollar_counts_once(url: str) -> None:
    """Without what was counted before, with the first value of a series, and with what comes after a reset."""
    found = {line.keys: line.sums for line in ask(url, "agent", "tool")}
    assert found["bees", ""].nusd == 300_000_123
    assert found["ants", ""].nusd == 2_750_000_000
    assert found["", "fetch"].nusd == 10_000_000
    assert (found["bees", ""].input, found["bees", ""].cache_read, found["bees", ""].reasoning) == (190, 40, 7)
    assert (found["(any)", ""].calls, found["(any)", ""].unpriced) == (11, 2)
    total = ask(url).total
    assert total.nusd == 3_060_000_123
    assert (total.calls, total.unpriced, total.saved, total.output) == (11, 2, 500_000_000, 7)
    assert dict(ask(url).reasons) == {"nobody knows": 2}
    assert [line.keys for line in ask(url, "model")] == [("gpt-4o-2024-08-06",), ("",), ("gpt-4o",)]


def test_hours_add_up(url: str) -> None:
    """Each dollar is in the hour in which it was spent; a period that ends within an hour is cut there."""
    hours = ask(url, "hour")
    assert [line.sums.nusd for line in hours] == [2_860_000_123, 200_000_000]
    assert hours.total == ask(url).total
    assert ask(url, until=NOON + 1234).total.nusd == 2_110_000_123
    assert ask(url, since=NOON + 1234).total.nusd == 950_000_000
    assert ask(url, since=NOON - 2 * HOUR, until=NOON - HOUR).lines == ()


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("prometheus://127.0.0.1:1", ["--by", "run"], "Metrics do not say the run of a call"),
        ("prometheus://127.0.0.1:1", ["--since", "all"], "Prometheus needs a beginning"),
        ("prometheus://me:secret@127.0.0.1:1", [], "Prometheus at 127.0.0.1:1 does not answer"),
        ("prometheus://me:secret@h?database=x", [], "The address of Prometheus cannot be understood"),
    ],
)
def test_what_cannot_be_asked(capsys: pytest.CaptureFixture[str], url: str, more: list[str], said: str) -> None:
    """One sentence, and exit code 2."""
    assert main(["spend", "--from", url, *more]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "secret" not in error
