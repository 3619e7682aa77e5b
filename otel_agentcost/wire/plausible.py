"""Counts that contradict what was sent and received are not believed: the tokens are estimated from the texts instead.

Some servers report zeros for every stream, some a placeholder, some a part that is larger than its whole, some a sum of
running totals. A count is in doubt if it is 0 (or far too low) for a prompt with text, or for an answer with text, or
if no call can have so many tokens. Zeros are right for an answer without text (a refusal), and for an answer from a
gateway's cache.

The usual response is checked by two comparisons; texts are looked at only if a count is very low.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Call, Partial
from otel_agentcost.core.usage import DIMENSIONS, INPUT_TOKENS, OUTPUT_TOKENS, Kind, Usage
from otel_agentcost.diagnostics import reraise_foreign, warn_once
from otel_agentcost.wire.fields import get
from otel_agentcost.wire.format import Format
from otel_agentcost.wire.prompt_tokens import MESSAGES, prompt_tokens_of
from otel_agentcost.wire.reported_costs import in_headers
from otel_agentcost.wire.token_split import Counts, put
from otel_agentcost.wire.tokenizers import count_text
from otel_agentcost.wire.usage_names import HEADERS

__all__ = ["checked", "texts_of", "usage_in_headers"]

Headers = Mapping[str, str]
Texts = Callable[[], Sequence[str]]

_FEW: Final = 8
"""Tokens up to which the count of a prompt or of a whole answer is compared with its text."""
_VERY_FEW: Final = 4
"""The same for a prompt of a chat: the markup around one message alone is about as long."""
_WORDS_PER_TOKEN: Final = 8
"""Words that no tokenizer packs into one token on average: a token is seldom more than a word."""
_SOME_WORDS: Final = 16
_MANY_PIECES: Final = 16
"""Pieces of a stream from which on their number says how long the answer is: a piece is about a token."""
_WITHHELD: Final = frozenset({"refusal", "content_filter", "safety", "blocklist", "prohibited_content", "error"})
"""Finish reasons of answers that were withheld: zeros are right then."""
_TOO_MANY: Final = 100_000_000
"""Tokens that no call can have: ten times the longest context window (10 million, Llama 4 Scout), as tools at the
provider may read it several times over. Servers that sum up running totals come to such numbers
(https://github.com/lemma-work/lemma-platform/pull/564)."""
_OTHER_INPUT: Final = frozenset(
    kind
    for kind, dimensions in DIMENSIONS.items()
    if dict(dimensions)["family"] in ("durations", "characters", "document_pages", "pixels", "messages")
)
"""Kinds that count an input besides its tokens."""


def checked(
    call: Call,
    form: Format,
    answer: Answer,
    texts: Texts,
    headers: Callable[[], Headers],
    *,
    in_pieces: bool = False,
) -> Answer:
    """Return `answer`, with estimated tokens in place of counts that cannot be right.

    Args:
        call: The call.
        form: Its wire format.
        answer: The answer as the format has read it.
        texts: Returns the pieces of text of the answer. Called only if a count is low, or with `in_pieces`.
        headers: Returns the headers of the response. Called only if a count is in doubt.
        in_pieces: True if `texts` has the answer at hand, in the pieces of a stream: then any count is compared.
    """
    usage = answer.usage
    if usage is None:
        if answer.partial is None:
            return answer
        said = texts()
        if answer.partial.empty and not any(said):  # neither counts nor an answer: there is nothing to doubt
            return answer._replace(partial=None)
        return _estimated(call, form, answer, said, headers())
    counts = usage.counts
    usual = not in_pieces and counts.get("input_tokens", 0) > _FEW and counts.get("output_tokens", 0) > _FEW
    if (usual and max(counts.values()) < _TOO_MANY) or answer.free or usage.estimated:
        return answer
    return _compared(call, form, answer, texts, headers, in_pieces=in_pieces)


def _compared(
    call: Call, form: Format, answer: Answer, texts: Texts, headers: Callable[[], Headers], *, in_pieces: bool
) -> Answer:
    tokens, unlimited = answer.tokens(), call.max_output_tokens != 0
    absurd = tokens.input >= _TOO_MANY, tokens.output >= _TOO_MANY
    enough = tokens.input > _FEW and (tokens.output > _FEW or not unlimited) and not any(absurd)
    if enough and not in_pieces:
        return answer
    said = texts()
    if enough and len(said) >= _MANY_PIECES and tokens.output * 2 >= len(said):
        return answer
    told = Partial(
        None if absurd[0] or _no_input(call, form, answer, said) else tokens.input,
        None if absurd[1] or (unlimited and _too_few(tokens.output, said)) else tokens.output,
        unpriced=answer.missing,
    )
    if told.input is not None and told.output is not None:
        return answer
    return _estimated(call, form, answer._replace(partial=told), said, headers())


def _no_input(call: Call, form: Format, answer: Answer, said: Sequence[str]) -> bool:
    """Return True if the count of the input contradicts the prompt."""
    tokens, usage = answer.tokens(), answer.usage
    if tokens.input > _VERY_FEW or usage is None or not _OTHER_INPUT.isdisjoint(usage.counts):
        return False
    if tokens.input:
        return call.operation == semconv.CHAT and _too_few(tokens.input, _prompt_texts(call.body))
    withheld = not tokens.output and not any(said) and not _WITHHELD.isdisjoint(answer.finish_reasons)
    return not withheld and prompt_tokens_of(form).count(call.body, call.model, raw=True) > 0


def _prompt_texts(body: Any) -> list[str]:
    with suppress(TypeError, ValueError, RecursionError):
        return [json.dumps(get(body, name), default=str) for name in MESSAGES if get(body, name) is not None]
    return []


def _too_few(tokens: int, texts: Sequence[str]) -> bool:
    """Return True if a text has more words than so many tokens can be."""
    if not texts:
        return False
    text = "".join(piece for piece in texts if isinstance(piece, str))  # pyright: ignore[reportUnnecessaryIsInstance]
    if not tokens:
        return bool(text.strip())
    return len(text.split()) > _WORDS_PER_TOKEN * tokens + _SOME_WORDS


# --- What is known, and the estimate of the rest ----------------------------------------------------------------------


def _estimated(call: Call, form: Format, answer: Answer, said: Sequence[str], headers: Headers) -> Answer:
    """Return the answer with the counts of its headers, or with estimated ones."""
    told = answer.partial or Partial()
    if told.output is not None and told.output <= _FEW and _too_few(told.output, said):  # a placeholder
        told = told._replace(output=None)
    if any(each.cached for each in in_headers(headers)):  # from a gateway's cache, which uses no tokens
        return answer._replace(partial=None)
    if (usage := usage_in_headers(headers, output=call.operation != semconv.EMBEDDINGS)) is not None:
        return answer._replace(usage=usage, missing=told.unpriced, partial=None)
    prompt, produced = _completed(call, form, told, said, answer.model or call.model)
    if not prompt and not produced:  # there is nothing to estimate from
        return answer._replace(partial=None, doubtful=True)
    counts: Counts = {} if answer.usage is None else dict(answer.usage.counts)
    if told.input is None or answer.usage is None:
        _replace(counts, INPUT_TOKENS, "input_tokens", prompt)
    if told.output is None or answer.usage is None:
        _replace(counts, OUTPUT_TOKENS, "output_tokens", produced)
    # A total leaves nothing to estimate if one of the two is known.
    exact = told.total is not None and (told.input is None) is not (told.output is None)
    if not exact and not told.absent:  # an answer without counts contradicts nothing, just as a stream without them
        _warn(call, answer)
    usage = Usage(counts=counts, estimated=not exact)
    return answer._replace(usage=usage, missing=told.unpriced, partial=None)


def _completed(call: Call, form: Format, told: Partial, said: Sequence[str], model: str | None) -> tuple[int, int]:
    """Return all tokens of the input and of the output: as reported, within the total, or estimated."""
    prompt, produced, total = told.input, told.output, told.total
    if produced is None and prompt is not None and total is not None:
        return prompt, max(0, total - prompt)
    if produced is None:
        produced = _output(call, said, model)
    if prompt is None and total is not None:
        produced = min(produced, total)
        return total - produced, produced
    if prompt is None:
        raw = call.operation in (semconv.EMBEDDINGS, semconv.TEXT_COMPLETION)
        prompt = prompt_tokens_of(form).count(call.body, model, raw=raw)
    return prompt, produced


def _replace(counts: Counts, kinds: frozenset[Kind], kind: Kind, number: int) -> None:
    for each in kinds & counts.keys():
        del counts[each]
    put(counts, kind, number)


def _output(call: Call, said: Sequence[str], model: str | None) -> int:
    if call.max_output_tokens == 0:
        return 0
    return count_text("".join(piece for piece in said if isinstance(piece, str)), model)  # pyright: ignore[reportUnnecessaryIsInstance]


_HEADER_KINDS: Final[Mapping[str, Kind]] = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
}


