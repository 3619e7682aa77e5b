"""Gemini: generateContent, streamed or not, and embeddings, on the Gemini API and on Vertex AI.

Reasoning tokens are besides the candidates' tokens, cached tokens within the prompt's, and the tokens that tools put
into the prompt are input besides it. Every count may come with its modalities. JSON names are `camelCase`; the
SDK's objects have the same names in `snake_case`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from otel_agentcost.core import semconv
from otel_agentcost.core.call import NO_PARAMETERS, Answer, Call, Partial
from otel_agentcost.core.usage import Kind, Usage
from otel_agentcost.wire import parameters
from otel_agentcost.wire.bill_labels import VERTEX
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
from otel_agentcost.wire.format import Format, PromptTokens, SoFar
from otel_agentcost.wire.gemini.content import CONTENT
from otel_agentcost.wire.gemini.conversation import CONVERSATION
from otel_agentcost.wire.gemini.grounding import Grounding
from otel_agentcost.wire.gemini.requests import (
    REWRITING,
    TABLE,
    either,
    embedding_config,
    last_segment,
    model_in,
    requested_terms,
    snake,
    word,
)
from otel_agentcost.wire.input_bound import INPUT_BOUND
from otel_agentcost.wire.openai_chat import joined
from otel_agentcost.wire.openai_usage import error_text, without_usage
from otel_agentcost.wire.prompt_tokens import PROMPT_TOKENS, prompt_tokens_of
from otel_agentcost.wire.provider_tools import unknown
from otel_agentcost.wire.reported_costs import in_headers
from otel_agentcost.wire.running_totals import later
from otel_agentcost.wire.token_split import Counts, input_counts, input_kind, output_kind, put, rest, tool_kind
from otel_agentcost.wire.tokenizers import count_text
from otel_agentcost.wire.traffic_types import PREPAID, PREPAID_REASON, TIERS

_EMBED: Final = ("embedContent", "batchEmbedContents")


class Gemini(Format):
    """The format."""

    content = CONTENT
    conversation = CONVERSATION
    input_bound = INPUT_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = REWRITING
    bill_labels = VERTEX

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request. The path has the model, and whether to stream."""
        configured = either(body, "generationConfig") or get(body, "config")
        known = parameters.read(configured, TABLE)
        model = model_in(path) or last_segment(text(body, "model"))
        # On Vertex `predict` serves embeddings and image models alike; of an unknown one nothing else can be said.
        embeds = any(name in path for name in _EMBED) or (":predict" in path and "embed" in (model or "embed"))
        if embeds:
            known.update(parameters.read(embedding_config(body), TABLE))
        stream = "streamGenerateContent" in path
        if stream:
            known[semconv.REQUEST_STREAM] = True
        choices = known.get(semconv.REQUEST_CHOICES, 1)
        return Call(
            operation=semconv.EMBEDDINGS if embeds else semconv.GENERATE_CONTENT,
            model=model,
            stream=stream,
            max_output_tokens=0 if embeds else parameters.limit(known),
            choices=choices if isinstance(choices, int) else 1,
            parameters=known,
            asked_terms=requested_terms(body),
            body=body,
        )

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        whole = fields(response)
        if call.operation == semconv.EMBEDDINGS:
            return _embeddings(whole)
        used = either(whole, "usageMetadata")
        return _answer(call, whole, used, _Candidates([whole]))

    def open_stream(self, call: Call) -> GeminiReader:
        """Return a reader for the chunks of the answer to `call`."""
        return GeminiReader(call, prompt_tokens_of(self))


class _Candidates:
    """The finish reasons and the grounding of the candidates in one or several chunks."""

    def __init__(self, chunks: Sequence[Any] = ()) -> None:
        self.reasons: dict[int, str] = {}
        self.grounding = Grounding()
        for chunk in chunks:
            for candidate in items(chunk, "candidates"):
                self.add(candidate)

    def add(self, candidate: Any) -> None:
        reason = either(candidate, "finishReason")
        if isinstance(reason, str) and reason:
            index = get(candidate, "index")
            self.reasons[index if type(index) is int else 0] = str(getattr(reason, "value", reason)).lower()
        self.grounding.add(candidate)


def _served(call: Call, response: Any, used: Any) -> tuple[str | None, tuple[tuple[str, str], ...], str | None]:
    """Return the tier that served the call, its terms, and why there is no price, if so."""
    traffic, stated = either(used, "trafficType"), either(used, "serviceTier")
    headers = get(either(response, "sdkHttpResponse"), "headers")
    tier = word(traffic, TIERS) or word(stated, {}) or text(headers, "x-gemini-service-tier")
    if tier == PREPAID:
        return tier, (), PREPAID_REASON
    if tier is None or tier.endswith("unspecified"):
        for _, wanted in requested_terms(call.body):
            return None, (), f"the response does not say whether the {wanted} tier that was asked for served it"
        return None, (), None
    return tier, (() if tier == "standard" else (("service_tier", tier),)), None


