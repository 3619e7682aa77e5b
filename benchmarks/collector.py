"""What `collector_config/` costs a real collector: CPU seconds per million spans over the same pipeline without it.

`python -m benchmarks.collector [--quick]`. The collector's own CPU time is read from the system, so what sends
does not count; loopback, protobuf over HTTP, spans of some ten attributes, ten to a trace.
"""

from __future__ import annotations

import http.client
import os
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tests.collector.real_collector import SHAPES
from tools.collector import Collector, find, free_ports

SHARES = (0.01, 0.1, 1.0)
BARE = """
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:${env:AGENTCOST_OTLP_HTTP_PORT}"}}}}
processors: {memory_limiter: {check_interval: 1s, limit_mib: 2000}, batch: {timeout: 200ms, send_batch_size: 8192}}
exporters: {nop: {}}
service:
  pipelines: {traces: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [nop]}}
  telemetry: {metrics: {level: none}}
"""
SAMPLING = BARE.replace(
    "processors: {memory",
    "processors: {tail_sampling: {decision_wait: 2s, policies: [{name: some, type: probabilistic, "
    "probabilistic: {sampling_percentage: 10}}]}, memory",
).replace("batch], exporters", "batch, tail_sampling], exporters")
"""The bare pipeline of a gateway, which samples as well."""
PRICED = ("pricing.yaml", "metrics.yaml", "agent.yaml", "backends/prometheus-scrape.yaml")
WHOLE_RUNS = (*PRICED[:2], "runs.yaml", *PRICED[2:])
GATEWAY = (*PRICED[:2], "runs.yaml", "gateway.yaml", PRICED[3])

_BATCH = 500
_TRACE = 10
_WEB = {
    "http.request.method": "GET", "url.path": "/orders/17", "url.scheme": "https", "server.address": "shop.example",
    "server.port": "443", "http.response.status_code": "200", "network.protocol.version": "1.1",
    "user_agent.original": "curl/8", "client.address": "10.0.0.7", "http.route": "/orders/{id}",
}  # fmt: skip
_CALL = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.response.id": "chatcmpl-1", "user.id": "u17",
    "gen_ai.agent.name": "researcher", "server.address": "api.openai.com",
}  # fmt: skip
_USAGE = {
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 250,
    "gen_ai.usage.cache_read.input_tokens": 800,
}


@dataclass(frozen=True)
class Row:
    """What one mix of spans took."""

    share: float
    seconds: float
    """CPU seconds per million spans."""
    megabytes: float


def requests(spans: int, share: float) -> list[bytes]:
    """`spans` spans in batches, as a sender would send them; `share` of them are model calls."""
    every = round(1 / share)
    return [_request(start, every) for start in range(0, spans, _BATCH)]


def _request(start: int, every: int) -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(_text("service.name", "shop"))
    into = resource.scope_spans.add().spans
    now = time.time_ns()
    for number in range(start, start + _BATCH):
        first = number % _TRACE == 0
        span = into.add(
            trace_id=(number // _TRACE + 1).to_bytes(16, "big"),
            span_id=(number + 1).to_bytes(8, "big"),
            parent_span_id=b"" if first else (number // _TRACE * _TRACE + 1).to_bytes(8, "big"),
            name="work",
            start_time_unix_nano=now,
            end_time_unix_nano=now + 20_000_000,
        )
        called = number % every == every - 1
        span.attributes.extend(_text(key, value) for key, value in (_CALL if called else _WEB).items())
        if called:
            span.attributes.extend(_number(key, value) for key, value in _USAGE.items())
    return bytes(request.SerializeToString())


def _text(key: str, value: str) -> KeyValue:
    pair = KeyValue(key=key)
    pair.value.string_value = value
    return pair


def _number(key: str, value: int) -> KeyValue:
    pair = KeyValue(key=key)
    pair.value.int_value = value
    return pair


@contextmanager
def running(files: Sequence[str], bare: str = BARE) -> Generator[tuple[Collector, int]]:
    """A collector with these files of `collector_config/`, or with `bare` instead, and the port that it listens on."""
    ports = free_ports(4)
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder, "bare.yaml")
        alone.write_text(bare)
        names = ("OTLP_HTTP", "OTLP_GRPC", "PROMETHEUS", "TELEMETRY")
        environment = {f"AGENTCOST_{name}_PORT": str(port) for name, port in zip(names, ports, strict=True)}
        environment |= {"AGENTCOST_MEMORY_MIB": "4000", "AGENTCOST_RUN_WINDOW": "1s", "AGENTCOST_DECISION_WAIT": "2s"}
        collector = Collector(Path(folder), [SHAPES / name for name in files] or [alone], environment)
        try:
            yield collector.start(ports[0], 120), ports[0]
        finally:
            collector.stop()


def measure(files: Sequence[str], spans: int, bare: str = BARE) -> list[Row]:
    """One row for each share of model calls."""
    rows: list[Row] = []
    with running(files, bare) as (collector, port):
        _send(port, requests(5_000, 0.1))
        time.sleep(3)
        for share in SHARES:
            batches = requests(spans, share)
            before = _cpu(collector.pid)
            _send(port, batches)
            time.sleep(4)  # what is held for a second, or two, is part of it
            taken = (_cpu(collector.pid) - before) / len(batches) / _BATCH * 1e6
            rows.append(Row(share, taken, _resident(collector.pid)))
    return rows


def _send(port: int, batches: Sequence[bytes]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for batch in batches:
        connection.request("POST", "/v1/traces", batch, {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the collector answers {answer.status}")
    connection.close()


def _cpu(pid: int) -> float:
    """CPU seconds of a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def table(*, quick: bool = False) -> None:
    """CPU added by each way to use the files, over the bare pipeline."""
    if find() is None or not Path("/proc/self/stat").exists():
        print("no collector is built here, or no /proc: python -m tools.collector")
        return
    spans = 30_000 if quick else 150_000
    bare, sampling = measure((), spans), measure((), spans, SAMPLING)
    print("model calls | bare pipeline | + prices, metrics | + whole runs | bare gateway | + all files | most MB")
    print("-" * 100)
    ours = [measure(files, spans) for files in (PRICED, WHOLE_RUNS, GATEWAY)]
    floors = (bare, bare, sampling)
    for index, share in enumerate(SHARES):
        added = [rows[index].seconds - floor[index].seconds for rows, floor in zip(ours, floors, strict=True)]
        most = max(rows[index].megabytes for rows in ours)
        print(
            f"{share:>10.0%}  | {bare[index].seconds:>12.2f}  | {added[0]:>+16.2f}  | {added[1]:>+11.2f}  "
            f"| {sampling[index].seconds:>11.2f}  | {added[2]:>+12.2f}  | {most:.0f}"
        )
    print("in CPU seconds per million spans\n")
    for what, rows, floor in zip(("prices and metrics", "whole runs as well", "a gateway"), ours, floors, strict=True):
        call, other = _apart(rows, floor)
        print(f"{what}: {call:.1f} us a model call, {other:.2f} us any other span")


def _apart(rows: Sequence[Row], floor: Sequence[Row]) -> tuple[float, float]:
    """Microseconds that a call adds, and any other span: from the mix of all calls and that of the fewest."""
    few, most = rows[0].seconds - floor[0].seconds, rows[-1].seconds - floor[-1].seconds
    return most, (few - SHARES[0] * most) / (1 - SHARES[0])


if __name__ == "__main__":
    table(quick="--quick" in sys.argv)
