"""OpenAI audio: transcriptions and translations (tokens, or seconds), and speech (characters, or tokens).

Speech comes back as sound without a usage: models billed by the character are counted from the request, and the others
are unpriced unless they stream events.
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, AttributeValue, Call
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire import parameters
from otel_agentcost.wire.fields import Malformed, count, get, need, part, text
from otel_agentcost.wire.format import Format, SoFar
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.openai_chat import model_in
from otel_agentcost.wire.openai_usage import duration, error_text
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS
from otel_agentcost.wire.rewriting import ModelRewriting
from otel_agentcost.wire.token_split import Counts, input_counts, put
from otel_agentcost.wire.tokenizers import count_text

_TABLE: Final[parameters.Table] = {
    "temperature": (semconv.REQUEST_TEMPERATURE, parameters.number),
    "stream": (semconv.REQUEST_STREAM, parameters.yes),
}


class Audio(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = ModelRewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request. Speech has its own path, or names a voice."""
        speech = "speech" in path or get(body, "voice") is not None
        known: dict[str, AttributeValue] = {semconv.OUTPUT_TYPE: "speech" if speech else "text"}
        known.update(parameters.read(body, _TABLE))
        return Call(
            operation=semconv.GENERATE_CONTENT,
            model=model_in(path) or text(body, "model"),
            stream=semconv.REQUEST_STREAM in known or text(body, "stream_format") == "sse",
            parameters=known,
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        try:
            counted = part(response, "usage")
            seconds = duration(counted, response)
            if counted is not None and seconds is None:
                return _answer(call, response, _tokens(call, counted))
            if call.parameters.get(semconv.OUTPUT_TYPE) == "speech":
                return _speech(call, response)
        except Malformed as problem:
            return Answer(missing=str(problem), doubtful=True)
        if seconds is None:
            return Answer(missing=error_text(response) or "the response has no usage")
        counts: Counts = {"input_audio_seconds": seconds} if seconds > Decimal(0) else {}
        return _answer(call, response, Usage(counts=counts))

    def open_stream(self, call: Call) -> AudioReader:
        """Return a reader for the events of the answer to `call`."""
        return AudioReader(self, call)


_WORDS_PER_SECOND: Final = 2.5
"""The pace of ordinary speech, 150 words a minute."""
_TOKENS_PER_SECOND: Final = 10
"""OpenAI counts a token for 100 ms of sound (https://platform.openai.com/docs/guides/realtime-costs)."""


def _answer(call: Call, response: Any, usage: Usage) -> Answer:
    """Return the answer; for a transcript of which nothing is counted, with the length that its words take to say."""
    model, words = text(response, "model"), text(response, "text") or ""
    speech = call.parameters.get(semconv.OUTPUT_TYPE) == "speech"
    if usage.counts or not (speech or words.strip()):
        return Answer(usage=usage, model=model)
    if speech:
        return Answer(missing="the usage counts nothing, and there is an answer", doubtful=True, model=model)
    seconds = max(1, round(len(words.split()) / _WORDS_PER_SECOND))
    counts: Counts = {"input_audio_seconds": seconds}
    if (call.model or "").startswith("gpt-"):
        counts = {"input_audio_tokens": seconds * _TOKENS_PER_SECOND, "output_tokens": count_text(words, call.model)}
    return Answer(usage=Usage(counts=counts, estimated=True), model=model)


def _tokens(call: Call, usage: Any) -> Usage:
    need(usage, "input_tokens", "output_tokens")
    inside = part(usage, "input_token_details")
    counts: Counts = {}
    media = {"audio": count(inside, "audio_tokens"), "text": count(inside, "text_tokens")}
    unsplit = input_counts(counts, count(usage, "input_tokens"), "input_tokens", {}, media)
    speech = call.parameters.get(semconv.OUTPUT_TYPE) == "speech"
    put(counts, "output_audio_tokens" if speech else "output_tokens", count(usage, "output_tokens"))
    return Usage(counts=counts, unsplit=unsplit)


def _speech(call: Call, response: Any) -> Answer:
    if (error := error_text(response)) is not None:
        return Answer(missing=error)
    if call.model is not None and call.model.startswith("gpt-"):
        return Answer(missing="speech does not say how many tokens it used")
    spoken = text(call.body, "input")
    if spoken is None:
        return Answer(missing="the request has no text to count the characters of")
    return Answer(usage=Usage(counts={"input_characters": len(spoken)}))


class AudioReader:
    """Reads the events of one answer: the last carries the usage."""

    __slots__ = ("_call", "_done", "_format")

    def __init__(self, form: Audio, call: Call) -> None:
        """Create a reader for the answer to `call`; `form` reads the last event."""
        self._format = form
        self._call = call
        self._done: Any = None

    def feed(self, event: Any) -> None:
        """Read one event; neither sound nor text is kept."""
        if text(event, "type") in ("transcript.text.done", "speech.audio.done") or get(event, "error") is not None:
            self._done = event

    def so_far(self) -> SoFar:
        """Return nothing: no text is kept."""
        return SoFar([])

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer; without the last event, the length of the sound is unknown."""
        if self._done is None:
            speech = self._call.parameters.get(semconv.OUTPUT_TYPE) == "speech"
            return _speech(self._call, None) if speech else Answer(missing="the stream has no usage")
        return self._format.read_response(self._call, self._done)


FORMAT = Audio()