def _answer(call: Call, response: Any, used: Any, candidates: _Candidates) -> Answer:
    model = text(response, "modelVersion") or text(response, "model_version")
    tier, terms, missing = _served(call, response, used)
    usage: Usage | None = None
    partial: Partial | None = None
    searches, tools = candidates.grounding.billed(call, model or call.model)
    try:
        if used is None:
            missing, partial = without_usage(response, missing)
        elif lacks_fields(used):
            missing = error_text(response) or f"the response has no usage: {quote(used)}"
        else:
            usage = generate_usage(fields(used))
            if searches:
                usage = usage + Usage(counts={"web_searches": searches})
    except Malformed as problem:
        missing, partial = str(problem), _partly_counted(response, used, missing)
    return Answer(
        usage=usage,
        missing=missing,
        partial=partial,
        uncounted=unknown(tools),
        model=last_segment(model),
        response_id=text(response, "responseId") or text(response, "response_id"),
        finish_reasons=tuple(reason for _, reason in sorted(candidates.reasons.items())),
        terms=terms,
        attributes={semconv.SERVED_TIER: tier} if tier else NO_PARAMETERS,
        reported=in_headers(get(either(response, "sdkHttpResponse"), "headers")),
    )


def _partly_counted(response: Any, usage: Any, unpriced: str | None) -> Partial | None:
    """Return the total of a usage whose other counts are missing or impossible; None for an error without any."""
    try:
        total = _number(usage, "totalTokenCount")
        parts = [_number(usage, name) for name in _PARTS]
    except Malformed:
        return Partial(unpriced=unpriced)
    if not total and not any(parts) and error_text(response) is not None:
        return None
    empty = not total and not any(parts)
    return Partial(total=None if any(parts) else total or None, unpriced=unpriced, empty=empty)


_MODALITIES: Final = {"TEXT": "text", "AUDIO": "audio", "IMAGE": "image", "VIDEO": "video", "DOCUMENT": "image"}
"""A document is billed as the images of its pages. An unspecified modality is unknown."""


_PARTS: Final = (
    "promptTokenCount",
    "candidatesTokenCount",
    "responseTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
)
"""The counts that make up the total."""


_COUNTS: Final = (
    "promptTokenCount", "totalTokenCount", "candidatesTokenCount", "promptTokensDetails", "candidatesTokensDetails",
)  # fmt: skip


def _number(usage: Any, name: str) -> int:
    return count(usage, name) if get(usage, name) is not None else count(usage, snake(name))


def _counts(usage: Any) -> bool:
    """Return True if a usage has a count of tokens, or details of them; Vertex writes a traffic type alone, too."""
    return any(either(usage, name) is not None for name in _COUNTS)


def _detailed(usage: Any, name: str) -> int:
    """Return the sum of the counts in a list of modalities."""
    return sum(_number(entry, "tokenCount") for entry in items(usage, name) or items(usage, snake(name)))


def _by_modality(usage: Any, name: str, total: int, total_name: str) -> dict[str, int]:
    """Return the counts in a list of `{"modality": "AUDIO", "tokenCount": 3}`; together no more than the total."""
    counts: dict[str, int] = {}
    for entry in items(usage, name) or items(usage, snake(name)):
        kind = get(entry, "modality")
        modality = _MODALITIES.get(str(getattr(kind, "value", kind)).upper(), "")
        number = _number(entry, "tokenCount")
        if number and modality:
            counts[modality] = counts.get(modality, 0) + number
    rest(total, total_name, sum(counts.values()), f"the sum of {name}")
    return counts


def generate_usage(usage: Any) -> Usage:
    """Return the usage of a generation. Raises `Malformed`."""
    if not _counts(usage):
        raise Malformed(f"promptTokenCount is missing in the usage {quote(usage)}")
    total = _number(usage, "totalTokenCount")
    if total and not any(_number(usage, name) for name in _PARTS) and not _detailed(usage, "promptTokensDetails"):
        raise Malformed(f"totalTokenCount is {total}, and no other count is above 0 in the usage {quote(usage)}")
    counts: Counts = {}
    unsplit = _prompt(counts, usage)
    produced = _candidates(usage)
    details = _by_modality(usage, "candidatesTokensDetails", produced, "candidatesTokenCount")
    put(counts, "output_tokens", produced - sum(details.values()))
    for modality, number in details.items():
        put(counts, output_kind(modality), number)
    put(counts, "output_reasoning_tokens", _number(usage, "thoughtsTokenCount"))
    # Tokens that tools (search, code, pages) put into the prompt are billed as input and not in promptTokenCount.
    tools = _number(usage, "toolUsePromptTokenCount")
    details = _by_modality(usage, "toolUsePromptTokensDetails", tools, "toolUsePromptTokenCount")
    put(counts, "input_tool_tokens", tools - sum(details.values()))
    for modality, number in details.items():
        put(counts, tool_kind(modality), number)
    return Usage(counts=counts, unsplit=unsplit)


def _candidates(usage: Any) -> int:
    """Return the tokens of the candidates; without a count of them, what the total has beside the other counts."""
    produced = _number(usage, "candidatesTokenCount") or _number(usage, "responseTokenCount")
    produced = produced or _detailed(usage, "candidatesTokensDetails")
    if produced or not (prompt := _number(usage, "promptTokenCount")):
        return produced
    others = prompt + _number(usage, "thoughtsTokenCount") + _number(usage, "toolUsePromptTokenCount")
    return max(0, _number(usage, "totalTokenCount") - others)


