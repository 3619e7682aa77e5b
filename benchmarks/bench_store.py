"""`python -m benchmarks.bench_store [--quick]`: the spend store: a call, a row, the file, a report.

The rows are those of real agent runs where AGENTCOST_CORPORA names a folder with them (their prompts grow with each
call), else of one made-up run. Sizes and times are for a million calls, extrapolated from what is written.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Usage
from otel_agentcost.store.questions import Question
from otel_agentcost.store.sources.sqlite import SqliteSource
from otel_agentcost.store.writer import Writer
from otel_agentcost.telemetry.receiver import Settled

_MODELS = ("gpt-4o", "gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash")
_HOURS = 30 * 24
_PART = 200
"""Rows that are made before the next ones are timed."""


def runs() -> list[list[dict[str, Any]]]:
    """Conversations, each as its messages."""
    corpora = os.environ.get("AGENTCOST_CORPORA")
    file = Path(corpora or "") / "agent_runs.jsonl"
    if corpora is None or not file.is_file():
        return [[{"role": "user", "content": "How do bees survive the winter? " * 20} for _ in range(20)]]
    found: list[list[dict[str, Any]]] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        steps = json.loads(line)["steps"]
        found.append([{"role": step.get("message", "tool"), "content": json.dumps(step)} for step in steps])
    return found


def calls(number: int) -> Iterator[Settled]:
    """So many settled calls: runs one after the other, of 40 users, 8 agents and 4 models."""
    conversations, made, trace = runs(), 0, 0
    while made < number:
        trace += 1
        messages = conversations[trace % len(conversations)]
        who = {
            semconv.AGENT: f"agent-{trace % 8}",
            semconv.USER: f"user-{trace * 7 % 40}",
            semconv.TEAM: f"team-{trace % 3}",
            semconv.FEATURE: f"feature-{trace % 5}",
            semconv.CONVERSATION: f"conversation-{trace:08d}",
        }
        for length in range(1, len(messages) + 1, 2):
            made += 1
            yield _call(messages[:length], who, _MODELS[trace % 4], trace << 64 | 0xABCD, made)


def _call(messages: list[dict[str, Any]], who: dict[str, str], model: str, trace: int, number: int) -> Settled:
    size = sum(len(message["content"]) for message in messages) // 4
    usage = Usage(counts={"input_tokens": size - size // 2, "cache_read_tokens": size // 2 + 1, "output_tokens": 150})
    body = {"model": model, "messages": messages, "temperature": 0}
    answer = Answer(usage=usage, model=model, finish_reasons=("tool_calls" if number % 3 else "stop",))
    return Settled(
        names=("chat", "openai", model, model),
        who=who,
        trace_id=trace,
        span_id=number << 20 | 7,
        run=None,
        tokens=usage.tokens(),
        cost=Cost(usd=Decimal(size) / 10**6, price=f"openai/{model}"),
        error=None,
        seconds=1.234,
        calls=1,
        resolves=0,
        tool=None,
        call=Call(operation="chat", model=model, body=body),
        answer=answer,
    )


def table(*, quick: bool = False) -> None:
    """Print all figures."""
    number = 20_000 if quick else 200_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spend.db"
        now = [1_760_000_000.0]
        writer = Writer(f"sqlite:///{path}?seconds=3600", "book", lambda _rows: None, days=10_000, clock=lambda: now[0])
        writer._wake = lambda: None  # type: ignore[method-assign]  # noqa: SLF001 (no thread: its work is timed below)
        made = calls(number)
        on_path = in_writer = 0.0
        written = 0
        while written < number:
            part = list(islice(made, _PART))
            now[0] += _HOURS * 3600 * len(part) / number
            began = time.thread_time()
            for call in part:
                writer.settled(call)
            on_path += time.thread_time() - began
            began = time.thread_time()
            writer.flush(last=True)
            in_writer += time.thread_time() - began
            written += len(part)
        writer.close()
        print(f"{'on the call path':<44}{on_path / written * 1e6:>10.2f} us of CPU a call")
        print(f"{'in the writer, prompts of real runs':<44}{in_writer / written * 1e6:>10.1f} us of CPU a row")
        print(f"{'file':<44}{path.stat().st_size / written:>10.0f} MB a million calls")
        _reports(path)


def _reports(path: Path) -> None:
    source = SqliteSource(path)
    hours = source._connection.execute("SELECT count(*) FROM hour").fetchone()[0]  # noqa: SLF001 (for the heading)
    print(f"{'sums of hours':<44}{hours:>10,} rows")
    for by in (("model",), ("agent", "model"), ("user",), ("day", "model"), ("trace",)):
        began = time.perf_counter()
        spend = source.spend(Question(by=by))
        print(f"{'report by ' + ', '.join(by):<44}{time.perf_counter() - began:>10.3f} s, {len(spend):,} lines")
    source.close()


if __name__ == "__main__":
    table(quick="--quick" in sys.argv)
