"""Gemini live: one turn of a session over a WebSocket.

The usage of a turn counts the whole session as its prompt, which is billed with every turn. A turn may have several
usages: totals of one generation so far, or one for each generation (before and after a tool call).
"""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

import json
from typing import Any

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, AttributeValue, Call
from otel_agentcost.core.usage import NOTHING, Usage
from otel_agentcost.wire import parameters
from otel_agentcost.wire.fields import Malformed, fields, get, items, text
from otel_agentcost.wire.format import Format, Shape, SoFar
from otel_agentcost.wire.gemini import generate_usage
from otel_agentcost.wire.gemini.grounding import Grounding
from otel_agentcost.wire.gemini.requests import TABLE, either, last_segment, requested_terms, word
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.provider_tools import unknown
from otel_agentcost.wire.rewriting import NoRewriting
from otel_agentcost.wire.session_context import CONTEXT_TOKENS, SOUND, Context, by_medium, estimated
from otel_agentcost.wire.traffic_types import PREPAID, PREPAID_REASON, TIERS


class _Bound:
    """The facet `input_bound`."""

    def shape(self, body: Any) -> Shape:
        context: Context = get(body, "context") or Context()
        outputs: frozenset[str] = frozenset({"audio"}) if "audio" in _modalities(body) else frozenset()
        added = len(json.dumps(get(body, "event"), default=str)) if context.image == 0 else 0
        return Shape(context.bound + added, sounds=context.sounds, outputs=outputs)

    def image_count(self, body: Any) -> int:
        return 0


def _setting(body: Any, name: str) -> Any:
    setup = get(body, "session")
    return either(either(setup, "generationConfig"), name)


def _modalities(body: Any) -> tuple[str, ...]:
    """Return the modalities in which the model answers; sound unless the setup names another."""
    named = _setting(body, "responseModalities")
    chosen = tuple(str(each).lower() for each in named) if isinstance(named, (list, tuple)) else ()  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return chosen or ("audio",)


