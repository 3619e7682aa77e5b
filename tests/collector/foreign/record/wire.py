"""The providers' APIs as far as drivers use them: what a request asks for, and the answer with the usage chosen."""

from __future__ import annotations

import itertools
import json
import re
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

DATED = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "o4-mini": "o4-mini-2025-04-16",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
}
"""What a provider answers that it served."""
TEXT = "Fine."
ARGUMENTS = {"city": "Oslo"}
_numbers = itertools.count(1)
"""Instrumentations keep what they know by the answer's id: each answer has its own."""


@dataclass
class Call(ABC):
    """One request, and how it is answered."""

    provider: str
    asked: str
    stream: bool
    has_tool_result: bool
    used: dict[str, int] = field(default_factory=dict[str, int])
    tool: bool = False
    cost: float | None = None
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def model(self) -> str:
        """The model that served."""
        return DATED.get(self.asked, self.asked)

    @property
    def content_type(self) -> str:
        """Of the answer."""
        return "text/event-stream" if self.stream else "application/json"

    def count(self, *kinds: str) -> int:
        """The sum of these kinds."""
        return sum(self.used.get(kind, 0) for kind in kinds)

    def error(self) -> dict[str, Any]:
        """A refusal."""
        inner = {"message": "bad request", "type": "invalid_request_error", "code": 400, "status": "INVALID_ARGUMENT"}
        return {"type": "error", "message": "bad request", "error": inner}

    @abstractmethod
    def whole(self) -> dict[str, Any]:
        """The answer in one piece."""

    def events(self) -> Iterator[bytes]:
        """The answer as a stream. Raises TypeError where such answers are never streamed (embeddings)."""
        raise TypeError(f"{type(self).__name__} is never streamed")

    def pieces(self) -> Iterator[bytes]:
        """The answer as it was asked for."""
        return self.events() if self.stream else iter([json.dumps(self.whole()).encode()])


def _event(value: dict[str, Any]) -> bytes:
    name = f"event: {value['type']}\n" if "type" in value else ""
    return f"{name}data: {json.dumps(value)}\n\n".encode()


_ALL_INPUT = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")
_WRITES = ("cache_write_5m_tokens", "cache_write_1h_tokens")
_ALL_OUTPUT = ("output_tokens", "output_reasoning_tokens")


