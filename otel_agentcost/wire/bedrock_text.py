"""Text models of Amazon Bedrock whose bodies have a shape of their own: Titan, Llama, Mistral, Cohere, and embeddings.

Some of their responses count tokens, under names of their own; all others are counted by the headers of the response
and by the last event of a stream. The fields are those of AWS's pages on model parameters:
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call, Partial
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire import parameters
from otel_agentcost.wire.bedrock_models import in_path, plain_name, prepaid
from otel_agentcost.wire.fields import Malformed, count, entries, get, items, text
from otel_agentcost.wire.format import CannotRewrite, Change, Format, Rewritten, SoFar
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import PromptFields
from otel_agentcost.wire.provider_tools import unknown
from otel_agentcost.wire.rewriting import NO_OTHER_VECTORS, copied, lower
from otel_agentcost.wire.token_split import Counts, put
from otel_agentcost.wire.tokenizers import count_text

__all__ = ["FORMAT", "Text", "TextReader"]

PROMPT_TOKENS: Final = PromptFields(messages=("prompt", "inputText", "message", "chat_history", "texts", "documents"))
_LIMITS: Final = ("max_gen_len", "max_tokens", "maxTokens", "max_tokens_to_sample", "maxTokenCount")
"""The output limit of Llama, of Mistral and Cohere, of Jurassic, of the first Claude, and of Titan."""
_LIMIT: Final = (semconv.REQUEST_MAX_TOKENS, parameters.integer)
_TABLE: Final[parameters.Table] = {
    **dict.fromkeys(_LIMITS, _LIMIT),
    "temperature": (semconv.REQUEST_TEMPERATURE, parameters.number),
    "topP": (semconv.REQUEST_TOP_P, parameters.number),
    "top_p": (semconv.REQUEST_TOP_P, parameters.number),
    "p": (semconv.REQUEST_TOP_P, parameters.number),
    "top_k": (semconv.REQUEST_TOP_K, parameters.whole),
    "k": (semconv.REQUEST_TOP_K, parameters.whole),
    "stop": (semconv.REQUEST_STOP_SEQUENCES, parameters.strings),
    "stop_sequences": (semconv.REQUEST_STOP_SEQUENCES, parameters.strings),
    "stopSequences": (semconv.REQUEST_STOP_SEQUENCES, parameters.strings),
}
_TITAN: Final = "textGenerationConfig"


class _TextRewriting:
    """The facet `rewriting`: bodies of different models have no common shape, so only the limit can change."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        if change.model is not None:
            raise CannotRewrite(
                NO_OTHER_VECTORS if call.operation == semconv.EMBEDDINGS else "its body is that of one family of models"
            )
        body, most = copied(call), change.max_output_tokens
        if most is None or call.operation != semconv.TEXT_COMPLETION:
            return body, path
        if "inputText" in body:
            body[_TITAN] = dict(entries(body.get(_TITAN)))
            lower(body[_TITAN], ("maxTokenCount",), most)
            return body, path
        limit = next((name for name in _LIMITS if name in body), "max_gen_len" if "llama" in path else None)
        if limit is None:
            raise CannotRewrite("the name of its output limit is not known")
        lower(body, (limit,), most)
        return body, path