def usage_in_headers(headers: Headers, *, output: bool = True) -> Usage | None:
    """Return the usage in response headers; None if they do not count input and output.

    Args:
        headers: The headers.
        output: False for embeddings, which have no output to count.
    """
    counts: Counts = {}
    for row in HEADERS:
        number = headers.get(row.path)
        if number is not None and number.isdecimal() and len(number) < 16:
            put(counts, _HEADER_KINDS[row.meaning], int(number))
    counted = INPUT_TOKENS & counts.keys() and (not output or OUTPUT_TOKENS & counts.keys())
    return Usage(counts=counts) if counted else None


def _warn(call: Call, answer: Answer) -> None:
    tokens = answer.tokens()
    why = answer.missing if answer.usage is None else f"{tokens.input} tokens of input, {tokens.output} of output"
    warn_once(
        f"counts not believed: {call.model}",
        f"otel-agentcost: the token counts in a response of {call.model!r:.120} contradict what was sent or received "
        f"({why:.200}). The tokens are estimated from the texts, and the span has {semconv.ESTIMATED}.",
    )


def texts_of(form: Format, response: Any) -> list[str]:
    """Return the pieces of text of a whole response: words, reasoning, tool calls. None of it is copied."""
    texts: list[str] = []
    if form.content is None:
        return texts
    try:
        for message in form.content.output_messages(response):
            for part in cast("list[dict[str, Any]]", message.get("parts") or ()):
                values = (part.get("content"), part.get("name"), part.get("arguments"))
                texts += [
                    value if isinstance(value, str) else json.dumps(value, default=str) for value in values if value
                ]
    except Exception as error:  # whatever the provider sent: the check is optional
        reraise_foreign(error)
    return texts
