"""LiteLLM's own calls: requests and responses in OpenAI's form, whatever the provider, with LiteLLM's own notes.

An answer from LiteLLM's cache costs nothing. The usage of a stream is among the notes of its last chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire import (
    cohere_rerank,
    mistral_ocr,
    openai_audio,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_images,
    openai_moderations,
    openai_responses,
    videos,
)
from otel_agentcost.wire.fields import Malformed, count, get, text
from otel_agentcost.wire.format import AnswerReader, Format, SoFar
from otel_agentcost.wire.token_split import Counts, put
from otel_agentcost.wire.within import Within

__all__ = ["FORMAT", "form_of", "is_cached"]

_NOTES: Final = "_hidden_params"


def is_cached(response: Any) -> bool:
    """Return whether a response, or a stream, came from LiteLLM's cache.

    Args:
        response: An object of LiteLLM.
    """
    notes = get(response, _NOTES)
    return get(notes, "cache_hit") is True or get(response, "custom_llm_provider") == "cached_response"


class _Noted(Within):
    """The format of one kind of calls."""

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        if is_cached(response):
            return Answer(free=True, model=text(response, "model"), response_id=text(response, "id"))
        return _priced_here(call, self.inner.read_response(call, response))

    def open_stream(self, call: Call) -> _Reader:
        """Return a reader for the chunks of the answer to `call`."""
        return _Reader(call, self.inner.open_stream(call))


class _Reader:
    """Reads the chunks of one answer. `cached` is set if they come from LiteLLM's cache."""

    __slots__ = ("_call", "_last", "_reader", "cached", "received")

    def __init__(self, call: Call, reader: AnswerReader) -> None:
        """Create a reader.

        Args:
            call: The call that the stream answers.
            reader: Reads chunks in OpenAI's form.
        """
        self._call = call
        self._reader = reader
        self._last: Any = None
        self.cached = False
        self.received: Callable[[], Iterable[Any] | None] = _unknown
        """Returns the chunks as they came from the provider; None if they are not known."""

    def feed(self, event: Any) -> None:
        """Read one chunk."""
        self._reader.feed(event)
        if get(event, _NOTES) is not None:
            self._last = event

    def so_far(self) -> SoFar:
        """Return the output up to now."""
        return self._reader.so_far()

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the chunks up to now amount to."""
        if self.cached:
            return Answer(free=True)
        last = self._last  # LiteLLM writes the usage into its notes after it has returned the chunk
        usage = get(get(last, _NOTES), "usage")
        if usage is not None and get(last, "usage") is None:
            self._reader.feed({"choices": [], "model": text(last, "model"), "id": text(last, "id"), "usage": usage})
        answer = _priced_here(self._call, self._reader.answer(complete=complete))
        chunks = self.received()
        if answer.usage is None or chunks is None or any(get(chunk, "usage") is not None for chunk in chunks):
            return answer
        # LiteLLM counts the tokens itself if the provider does not.
        return answer._replace(usage=replace(answer.usage, estimated=True))


def _unknown() -> None:
    """Return None."""


class _Rerank(Within):
    """Reranking, which some providers bill by the search and others by the token."""

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a response."""
        meta = get(response, "meta")
        try:
            tokens = count(get(meta, "billed_units"), "total_tokens") or count(get(meta, "tokens"), "input_tokens")
        except Malformed as problem:
            return Answer(missing=str(problem))
        if not tokens or get(get(meta, "billed_units"), "search_units"):
            return self.inner.read_response(call, response)
        counts: Counts = {}
        put(counts, "input_tokens", tokens)
        return Answer(usage=Usage(counts=counts), response_id=text(response, "id"))


class _Videos(Within):
    """Videos, whose requests have no path here."""

    def read_request(self, body: Any, path: str) -> Call:  # noqa: ARG002 (LiteLLM's functions have none)
        """Read a request."""
        return self.inner.read_request(body, "/videos")


def _priced_here(call: Call, answer: Answer) -> Answer:
    """Return `answer` without the cost that LiteLLM has worked out itself. OpenRouter's is that of the provider."""
    return answer if (call.model or "").startswith("openrouter/") else answer._replace(reported=())


FORMAT: Final = _Noted(openai_chat.FORMAT)
_FORMATS: Final[Mapping[str, Format]] = {
    "chat": FORMAT,
    "responses": _Noted(openai_responses.FORMAT),
    "embeddings": _Noted(openai_embeddings.FORMAT),
    "completions": _Noted(openai_completions.FORMAT),
    "rerank": _Noted(_Rerank(cohere_rerank.FORMAT)),
    "images": _Noted(openai_images.FORMAT),
    "edits": _Noted(openai_images.FORMAT),
    "variations": _Noted(openai_images.FORMAT),
    "ocr": _Noted(mistral_ocr.FORMAT),
    "videos": _Noted(_Videos(videos.FORMAT)),
    "remixes": _Noted(_Videos(videos.FORMAT)),
    "transcriptions": _Noted(openai_audio.FORMAT),
    "speech": _Noted(openai_audio.FORMAT),
    "moderations": _Noted(openai_moderations.FORMAT),
}


def form_of(kind: str) -> Format:
    """Return the format of a kind of calls: `chat`, `responses`, `embeddings` and so on."""
    return _FORMATS[kind]
