"""OpenAI's legacy completions: a prompt, or a list of prompts, completed `n` times each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire import parameters
from otel_agentcost.wire.content import parts_of
from otel_agentcost.wire.fields import fields, get, items, text
from otel_agentcost.wire.format import Change, Format, Message, Rewritten
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.no_facets import NO_CONVERSATION
from otel_agentcost.wire.openai_chat import TABLE, ChatReader, chat_answer, finish_reasons, model_in
from otel_agentcost.wire.openai_chat.content import ChatContent
from otel_agentcost.wire.openai_usage import requested_terms
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS, prompt_tokens_of
from otel_agentcost.wire.rewriting import copied, lower_in, rename

_TABLE: Final[parameters.Table] = {
    name: TABLE[name]
    for name in TABLE
    if name not in ("max_completion_tokens", "reasoning_effort", "response_format", "modalities")
}

_DEFAULT: Final = 16
"""The output limit of a request without one (OpenAI's reference). A higher value would raise it."""
_SHORT: Final = ("openai", "azure.ai.openai")


class _CompletionContent(ChatContent):
    """The facet `content`; streams have the shape of a chat's."""

    def input_messages(self, body: Any) -> Iterable[Message]:
        """Yield the prompt as one message of the user."""
        if parts := parts_of(get(body, "prompt")):
            yield {"role": "user", "parts": parts}

    def output_messages(self, response: Any) -> Iterable[Message]:
        """Yield one message per choice."""
        for choice in items(response, "choices"):
            parts = parts_of(get(choice, "text"))
            yield {"role": "assistant", "parts": parts, "finish_reason": get(choice, "finish_reason")}


class _CompletionRewriting:
    """The facet `rewriting`."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        body = copied(call)
        if change.model is not None:
            path = rename(body, path, change.model)
        if change.provider in _SHORT and body.get("max_tokens") is None and change.max_output_tokens is not None:
            change = replace(change, max_output_tokens=min(_DEFAULT, change.max_output_tokens))
        lower_in(call, body, change, "max_tokens")
        return body, path


class Completions(Format):
    """The format."""

    content = _CompletionContent()
    conversation = NO_CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = _CompletionRewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        known = parameters.read(body, _TABLE)
        return Call(
            operation=semconv.TEXT_COMPLETION,
            model=model_in(path) or text(body, "model"),
            stream=semconv.REQUEST_STREAM in known,
            max_output_tokens=parameters.limit(known),
            choices=_choices(body),
            parameters=known,
            asked_terms=requested_terms(known) if semconv.OPENAI_REQUEST_TIER in known else (),
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        whole = fields(response)
        return chat_answer(call, whole, whole, whole, finish_reasons(items(whole, "choices")))

    def open_stream(self, call: Call) -> ChatReader:
        """Return a reader for the chunks of the answer: they differ from a chat's in the place of the text."""
        return ChatReader(call, prompt_tokens_of(self))


def _choices(body: Any) -> int:
    """Return how many completions are generated, and billed: `best_of` are generated to return `n`."""
    prompt = get(body, "prompt")
    prompts = 1
    if isinstance(prompt, (list, tuple)) and prompt and not isinstance(prompt[0], int):
        prompts = len(prompt)  # pyright: ignore[reportUnknownArgumentType]
    each = max(parameters.several(get(body, name)) or 1 for name in ("n", "best_of"))
    return prompts * each


FORMAT = Completions()
