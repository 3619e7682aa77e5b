"""Gemini: generateContent, streamed or not, and embeddings, on the Gemini API and on Vertex AI.

Thoughts are beside the candidates' tokens, cached tokens within the prompt's, and the tokens that tools put into the
prompt are input beside it. Every count may come with its modalities. JSON names are `camelCase`; the SDK's objects
have the same names in `snake_case`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import NO_PARAMETERS, Answer, Call
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.wire import parameters
from otel_agentcost.wire.fields import (
    MAX_COUNT,
    Malformed,
    count,
    fields,
    get,
    items,
    lacks_fields,
    need,
    quote,
    text,
    texts,
)
from otel_agentcost.wire.format import Change, SoFar
from otel_agentcost.wire.gemini_requests import (
    TABLE,
    asked,
    either,
    embedding_config,
    last,
    model_in,
    rewrite,
    snake,
    word,
)
from otel_agentcost.wire.openai_chat import joined
from otel_agentcost.wire.openai_usage import error_text
from otel_agentcost.wire.prompt_tokens import count_prompt
from otel_agentcost.wire.rewriting import Rewritten
from otel_agentcost.wire.token_split import Counts, input_counts, input_kind, output_kind, put, rest, tool_kind
from otel_agentcost.wire.tokenizers import count_text

_EMBED: Final = ("embedContent", "batchEmbedContents")


class Gemini:
    """The format."""

    def read_request(self, body: Any, path: str) -> Call:
        """What the request asks for. The path says of which model, and whether to stream."""
        configured = either(body, "generationConfig") or get(body, "config")
        found = parameters.read(configured, TABLE)
        model = model_in(path) or last(text(body, "model"))
        # On Vertex `predict` serves embeddings and image models alike; of an unknown one nothing else can be said.
        embeds = any(name in path for name in _EMBED) or (":predict" in path and "embed" in (model or "embed"))
        if embeds:
            found.update(parameters.read(embedding_config(body), TABLE))
        stream = "streamGenerateContent" in path
        if stream:
            found[semconv.REQUEST_STREAM] = True
        choices = found.get(semconv.REQUEST_CHOICES, 1)
        return Call(
            operation=semconv.EMBEDDINGS if embeds else semconv.GENERATE_CONTENT,
            model=model,
            stream=stream,
            max_output_tokens=0 if embeds else parameters.limit(found),
            choices=choices if isinstance(choices, int) else 1,
            parameters=found,
            asked_terms=asked(body),
            body=body,
        )

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """The same request with `change` made in it."""
        return rewrite(call, path, change)

    def read_response(self, call: Call, response: Any) -> Answer:
        """What a whole response says."""
        whole = fields(response)
        if call.operation == semconv.EMBEDDINGS:
            return _embeddings(whole)
        used = either(whole, "usageMetadata")
        return _answer(call, whole, used, _Seen([whole]))

    def open_stream(self, call: Call) -> GeminiReader:
        """A reader for the chunks of the answer to `call`."""
        return GeminiReader(call)


class _Seen:
    """What the candidates of one or several chunks amount to: why they ended, and what they searched for."""

    def __init__(self, chunks: Sequence[Any] = ()) -> None:
        self.reasons: dict[int, str] = {}
        self.queries: set[str] = set()
        self.grounded = False
        for chunk in chunks:
            for candidate in items(chunk, "candidates"):
                self.add(candidate)

    def add(self, candidate: Any) -> None:
        reason = either(candidate, "finishReason")
        if isinstance(reason, str) and reason:
            index = get(candidate, "index")
            said = getattr(reason, "value", reason)
            self.reasons[index if type(index) is int else 0] = str(said).lower()
        grounding = either(candidate, "groundingMetadata")
        if grounding is not None:
            queries = parameters.strings(either(grounding, "webSearchQueries")) or ()
            self.queries.update(query for query in queries if query)
            self.grounded = self.grounded or bool(self.queries)

    def searches(self, model: str | None) -> int:
        """Billed web searches: Gemini 3 and later by the different queries, earlier ones by the grounded prompt."""
        earlier = model is not None and re.search(r"gemini-[12]\b", model) is not None
        return int(self.grounded) if earlier else len(self.queries)


_TIERS: Final = {
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority",
    "ON_DEMAND_OFFPEAK": "offpeak",
    "ON_DEMAND": "standard",
}


def _served(call: Call, response: Any, used: Any) -> tuple[str | None, tuple[tuple[str, str], ...], str | None]:
    """The tier that served the call, what it means for the price, and why there is no price, if so."""
    traffic, stated = either(used, "trafficType"), either(used, "serviceTier")
    headers = get(either(response, "sdkHttpResponse"), "headers")
    tier = word(traffic, _TIERS) or word(stated, {}) or text(headers, "x-gemini-service-tier")
    if tier == "provisioned_throughput":
        return tier, (), "the tokens were served from capacity paid in advance (provisioned throughput)"
    if tier is None or tier.endswith("unspecified"):
        for _, wanted in asked(call.body):
            return None, (), f"the response does not say whether the {wanted} tier that was asked for served it"
        return None, (), None
    return tier, (() if tier == "standard" else (("service_tier", tier),)), None


def _answer(call: Call, response: Any, used: Any, seen: _Seen) -> Answer:
    model = text(response, "modelVersion") or text(response, "model_version")
    tier, terms, missing = _served(call, response, used)
    usage: Usage | None = None
    try:
        if used is None or lacks_fields(used):
            missing = error_text(response) or f"the response has no usage{'' if used is None else f': {quote(used)}'}"
        else:
            usage = generate_usage(fields(used))
            searches = seen.searches(model or call.model)
            if searches:
                usage = usage + Usage(counts={"web_searches": searches})
    except Malformed as problem:
        missing = str(problem)
    return Answer(
        usage=usage,
        missing=missing,
        model=last(model),
        response_id=text(response, "responseId") or text(response, "response_id"),
        finish_reasons=tuple(reason for _, reason in sorted(seen.reasons.items())),
        terms=terms,
        attributes={semconv.SERVED_TIER: tier} if tier else NO_PARAMETERS,
    )


_MODALITIES: Final = {"TEXT": "text", "AUDIO": "audio", "IMAGE": "image", "VIDEO": "video", "DOCUMENT": "image"}
"""A document is billed as the images of its pages. An unspecified modality is none that is known."""


def _number(usage: Any, name: str) -> int:
    return count(usage, name) if get(usage, name) is not None else count(usage, snake(name))


def _by_modality(usage: Any, name: str, total: int, total_name: str) -> dict[str, int]:
    """The counts in a list of `{"modality": "AUDIO", "tokenCount": 3}`; together no more than the total."""
    found: dict[str, int] = {}
    for entry in items(usage, name) or items(usage, snake(name)):
        kind = get(entry, "modality")
        modality = _MODALITIES.get(str(getattr(kind, "value", kind)).upper(), "")
        number = _number(entry, "tokenCount")
        if number and modality:
            found[modality] = found.get(modality, 0) + number
    rest(total, total_name, sum(found.values()), f"the sum of {name}")
    return found


def generate_usage(usage: Any) -> Usage:
    """The usage of a generation. Raises `Malformed`."""
    given = either(usage, "promptTokenCount")
    if given is None and either(usage, "totalTokenCount") is None and either(usage, "candidatesTokenCount") is None:
        raise Malformed(f"promptTokenCount is missing in the usage {quote(usage)}")
    counts: Counts = {}
    unsplit = _prompt(counts, usage)
    produced = _number(usage, "candidatesTokenCount") or _number(usage, "responseTokenCount")
    details = _by_modality(usage, "candidatesTokensDetails", produced, "candidatesTokenCount")
    put(counts, "output_tokens", produced - sum(details.values()))
    for modality, number in details.items():
        put(counts, output_kind(modality), number)
    put(counts, "output_reasoning_tokens", _number(usage, "thoughtsTokenCount"))
    # What tools (search, code, pages) put into the prompt is billed as input and not in promptTokenCount.
    tools = _number(usage, "toolUsePromptTokenCount")
    details = _by_modality(usage, "toolUsePromptTokensDetails", tools, "toolUsePromptTokenCount")
    put(counts, "input_tool_tokens", tools - sum(details.values()))
    for modality, number in details.items():
        put(counts, tool_kind(modality), number)
    return Usage(counts=counts, unsplit=unsplit)


def _produced(usage: Any) -> int:
    """The output tokens in a usage; 0 where there is no such count, or one that is none."""
    try:
        said = _number(usage, "candidatesTokenCount") or _number(usage, "responseTokenCount")
        return said + _number(usage, "thoughtsTokenCount")
    except Malformed:
        return 0


def _prompt(counts: Counts, usage: Any) -> tuple[Kind, ...]:
    prompt, cached = _number(usage, "promptTokenCount"), _number(usage, "cachedContentTokenCount")
    media = _by_modality(usage, "promptTokensDetails", prompt, "promptTokenCount")
    cached_media = _by_modality(usage, "cacheTokensDetails", cached, "cachedContentTokenCount")
    if sum(cached_media.values()) < cached:  # the cached tokens' modalities are not (all) known
        return input_counts(counts, prompt, "promptTokenCount", {"read": cached}, media)
    for modality, number in cached_media.items():
        put(counts, input_kind(modality, "read"), number)
    for modality, number in media.items():
        inside = cached_media.get(modality, 0)
        fresh = rest(number, f"the {modality} part of promptTokensDetails", inside, "its part of cacheTokensDetails")
        put(counts, input_kind(modality, ""), fresh)
    beside = sum(number for modality, number in cached_media.items() if modality not in media)
    left = prompt - sum(media.values())
    put(counts, "input_tokens", rest(left, "what promptTokensDetails leave of promptTokenCount", beside, "the cached"))
    return ()


def _embeddings(response: Any) -> Answer:
    """Embeddings: the Gemini API and newer Vertex models report a usage, older Vertex models one with each text."""
    counts: Counts = {}
    unsplit: tuple[Kind, ...] = ()
    try:
        used = either(response, "usageMetadata")
        if used is not None:
            unsplit = _prompt(counts, fields(used))
            if not counts:
                need({"promptTokenCount": either(used, "promptTokenCount")}, "promptTokenCount")
        else:
            statistics = [get(get(item, "embeddings"), "statistics") for item in items(response, "predictions")]
            if not statistics or any(each is None for each in statistics):
                return Answer(missing=error_text(response) or "the response has no usage")
            put(counts, "input_tokens", sum(count(each, "token_count") for each in statistics))
            characters = either(get(response, "metadata"), "billableCharacterCount")
            if type(characters) is int and 0 < characters <= MAX_COUNT:
                put(counts, "input_characters", characters)
    except Malformed as problem:
        return Answer(missing=str(problem))
    return Answer(usage=Usage(counts=counts, unsplit=unsplit))


class GeminiReader:
    """Reads the chunks of one answer: counts are totals so far, and the last ones count."""

    __slots__ = ("_call", "_covered", "_last", "_seen", "_texts", "_used")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._texts: list[str] = []
        self._seen = _Seen()
        self._used: Any = None
        self._last: Any = None
        self._covered = (0, 0)
        """The output tokens that the stream reports so far, and how many of the texts they are the count of."""

    def feed(self, event: Any) -> None:
        """Takes in one chunk."""
        used = either(event, "usageMetadata")
        # Vertex sends a traffic type alone with every chunk, and the counts with the last.
        if used is not None and (self._used is None or either(used, "promptTokenCount") is not None):
            self._used = used
        if self._last is None or texts(event, "modelVersion", "model_version") or get(event, "error") is not None:
            self._last = event
        for candidate in items(event, "candidates"):
            self._seen.add(candidate)
            for piece in items(get(candidate, "content"), "parts"):
                if words := text(piece, "text"):
                    self._texts.append(words)
                elif (function := either(piece, "functionCall")) is not None:
                    self._texts.append(f"{get(function, 'name')}{get(function, 'args')}")
                elif (written := either(piece, "executableCode")) is not None:
                    self._texts.extend(texts(written, "code"))
        if used is not None and used is self._used and (tokens := _produced(used)) > self._covered[0]:
            self._covered = (tokens, len(self._texts))

    def so_far(self) -> SoFar:
        """The output up to now, hidden thoughts included where the stream counts them."""
        return SoFar(self._texts, self._covered[0], len(self._seen.reasons) >= self._call.choices)

    def answer(self, *, complete: bool) -> Answer:
        """What the chunks so far amount to."""
        used = self._used
        finished = bool(self._seen.reasons)
        counted = used is not None and not (
            either(used, "promptTokenCount") is None and either(used, "candidatesTokenCount") is None
        )
        answer = _answer(self._call, self._last, used, self._seen)
        if counted and (complete or finished):
            return answer
        if get(self._last, "error") is not None and not self._texts:
            return answer
        return self._estimated(answer, counted=counted)

    def _estimated(self, answer: Answer, *, counted: bool) -> Answer:
        """The counts so far where the stream was left, and otherwise all counted here."""
        if counted and answer.usage is None:
            return answer
        model = answer.model or self._call.model
        counts: Counts = {}
        if answer.usage is not None and counted:
            counts.update(answer.usage.counts)
        else:
            put(counts, "input_tokens", count_prompt(self._call.body, model))
        # A count is believed for what came with it; one that stays behind while the text goes on says nothing of that.
        unheard = self._texts[self._covered[1] :] if counted else self._texts
        put(counts, "output_tokens", count_text(joined(unheard), model))
        served = _served(self._call, self._last, self._used)
        return Answer(
            usage=Usage(counts=counts, estimated=True, unsplit=answer.usage.unsplit if answer.usage else ()),
            missing=served[2],
            model=answer.model,
            response_id=answer.response_id,
            finish_reasons=answer.finish_reasons,
            terms=answer.terms,
            attributes=answer.attributes,
        )


FORMAT = Gemini()
