"""OpenAI chat completions, and compatible APIs (Azure, DeepSeek, Groq, Together, OpenRouter, xAI, Gemini, ...).

The usage of a stream without one (the caller did not request it, or the stream was cut off) is estimated from the
request and the text of the answer, and marked as estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, AttributeValue, Call, Partial
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.wire import parameters, provider_tools
from otel_agentcost.wire.bill_labels import CHAT
from otel_agentcost.wire.fields import Malformed, entries, fields, get, inside, items, part, text, texts
from otel_agentcost.wire.format import CannotRewrite, Change, Format, PromptTokens, Rewritten, SoFar
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.openai_chat.content import CONTENT
from otel_agentcost.wire.openai_chat.conversation import CONVERSATION
from otel_agentcost.wire.openai_usage import (
    chat_usage,
    error_text,
    google_tier,
    partly_counted,
    requested_terms,
    served_terms,
    without_usage,
)
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS, prompt_tokens_of
from otel_agentcost.wire.reported_costs import in_body
from otel_agentcost.wire.rewriting import copied, limit_name, lower_in, rename
from otel_agentcost.wire.running_totals import later, loses
from otel_agentcost.wire.token_split import Counts, put
from otel_agentcost.wire.tokenizers import count_text
from otel_agentcost.wire.usage_names import has_counts, of_choices, usage_at, usage_elsewhere

_OUTPUT_TYPES: Final = {"json_object": "json", "json_schema": "json", "text": "text"}


def _response_format(value: Any) -> AttributeValue | None:
    kind = text(value, "type")
    return _OUTPUT_TYPES.get(kind) if kind else None


def _modalities(value: Any) -> AttributeValue | None:
    return "speech" if isinstance(value, (list, tuple)) and "audio" in value else None


TABLE: Final[parameters.Table] = {
    "temperature": (semconv.REQUEST_TEMPERATURE, parameters.number),
    "top_p": (semconv.REQUEST_TOP_P, parameters.number),
    "top_k": (semconv.REQUEST_TOP_K, parameters.whole),
    "max_tokens": (semconv.REQUEST_MAX_TOKENS, parameters.integer),
    "max_completion_tokens": (semconv.REQUEST_MAX_TOKENS, parameters.integer),
    "frequency_penalty": (semconv.REQUEST_FREQUENCY_PENALTY, parameters.number),
    "presence_penalty": (semconv.REQUEST_PRESENCE_PENALTY, parameters.number),
    "seed": (semconv.REQUEST_SEED, parameters.integer),
    "stop": (semconv.REQUEST_STOP_SEQUENCES, parameters.strings),
    "n": (semconv.REQUEST_CHOICES, parameters.several),
    "stream": (semconv.REQUEST_STREAM, parameters.yes),
    "service_tier": (semconv.OPENAI_REQUEST_TIER, parameters.tier),
    "reasoning_effort": (semconv.REQUEST_REASONING_LEVEL, parameters.string),
    "response_format": (semconv.OUTPUT_TYPE, _response_format),
    "modalities": (semconv.OUTPUT_TYPE, _modalities),
}


class _ChatRewriting:
    """The facet `rewriting`: which field limits the output depends on the provider and the model."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        body = copied(call)
        if change.model is not None:
            path = rename(body, path, change.model)
        field = limit_name(change, change.model or call.model)
        if field not in body and "prediction" in body and "max_tokens" not in body and change.max_output_tokens:
            raise CannotRewrite("predicted outputs allow of no output limit")
        lower_in(call, body, change, "max_completion_tokens", "max_tokens", default=field)
        return body, path


