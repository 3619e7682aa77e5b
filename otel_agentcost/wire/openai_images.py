"""OpenAI images: generated and edited, whole and streamed.

GPT image models report tokens; DALL-E reports nothing, and is billed by the image. A text model writes an SVG; its
usage is reported besides that of the image model.
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, AttributeValue, Call, Charge
from otel_agentcost.wire import parameters
from otel_agentcost.wire.fields import Malformed, get, items, need, part, text
from otel_agentcost.wire.format import Format, SoFar
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.openai_chat import model_in
from otel_agentcost.wire.openai_usage import error_text, image_usage, responses_usage
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS
from otel_agentcost.wire.reported_costs import in_body
from otel_agentcost.wire.rewriting import ModelRewriting

_TABLE: Final[parameters.Table] = {
    "n": (semconv.REQUEST_CHOICES, parameters.several),
    "stream": (semconv.REQUEST_STREAM, parameters.yes),
}


_NOTHING: Final = "the usage counts nothing, and there are images"


class Images(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = ModelRewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        known: dict[str, AttributeValue] = {semconv.OUTPUT_TYPE: "image", **parameters.read(body, _TABLE)}
        choices = known.get(semconv.REQUEST_CHOICES, 1)
        return Call(
            operation=semconv.GENERATE_CONTENT,
            model=model_in(path) or text(body, "model"),
            stream=semconv.REQUEST_STREAM in known,
            choices=choices if isinstance(choices, int) else 1,
            parameters=known,
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        reported = in_body(response, get(response, "usage"))
        try:
            counted = part(response, "usage")
            extra = _svg(response)
            if counted is None:
                missing = error_text(response) or "the response has no usage"
                return Answer(missing=missing, extra=extra, reported=reported)
            usage = image_usage(counted)
            model = text(response, "model")
            if not usage.counts and items(response, "data"):
                return Answer(missing=_NOTHING, doubtful=True, model=model, extra=extra, reported=reported)
            return Answer(usage=usage, model=model, extra=extra, reported=reported)
        except Malformed as problem:
            return Answer(missing=str(problem), doubtful=True, reported=reported)

    def open_stream(self, call: Call) -> ImageReader:
        """Return a reader for the events of the answer to `call`."""
        return ImageReader()


def _svg(response: Any) -> tuple[Charge, ...]:
    used = part(response, "svg_usage")
    if used is None:
        return ()
    inside = {"reasoning_tokens": get(used, "reasoning_tokens")}
    counted = {name: get(used, name) for name in ("input_tokens", "output_tokens")}
    usage, _, _ = responses_usage({**counted, "output_tokens_details": inside})
    need(used, "model")
    return (Charge(model=text(used, "model"), usage=usage),)


class ImageReader:
    """Reads the events of one answer: each finished image carries its usage."""

    __slots__ = ("_error", "_finished")

    def __init__(self) -> None:
        self._finished: list[Any] = []
        self._error: Any = None

    def feed(self, event: Any) -> None:
        """Read one event; the images themselves are not kept."""
        kind = text(event, "type")
        if kind in ("image_generation.completed", "image_edit.completed"):
            self._finished.append(get(event, "usage"))
        elif kind == "error" or get(event, "error") is not None:
            self._error = event

    def so_far(self) -> SoFar:
        """Return nothing: no text is kept."""
        return SoFar([])

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer; the usage of an unfinished image is unknown."""
        try:
            usages = [image_usage(used) for used in self._finished if used is not None]
        except Malformed as problem:
            return Answer(missing=str(problem), doubtful=True)
        if any(not usage.counts for usage in usages):
            return Answer(missing=_NOTHING, doubtful=True)
        if not usages or len(usages) < len(self._finished):
            return Answer(missing=error_text(self._error) or "the stream has no usage")
        total = usages[0]
        for usage in usages[1:]:
            total = total + usage
        return Answer(usage=total, missing=None if complete else "the stream was left before its last image")


FORMAT = Images()
