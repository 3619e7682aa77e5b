"""Backends that spans are exported to, filled as a Collector fills them: a file in OTLP JSON, and ClickHouse.

ClickHouse is the real engine in a package (chdb), behind a small server that speaks its HTTP interface.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

# protobuf's types are a package of their own, which is installed in some environments only
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped,unused-ignore] # its stubs are no dependency
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from tools.collector import plain, spans_of

_IDS = ("traceId", "spanId", "parentSpanId")


def otlp_json(spans: Sequence[ReadableSpan]) -> str:
    """A line of the `file` exporter."""
    document: dict[str, Any] = MessageToDict(encode_spans(spans))
    for span in [span for one in document["resourceSpans"] for each in one["scopeSpans"] for span in each["spans"]]:
        for holder in (span, *span.get("links", ())):
            holder.update({key: base64.b64decode(holder[key]).hex() for key in _IDS if key in holder})
    return json.dumps(document, separators=(",", ":"))


TABLE = """
CREATE TABLE otel_traces (
    Timestamp DateTime64(9), TraceId String, SpanId String, ParentSpanId String, TraceState String,
    SpanName LowCardinality(String), SpanKind LowCardinality(String), ServiceName LowCardinality(String),
    ResourceAttributes Map(LowCardinality(String), String), ScopeName String, ScopeVersion String,
    SpanAttributes Map(LowCardinality(String), String), Duration UInt64, StatusCode LowCardinality(String),
    StatusMessage String,
    Events Nested (
        Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String)
    ),
    Links Nested (
        TraceId String, SpanId String, TraceState String, Attributes Map(LowCardinality(String), String)
    )
) ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
"""
"""The columns, the partitions and the order of the exporter's default schema."""


class ClickHouse(ThreadingHTTPServer):
    """The engine, in a folder of its own. One at a time in a process."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        chdb = pytest.importorskip("chdb.session", reason="chdb is not installed: `make .venv/.dev` installs it")
        self.session: Any = chdb.Session(str(folder))
        self.session.query("CREATE DATABASE IF NOT EXISTS otel ENGINE = Atomic")
        self.session.query("USE otel")
        self.session.query(TABLE)
        self.lock = threading.Lock()
        self.logins: list[str] = []

    @property
    def url(self) -> str:
        """What `--source` takes."""
        return f"clickhouse://127.0.0.1:{self.server_address[1]}/otel"

    def insert(self, line: str, table: str = "otel_traces") -> None:
        """The spans of a line of OTLP JSON, as the exporter writes them: every attribute as text."""
        rows = "\n".join(json.dumps(_row(span)) for span in spans_of(line))
        with self.lock:
            self.session.query(f"INSERT INTO {table} FORMAT JSONEachRow {rows}")

    def query(self, sql: str) -> str:
        """The answer of the engine as text. Raises RuntimeError with its words."""
        with self.lock:
            return str(self.session.query(sql))

    def stop(self) -> None:
        """Ends the server and the engine."""
        self.shutdown()
        self.server_close()
        self.session.close()


def running(folder: Path) -> Iterator[ClickHouse]:
    """A server while a fixture is open."""
    server = ClickHouse(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: ClickHouse  # pyright: ignore[reportIncompatibleVariableOverride] (the server that makes the handlers)

    def do_POST(self) -> None:
        sql = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.logins.append(base64.b64decode(self.headers["Authorization"].partition(" ")[2]).decode())
        try:
            status, text = 200, self.server.query(sql)
        except RuntimeError as error:
            status, text = 404, str(error)
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the base class)
        """Says nothing."""


_OF_EVENT: dict[str, Callable[[dict[str, Any]], Any]] = {
    "Timestamp": lambda event: f"{int(event['timeUnixNano']) // 10**9}.{int(event['timeUnixNano']) % 10**9:09}",
    "Name": lambda event: event["name"],
    "Attributes": lambda event: {key: _text(value) for key, value in plain(event.get("attributes", [])).items()},
}
"""The columns of the events of a span."""


def _row(span: dict[str, Any]) -> dict[str, Any]:
    begins, ends = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    links = span.get("links", [])
    return {
        "Timestamp": f"{begins // 10**9}.{begins % 10**9:09}",
        "TraceId": span["traceId"],
        "SpanId": span["spanId"],
        "ParentSpanId": span.get("parentSpanId", ""),
        "SpanName": span["name"],
        "ServiceName": str(span["resource"].get("service.name", "")),
        "ResourceAttributes": {key: _text(value) for key, value in span["resource"].items()},
        "ScopeName": span["scope"] or "",
        "SpanAttributes": {key: _text(value) for key, value in span["attributes"].items()},
        "Duration": ends - begins,
        **{f"Events.{name}": [value(event) for event in span.get("events", ())] for name, value in _OF_EVENT.items()},
        "Links.TraceId": [link["traceId"] for link in links],
        "Links.SpanId": [link["spanId"] for link in links],
        "Links.TraceState": ["" for _ in links],
        "Links.Attributes": [{} for _ in links],
    }


def _text(value: Any) -> str:
    """An attribute as the Collector writes it as text: numbers as in JSON, with the shortest exponent."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value).replace("e-0", "e-").removesuffix(".0")
    return value if isinstance(value, str) else json.dumps(value)