class Text(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = _TextRewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request. The address names the model."""
        name = in_path(path)
        known = {**parameters.read(body, _TABLE), **parameters.read(get(body, _TITAN), _TABLE)}
        return Call(
            operation=_operation(name),
            model=plain_name(name) or None,
            max_output_tokens=parameters.limit(known),
            choices=_choices(body),
            parameters=known,
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        reader = TextReader(call)
        reader.feed(response)
        return reader.answer(complete=True)

    def open_stream(self, call: Call) -> TextReader:
        """Return a reader for the events of the answer to `call`."""
        return TextReader(call)


def _choices(body: Any) -> int:
    """Return the number of answers: Cohere's name for it, and Jurassic's."""
    numbers = (get(body, name) for name in ("num_generations", "numResults"))
    return max([1, *(number for number in numbers if type(number) is int)])


def _operation(name: str) -> str:
    if "rerank" in name:
        return "rerank"
    return semconv.EMBEDDINGS if "embed" in name else semconv.TEXT_COMPLETION


_INPUT_NAMES: Final = ("inputTextTokenCount", "prompt_token_count")
"""The input of Titan and of Llama."""
_OUTPUT_NAMES: Final = ("totalOutputTextTokenCount", "generation_token_count")
"""The output up to now."""
_TEXTS: Final = ("outputText", "generation", "completion", "text")
_PARTS: Final = ("results", "outputs", "generations", "choices")
_PICTURES: Final = ("images", "artifacts")
"""Responses of Titan, Nova Canvas and Stability AI, which are billed by the image
(https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-image.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-stability-diffusion.html)."""
_EMBEDDED: Final = ("inputImage", "images")
"""Images in a request for embeddings of Titan or Cohere, which are billed by the image
(https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-mm.html)."""
_REASONS: Final = ("completionReason", "stop_reason", "finish_reason", "stopReason")


class TextReader:
    """Reads the events of one answer; a whole response is the only event of its own."""

    __slots__ = ("_call", "_counts", "_error", "_pictures", "_reason", "_texts")

    def __init__(self, call: Call) -> None:
        """Create a reader of the answer to `call`."""
        self._call = call
        self._texts: list[str] = []
        self._counts: dict[str, Any] = {}
        self._reason: str | None = None
        self._error: Any = None
        self._pictures = False

    def feed(self, event: Any) -> None:
        """Read one event."""
        for part in _parts(event):
            self._texts += [words for name in _TEXTS if (words := text(part, name))]
            self._reason = next((reason for name in _REASONS if (reason := text(part, name))), self._reason)
            if (number := get(part, "tokenCount")) is not None:  # Titan, of a whole response
                self._counts.setdefault("results", []).append(number)
        for name in (*_INPUT_NAMES, *_OUTPUT_NAMES):
            if (number := get(event, name)) is not None:
                self._counts[name] = number
        self._pictures = self._pictures or any(items(event, name) for name in _PICTURES)
        if error_text(event) is not None:
            self._error = event

    def so_far(self) -> SoFar:
        """Return the output up to now."""
        return SoFar(self._texts, 0, self._reason is not None)

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the events up to now amount to."""
        unpriced = prepaid(self._call.model or "")
        if self._pictures:
            return Answer(missing=unpriced or "images are billed by the image, and the response has no cost")
        partial: Partial | None = None
        usage: Usage | None = None
        missing = unpriced
        try:
            prompt, produced = self._counted()
            counts: Counts = {}
            if prompt is not None and produced is not None:
                put(counts, "input_tokens", prompt)
                put(counts, "output_tokens", produced)
                usage = Usage(counts=counts)
            elif not complete:
                usage = self._estimated(prompt)
            else:
                missing = unpriced or error_text(self._error) or "the response has no usage"
                partial = None if self._error is not None else Partial(prompt, produced, unpriced=unpriced)
        except Malformed as problem:
            missing, partial = str(problem), Partial(unpriced=unpriced)
        reasons = (self._reason,) if self._reason else ()
        embedded = self._call.operation == semconv.EMBEDDINGS and any(get(self._call.body, name) for name in _EMBEDDED)
        uncounted = unknown(["the images"]) if embedded else None
        return Answer(usage=usage, missing=missing, partial=partial, uncounted=uncounted, finish_reasons=reasons)

    def _counted(self) -> tuple[int | None, int | None]:
        """Return the tokens of the input and of the output, as far as they are counted. Raises `Malformed`."""
        told = self._counts
        prompt = next((count(told, name) for name in _INPUT_NAMES if name in told), None)
        if "results" in told:
            produced: int | None = sum(count({"tokenCount": number}, "tokenCount") for number in told["results"])
        else:
            produced = next((count(told, name) for name in _OUTPUT_NAMES if name in told), None)
        if self._call.operation != semconv.TEXT_COMPLETION and prompt is not None:
            produced = 0
        return prompt, produced

    def _estimated(self, prompt: int | None) -> Usage:
        model, counts = self._call.model, Counts()
        put(counts, "input_tokens", PROMPT_TOKENS.count(self._call.body, model, raw=True) if prompt is None else prompt)
        put(counts, "output_tokens", count_text("".join(self._texts), model))
        return Usage(counts=counts, estimated=True)


def _parts(event: Any) -> Iterator[Any]:
    """Yield what has the text: the event itself, and the answers in it."""
    yield event
    for name in _PARTS:
        yield from items(event, name)
    for completion in items(event, "completions"):  # Jurassic
        yield get(completion, "data")
        yield {"finish_reason": text(get(completion, "finishReason"), "reason")}
    if isinstance(delta := get(event, "delta"), Mapping):
        yield delta


FORMAT = Text()
