"""Long histories in eight wire formats, and a hook that shortens them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import cohere
import httpx
import ollama
from google import genai

from otel_agentcost.savings.context.hook import LongContext
from tests.integrations.sdks.bedrock import bedrock
from tests.support.budgeted_calls import client
from tests.support.model_server import ModelServer

LONG = "word " * 4_000
LEAST = 10_000


def shortened(told: LongContext) -> list[Any]:
    """Drops all but instructions, the first and the last message."""
    keep = [m for m in told.messages if m.get("role") == "system"]
    rest = told.messages[len(keep) :]
    return [*keep, rest[0], *rest[-2:]]


# --- the wire formats -------------------------------------------------------------------------------------------------


def turns(one: Callable[[str, str], dict[str, Any]], model: str = "assistant") -> list[dict[str, Any]]:
    """A question, four turns, and another question."""
    said = [one("user", "Begin"), one(model, "Yes?")]
    said += [one(("user", model)[n % 2], f"{n} {LONG}") for n in range(8)]
    return [*said, one("user", "And now?")]


def plain(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def ask_chat(server: ModelServer, messages: Any) -> None:
    with client(server) as made:
        made.chat.completions.create(model="gpt-4o-mini", messages=messages)


def ask_response(server: ModelServer, messages: Any) -> None:
    with client(server) as made:
        made.responses.create(model="gpt-4o-mini", input=messages)


def ask_message(server: ModelServer, messages: Any) -> None:
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as made:
        made.messages.create(model="claude-haiku-4-5", max_tokens=50, messages=messages)


def ask_gemini(server: ModelServer, messages: Any) -> None:
    options: Any = {"base_url": server.url}
    with genai.Client(api_key="none", http_options=options) as made:
        made.models.generate_content(model="gemini-2.5-flash", contents=messages)


def ask_converse(server: ModelServer, messages: Any) -> None:
    with bedrock(server) as made:
        made.converse(modelId="anthropic.claude-3-haiku-20240307-v1:0", messages=messages)


def ask_mistral(server: ModelServer, messages: Any) -> None:
    """Without an SDK."""
    transport = httpx.MockTransport(
        lambda request: httpx.post(f"{server.url}{request.url.path}", content=request.content)
    )
    with httpx.Client(transport=transport) as made:
        body = {"model": "mistral-small-latest", "messages": messages}
        made.post("https://api.mistral.ai/v1/chat/completions", json=body)


def ask_cohere(server: ModelServer, messages: Any) -> None:
    with httpx.Client() as http:
        cohere.ClientV2("none", base_url=server.url, httpx_client=http).chat(model="command-r", messages=messages)


def ask_ollama(server: ModelServer, messages: Any) -> None:
    made = ollama.Client(host=server.url)
    made.chat(model="llama3", messages=messages)
    made._client.close()


FORMATS: dict[str, tuple[Callable[[ModelServer, Any], None], str, list[dict[str, Any]]]] = {
    "chat": (ask_chat, "messages", [plain("system", "Be brief."), *turns(plain)]),
    "response": (ask_response, "input", turns(plain)),
    "message": (ask_message, "messages", turns(plain)),
    "gemini": (ask_gemini, "contents", turns(lambda role, text: {"role": role, "parts": [{"text": text}]}, "model")),
    "converse": (ask_converse, "messages", turns(lambda role, text: {"role": role, "content": [{"text": text}]})),
    "mistral": (ask_mistral, "messages", [plain("system", "Be brief."), *turns(plain)]),
    "cohere": (ask_cohere, "messages", turns(plain)),
    "ollama": (ask_ollama, "messages", turns(plain)),
}

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
WITH_TOOLS = [
    plain("user", "Begin"),
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": LONG * 3},
    plain("assistant", LONG),
    plain("user", "And now?"),
]
