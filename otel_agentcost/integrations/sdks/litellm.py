"""litellm: its own functions, above every provider, SDK and HTTP client that it uses. Those below are left alone.

`completion` and the others are patched outside of LiteLLM's own wrapper: a refusal is raised to the application as it
is, and nothing retries it. A call with `fallbacks` is several calls of the same function, which are seen one by one.
Newer versions have the public functions in modules called `dispatch`, above those of `litellm.main`.
"""

from __future__ import annotations

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.sdks._base import Patchable, Sdk, Through
from otel_agentcost.integrations.sdks._litellm import LiteLLMSeam, call, call_async
from otel_agentcost.integrations.sdks._next_events import close, next_event, next_event_async

_STREAMS = (
    ("litellm.litellm_core_utils.streaming_handler", "CustomStreamWrapper"),
    ("litellm.responses.streaming_iterator", "ResponsesAPIStreamingIterator"),
    ("litellm.responses.streaming_iterator", "SyncResponsesAPIStreamingIterator"),
    (
        "litellm.responses.litellm_completion_transformation.streaming_iterator",
        "LiteLLMCompletionStreamingIterator",
    ),
)
"""The classes of LiteLLM's streams."""

_SEAM = LiteLLMSeam("chat")


def _functions(modules: tuple[str, ...], name: str, seam: LiteLLMSeam) -> tuple[Patchable, ...]:
    """Return the patches of a function and of its asynchronous version, in every module that may have them."""

    def patch(module: str, method: str, through: Through) -> Patchable:
        return Patchable(target=Target(module=module, method=method, optional=True), seam=seam, through=through)

    return tuple(
        each for module in modules for each in (patch(module, name, call), patch(module, f"a{name}", call_async))
    )


def _stream(module: str, owner: str, method: str, through: Through) -> Patchable:
    target = Target(module=module, owner=owner, method=method, optional=True)
    return Patchable(target=target, seam=_SEAM, through=through)


SDK = Sdk(
    name="litellm",
    distribution="litellm",
    oldest="1.110",
    patches=(
        *_functions(("litellm.chat_completions.dispatch", "litellm.main"), "completion", LiteLLMSeam("chat")),
        *_functions(("litellm.embeddings.dispatch", "litellm.main"), "embedding", LiteLLMSeam("embeddings")),
        *_functions(("litellm.responses.dispatch", "litellm.responses.main"), "responses", LiteLLMSeam("responses")),
        *_functions(("litellm.main",), "text_completion", LiteLLMSeam("completions")),
        *_functions(("litellm.rerank_api.main",), "rerank", LiteLLMSeam("rerank")),
        *_functions(("litellm.images.main",), "image_generation", LiteLLMSeam("images")),
        *_functions(("litellm.images.main",), "image_edit", LiteLLMSeam("edits")),
        *_functions(("litellm.images.main",), "image_variation", LiteLLMSeam("variations")),
        *_functions(("litellm.ocr.dispatch", "litellm.ocr.main"), "ocr", LiteLLMSeam("ocr")),
        *_functions(("litellm.videos.main",), "video_generation", LiteLLMSeam("videos")),
        *_functions(("litellm.videos.main",), "video_remix", LiteLLMSeam("remixes")),
        *_functions(("litellm.main",), "transcription", LiteLLMSeam("transcriptions")),
        *_functions(("litellm.main",), "speech", LiteLLMSeam("speech")),
        *_functions(("litellm.main",), "moderation", LiteLLMSeam("moderations")),
        *(_stream(module, owner, "__next__", next_event) for module, owner in _STREAMS),
        *(_stream(module, owner, name, close) for module, owner in _STREAMS for name in ("close", "aclose")),
        *(_stream(module, owner, "__anext__", next_event_async) for module, owner in _STREAMS),
    ),
)
