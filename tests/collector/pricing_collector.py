"""A real collector with the real `pricing.yaml` and nothing else: spans in, priced spans out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.collector import Collector, free_ports, send, spans_of

_PIPELINE = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters: {{file: {{path: "{out}", flush_interval: 20ms}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [transform/agentcost], exporters: [file]}}}}
"""


class Pricing:
    """Prices spans that are sent to it. Each is told from the others by its attribute `case`."""

    def __init__(self, folder: Path, pricing: Path, **environment: str) -> None:
        (self.port,) = free_ports(1)
        self._out = folder / "out.json"
        pipeline = folder / "pipeline.yaml"
        pipeline.write_text(_PIPELINE.format(port=self.port, out=self._out))
        self.collector = Collector(folder, [pricing, pipeline], environment).start(self.port)
        self._sent = 0
        self._read = 0
        self._found: dict[int, dict[str, Any]] = {}

    def price(self, spans: Sequence[Mapping[str, Any]], *, scope: str = "test") -> list[dict[str, Any]]:
        """The attributes of `spans` (attributes, or whole spans) when they come out, in the same order."""
        first, self._sent = self._sent, self._sent + len(spans)
        made = [made_span(one, first + number) for number, one in enumerate(spans)]
        for start in range(0, len(made), 500):
            scoped = {"scope": {"name": scope}, "spans": made[start : start + 500]}
            send(self.port, {"resourceSpans": [{"scopeSpans": [scoped]}]})
        return self._awaited(range(first, self._sent))

    def passed(self, resource_spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The attributes of spans in OTLP/JSON, which are sent as they are, when they come out, in the same order."""
        first = self._sent
        copied = json.loads(json.dumps(resource_spans))
        for span in (span for one in copied for scope in one["scopeSpans"] for span in scope["spans"]):
            span["attributes"].append({"key": "case", "value": {"intValue": str(self._sent)}})
            self._sent += 1
        send(self.port, {"resourceSpans": copied})
        return self._awaited(range(first, self._sent))

    def _awaited(self, wanted: range) -> list[dict[str, Any]]:
        deadline = time.monotonic() + 60
        while len(self._found) < len(wanted):
            assert time.monotonic() < deadline, f"{len(wanted) - len(self._found)} spans did not come out"
            time.sleep(0.02)
            self._look()
        return [self._found.pop(number) for number in wanted]

    def _look(self) -> None:
        """Reads what has come out since the last look, up to the last whole line."""
        if not self._out.exists():
            return
        with self._out.open("rb") as file:
            file.seek(self._read)
            lines = file.read().rpartition(b"\n")[0]
        self._read += len(lines) + 1 if lines else 0
        for span in spans_of(lines.decode()):
            self._found[span["attributes"]["case"]] = span["attributes"]


def made_span(one: Mapping[str, Any], number: int) -> dict[str, Any]:
    """OTLP/JSON of a span with these attributes, which ended just now; `@at` and `@error` are not attributes."""
    at = int(one.get("@at", time.time()) * 1e9)
    given = {key: value for key, value in one.items() if not key.startswith("@")} | {"case": number}
    return {
        "traceId": f"{number + 1:032x}",
        "spanId": f"{number + 1:016x}",
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": str(at),
        "endTimeUnixNano": str(at + 10**9),
        "status": {"code": 2} if one.get("@error") else {},
        "attributes": [{"key": key, "value": value_of(value)} for key, value in given.items() if value is not None],
    }


def value_of(value: Any) -> dict[str, Any]:
    """An attribute's value in OTLP/JSON."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value if math.isfinite(value) else str(value)}
