"""Ten providers: an address, a request, what comes back, and the same call through an SDK."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from anthropic import Anthropic
from google import genai
from openai import AzureOpenAI, OpenAI

from tests.support import replies
from tests.support.model_server import Reply, json_reply, sse_reply

ASK: list[Any] = [{"role": "user", "content": "What is six times seven? " * 20}]


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One format of one provider."""

    name: str
    address: str
    """Without the port, which is that of the local server."""
    path: str
    body: Mapping[str, Any]
    whole: Reply
    streamed: Reply | None
    streaming: Mapping[str, Any] | None
    """What a request for a stream adds to the body; None where another path streams."""
    sdk: Callable[[str, Mapping[str, Any]], Any]
    """Makes the same call with the SDK. Gets the address and the body."""
    streaming_path: str = ""


def _chat(path: str) -> Callable[[str, Mapping[str, Any]], Any]:
    def call(url: str, body: Mapping[str, Any]) -> Any:
        with OpenAI(base_url=url + path.removesuffix("/chat/completions"), api_key="none", max_retries=0) as made:
            return _read(made.chat.completions.create(**body))

    return call


def _read(result: Any) -> Any:
    return list(result) if hasattr(result, "_iterator") or hasattr(result, "__next__") else result


def _responses(url: str, body: Mapping[str, Any]) -> Any:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as made:
        return _read(made.responses.create(**body))


def _embeddings(url: str, body: Mapping[str, Any]) -> Any:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as made:
        return made.embeddings.create(**body, encoding_format="float")


def _messages(url: str, body: Mapping[str, Any]) -> Any:
    with Anthropic(base_url=url, api_key="none", max_retries=0) as made:
        return _read(made.messages.create(**body))


def _azure(url: str, body: Mapping[str, Any]) -> Any:
    with AzureOpenAI(azure_endpoint=url, api_key="none", api_version="2024-10-21", max_retries=0) as made:
        return _read(made.chat.completions.create(**body))


def _gemini(url: str, body: Mapping[str, Any]) -> Any:
    with genai.Client(api_key="none", http_options={"base_url": url, "api_version": "v1beta"}) as made:
        method = made.models.generate_content_stream if body.get("stream") else made.models.generate_content
        return _read(method(model="gemini-2.5-flash", contents=body["contents"]))


def _compatible(name: str, address: str, path: str, model: str) -> Provider:
    """A provider that speaks OpenAI's chat completions."""
    return Provider(
        name=name,
        address=address,
        path=path,
        body={"model": model, "messages": ASK},
        whole=replies.chat_reply(model=model),
        streamed=replies.chat_stream(replies.PLAIN, model=model),
        streaming={"stream": True},
        sdk=_chat(path),
    )


_EMBEDDED = {
    "object": "list",
    "model": "text-embedding-3-small",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 120, "total_tokens": 120},
}
_ASKED = {"contents": [{"role": "user", "parts": [{"text": "What is six times seven? " * 20}]}]}

PROVIDERS = (
    _compatible("openai chat", "http://api.openai.com", "/v1/chat/completions", "gpt-4o-mini"),
    Provider(
        name="openai responses",
        address="http://api.openai.com",
        path="/v1/responses",
        body={"model": "gpt-5-mini", "input": ASK[0]["content"]},
        whole=json_reply(replies.response()),
        streamed=replies.response_stream(),
        streaming={"stream": True},
        sdk=_responses,
    ),
    Provider(
        name="openai embeddings",
        address="http://api.openai.com",
        path="/v1/embeddings",
        body={"model": "text-embedding-3-small", "input": ASK[0]["content"]},
        whole=json_reply(_EMBEDDED),
        streamed=None,
        streaming=None,
        sdk=_embeddings,
    ),
    Provider(
        name="anthropic",
        address="http://api.anthropic.com",
        path="/v1/messages",
        body={"model": "claude-sonnet-4-6", "max_tokens": 500, "messages": ASK},
        whole=json_reply(replies.message()),
        streamed=replies.message_stream(),
        streaming={"stream": True},
        sdk=_messages,
    ),
    Provider(
        name="gemini",
        address="http://generativelanguage.googleapis.com",
        path="/v1beta/models/gemini-2.5-flash:generateContent",
        streaming_path="/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        body=_ASKED,
        whole=json_reply(replies.content()),
        streamed=replies.content_stream(),
        streaming={},
        sdk=_gemini,
    ),
    Provider(
        name="azure",
        address="http://acme.openai.azure.com",
        path="/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21",
        body={"model": "gpt-4o-mini", "messages": ASK},
        whole=replies.chat_reply(),
        streamed=replies.chat_stream(replies.PLAIN),
        streaming={"stream": True},
        sdk=_azure,
    ),
    _compatible("mistral", "http://api.mistral.ai", "/v1/chat/completions", "mistral-small-latest"),
    _compatible("deepseek", "http://api.deepseek.com", "/chat/completions", "deepseek-chat"),
    _compatible("groq", "http://api.groq.com", "/openai/v1/chat/completions", "llama-3.3-70b-versatile"),
    _compatible("xai", "http://api.x.ai", "/v1/chat/completions", "grok-4"),
    _compatible("openrouter", "http://openrouter.ai", "/api/v1/chat/completions", "openai/gpt-4o-mini"),
)

BY_NAME = {provider.name: provider for provider in PROVIDERS}

__all__ = ["ASK", "BY_NAME", "PROVIDERS", "Provider", "Reply", "sse_reply"]
