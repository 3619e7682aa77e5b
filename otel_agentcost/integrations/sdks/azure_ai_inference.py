"""azure-ai-inference: chats, and embeddings of texts and images, at Azure AI and at GitHub Models."""

from __future__ import annotations

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.sdks._azure_inference import AzureInferenceSeam
from otel_agentcost.integrations.sdks._base import Patchable, Sdk, Through
from otel_agentcost.integrations.sdks._next_events import close, next_event, next_event_async

_CHAT = AzureInferenceSeam("openai_chat", "/chat/completions")
_CLIENTS = {
    "ChatCompletionsClient": ("complete", _CHAT),
    "EmbeddingsClient": ("embed", AzureInferenceSeam("openai_embeddings", "/embeddings")),
    "ImageEmbeddingsClient": ("embed", AzureInferenceSeam("openai_embeddings", "/images/embeddings")),
}


def _clients(module: str, through: Through) -> tuple[Patchable, ...]:
    return tuple(
        Patchable(target=Target(module=module, owner=owner, method=method), seam=seam, through=through)
        for owner, (method, seam) in _CLIENTS.items()
    )


def _stream(owner: str, method: str, through: Through) -> Patchable:
    target = Target(module="azure.ai.inference.models._patch", owner=owner, method=method)
    return Patchable(target=target, seam=_CHAT, through=through)


SDK = Sdk(
    name="azure_ai_inference",
    distribution="azure-ai-inference",
    oldest="1.0.0b9",
    patches=(
        *_clients("azure.ai.inference._patch", Pipeline.call),
        *_clients("azure.ai.inference.aio._patch", Pipeline.call_async),
        _stream("StreamingChatCompletions", "__next__", next_event),
        _stream("StreamingChatCompletions", "close", close),
        _stream("AsyncStreamingChatCompletions", "__anext__", next_event_async),
        _stream("AsyncStreamingChatCompletions", "aclose", close),
    ),
)
