"""Bodies of every kind: read where that is possible without a change, and never consumed."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3

from otel_agentcost.settings import Settings
from otel_agentcost.settings.hosts import to_hosts
from tests.integrations.http.providers import ASK, BY_NAME
from tests.integrations.http.senders import CLIENTS, SENDERS, STREAMS, led_to_local
from tests.support import replies
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply

BODY = BY_NAME["openai chat"].body
RAW = json.dumps(BODY).encode()


@pytest.fixture(autouse=True)
def ours(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    led_to_local(monkeypatch)
    with instrumented(telemetry, settings=Settings(hosts=to_hosts("llm.acme=openai,ollama.acme=ollama"))):
        yield


def url_of(server: ModelServer, host: str = "llm.acme", path: str = "/v1/chat/completions") -> str:
    return f"http://{host}:{server.url.rpartition(':')[2]}{path}"


def test_a_body_that_can_be_read_once_is_left_alone(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The server gets all of it. The response says which model answered, and how many tokens it used."""
    url = url_of(model_server)
    for _ in range(5):
        model_server.replies(replies.chat_reply())
    length = {"Content-Length": str(len(RAW)), "Content-Type": "application/json"}
    httpx.post(url, content=iter([RAW[:5], RAW[5:]]), headers=length)
    requests.post(url, data=io.BytesIO(RAW), headers=length, timeout=9)
    requests.post(url, data=iter([RAW]), headers=length, timeout=9)
    urllib3.request("POST", url, body=io.BytesIO(RAW), headers=length)

    async def pieces() -> AsyncIterator[bytes]:
        yield RAW

    async def main() -> None:
        async with aiohttp.ClientSession() as session, session.post(url, data=pieces(), headers=length) as response:
            await response.read()

    asyncio.run(main())
    sent = [request.body for request in model_server.requests]
    assert [body for body in sent if body] == [RAW] * sum(1 for body in sent if body)
    costs = [(span.attributes or {}).get("agentcost.cost.usd") for span in telemetry.spans]
    assert costs == [replies.PLAIN_USD] * 5


def test_the_same_body_as_bytes_text_and_json(model_server: ModelServer, telemetry: Telemetry) -> None:
    """However it is given, the provider gets the same bytes, and the call is the same."""
    url = url_of(model_server)
    for _ in range(6):
        model_server.replies(replies.chat_reply())
    httpx.post(url, content=RAW)
    httpx.post(url, content=RAW.decode())
    requests.post(url, data=RAW, timeout=9)
    requests.post(url, data=RAW.decode(), timeout=9)
    urllib3.request("POST", url, body=RAW)

    async def main() -> None:
        async with aiohttp.ClientSession("http://llm.acme:" + model_server.url.rpartition(":")[2]) as session:
            await (await session.post("/v1/chat/completions", data=RAW)).read()

    asyncio.run(main())
    assert [request.body for request in model_server.requests] == [RAW] * 6
    assert [span.name for span in telemetry.spans] == ["chat gpt-4o-mini"] * 6


TRANSCRIPT = {"text": "Forty-two.", "usage": {"type": "duration", "seconds": 60}}