class GeminiLive(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = _Bound()
    prompt_tokens = CONTEXT_TOKENS
    rewriting = NoRewriting("the model of a session cannot be changed")

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        known: dict[str, AttributeValue] = {semconv.REQUEST_STREAM: True}
        known[semconv.OUTPUT_TYPE] = "speech" if "audio" in _modalities(body) else "text"
        known.update(parameters.read(either(get(body, "session"), "generationConfig"), TABLE))
        if conversation := text(body, "conversation"):
            known[semconv.CONVERSATION] = conversation
        return Call(
            operation=semconv.GENERATE_CONTENT,
            model=last_segment(text(get(body, "session"), "model")),
            stream=True,
            max_output_tokens=parameters.limit(known),
            parameters=known,
            asked_terms=requested_terms(get(body, "session")),
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read one message with a usage."""
        reader = self.open_stream(call)
        reader.feed(response)
        return reader.answer(complete=True)

    def open_stream(self, call: Call) -> LiveReader:
        """Return a reader for the messages of the turn that answers `call`."""
        return LiveReader(call)


def usage_of(message: Any) -> Any:
    """Return the usage in a message of the server, under the names that `generateContent` has; None without one."""
    used = either(message, "usageMetadata")
    if not isinstance(used, dict):
        return None
    known: dict[str, Any] = fields(used)
    for name in ("Count", "sDetails"):
        of_live, usual = f"responseToken{name}", f"candidatesToken{name}"
        if either(known, usual) is None and (value := either(known, of_live)) is not None:
            known = {**known, usual: value}
    return known


def context_after(usage: Usage) -> Context:
    """Return the session after a turn, which is the prompt of the next."""
    tokens = {"audio": 0, "image": 0, "text": 0}
    for kind, number in usage.counts.items():
        if "tokens" in kind:
            medium = "audio" if "audio" in kind else "image" if "image" in kind or "video" in kind else "text"
            tokens[medium] += int(number)
    return Context(**tokens)


class LiveReader:
    """Reads the messages of one turn."""

    __slots__ = ("_call", "_error", "_grounding", "_past", "_reasons", "_sound", "_texts", "_tier", "_used")

    def __init__(self, call: Call) -> None:
        """Create a reader for the turn that answers `call`."""
        self._call = call
        self._texts: list[str] = []
        self._sound = 0
        self._past = NOTHING
        """The usage of the generations of this turn before the last."""
        self._used: Any = None
        self._tier: Any = None
        """The last usage with a tier; Vertex sends the tier alone, too."""
        self._error: str | None = None
        self._grounding = Grounding()
        self._reasons: tuple[str, ...] = ()

    @property
    def whole(self) -> Any:
        """An object with the usage, once there is one."""
        return None if self._used is None else {"usage": self._used}

    def feed(self, event: Any) -> None:
        """Read one message."""
        if (tokens := get(event, SOUND)) is not None:
            self._sound += int(tokens)
            return
        if (used := usage_of(event)) is not None:
            self._counted(used)
        content = either(event, "serverContent")
        if content is not None:
            self._content(content)
        for function in items(either(event, "toolCall"), "functionCalls"):
            self._texts.append(f"{get(function, 'name')}{get(function, 'args')}")
            self._reasons = ("tool_calls",)

    def _content(self, content: Any) -> None:
        self._grounding.add(content)
        for piece in items(either(content, "modelTurn"), "parts"):
            if words := text(piece, "text"):
                self._texts.append(words)
        if words := text(either(content, "outputTranscription"), "text"):
            self._texts.append(words)
        if either(content, "interrupted") is True:
            self._reasons = ("interrupted",)
        elif either(content, "turnComplete") is True:
            reason = either(content, "turnCompleteReason")
            self._reasons = self._reasons or (str(reason).lower() if reason else "stop",)

    def _counted(self, used: Any) -> None:
        """Take in a usage: totals of the same generation replace those before, those of another are added."""
        if any(either(used, name) is not None for name in ("trafficType", "serviceTier")):
            self._tier = used
        if all(either(used, name) is None for name in ("promptTokenCount", "totalTokenCount", "candidatesTokenCount")):
            return
        before = self._used
        if before is not None and either(before, "promptTokenCount") != either(used, "promptTokenCount"):
            self._close_generation()
        elif before is not None and _total(used) < _total(before):  # totals never shrink
            return
        self._used = used

    def _close_generation(self) -> None:
        try:
            self._past = self._past + generate_usage(self._used)
        except Malformed as problem:
            self._error = str(problem)

    def so_far(self) -> SoFar:
        """Return the output up to now."""
        return SoFar(self._texts, self._sound)

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the messages up to now amount to."""
        tier, terms, missing = _served(self._tier)
        missing = missing or self._error
        usage, partly = self._past, self._used is None
        if self._used is None:
            usage = estimated(self._call, self._texts, self._sound)
        else:
            try:
                usage = usage + generate_usage(self._used)
            except Malformed as problem:
                return Answer(missing=str(problem), doubtful=True, finish_reasons=self._reasons)
        searches, tools = self._grounding.billed(self._call, self._call.model)
        if searches:
            usage = usage + Usage(counts={"web_searches": searches}, estimated=partly)
        return Answer(
            usage=usage,
            missing=missing,
            uncounted=unknown(tools),
            finish_reasons=self._reasons,
            terms=terms,
            attributes={**by_medium(usage), **({semconv.SERVED_TIER: tier} if tier else {})},
        )


def _total(used: Any) -> int:
    number = either(used, "totalTokenCount")
    return number if type(number) is int else 0


def _served(used: Any) -> tuple[str | None, tuple[tuple[str, str], ...], str | None]:
    """Return the tier that served a turn, its terms, and why list prices do not apply, if so."""
    tier = word(either(used, "trafficType"), TIERS) or word(either(used, "serviceTier"), {})
    if tier == PREPAID:
        return tier, (), PREPAID_REASON
    if tier is None or tier.endswith("unspecified"):
        return None, (), None
    return tier, (() if tier == "standard" else (("service_tier", tier),)), None


FORMAT = GeminiLive()