class OpenAIChat(Call):
    """OpenAI's chat completions."""

    def usage(self) -> dict[str, Any]:
        cost = {} if self.cost is None else {"cost": self.cost}
        return cost | {
            "prompt_tokens": self.count(*_ALL_INPUT),
            "completion_tokens": self.count(*_ALL_OUTPUT),
            "total_tokens": self.count(*_ALL_INPUT, *_ALL_OUTPUT),
            "prompt_tokens_details": {"cached_tokens": self.count("cache_read_tokens"), "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.count("output_reasoning_tokens"), "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
        }  # fmt: skip

    def message(self) -> dict[str, Any]:
        if not self.tool:
            return {"role": "assistant", "content": TEXT}
        function = {"name": "weather", "arguments": json.dumps(ARGUMENTS)}
        calls = [{"index": 0, "id": "call_1", "type": "function", "function": function}]
        return {"role": "assistant", "content": None, "tool_calls": calls}

    def head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.number}",
            "object": kind,
            "created": 1,
            "model": self.model,
            "service_tier": "default",
        }

    def whole(self) -> dict[str, Any]:
        reason = "tool_calls" if self.tool else "stop"
        choice = {"index": 0, "message": self.message(), "finish_reason": reason, "logprobs": None}
        return self.head("chat.completion") | {"choices": [choice], "usage": self.usage()}

    def events(self) -> Iterator[bytes]:
        head = self.head("chat.completion.chunk")
        reason = "tool_calls" if self.tool else "stop"
        for delta, end in ((self.message(), None), ({}, reason)):
            yield _event(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": end}]})
        if self.with_usage:
            yield _event(head | {"choices": [], "usage": self.usage()})
        yield b"data: [DONE]\n\n"

    with_usage = True


class OpenAIResponses(Call):
    """OpenAI's responses."""

    def whole(self) -> dict[str, Any]:
        output: dict[str, Any] = {
            "type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}],
        }  # fmt: skip
        if self.tool:
            output = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather"}
            output |= {"arguments": json.dumps(ARGUMENTS), "status": "completed"}
        usage = {
            "input_tokens": self.count(*_ALL_INPUT),
            "input_tokens_details": {"cached_tokens": self.count("cache_read_tokens")},
            "output_tokens": self.count(*_ALL_OUTPUT),
            "output_tokens_details": {"reasoning_tokens": self.count("output_reasoning_tokens")},
            "total_tokens": self.count(*_ALL_INPUT, *_ALL_OUTPUT),
        }
        return {
            "id": f"resp_{self.number}", "object": "response", "created_at": 1, "status": "completed",
            "model": self.model,
            "output": [output], "usage": usage, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
            "error": None, "incomplete_details": None, "instructions": None, "metadata": {}, "temperature": 1.0,
            "top_p": 1.0, "service_tier": "default",
        }  # fmt: skip

    def events(self) -> Iterator[bytes]:
        whole = self.whole()
        begun = whole | {"status": "in_progress", "output": [], "usage": None}
        item: dict[str, Any] = whole["output"][0]
        where = {"output_index": 0, "content_index": 0, "item_id": item["id"]}
        yield _event({"type": "response.created", "response": begun, "sequence_number": 0})
        added = item | {"status": "in_progress", "content": []}
        yield _event({"type": "response.output_item.added", "item": added, "output_index": 0, "sequence_number": 1})
        part = {"type": "output_text", "text": "", "annotations": []}
        yield _event({"type": "response.content_part.added", "part": part, "sequence_number": 2} | where)
        yield _event(
            {"type": "response.output_text.delta", "delta": TEXT, "logprobs": [], "sequence_number": 3} | where
        )
        yield _event({"type": "response.output_item.done", "item": item, "output_index": 0, "sequence_number": 4})
        yield _event({"type": "response.completed", "response": whole, "sequence_number": 5})


class Embeddings(Call):
    """OpenAI's embeddings."""

    def whole(self) -> dict[str, Any]:
        usage = {"prompt_tokens": self.count("input_tokens"), "total_tokens": self.count("input_tokens")}
        vector = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
        return {"object": "list", "data": [vector], "model": self.model, "usage": usage}


class Anthropic(Call):
    """Anthropic's messages: cached tokens are not among the input tokens."""

    def usage(self) -> dict[str, Any]:
        return {
            "input_tokens": self.count("input_tokens"),
            "cache_read_input_tokens": self.count("cache_read_tokens"),
            "cache_creation_input_tokens": self.count(*_WRITES),
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.count("cache_write_5m_tokens"),
                "ephemeral_1h_input_tokens": self.count("cache_write_1h_tokens"),
            },
            "output_tokens": self.count(*_ALL_OUTPUT),
            "service_tier": "standard",
        }

    def block(self) -> dict[str, Any]:
        if self.tool:
            return {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": ARGUMENTS}
        return {"type": "text", "text": TEXT}

    def whole(self) -> dict[str, Any]:
        return {
            "id": f"msg_{self.number}", "type": "message", "role": "assistant", "model": self.model,
            "content": [self.block()],
            "stop_reason": "tool_use" if self.tool else "end_turn", "stop_sequence": None, "usage": self.usage(),
        }  # fmt: skip

    def events(self) -> Iterator[bytes]:
        whole = self.whole()
        begun = whole | {"content": [], "stop_reason": None, "usage": self.usage() | {"output_tokens": 1}}
        yield _event({"type": "message_start", "message": begun})
        empty: dict[str, Any] = {"input": {}} if self.tool else {"text": ""}
        yield _event({"type": "content_block_start", "index": 0, "content_block": self.block() | empty})
        said = {"type": "text_delta", "text": TEXT}
        written = {"type": "input_json_delta", "partial_json": json.dumps(ARGUMENTS)}
        yield _event({"type": "content_block_delta", "index": 0, "delta": written if self.tool else said})
        yield _event({"type": "content_block_stop", "index": 0})
        delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        final = {"output_tokens": self.count(*_ALL_OUTPUT)}
        yield _event({"type": "message_delta", "delta": delta, "usage": final})
        yield _event({"type": "message_stop"})


class Converse(Call):
    """Bedrock's Converse: cached tokens are not among the input tokens."""

    @property
    def content_type(self) -> str:
        """Streams are in Amazon's own frames."""
        return "application/vnd.amazon.eventstream" if self.stream else "application/json"

    def usage(self) -> dict[str, int]:
        return {
            "inputTokens": self.count("input_tokens"),
            "outputTokens": self.count(*_ALL_OUTPUT),
            "totalTokens": self.count(*_ALL_INPUT, *_ALL_OUTPUT),
            "cacheReadInputTokens": self.count("cache_read_tokens"),
            "cacheWriteInputTokens": self.count(*_WRITES),
        }

    def whole(self) -> dict[str, Any]:
        used = {"toolUse": {"toolUseId": "t1", "name": "weather", "input": ARGUMENTS}}
        message = {"role": "assistant", "content": [used if self.tool else {"text": TEXT}]}
        reason = "tool_use" if self.tool else "end_turn"
        answer = {"output": {"message": message}, "stopReason": reason, "metrics": {"latencyMs": 5}}
        return answer | {"usage": self.usage()}

    def events(self) -> Iterator[bytes]:
        yield _frame("messageStart", {"role": "assistant"})
        yield _frame("contentBlockDelta", {"delta": {"text": TEXT}, "contentBlockIndex": 0})
        yield _frame("contentBlockStop", {"contentBlockIndex": 0})
        yield _frame("messageStop", {"stopReason": "end_turn"})
        yield _frame("metadata", {"usage": self.usage(), "metrics": {"latencyMs": 5}})


def _frame(kind: str, value: dict[str, Any]) -> bytes:
    """One message of Amazon's event stream."""
    headers = b""
    for name, text in ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event")):
        headers += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(text)) + text.encode()
    payload = json.dumps(value).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


