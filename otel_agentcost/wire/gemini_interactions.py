"""Gemini's interactions and decisions: created, streamed, or in the background, on the Gemini API and on Vertex AI.

The usage counts what that of `generateContent` does, under other names. An agent, such as Deep Research, does not say
which models it has used (https://ai.google.dev/gemini-api/docs/interactions).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import NO_PARAMETERS, Answer, AttributeValue, Call
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire.fields import Malformed, count, entries, fields, get, items, quote, text
from otel_agentcost.wire.format import CannotRewrite, Change, Format, Rewritten, SoFar
from otel_agentcost.wire.gemini import generate_usage
from otel_agentcost.wire.gemini.requests import last_segment
from otel_agentcost.wire.input_bound import STORED_INPUT, BodyBound
from otel_agentcost.wire.openai_chat import estimate
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import PromptFields
from otel_agentcost.wire.provider_tools import unknown
from otel_agentcost.wire.rewriting import copied, lower, rename
from otel_agentcost.wire.token_split import Counts, put

__all__ = ["FORMAT"]

_UNFINISHED: Final = frozenset({"queued", "in_progress"})
_RUNS_ON: Final = "the interaction runs in the background, and its usage is not known yet"
_PROMPT: Final = PromptFields(messages=("input",))

_NAMES: Final[Mapping[str, str]] = {
    "total_input_tokens": "promptTokenCount",
    "total_output_tokens": "candidatesTokenCount",
    "total_thought_tokens": "thoughtsTokenCount",
    "total_tool_use_tokens": "toolUsePromptTokenCount",
    "total_cached_tokens": "cachedContentTokenCount",
    "total_tokens": "totalTokenCount",
}
_DETAILS: Final[Mapping[str, str]] = {
    "input_tokens_by_modality": "promptTokensDetails",
    "output_tokens_by_modality": "candidatesTokensDetails",
    "tool_use_tokens_by_modality": "toolUsePromptTokensDetails",
    "cached_tokens_by_modality": "cacheTokensDetails",
}
"""The names of the counts, and those of the same counts of `generateContent`."""
_ADDED: Final = ("total_input_tokens", "total_output_tokens", "total_thought_tokens", "total_tool_use_tokens")
"""The counts that make up the total."""


class _Rewriting:
    """The facet `rewriting`: an agent has neither a model nor a limit."""

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """Return the body and the path of the request with `change` applied. Raises `CannotRewrite`."""
        body = copied(call)
        if body.get("agent") is not None:
            raise CannotRewrite("an agent answers it")
        if change.model is not None:
            path = rename(body, path, change.model)
        if change.max_output_tokens is not None:
            settings = dict(entries(body.get("generation_config")))
            lower(settings, ("max_output_tokens",), change.max_output_tokens)
            body["generation_config"] = settings
        return body, path


class Interactions(Format):
    """The format."""

    input_bound = BodyBound(stored=STORED_INPUT | {"previous_interaction_id", "agent", "environment"})
    prompt_tokens = _PROMPT
    rewriting = _Rewriting()

    def read_request(self, body: Any, path: str) -> Call:  # noqa: ARG002 (the body has everything)
        """Read a request."""
        limit = get(get(body, "generation_config"), "max_output_tokens")
        known: dict[str, AttributeValue] = {}
        if type(limit) is int:
            known[semconv.REQUEST_MAX_TOKENS] = limit
        tier = text(body, "service_tier")
        return Call(
            operation=semconv.GENERATE_CONTENT,
            model=last_segment(text(body, "model")),
            stream=get(body, "stream") is True,
            max_output_tokens=limit if type(limit) is int and limit > 0 else None,
            parameters=known or NO_PARAMETERS,
            asked_terms=(("service_tier", tier),) if tier in ("flex", "priority") else (),
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole interaction."""
        whole = fields(response)
        status, named = text(whole, "status"), text(whole, "id")
        model = last_segment(text(whole, "model"))
        if status in _UNFINISHED:
            return Answer(missing=_RUNS_ON, goes_on=True, model=model, response_id=named)
        used = get(whole, "usage")
        tier, terms, missing = _served(call, whole)
        usage: Usage | None = None
        uncounted: str | None = None
        try:
            if used is None:
                missing = error_text(whole) or "the interaction has no usage"
            else:
                usage = _usage(fields(used))
                counts, names = _searches(whole, used, model or call.model)
                usage, uncounted = usage + Usage(counts=counts), unknown(names)
        except Malformed as problem:
            usage, missing = None, str(problem)
        if usage is not None and model is None and call.model is None:
            missing = "an agent has answered, and the response does not say which models it has used"
        return Answer(
            usage=usage,
            missing=missing,
            uncounted=uncounted,
            model=model,
            response_id=named,
            finish_reasons=(status,) if status is not None else (),
            terms=terms,
            attributes={semconv.SERVED_TIER: tier} if tier else NO_PARAMETERS,
        )

    def open_stream(self, call: Call) -> InteractionReader:
        """Return a reader for the events of the answer to `call`."""
        return InteractionReader(self, call)