class Chat(Format):
    """The format."""

    content = CONTENT
    conversation = CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = _ChatRewriting()
    bill_labels = CHAT

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        known = parameters.read(body, TABLE)
        choices = known.get(semconv.REQUEST_CHOICES, 1)
        return Call(
            operation=semconv.CHAT,
            model=model_in(path) or text(body, "model"),
            stream=semconv.REQUEST_STREAM in known,
            max_output_tokens=parameters.limit(known),
            choices=choices if isinstance(choices, int) else 1,
            parameters=known,
            asked_terms=requested_terms(known) if semconv.OPENAI_REQUEST_TIER in known else (),
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        whole = fields(response)
        choices = items(whole, "choices")
        if get(call.body, "deferred") is True and not choices:
            return _deferred(whole)
        tools = [name for choice in choices for name in provider_tools.in_message(get(choice, "message"))]
        return chat_answer(call, whole, whole, whole, finish_reasons(choices), tools)

    def open_stream(self, call: Call) -> ChatReader:
        """Return a reader for the chunks of the answer to `call`."""
        return ChatReader(call, prompt_tokens_of(self))


def _deferred(response: Any) -> Answer:
    """Return the answer to a request that xAI answers later (https://docs.x.ai/docs/guides/deferred-chat-completions).

    The first response has the id to retrieve it with; until it is ready, a retrieval has an empty body.
    """
    return Answer(
        missing="the completion is deferred, and its usage is not known yet",
        goes_on=True,
        response_id=text(response, "request_id"),
    )


def model_in(path: str) -> str | None:
    """Return the deployment that an Azure path names. It decides: Azure ignores the model in the body."""
    _, deployments, after = path.partition("/deployments/")
    return unquote(after.partition("/")[0]) or None if deployments else None


def finish_reasons(choices: Any) -> tuple[str, ...]:
    """Return the finish reason of each choice, in their order."""
    return tuple(reason for choice in choices if (reason := text(choice, "finish_reason")))


def chat_answer(
    call: Call, named: Any, used: Any, tiered: Any, reasons: tuple[str, ...], tools: Sequence[str] = ()
) -> Answer:
    """Return the answer to a chat.

    A whole response stands for all three objects; of a stream, they are three chunks.

    Args:
        call: The call.
        named: The object with the model and the id.
        used: The object with the usage.
        tiered: The object with the service tier.
        reasons: The finish reason of each choice.
        tools: The names of tools in the messages that ran at the provider.
    """
    model, counted = text(named, "model"), usage_at(used)
    tier = text(tiered, "service_tier") or google_tier(counted)
    terms, prepaid = served_terms(tier)
    usage: Usage | None = None
    partial: Partial | None = None
    uncounted: str | None = None
    names = [*tools, *provider_tools.in_request(call), *provider_tools.in_chat(used)]
    try:
        missing = prepaid
        counted = inside(counted, "usage")
        if counted is None:
            missing, partial = without_usage(used, prepaid)
        else:
            usage, uncounted = chat_usage(counted, model or call.model)
            usage = with_searches(call, model, usage)
            counts: Counts = {}
            names += provider_tools.in_usage(counted, counts)
            if counts:
                usage = usage + Usage(counts=counts)
    except Malformed as problem:
        missing, partial = str(problem), partly_counted(counted, prepaid, used)
    return Answer(
        usage=usage,
        missing=missing,
        partial=partial,
        uncounted=provider_tools.both(uncounted, provider_tools.unknown(names)),
        model=model,
        response_id=text(named, "id"),
        finish_reasons=reasons,
        terms=terms,
        tier=tier,
        reported=in_body(used, get(used, "usage")),
    )


def with_searches(call: Call, model: str | None, usage: Usage) -> Usage:
    """Add the web search that OpenAI's search models make for every request and report nowhere."""
    name = model or call.model or ""
    if not name.startswith("gpt-") or not ("-search-" in name or get(call.body, "web_search_options") is not None):
        return usage
    return usage + Usage(counts={"web_searches": 1})


class ChatReader:
    """Reads the chunks of one answer: dicts, or SDK objects. Keeps the texts, and at most three chunks."""

    __slots__ = (
        "_call",
        "_finished",
        "_first",
        "_last",
        "_of_choices",
        "_produced_in",
        "_prompt_tokens",
        "_texts",
        "_tiered",
        "_tools",
        "_used",
    )

    def __init__(self, call: Call, prompt_tokens: PromptTokens = PROMPT_TOKENS) -> None:
        """Create a reader.

        Args:
            call: The call that the stream answers.
            prompt_tokens: Counts the prompt if the stream has no usage.
        """
        self._call = call
        self._prompt_tokens = prompt_tokens
        self._texts: list[str] = []
        self._finished: dict[int, str] = {}
        self._first: Any = None
        self._last: Any = None
        self._used: Any = None
        self._of_choices: list[Any] = []
        self._tiered: Any = None
        self._tools: list[str] = []
        self._produced_in: tuple[Any, int] = (None, 0)
        """The usage that was read last, and its output tokens."""

    def feed(self, event: Any) -> None:
        """Read one chunk."""
        self._last = event
        try:  # the path of nearly every chunk but the first: one choice with a piece of text
            if self._first is None:
                pass
            elif type(event) is dict:
                chunk: dict[str, Any] = event  # pyright: ignore[reportUnknownVariableType] (no cast: hot)
                (choice,) = chunk["choices"]
                words = choice["delta"]["content"]
                if words and chunk.get("usage") is None and choice.get("finish_reason") is None:
                    self._texts.append(words)
                    return
            else:
                (choice,) = event.choices
                words = choice.delta.content
                if words and event.usage is None and choice.finish_reason is None:
                    self._texts.append(words)
                    return
        except Exception as error:  # a chunk without a choice or with several, or whatever else comes
            reraise_foreign(error)
        self._feed_other(event)

    def _feed_other(self, event: Any) -> None:
        if self._first is None or not text(self._first, "model"):
            self._first = event  # Azure's first chunk is about content filters and names no model
        chunk = fields(event)
        choices, finished = items(chunk, "choices"), len(self._finished)
        for choice in map(fields, choices):
            delta = fields(get(choice, "delta"))
            collect_delta(delta, self._texts)
            self._tools += provider_tools.in_message(delta)
            if words := text(choice, "text"):  # legacy completions
                self._texts.append(words)
            if reason := text(choice, "finish_reason"):
                index = get(choice, "index")
                self._finished[index if type(index) is int else 0] = reason
        if text(chunk, "service_tier"):
            self._tiered = event
        if (usage := get(chunk, "usage")) is not None:
            self._count(event, usage)
            if has_counts(usage):
                return
        if (not choices or len(self._finished) > finished) and (usage := usage_elsewhere(chunk)) is not None:
            if choices and self._call.choices > 1:  # one usage a choice
                self._of_choices.append(usage)
                self._used, usage = None, of_choices(self._of_choices)
            self._count({"usage": usage}, usage)

    def _count(self, event: Any, usage: Any) -> None:
        """Keep a usage: totals up to now where it comes more than once, so the last one counts."""
        before = get(self._used, "usage") if self._used is not None else None
        if before is not None and loses(before, usage):
            self._used = {**entries(self._used), **entries(event), "usage": later(before, usage)}
        else:
            self._used = event

    def so_far(self) -> SoFar:
        """Return the output up to now; some servers report a usage with every chunk."""
        used, produced = self._produced_in
        if used is not self._used:
            produced = self._produced(self._used) or 0
            self._produced_in = (self._used, produced)
        return SoFar(self._texts, produced, len(self._finished) >= self._call.choices)

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the chunks up to now amount to."""
        used, last = fields(self._used), fields(self._last)
        if used is None and (usage := usage_elsewhere(last)) is not None:
            used = {"usage": usage}
        reasons = tuple(reason for _, reason in sorted(self._finished.items()))
        named = last if text(last, "model") else self._first
        tiered = self._tiered if self._tiered is not None else last
        # Some gateways write a usage of zeros into every chunk until the last.
        no_usage = used is None or (not complete and bool(self._texts) and self._produced(used) == 0)
        if no_usage and error_text(last) is None:
            return self._estimated(chat_answer(self._call, named, last, tiered, reasons, self._tools))
        answer = chat_answer(self._call, named, used if used is not None else last, tiered, reasons, self._tools)
        self._produced_in = (self._used, answer.tokens().output)
        return answer

    def _produced(self, used: Any) -> int | None:
        """Return the output tokens in a usage; None without a usage, or with an invalid one."""
        if used is None:
            return None
        try:
            return chat_usage(part(used, "usage"), self._call.model)[0].output_tokens
        except Malformed:
            return None

    def _estimated(self, answer: Answer) -> Answer:
        model = answer.model or self._call.model
        usage = estimate(self._call, model, self._texts, self._prompt_tokens)
        return Answer(
            usage=with_searches(self._call, model, usage),
            missing=served_terms(answer.tier)[1],
            uncounted=answer.uncounted,
            model=answer.model,
            response_id=answer.response_id,
            finish_reasons=answer.finish_reasons,
            terms=answer.terms,
            tier=answer.tier,
            reported=answer.reported,
        )


def collect_delta(delta: Any, output: list[str]) -> None:
    """Append every piece of output in a delta to `output`: words, refusals, reasoning, tool calls."""
    output.extend(texts(delta, "content", "refusal"))
    output.extend(texts(delta, "reasoning_content", "reasoning")[:1])  # some servers give the same thoughts both names
    output.extend(texts(get(delta, "audio"), "transcript"))
    for call in items(delta, "tool_calls"):
        output.extend(texts(get(call, "function") or get(call, "custom"), "name", "arguments", "input"))
    output.extend(texts(get(delta, "function_call"), "name", "arguments"))


def estimate(call: Call, model: str | None, output: list[str], prompt_tokens: PromptTokens) -> Usage:
    """Estimate the usage of an answer without one, from the request and the text of the answer.

    Args:
        call: The call.
        model: The model that answers; it selects the vocabulary.
        output: The pieces of text of the answer.
        prompt_tokens: Counts the prompt.
    """
    counts: dict[Kind, Any] = {}
    raw = call.operation != semconv.CHAT
    put(counts, "input_tokens", prompt_tokens.count(call.body, model, raw=raw))
    put(counts, "output_tokens", count_text(joined(output), model))
    return Usage(counts=counts, estimated=True)


def joined(pieces: list[str]) -> str:
    """Join the pieces of text; `feed` has no time to check whether a piece is text."""
    try:
        return "".join(pieces)
    except TypeError:
        return "".join(piece for piece in pieces if isinstance(piece, str))  # pyright: ignore[reportUnnecessaryIsInstance]


FORMAT = Chat()
