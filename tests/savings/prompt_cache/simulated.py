"""A provider with a prompt cache, and agents that talk to it in several wire formats: nothing is sent.

`Prompt` is the state of a conversation, `Provider` keeps the prefixes that it has seen, as real ones do, and `Watched`
is both with the watch in between. Tokens of a segment are a quarter of its characters.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call, Endpoint
from otel_agentcost.core.prompt_caches import Miss
from otel_agentcost.savings.prompt_cache.health import PromptCacheHealth
from otel_agentcost.wire import anthropic_messages, bedrock_converse, gemini, openai_chat, openai_responses
from otel_agentcost.wire.format import Format, ModelRequest

Turn = tuple[str, str]
"""Who says it (`user`, `assistant`, `call`, `result`), and the text."""


@dataclass
class Prompt:
    """A prompt in no provider's form."""

    model: str = "m-1"
    tools: list[str] = field(default_factory=lambda: [f"tool {n} " + "does things " * 60 for n in range(6)])
    system: str = "You are an agent. " * 500
    parameter: str = "auto"
    turns: list[Turn] = field(default_factory=list[Turn])

    def segments(self) -> tuple[tuple[str, int], ...]:
        """The parts that the provider caches, each with its tokens."""
        texts = [self.model, *self.tools, self.system, self.parameter, *(f"{who} {text}" for who, text in self.turns)]
        return tuple((text, len(text) // 4) for text in texts)


@dataclass(frozen=True)
class Dialect:
    """One wire format: how a request is written, and how the usage is."""

    name: str
    provider: str
    form: Format
    body: Callable[[Prompt], dict[str, Any]]
    response: Callable[[int, int, int], dict[str, Any]]
    """The response with so many tokens read, written and fresh."""
    writes: bool
    """True if written tokens are reported."""
    tool: str = "tools[{}]"
    system: str = "system"
    parameter: str = "tool_choice"
    first: int = 0
    """The position of the first turn among the messages."""


def _anthropic(prompt: Prompt) -> dict[str, Any]:
    def message(turn: Turn) -> dict[str, Any]:
        who, text = turn
        if who == "call":
            return {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": text[:9], "name": "f", "input": {"q": text}}],
            }
        if who == "result":
            return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": text[:9], "content": text}]}
        return {"role": who, "content": text}

    messages = [message(turn) for turn in prompt.turns]
    last = messages[-1]  # the mark moves on with the conversation, and makes a list of a text
    blocks = last["content"] if isinstance(last["content"], list) else [{"type": "text", "text": last["content"]}]
    messages[-1] = {**last, "content": [*blocks[:-1], {**blocks[-1], "cache_control": {"type": "ephemeral"}}]}
    return {
        "model": prompt.model,
        "max_tokens": 100,
        "tools": [
            {"name": f"t{at}", "description": text, "input_schema": {"type": "object"}}
            for at, text in enumerate(prompt.tools)
        ],
        "system": [{"type": "text", "text": prompt.system, "cache_control": {"type": "ephemeral"}}],
        "tool_choice": {"type": prompt.parameter},
        "messages": messages,
    }


def _bedrock(prompt: Prompt) -> dict[str, Any]:
    def message(turn: Turn) -> dict[str, Any]:
        who, text = turn
        if who == "call":
            return {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": text[:9], "name": "f", "input": {"q": text}}}],
            }
        if who == "result":
            return {"role": "user", "content": [{"toolResult": {"toolUseId": text[:9], "content": [{"text": text}]}}]}
        return {"role": who, "content": [{"text": text}]}

    messages = [message(turn) for turn in prompt.turns]
    messages[-1]["content"].append({"cachePoint": {"type": "default"}})
    tools = [
        {"toolSpec": {"name": f"t{at}", "description": text, "inputSchema": {"json": {}}}}
        for at, text in enumerate(prompt.tools)
    ]
    return {
        "modelId": prompt.model,
        "system": [{"text": prompt.system}, {"cachePoint": {"type": "default"}}],
        "toolConfig": {"tools": [*tools, {"cachePoint": {"type": "default"}}], "toolChoice": {prompt.parameter: {}}},
        "messages": messages,
    }


def _chat(prompt: Prompt) -> dict[str, Any]:
    def message(turn: Turn) -> dict[str, Any]:
        who, text = turn
        if who == "call":
            function = {"name": "f", "arguments": text}
            return {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": text[:9], "type": "function", "function": function}],
            }
        if who == "result":
            return {"role": "tool", "tool_call_id": text[:9], "content": text}
        return {"role": who, "content": text}

    return {
        "model": prompt.model,
        "tools": [
            {"type": "function", "function": {"name": f"t{at}", "description": text}}
            for at, text in enumerate(prompt.tools)
        ],
        "tool_choice": prompt.parameter,
        "messages": [{"role": "system", "content": prompt.system}, *map(message, prompt.turns)],
    }


def _responses(prompt: Prompt) -> dict[str, Any]:
    def item(turn: Turn) -> dict[str, Any]:
        who, text = turn
        if who == "call":
            return {"type": "function_call", "call_id": text[:9], "name": "f", "arguments": text}
        if who == "result":
            return {"type": "function_call_output", "call_id": text[:9], "output": text}
        return {"role": who, "content": text}

    return {
        "model": prompt.model,
        "instructions": prompt.system,
        "tools": [{"type": "function", "name": f"t{at}", "description": text} for at, text in enumerate(prompt.tools)],
        "tool_choice": prompt.parameter,
        "input": [item(turn) for turn in prompt.turns],
    }


def _gemini(prompt: Prompt) -> dict[str, Any]:
    def content(turn: Turn) -> dict[str, Any]:
        who, text = turn
        if who == "call":
            return {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"q": text}}}]}
        if who == "result":
            return {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": text}}}]}
        return {"role": "model" if who == "assistant" else "user", "parts": [{"text": text}]}

    return {
        "systemInstruction": {"parts": [{"text": prompt.system}]},
        "tools": [
            {"functionDeclarations": [{"name": f"t{at}", "description": text}]} for at, text in enumerate(prompt.tools)
        ],
        "toolConfig": {"functionCallingConfig": {"mode": prompt.parameter}},
        "contents": [content(turn) for turn in prompt.turns],
    }


DIALECTS = (
    Dialect(
        "anthropic_messages",
        "anthropic",
        anthropic_messages.FORMAT,
        _anthropic,
        lambda read, written, fresh: {
            "usage": {
                "input_tokens": fresh,
                "output_tokens": 5,
                "cache_read_input_tokens": read,
                "cache_creation_input_tokens": written,
                "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
            }
        },
        writes=True,
        system="system[0]",
    ),
    Dialect(
        "bedrock_converse",
        "aws.bedrock",
        bedrock_converse.FORMAT,
        _bedrock,
        lambda read, written, fresh: {
            "usage": {
                "inputTokens": fresh,
                "outputTokens": 5,
                "totalTokens": read + written + fresh + 5,
                "cacheReadInputTokens": read,
                "cacheWriteInputTokens": written,
            }
        },
        writes=True,
        system="system[0]",
        parameter="toolConfig",
    ),
    Dialect(
        "openai_chat",
        "openai",
        openai_chat.FORMAT,
        _chat,
        lambda read, written, fresh: {
            "usage": {
                "prompt_tokens": read + written + fresh,
                "completion_tokens": 5,
                "total_tokens": read + written + fresh + 5,
                "prompt_tokens_details": {"cached_tokens": read},
            }
        },
        writes=False,
        system="messages[0]",
        first=1,
    ),
    Dialect(
        "openai_responses",
        "openai",
        openai_responses.FORMAT,
        _responses,
        lambda read, written, fresh: {
            "usage": {
                "input_tokens": read + written + fresh,
                "output_tokens": 5,
                "total_tokens": read + written + fresh + 5,
                "input_tokens_details": {"cached_tokens": read},
                "output_tokens_details": {"reasoning_tokens": 0},
            }
        },
        writes=False,
    ),
    Dialect(
        "gemini",
        "gcp.gemini",
        gemini.FORMAT,
        _gemini,
        lambda read, written, fresh: {
            "usageMetadata": {
                "promptTokenCount": read + written + fresh,
                "candidatesTokenCount": 5,
                "totalTokenCount": read + written + fresh + 5,
                **({"cachedContentTokenCount": read} if read else {}),
            }
        },
        writes=False,
        parameter="toolConfig",
    ),
)


class Provider:
    """Keeps the prefixes of prompts for five minutes after their last use."""

    def __init__(self) -> None:
        self._kept: dict[tuple[tuple[str, int], ...], float] = {}

    def read(self, prompt: Prompt, at: float) -> tuple[int, int]:
        """Answer a prompt: the tokens that were read from the cache, and those that were not."""
        segments = prompt.segments()
        longest = 0
        for length in range(len(segments), 0, -1):
            kept = self._kept.get(segments[:length])
            if kept is not None and at - kept <= 300:
                longest = length
                break
        for length in (*range(1, longest + 1), len(segments)):
            self._kept[segments[:length]] = at
        read = sum(tokens for _, tokens in segments[:longest])
        return read, sum(tokens for _, tokens in segments) - read

    def evict(self) -> None:
        """Forget everything."""
        self._kept.clear()


class Watched:
    """A provider whose answers the watch sees."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.now = 1_000_000.0
        self.provider = Provider()
        self.health = PromptCacheHealth(lambda: self.now)

    def request(self, prompt: Prompt) -> ModelRequest:
        """The request for a prompt: new objects each time, as frameworks make them."""
        body = self.dialect.body(copy.deepcopy(prompt))
        endpoint = Endpoint(provider=self.dialect.provider, base_url="https://x", known=True, attributes={})
        return ModelRequest(
            call=Call(semconv.CHAT, prompt.model, body=body), endpoint=endpoint, format=self.dialect.form
        )

    def answer(self, request: ModelRequest, prompt: Prompt) -> Answer:
        """The provider's answer, as the wire format's reader reads it."""
        read, rest = self.provider.read(prompt, self.now)
        written = rest - 3 if self.dialect.writes and rest > 3 else 0
        return self.dialect.form.read_response(request.call, self.dialect.response(read, written, rest - written))

    def ask(self, prompt: Prompt, *, trace: int = 1, conversation: str | None = None, agent: str = "a") -> Miss | None:
        """Make a call that takes two seconds."""
        request, at = self.request(prompt), self.now
        answer = self.answer(request, prompt)
        self.now += 2
        who = {semconv.AGENT: agent} | ({semconv.CONVERSATION: conversation} if conversation is not None else {})
        return self.health.answered(request, who, trace, answer, at)

    def grow(self, prompt: Prompt, turns: int, **who: Any) -> Prompt:
        """Let the agent take so many turns, none of which may be reported, and return its next prompt."""
        for _ in range(turns):
            assert self.ask(prompt, **who) is None
            prompt = stepped(prompt)
        return prompt


def begun(task: str = "Find the bug.") -> Prompt:
    """A new conversation."""
    return Prompt(turns=[("user", task)])


def stepped(prompt: Prompt) -> Prompt:
    """The next prompt of the same conversation: a tool call, and its result."""
    number = f"{len(prompt.turns):03}{zlib.crc32(prompt.turns[0][1].encode()) % 1000:03}"  # ids of calls are unique
    call = ("call", f'{{"{number}":1}}')
    return replace(prompt, turns=[*prompt.turns, call, ("result", f'{{"{number}":1}} ' + "line " * 1_700)])
