"""Bodies of Amazon Bedrock's InvokeModel: each family of models has the format of its maker.

`form_of` recognizes the format by the shape of the body, because an ARN does not name the family. Besides the body of
the model, Bedrock adds counts to the last event of a stream, and the action of a guardrail to a response.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast
from urllib.parse import quote as escaped

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call, Partial
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire import anthropic_messages, bedrock_converse, bedrock_text, openai_chat
from otel_agentcost.wire.anthropic_messages import Messages
from otel_agentcost.wire.bedrock_converse import Converse
from otel_agentcost.wire.bedrock_models import GUARDRAIL, in_path, is_stream, plain_name, prepaid, with_model
from otel_agentcost.wire.fields import Malformed, count, get, items, need, parsed
from otel_agentcost.wire.format import AnswerReader, CannotRewrite, Change, Format, Rewriting, Rewritten, SoFar
from otel_agentcost.wire.provider_tools import both, unknown
from otel_agentcost.wire.rewriting import FieldRewriting
from otel_agentcost.wire.token_split import Counts, put
from otel_agentcost.wire.within import Within

__all__ = ["FORMAT", "form_of"]

_METRICS: Final = "amazon-bedrock-invocationMetrics"
"""Counts in the last event of a stream
(https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html)."""
_GUARDED: Final = "amazon-bedrock-guardrailAction"
"""What a guardrail did, in every response that one has seen
(https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-test.html)."""


class _Invoked(Within):
    """The format of a family, within InvokeModel."""

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request. The address names the model, and whether the response is streamed."""
        call = self.inner.read_request(body, path)
        name, known = plain_name(in_path(path)), dict(call.parameters)
        if streamed := is_stream(path):
            known[semconv.REQUEST_STREAM] = True
        return call._replace(model=name or call.model, stream=streamed, parameters=known)

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response. One without counts is counted by its headers, or else estimated."""
        return _answered(call, self.inner.read_response(call, response), guarded=_is_guarded(response))

    def open_stream(self, call: Call) -> _Reader:
        """Return a reader for the events of the answer to `call`."""
        return _Reader(call, self.inner.open_stream(call))


class _Rewriting:
    """The facet `rewriting`: the address has the model, and the body has the limit."""

    def __init__(self, family: Rewriting) -> None:
        """Create the facet.

        Args:
            family: Changes the limit in a body of the family.
        """
        self._family = family

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        if change.model is not None:
            if _maker(change.model) != _maker(call.model or ""):
                raise CannotRewrite("its body is that of another family of models")
            path = with_model(path, escaped(change.model, safe=""))
        return self._family.rewrite(call, path, replace(change, model=None))[0], path


def _maker(name: str) -> str:
    """Return the maker and the family in the id of a model: `anthropic.claude`."""
    family = name.split("-", maxsplit=1)[0].split(".")
    return ".".join(family[-2:])


_MESSAGES: Final = _Invoked(anthropic_messages.FORMAT, _Rewriting(cast("Rewriting", Messages.rewriting)))
_CONVERSE: Final = _Invoked(bedrock_converse.FORMAT, _Rewriting(cast("Rewriting", Converse.rewriting)))
_CHAT: Final = _Invoked(openai_chat.FORMAT, _Rewriting(FieldRewriting(("max_tokens", "max_completion_tokens"))))
_TEXT: Final = _Invoked(bedrock_text.FORMAT)


def form_of(body: Any) -> Format:
    """Return the format of a body: Anthropic's, Nova's, that of OpenAI's chats, or one of its own."""
    if get(body, "anthropic_version") is not None and get(body, "messages") is not None:
        return _MESSAGES
    messages = items(body, "messages")
    if not messages:
        return _TEXT
    if get(body, "inferenceConfig") is not None or get(body, "schemaVersion") is not None:
        return _CONVERSE
    blocks = items(messages[0], "content")
    return _CONVERSE if blocks and isinstance(blocks[0], Mapping) and get(blocks[0], "type") is None else _CHAT


class _Bodies(Within):
    """The format of InvokeModel's path: that of each body is another one (`of`)."""

    def of(self, body: Any) -> Format:
        """Return the format of the family of models that a body is for."""
        return form_of(body)

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        return form_of(body).read_request(body, path)

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        return form_of(call.body).read_response(call, response)

    def open_stream(self, call: Call) -> AnswerReader:
        """Return a reader for the events of the answer to `call`."""
        return form_of(call.body).open_stream(call)


FORMAT: Final = _Bodies(_TEXT)


def _is_guarded(response: Any) -> bool:
    return get(response, _GUARDED) is not None


def _answered(call: Call, answer: Answer, *, guarded: bool) -> Answer:
    """Return the answer of a family with what is billed or not billed by Bedrock."""
    unpriced = prepaid(call.model or "")
    if guarded:
        answer = answer._replace(uncounted=both(answer.uncounted, unknown([GUARDRAIL])))
    if answer.usage is None and answer.partial is None and answer.missing == "the response has no usage":
        answer = answer._replace(partial=Partial())  # the headers of the response count it
    if unpriced is not None:
        partial = None if answer.partial is None else answer.partial._replace(unpriced=unpriced)
        answer = answer._replace(missing=unpriced, partial=partial)
    return answer


class _Reader:
    """Reads the events of one answer: the family's, and the counts that Bedrock adds to the last of them."""

    __slots__ = ("_call", "_counted", "_family", "_guarded")

    def __init__(self, call: Call, family: AnswerReader) -> None:
        """Create a reader.

        Args:
            call: The call that the stream answers.
            family: Reads the events of the family.
        """
        self._call = call
        self._family = family
        self._counted: Any = None
        self._guarded = False

    def feed(self, event: Any) -> None:
        """Read one event: that of a family, or a frame that has it, as an HTTP client sees it."""
        if (chunk := get(event, "chunk")) is not None and (framed := get(chunk, "bytes")) is not None:
            event = parsed(framed)
        if (counted := get(event, _METRICS)) is not None:
            self._counted = counted
        self._guarded = self._guarded or _is_guarded(event)
        self._family.feed(event)

    def so_far(self) -> SoFar:
        """Return the output up to now."""
        return self._family.so_far()

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the events up to now amount to."""
        answer = self._family.answer(complete=complete)
        if self._counted is not None and (answer.usage is None or answer.usage.estimated):
            try:
                answer = answer._replace(usage=_usage(self._counted), missing=None, partial=None)
            except Malformed as problem:
                answer = answer._replace(usage=None, missing=str(problem), partial=Partial())
        return _answered(self._call, answer, guarded=self._guarded)


def _usage(counted: Any) -> Usage:
    """Return the usage in Bedrock's counts. Raises `Malformed`."""
    need(counted, "inputTokenCount")
    counts: Counts = {}
    put(counts, "input_tokens", count(counted, "inputTokenCount"))
    put(counts, "output_tokens", count(counted, "outputTokenCount"))
    put(counts, "cache_read_tokens", count(counted, "cacheReadInputTokenCount"))
    put(counts, "cache_write_tokens", count(counted, "cacheWriteInputTokenCount"))
    return Usage(counts=counts)
