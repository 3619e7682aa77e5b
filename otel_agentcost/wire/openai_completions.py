"""OpenAI's legacy completions: a prompt, or a list of prompts, completed `n` times each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire import parameters
from otel_agentcost.wire.fields import fields, get, items, text
from otel_agentcost.wire.format import Change
from otel_agentcost.wire.openai_chat import TABLE, ChatReader, chat_answer, finish_reasons, model_in
from otel_agentcost.wire.openai_usage import asked
from otel_agentcost.wire.rewriting import Rewritten, copied, lower_in, rename

_TABLE: Final[parameters.Table] = {
    name: TABLE[name]
    for name in TABLE
    if name not in ("max_completion_tokens", "reasoning_effort", "response_format", "modalities")
}

_DEFAULT: Final = 16
"""The output limit where a request sets none (OpenAI's reference). To set a higher one would raise it."""
_SHORT: Final = ("openai", "azure.ai.openai")


class Completions:
    """The format."""

    def read_request(self, body: Any, path: str) -> Call:
        """What the request asks for."""
        found = parameters.read(body, _TABLE)
        return Call(
            operation=semconv.TEXT_COMPLETION,
            model=text(body, "model") or model_in(path),
            stream=semconv.REQUEST_STREAM in found,
            max_output_tokens=parameters.limit(found),
            choices=_choices(body),
            parameters=found,
            asked_terms=asked(found) if semconv.OPENAI_REQUEST_TIER in found else (),
            body=body,
        )

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """The same request with `change` made in it."""
        body = copied(call)
        if change.model is not None:
            path = rename(body, path, change.model)
        if change.provider in _SHORT and body.get("max_tokens") is None and change.max_output_tokens is not None:
            change = replace(change, max_output_tokens=min(_DEFAULT, change.max_output_tokens))
        lower_in(call, body, change, "max_tokens")
        return body, path

    def read_response(self, call: Call, response: Any) -> Answer:
        """What a whole response says."""
        whole = fields(response)
        return chat_answer(call, whole, whole, whole, finish_reasons(items(whole, "choices")))

    def open_stream(self, call: Call) -> ChatReader:
        """A reader for the chunks of the answer to `call`: they differ from chat's in where the text is."""
        return ChatReader(call)


def _choices(body: Any) -> int:
    """How many completions are generated, and billed: `best_of` of them are generated to return `n`."""
    prompt = get(body, "prompt")
    prompts = 1
    if isinstance(prompt, (list, tuple)) and prompt and not isinstance(prompt[0], int):
        prompts = len(prompt)  # pyright: ignore[reportUnknownArgumentType]
    each = max(parameters.several(get(body, name)) or 1 for name in ("n", "best_of"))
    return prompts * each


FORMAT = Completions()