def _produced(usage: Any) -> int:
    """Return the output tokens in a usage; 0 without a count, or with an invalid one."""
    try:
        return _candidates(usage) + _number(usage, "thoughtsTokenCount")
    except Malformed:
        return 0


def _prompt(counts: Counts, usage: Any) -> tuple[Kind, ...]:
    prompt = _number(usage, "promptTokenCount") or _detailed(usage, "promptTokensDetails")
    cached = _number(usage, "cachedContentTokenCount")
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


_EMBEDDED: Final = ("embedding", "embeddings", "predictions")


def _embeddings(response: Any) -> Answer:
    """Read embeddings: the Gemini API and newer Vertex models report one usage, older Vertex models one per text."""
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
                partial = Partial(absent=True) if any(get(response, name) for name in _EMBEDDED) else None
                return Answer(missing=error_text(response) or "the response has no usage", partial=partial)
            put(counts, "input_tokens", sum(count(each, "token_count") for each in statistics))
            characters = either(get(response, "metadata"), "billableCharacterCount")
            if type(characters) is int and 0 < characters <= MAX_COUNT:
                put(counts, "input_characters", characters)
    except Malformed as problem:
        return Answer(missing=str(problem))
    return Answer(usage=Usage(counts=counts, unsplit=unsplit))


class GeminiReader:
    """Reads the chunks of one answer: counts are totals up to now, and the last ones count."""

    __slots__ = ("_call", "_candidates", "_covered", "_last", "_prompt_tokens", "_texts", "_used")

    def __init__(self, call: Call, prompt_tokens: PromptTokens = PROMPT_TOKENS) -> None:
        """Create a reader for the answer to `call`; `prompt_tokens` counts the prompt if the stream does not."""
        self._call = call
        self._prompt_tokens = prompt_tokens
        self._texts: list[str] = []
        self._candidates = _Candidates()
        self._used: Any = None
        self._last: Any = None
        self._covered = (0, 0)
        """The output tokens that the stream reports up to now, and the number of texts that they cover."""

    def feed(self, event: Any) -> None:
        """Read one chunk."""
        used = either(event, "usageMetadata")
        # Vertex sends a traffic type alone with every chunk, and the counts with the last.
        tokens = 0
        if used is not None and (self._used is None or _counts(used)):
            tokens = _produced(used)
            # Totals never shrink: zeros at the end, and a chunk without one of the counts, take nothing back.
            whole = self._used is None or (tokens >= self._covered[0] and either(used, "promptTokenCount"))
            self._used = used if whole else later(self._used, used)
        if self._last is None or texts(event, "modelVersion", "model_version") or get(event, "error") is not None:
            self._last = event
        for candidate in items(event, "candidates"):
            self._candidates.add(candidate)
            for piece in items(get(candidate, "content"), "parts"):
                if words := text(piece, "text"):
                    self._texts.append(words)
                elif (function := either(piece, "functionCall")) is not None:
                    self._texts.append(f"{get(function, 'name')}{get(function, 'args')}")
                elif (written := either(piece, "executableCode")) is not None:
                    self._texts.extend(texts(written, "code"))
        if tokens > self._covered[0]:
            self._covered = (tokens, len(self._texts))

    def so_far(self) -> SoFar:
        """Return the output up to now, including hidden reasoning if the stream counts it."""
        return SoFar(self._texts, self._covered[0], len(self._candidates.reasons) >= self._call.choices)

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the chunks up to now amount to."""
        used = self._used
        finished = bool(self._candidates.reasons)
        counted = used is not None and _counts(used)
        answer = _answer(self._call, self._last, used, self._candidates)
        if counted and (complete or finished):
            return answer
        if get(self._last, "error") is not None and not self._texts:
            return answer
        return self._estimated(answer, counted=counted)

    def _estimated(self, answer: Answer, *, counted: bool) -> Answer:
        """Return the counts up to now if the stream has any; count the rest from the texts."""
        if counted and answer.usage is None:
            return answer
        model = answer.model or self._call.model
        counts: Counts = {}
        if answer.usage is not None and counted:
            counts.update(answer.usage.counts)
        else:
            put(counts, "input_tokens", self._prompt_tokens.count(self._call.body, model))
            put(counts, "web_searches", self._candidates.grounding.billed(self._call, model)[0])
        # A count covers the text that came with it, and not the text after it.
        uncovered = self._texts[self._covered[1] :] if counted else self._texts
        put(counts, "output_tokens", count_text(joined(uncovered), model))
        served = _served(self._call, self._last, self._used)
        return Answer(
            usage=Usage(counts=counts, estimated=True, unsplit=answer.usage.unsplit if answer.usage else ()),
            missing=served[2],
            uncounted=answer.uncounted,
            model=answer.model,
            response_id=answer.response_id,
            finish_reasons=answer.finish_reasons,
            terms=answer.terms,
            attributes=answer.attributes,
            reported=answer.reported,
        )


FORMAT = Gemini()
