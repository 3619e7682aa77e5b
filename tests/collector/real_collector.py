"""What the tests of `collector_config/` share: a collector with those files, spans to send, and what comes out.

Dollars come from a stand-in for pricing.yaml, which takes them from the span: the real one takes seconds to start, and
has tests of its own.
"""

from __future__ import annotations

import itertools
import json
import time
import urllib.request
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tools.collector import Collector, find, free_ports, send

SHAPES = Path(__file__).resolve().parent.parent.parent / "collector_config"

STAND_IN = """
processors:
  transform/agentcost:
    error_mode: ignore
    trace_statements:
      - conditions: ['span.attributes["agentcost.cost.basis"] == "collector"']
        statements: ['set(span.attributes["agentcost.cost.basis"], "upstream")']
      - conditions: ['span.attributes["agentcost.cost.basis"] == nil and span.attributes["test.usd"] != nil']
        statements:
          - set(span.attributes["agentcost.cost.usd"], span.attributes["test.usd"])
          - set(span.attributes["agentcost.cost.basis"], "collector")
      - conditions: ['span.attributes["agentcost.cost.basis"] == nil and span.attributes["test.unpriced"] != nil']
        statements:
          - set(span.attributes["agentcost.unpriced"], span.attributes["test.unpriced"])
          - set(span.attributes["agentcost.cost.basis"], "collector")
"""

_PARENT = "1" * 16
_numbers = itertools.count(1)


def needed() -> None:
    """Skips the test, and says why, where no collector is built."""
    if find() is None:
        pytest.skip("no collector is built here: python -m tools.collector")


def trace_id() -> str:
    """A new one."""
    return f"{next(_numbers):032x}"


def span(trace: str, attributes: Mapping[str, Any], *, parent: str = "", seconds: float = 0.5) -> dict[str, Any]:
    """A span that has just ended; a root where it has no parent."""
    ended = time.time_ns()
    return {
        "traceId": trace,
        "spanId": f"{next(_numbers):016x}",
        "parentSpanId": parent,
        "name": str(attributes.get("gen_ai.operation.name", "work")),
        "kind": 3,
        "startTimeUnixNano": str(ended - int(seconds * 1e9)),
        "endTimeUnixNano": str(ended),
        "attributes": [{"key": key, "value": _value(value)} for key, value in attributes.items()],
    }


def call(
    trace: str, usd: float | None, *, model: str = "gpt-4o", more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A model call with a price, or without one. `more`: further attributes."""
    price = {"test.unpriced": "unknown model"} if usd is None else {"test.usd": usd}
    return span(
        trace,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": model,
            **price,
            **(more or {}),
        },
        parent=_PARENT,
    )


def tool(trace: str, name: str, arguments: str) -> dict[str, Any]:
    """A tool call with its arguments."""
    said = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.call.arguments": arguments}
    return span(trace, said, parent=_PARENT)


def traces(spans: Sequence[dict[str, Any]], service: str = "shop", scope: str = "test") -> dict[str, Any]:
    """The spans of one service, as OTLP."""
    where = {"service.name": service, "deployment.environment.name": "prod"}
    resource = {"attributes": [{"key": key, "value": _value(value)} for key, value in where.items()]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": scope}, "spans": list(spans)}]}]}


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": str(value)}


@dataclass(frozen=True)
class Setup:
    """A running collector, its ports and the folder of what it writes."""

    collector: Collector
    folder: Path
    otlp: int
    grpc: int
    prometheus: int
    telemetry: int

    def send(self, *spans: dict[str, Any], service: str = "shop", scope: str = "test") -> None:
        """Spans of one service."""
        send(self.otlp, traces(spans, service, scope))

    def samples(self, *, own: bool = False) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """What Prometheus would scrape: of the derived metrics, or of the collector's own."""
        port = self.telemetry if own else self.prometheus
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
        return dict(_samples(text))

    def total(self, name: str, *, own: bool = False, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        wanted = set(labels.items())
        return sum(
            value for (found, having), value in self.samples(own=own).items() if found == name and wanted <= having
        )

    def until(self, name: str, value: float, *, own: bool = False, **labels: str) -> float:
        """Waits for a total, and returns what it is then, be it that or another."""
        deadline = time.monotonic() + 20
        while True:
            found = self.total(name, own=own, **labels)
            if abs(found - value) < 1e-9 * max(1, value) or time.monotonic() > deadline:
                return found
            time.sleep(0.1)


def _samples(text: str) -> Iterator[tuple[tuple[str, frozenset[tuple[str, str]]], float]]:
    for line in text.splitlines():
        if line and not line.startswith("#"):
            series, _, rest = line.partition("} ") if "{" in line else line.partition(" ")
            name, _, labels = series.partition("{")
            pairs = json.loads("[" + _json(labels) + "]") if labels else []
            yield (name, frozenset((key, value) for key, value in pairs)), float(rest.split()[0])


def _json(labels: str) -> str:
    """`a="b",c="d"` as pairs: the values are escaped as in JSON already."""
    found: list[str] = []
    while labels:
        key, _, labels = labels.partition('="')
        end = 0
        while labels[end] != '"':
            end += 2 if labels[end] == "\\" else 1
        found.append(f'["{key}", "{labels[:end]}"]')
        labels = labels[end + 1 :].lstrip(",")
    return ", ".join(found)


@contextmanager
def running(folder: Path, files: Sequence[str], extra: str = "", **environment: str) -> Generator[Setup]:
    """A collector with these files of `collector_config/`, the stand-in for prices, and `extra` merged over them."""
    needed()
    otlp, grpc, prometheus, telemetry = free_ports(4)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prices.yaml").write_text(STAND_IN)
    (folder / "extra.yaml").write_text(extra or "{}")
    configs = [folder / "prices.yaml", *(SHAPES / name for name in files), folder / "extra.yaml"]
    given = {
        "AGENTCOST_OTLP_HOST": "127.0.0.1",
        "AGENTCOST_OTLP_HTTP_PORT": str(otlp),
        "AGENTCOST_OTLP_GRPC_PORT": str(grpc),
        "AGENTCOST_PROMETHEUS_HOST": "127.0.0.1",
        "AGENTCOST_PROMETHEUS_PORT": str(prometheus),
        "AGENTCOST_TELEMETRY_HOST": "127.0.0.1",
        "AGENTCOST_TELEMETRY_PORT": str(telemetry),
        "NO_PROXY": "127.0.0.1",
        **environment,
    }
    collector = Collector(folder, configs, given)
    try:
        yield Setup(collector.start(otlp), folder, otlp, grpc, prometheus, telemetry)
    finally:
        collector.stop()