def _served(call: Call, whole: Any) -> tuple[str | None, tuple[tuple[str, str], ...], str | None]:
    """Return the tier that served the call, its terms, and why there is no price, if so."""
    tier = text(whole, "service_tier")
    if tier is None:
        for _, wanted in call.asked_terms:
            return None, (), f"the response does not say whether the {wanted} tier that was asked for served it"
        return None, (), None
    return tier, (() if tier == "standard" else (("service_tier", tier),)), None


def _usage(used: Any) -> Usage:
    """Return the usage. Raises `Malformed`, also if the counts do not add up to the total that is documented."""
    total, parts = count(used, "total_tokens"), sum(count(used, name) for name in _ADDED)
    if total and total != parts:
        raise Malformed(f"total_tokens is {total}, and the counts that make it up are {parts}: {quote(used)}")
    known: dict[str, Any] = {name: get(used, given) for given, name in _NAMES.items()}
    for given, name in _DETAILS.items():
        known[name] = [
            {"modality": get(each, "modality"), "tokenCount": get(each, "tokens")} for each in items(used, given)
        ]
    return generate_usage({name: value for name, value in known.items() if value not in (None, [])})


def _searches(whole: Any, used: Any, model: str | None) -> tuple[Counts, list[str]]:
    """Return the billed web searches, and the names of what else may be billed. Raises `Malformed`.

    Earlier models than Gemini 3 bill a prompt that uses searches, and later ones each query.
    """
    counts: Counts = {}
    names: list[str] = []
    grounded = items(used, "grounding_tool_count")
    for each in grounded:
        kind, number = text(each, "type") or "grounding", count(each, "count")
        if kind == "google_search":
            put(counts, "web_searches", min(number, 1) if re.search(r"gemini-[12]\b", model or "") else number)
        elif number:
            names.append(kind)
    kinds: set[str | None] = set() if grounded else {text(step, "type") for step in items(whole, "steps")}
    return counts, names + [name for kind, name in _UNCOUNTED.items() if kind in kinds]


_UNCOUNTED: Final[Mapping[str, str]] = {
    "google_search_call": "web searches (their number is not reported)",
    "google_maps_call": "google_maps",
    "retrieval_call": "retrieval",
}
"""Steps that are billed besides the tokens, and their names where the usage does not count them."""


class InteractionReader:
    """Reads the events of one stream, as the SDK's objects or as JSON: the last one has the usage."""

    __slots__ = ("_call", "_error", "_form", "_state", "_texts", "_used")

    def __init__(self, form: Interactions, call: Call) -> None:
        """Create a reader for the answer to `call`; `form` reads the interaction in the events."""
        self._form = form
        self._call = call
        self._state: Any = None
        self._used: Any = None
        self._error: Any = None
        self._texts: list[str] = []

    def feed(self, event: Any) -> None:
        """Read one event."""
        if (delta := get(event, "delta")) is not None:
            for name in ("text", "arguments"):
                if words := text(delta, name):
                    self._texts.append(words)
        elif (state := get(event, "interaction")) is not None:
            self._state = state
        elif get(event, "event_type") == "error":
            self._error = get(event, "error")
        self._used = get(get(event, "metadata"), "total_usage") or self._used

    def so_far(self) -> SoFar:
        """Return the output up to now."""
        return SoFar(self._texts, ended=get(self._state, "usage") is not None)

    def answer(self, *, complete: bool) -> Answer:  # noqa: ARG002 (the events say it)
        """Return the answer that the events up to now amount to."""
        state = entries(fields(self._state))
        if self._state is not None and state.get("usage") is None and self._used is not None:
            state = {**state, "usage": self._used}
        named = text(state, "id")
        if state.get("usage") is not None and text(state, "status") not in _UNFINISHED:
            return self._form.read_response(self._call, state)
        if get(self._call.body, "background") is True:
            return Answer(missing=_RUNS_ON, goes_on=True, model=text(state, "model"), response_id=named)
        if self._error is not None and not self._texts:
            reason = text(self._error, "message") or "no reason given"
            return Answer(missing=f"the stream ended with an error: {reason}"[:120])
        model = last_segment(text(state, "model"))
        usage = estimate(self._call, model or self._call.model, self._texts, _PROMPT)
        _, terms, missing = _served(self._call, state)
        return Answer(usage=usage, missing=missing, model=model, response_id=named, terms=terms)


FORMAT = Interactions()
