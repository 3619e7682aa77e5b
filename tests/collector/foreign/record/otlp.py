"""Exporters' requests as OTLP JSON, with all that differs from run to run, and from machine to machine, taken out."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any

# protobuf's types are a package of their own, which is installed in some environments only
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped,unused-ignore]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_LONGEST = 40
_START = 1_767_225_600_000_000_000
_KEPT_RESOURCE = ("service.name", "telemetry.sdk.language", "telemetry.sdk.name", "telemetry.sdk.version")
_LEFT_OUT = re.compile(
    # Content, and what tells of the machine or of the run.
    r"messages|ai[.]prompt$|response[.]text|(in|out)put[.](value|mime_type)|request_data|definitions|schema|parameters|settings"
    r"|file|path|stacktrace|lineno|code[.]|thread[.]|user[-_]agent|timestamp|finish|msTo|msPer|avg|toolCalls|version_hash"
    r"|(session|conversation|invocation|event|request|call|associated_event)[._]id|tags|^async$|http[.]|deployment"
    r"|providerMetadata|totalTokens|openlit[.]|client[.]token|gen_ai[.]server|telemetry|sdk[.]version|logfire[.](msg|span|level|exc)|all_messages|request[.](headers|is_stream)"
)
_KEPT_SPAN = ("traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "status")


def unpacked(body: bytes, encoding: str) -> bytes:
    """The body as it was before it was compressed."""
    return gzip.decompress(body) if encoding == "gzip" else body


def resource_spans(body: bytes, content_type: str) -> list[dict[str, Any]]:
    """The spans of one export, in protobuf or in JSON."""
    if "json" in content_type:
        found: list[dict[str, Any]] = json.loads(body).get("resourceSpans", [])
        return found
    request = ExportTraceServiceRequest.FromString(body)
    spans: list[dict[str, Any]] = MessageToDict(request).get("resourceSpans", [])
    for span in _spans(spans):
        for key in ("traceId", "spanId", "parentSpanId"):
            if key in span:
                span[key] = base64.b64decode(span[key]).hex()
    return spans


def _spans(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [span for one in found for scope in one.get("scopeSpans", []) for span in scope.get("spans", [])]


def normalised(scenario: dict[str, Any], url: str, host: str) -> dict[str, Any]:
    """A scenario that reads the same wherever it was recorded: `host` stands for the server at `url`."""
    found: list[dict[str, Any]] = scenario["resourceSpans"]
    spans = sorted(_spans(found), key=lambda span: int(span["startTimeUnixNano"]))
    ids: dict[str, str] = {}
    for number, span in enumerate(spans, 1):
        ids.setdefault(span["spanId"], f"{number:016x}")
        ids.setdefault(span["traceId"], f"{len([one for one in ids if len(one) == 32]) + 1:032x}")
    times = sorted({int(span[key]) for span in spans for key in ("startTimeUnixNano", "endTimeUnixNano")})
    for span in spans:
        for key in ("traceId", "spanId", "parentSpanId"):
            if span.get(key):
                span[key] = ids.get(span[key], "")
        for key in ("startTimeUnixNano", "endTimeUnixNano"):
            span[key] = str(_START + 1_000_000_000 * times.index(int(span[key])))
        attributes = [_one(each, url, host) for each in span.get("attributes", []) if _kept(each)]
        for key in set(span) - set(_KEPT_SPAN):
            del span[key]
        span["attributes"] = attributes
        if "message" in span.get("status", {}):
            span["status"]["message"] = _text(span["status"]["message"], url, host)
    for one in found:
        resource = one.get("resource", {}).get("attributes", [])
        one["resource"] = {"attributes": [each for each in resource if each["key"] in _KEPT_RESOURCE]}
    return scenario | {"resourceSpans": found}


def _kept(attribute: dict[str, Any]) -> bool:
    return not _LEFT_OUT.search(attribute["key"])


def _one(attribute: dict[str, Any], url: str, host: str) -> dict[str, Any]:
    key, value = attribute["key"], attribute["value"]
    if key in ("server.port", "net.peer.port"):
        return {"key": key, "value": {"intValue": "443"}}
    if "doubleValue" in value and re.search("time|duration|second|latency|tbt|ttft", key):
        return {"key": key, "value": {"doubleValue": 0.5}}
    if "usage" in key or "model" in key:
        return attribute
    return {"key": key, "value": _value(value, url, host)}


def _value(value: dict[str, Any], url: str, host: str) -> dict[str, Any]:
    if "stringValue" in value:
        return {"stringValue": _text(value["stringValue"], url, host)}
    if "arrayValue" in value:
        return {"arrayValue": {"values": [_value(one, url, host) for one in value["arrayValue"].get("values", [])][:4]}}
    return value


def _text(text: str, url: str, host: str) -> str:
    text = text.replace(url, f"https://{host}").replace(url.removeprefix("http://"), host).replace("127.0.0.1", host)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def text(scenarios: list[dict[str, Any]]) -> str:
    """JSON with one span a line: small differences show as such."""
    lines: list[str] = []
    for scenario in scenarios:
        found: list[dict[str, Any]] = scenario["resourceSpans"]
        held = {f"@{number}@": span for number, span in enumerate(_spans(found))}
        for one in found:
            for scope in one.get("scopeSpans", []):
                scope["spans"] = [key for span in scope["spans"] for key, kept in held.items() if kept is span]
        written = json.dumps(scenario, ensure_ascii=False)
        for key, span in held.items():
            written = written.replace(f'"{key}"', "\n  " + json.dumps(span, ensure_ascii=False, separators=(",", ":")))
        lines.append(" " + written)
    return "[\n" + ",\n".join(lines) + "\n]\n"