class Gemini(Call):
    """Gemini: cached tokens are among the prompt's, thoughts are not among the candidates'."""

    def whole(self) -> dict[str, Any]:
        part = {"functionCall": {"name": "weather", "args": ARGUMENTS}} if self.tool else {"text": TEXT}
        candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        usage = {
            "promptTokenCount": self.count(*_ALL_INPUT),
            "cachedContentTokenCount": self.count("cache_read_tokens"),
            "candidatesTokenCount": self.count("output_tokens"),
            "thoughtsTokenCount": self.count("output_reasoning_tokens"),
            "totalTokenCount": self.count(*_ALL_INPUT, *_ALL_OUTPUT),
        }
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": self.model, "responseId": "r1"}

    def events(self) -> Iterator[bytes]:
        yield f"data: {json.dumps(self.whole())}\r\n\r\n".encode()


def understand(path: str, body: dict[str, Any]) -> Call:
    """What a request asks for."""
    path = unquote(path.split("?", maxsplit=1)[0])
    text = json.dumps(body)
    results = '"role": "tool"' in text or any(
        f'"{word}"' in text for word in ("tool_result", "function_call_output", "toolResult", "functionResponse")
    )
    stream = bool(body.get("stream"))
    model = str(body.get("model"))
    if path.endswith("/chat/completions"):
        provider = "openrouter" if "/" in model else "openai"
        call = OpenAIChat(provider, model, stream, results)
        call.with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return call
    for ending, kind, provider in (
        ("/responses", OpenAIResponses, "openai"),
        ("/embeddings", Embeddings, "openai"),
        ("/messages", Anthropic, "anthropic"),
    ):
        if path.endswith(ending):
            return kind(provider, model, stream, results)
    if found := re.search(r"/model/([^/]+)/converse(-stream)?$", path):
        return Converse("aws", found[1], bool(found[2]), results)
    if found := re.search(r"/models/([^/:]+):(stream)?[gG]enerateContent$", path):
        return Gemini("google", found[1], bool(found[2]), results)
    raise ValueError(path)
