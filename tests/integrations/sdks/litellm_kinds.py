"""The kinds of LiteLLM's functions beside chats: how each is called, what the server answers, and what it comes to."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.support.model_server import Reply, Request, json_reply, sse_reply

USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}
TEXT = "gpt-3.5-turbo-instruct"
HEAD = {"id": "c1", "object": "text_completion", "created": 1, "model": TEXT}
SPOKEN = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
DRAWN = {"input_tokens": 50, "output_tokens": 1000, "total_tokens": 1050}


class Kind(NamedTuple):
    """One function: its name, its arguments, its model, and the dollars of the answer; None without a price."""

    function: str
    model: str
    arguments: dict[str, Any]
    usd: float | None

    @property
    def streamed(self) -> bool:
        return "stream" in self.arguments


KINDS = {
    "text": Kind(
        "text_completion",
        f"text-completion-openai/{TEXT}",
        {"prompt": "Hi there", "max_tokens": 100},
        (1000 * 1.5 + 200 * 2) / 1e6,
    ),
    "text, streamed": Kind(
        "text_completion",
        f"text-completion-openai/{TEXT}",
        {"prompt": "Hi there", "max_tokens": 100, "stream": True},
        (1000 * 1.5 + 200 * 2) / 1e6,
    ),
    "a chat of a text model, streamed": Kind(
        "completion",
        f"text-completion-openai/{TEXT}",
        {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100, "stream": True},
        (1000 * 1.5 + 200 * 2) / 1e6,
    ),
    "rerank": Kind("rerank", "cohere/rerank-v3.5", {"query": "q", "documents": ["a", "b"]}, None),
    "image": Kind("image_generation", "openai/gpt-image-1", {"prompt": "a cat"}, (50 * 5 + 1000 * 40) / 1e6),
    "transcription": Kind(
        "transcription",
        "openai/gpt-4o-mini-transcribe",
        {"file": ("a.wav", b"RIFF0000WAVE", "audio/wav")},
        None,
    ),
    "image variation": Kind("image_variation", "openai/dall-e-2", {"image": b"PNG", "size": "256x256"}, None),
    "ocr": Kind(
        "ocr",
        "mistral/mistral-ocr-latest",
        {"document": {"type": "document_url", "document_url": "https://a.b/c.pdf"}},
        None,
    ),
    "video": Kind("video_generation", "openai/sora-2", {"prompt": "bees", "seconds": "4"}, None),
    "speech": Kind("speech", "openai/tts-1", {"input": "hello", "voice": "alloy"}, 5 * 15 / 1e6),
}


def respond(request: Request) -> Reply:
    """What the provider answers."""
    path = request.path
    if path.endswith("/completions"):
        if request.json.get("stream"):
            piece = {**HEAD, "choices": [{"index": 0, "text": "word ", "finish_reason": None}]}
            last = {**HEAD, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
            return sse_reply([piece, last, {**HEAD, "choices": [], "usage": USAGE}], done=True)
        choice = {"index": 0, "text": "four", "finish_reason": "stop", "logprobs": None}
        return json_reply({**HEAD, "choices": [choice], "usage": USAGE})
    if "rerank" in path:
        ranked = [{"index": 0, "relevance_score": 0.5}]
        return json_reply({"id": "k1", "results": ranked, "meta": {"billed_units": {"search_units": 1}}})
    if "images" in path and "variations" not in path:
        details = {"text_tokens": 50, "image_tokens": 0}
        return json_reply(
            {"created": 1, "data": [{"b64_json": "aaaa"}], "usage": {**DRAWN, "input_tokens_details": details}}
        )
    if "transcriptions" in path:
        details = {"audio_tokens": 100, "text_tokens": 0}
        return json_reply({"text": "hello", "usage": {"type": "tokens", **SPOKEN, "input_token_details": details}})
    return _without_tokens(path) or Reply(content_type="audio/mpeg", body=b"abc")


def _without_tokens(path: str) -> Reply | None:
    """The answers without tokens."""
    if "variations" in path:
        return json_reply({"created": 1, "data": [{"url": "https://a.b/c.png"}]})
    if path.endswith("/ocr"):
        page = {"index": 0, "markdown": "a", "images": [], "dimensions": {"dpi": 1, "height": 1, "width": 1}}
        usage = {"pages_processed": 1, "doc_size_bytes": 1}
        return json_reply({"pages": [page], "model": "mistral-ocr-2505", "usage_info": usage})
    if path.endswith("/videos"):
        made = {"id": "v1", "object": "video", "status": "queued", "created_at": 1, "progress": 0}
        return json_reply({**made, "model": "sora-2", "seconds": "4", "size": "720x1280"})
    return None