def test_the_model_of_a_transcription_is_read_from_the_form(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The file beside it is not."""
    url = url_of(model_server, "api.openai.com", "/v1/audio/transcriptions")
    model_server.responder = lambda _: json_reply(TRANSCRIPT)
    sound = b"\r\n--" + bytes(range(256)) * 2000
    data = {"model": "whisper-1", "response_format": "json"}
    httpx.post(url, data=data, files={"file": ("a.wav", sound, "audio/wav")})
    requests.post(url, data=data, files={"file": ("a.wav", sound)}, timeout=9)
    urllib3.request("POST", url, fields={**data, "file": ("a.wav", sound)})

    async def main() -> None:
        form = aiohttp.FormData(data)
        form.add_field("file", sound, filename="a.wav")
        async with aiohttp.ClientSession() as session, session.post(url, data=form) as response:
            await response.read()

    asyncio.run(main())
    assert all(sound in request.body for request in model_server.requests)
    spans = [(span.name, (span.attributes or {}).get("agentcost.cost.usd")) for span in telemetry.spans]
    assert spans == [("generate_content whisper-1", 0.006)] * 4


@pytest.mark.parametrize("name", SENDERS)
def test_gemini_streams_an_array_if_nothing_else_is_asked_for(
    name: str, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """Its chunks are the elements of one JSON array."""
    chunks = [json.loads(chunk[6:]) for chunk in replies.content_stream().chunks or () if isinstance(chunk, bytes)]
    body = json.dumps(chunks).encode()
    model_server.replies(Reply(body=body, chunks=[body[:50], body[50:]]))
    url = url_of(
        model_server, "generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    )
    assert SENDERS[name](url, {"contents": [{"parts": [{"text": "What is six times seven?"}]}]}) == body
    assert telemetry.attributes()["agentcost.cost.usd"] == replies.GEMINI_USD


@pytest.mark.parametrize(
    ("host", "path", "body"),
    [
        ("api.cohere.com", "/v2/chat", {"model": "command-a-03-2025", "messages": ASK}),
        ("api.cohere.com", "/v2/rerank", {"model": "rerank-v3.5", "query": "x", "documents": ["y"]}),
        ("ollama.acme", "/api/chat", {"model": "llama3", "messages": ASK}),
        ("bedrock-runtime.us-east-1.amazonaws.com", "/model/amazon.nova-pro-v1:0/converse", {"messages": []}),
    ],
)
def test_a_format_without_a_reader_is_seen_and_unpriced(
    host: str, path: str, body: dict[str, Any], model_server: ModelServer, telemetry: Telemetry
) -> None:
    """With the reason, unless an SDK's module brings a reader for it. It is never free."""
    model_server.replies(json_reply({"id": "1"}))
    requests.post(url_of(model_server, host, path), json=body, timeout=9)
    attributes = telemetry.attributes()
    assert attributes["gen_ai.request.model"]
    assert attributes["agentcost.unpriced"]
    assert "agentcost.cost.usd" not in attributes


def frame(kind: str, payload: bytes) -> bytes:
    """One message of AWS's event stream."""
    headers = b"".join(
        struct.pack(">B", len(name)) + name + b"\x07" + struct.pack(">H", len(value)) + value
        for name, value in [(b":event-type", kind.encode()), (b":message-type", b"event")]
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    message = prelude + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def test_frames_of_aws_are_the_events_of_botocore() -> None:
    """Whole, split anywhere, and broken."""
    from botocore.eventstream import EventStreamBuffer

    from otel_agentcost.calls.framing import splitter

    usage = json.dumps({"usage": {"inputTokens": 3, "outputTokens": 4}}).encode()
    chunk = json.dumps({"bytes": b64encode(b'{"type": "x"}').decode()}).encode()
    data = frame("messageStart", b"{}") + frame("chunk", chunk) + frame("metadata", usage)
    wanted: list[dict[str, Any]] = [
        {"messageStart": {}},
        {"chunk": {"bytes": b'{"type": "x"}'}},
        {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 4}}},
    ]
    theirs = EventStreamBuffer()
    theirs.add_data(data)
    assert [event.headers[":event-type"] for event in theirs] == [next(iter(event)) for event in wanted]
    for size in (1, 7, len(data)):
        split = splitter("application/vnd.amazon.eventstream")
        assert split is not None
        assert [e for at in range(0, len(data), size) for e in split.feed(data[at : at + size])] == wanted
    broken = splitter("application/vnd.amazon.eventstream")
    assert broken is not None
    assert list(broken.feed(b"\xff" * 100)) == []


def test_lines_of_json_are_events_and_the_last_needs_no_end() -> None:
    """As Ollama and Cohere stream."""
    from otel_agentcost.calls.framing import splitter

    split = splitter("application/x-ndjson; charset=utf-8")
    assert split is not None
    assert list(split.feed(b'{"a": 1}\n{"b"')) == [{"a": 1}]
    assert list(split.feed(b": 2}")) == []
    assert list(split.rest()) == [{"b": 2}]
    assert splitter("application/json") is None


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_without_a_line_end_at_its_end(name: str, model_server: ModelServer, telemetry: Telemetry) -> None:
    """Its last event counts."""
    chunks = [chunk for chunk in replies.chat_stream(replies.PLAIN).chunks or () if isinstance(chunk, bytes)]
    *before, last = (chunk for chunk in chunks if b"[DONE]" not in chunk)
    kept = [*before, last.rstrip()]
    model_server.replies(Reply(content_type="text/event-stream", chunks=kept))
    SENDERS[name](url_of(model_server), {**BODY, "stream": True})
    assert telemetry.attributes()["agentcost.cost.usd"] == replies.PLAIN_USD


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("answer", [b"", b"not json", b"[1, 2]", b"null", b'{"usage": 7}'])
def test_a_response_that_is_none_is_unpriced(
    name: str, answer: bytes, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """And reaches the application as it is."""
    model_server.replies(Reply(body=answer))
    assert SENDERS[name](url_of(model_server), BODY) == answer
    assert telemetry.attributes()["agentcost.unpriced"]


@pytest.mark.parametrize("name", [name for name in SENDERS if "read" not in name])
def test_a_response_that_breaks_off_raises_as_without_us(
    name: str, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """The call ends, estimated or unpriced."""
    model_server.replies(replies.chat_stream(drop=True))
    broken = "peer closed|incomplete|ended prematurely|payload|not enough data|connection broken"
    with pytest.raises(Exception, match=f"(?i){broken}"):
        SENDERS[name](url_of(model_server), {**BODY, "stream": True})
    attributes = telemetry.attributes()
    assert "agentcost.unpriced" in attributes or attributes["agentcost.usage.estimated"] is True
