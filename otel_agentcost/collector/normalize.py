"""Normalize a span: read the call's data under any known attribute name, check it, and write it under the conventions'
names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from otel_agentcost.collector.ottl import (
    BASIS,
    COST,
    FRAMEWORK,
    MORE,
    NIL,
    PRICED_FRAMEWORKS,
    SAID,
    STATE,
    UNPRICED,
    attribute,
    cache,
    coalesce,
    drop,
    in_environment,
    matches,
    put,
    text,
)
from otel_agentcost.collector.reported_costs import reported_costs
from otel_agentcost.core import aliases, semconv

_MAX_TOKENS = "1000000000000000.0"
_SDKS: Final = (
    "openai_v2", "openai", "anthropic", "bedrock", "botocore", "cohere", "google_genai", "google_generativeai", "groq",
    "mistralai", "ollama", "replicate", "together", "vertexai", "watsonx",
)  # fmt: skip
"""Instrumentations of SDKs, by the ends of their scopes."""


def normalize() -> Iterator[str]:
    """Yield the statements that normalize a span."""
    framework = matches("instrumentation_scope.name", f"(?i)({aliases.FRAMEWORK_SCOPES})")
    yield put(FRAMEWORK, "true", f"not {_is_of_sdk()}", framework, f"not {in_environment(PRICED_FRAMEWORKS)}")
    yield put(BASIS, text("collector"), FRAMEWORK + NIL)
    yield put(BASIS, text("unpriced"), FRAMEWORK + SAID)
    reason = "a framework's span may stand for a call that has a span of its own; see AGENTCOST_PRICED_FRAMEWORKS"
    yield put(UNPRICED, text(reason), FRAMEWORK + SAID)
    for path in (MORE, STATE):
        yield drop(path, path + SAID)
    yield from _operation()
    yield from _raw_usage()
    yield from _tokens()
    yield from reported_costs()
    for to, found in (
        (semconv.REQUEST_MODEL, aliases.REQUEST_MODEL),
        (semconv.RESPONSE_MODEL, aliases.RESPONSE_MODEL),
        (semconv.USER, aliases.USER),
    ):
        yield from (
            put(attribute(to), attribute(n), attribute(to) + NIL, f"IsString({attribute(n)})") for n in found[1:]
        )


def _is_of_sdk() -> str:
    """Return the condition that the scope is a well-known one and of no framework. It is cheaper than the patterns."""
    prefixes = ("opentelemetry.instrumentation.", "openinference.instrumentation.")
    scopes = (prefix + sdk for prefix in prefixes for sdk in _SDKS)
    known = [one.replace(".", "[.]") for one in scopes if not re.search(aliases.FRAMEWORK_SCOPES, one, re.IGNORECASE)]
    return matches("instrumentation_scope.name", f"^({'|'.join(known)})$")


def _operation() -> Iterator[str]:
    """Write the operation under the conventions' name. A call that no table knows is a chat."""
    to = attribute(semconv.OPERATION)
    for older, operation in aliases.OLDER_OPERATIONS.items():
        yield put(to, text(operation), to + NIL, f"{attribute(aliases.REQUEST_TYPE)} == {text(older)}")
        yield put(to, text(operation), f"{to} == {text(older)}")
    operations = aliases.CALLS
    yield put(to, attribute(aliases.REQUEST_TYPE), to + NIL, matches(attribute(aliases.REQUEST_TYPE), operations))
    for said, known in ((aliases.VERCEL_OPERATION, aliases.VERCEL_OPERATIONS), (aliases.SPAN_KIND, aliases.KINDS)):
        for value, operation in known.items():
            if operation != semconv.CHAT:
                yield put(to, text(operation), to + NIL, f"{attribute(said)} == {text(value)}")
    yield put(to, text(semconv.CHAT), to + NIL)


def _tokens() -> Iterator[str]:
    """Write token counts under the conventions' names, as integers; input tokens include the cached ones."""
    malformed = put(UNPRICED, text("the span's token counts are malformed"), cache("bad") + SAID)
    counts = (
        (semconv.INPUT_TOKENS, aliases.INPUT, "i"), (semconv.OUTPUT_TOKENS, aliases.OUTPUT, "o"),
        (semconv.CACHE_READ_TOKENS, aliases.CACHE_READ, "r"), (semconv.CACHE_WRITE_TOKENS, aliases.CACHE_WRITE, "w"),
        (semconv.REASONING_TOKENS, aliases.REASONING, "e"),
    )  # fmt: skip
    for to, found, short in counts:
        given, number, path = cache(short + "?"), cache(short), attribute(to)
        older = [attribute(name) for name in found[1:]]
        yield put(given, path, path + SAID)
        yield put(given, coalesce(*older), given + NIL, f"({' or '.join(one + SAID for one in older)})")
        digits = f"IsString({given}) and {matches(given, '^[0-9]{1,15}$')}"
        yield put(number, f"Double({given})", given + SAID, f"(IsInt({given}) or IsDouble({given}) or {digits})")
        whole = f"(IsInt({given}) or Double(Int({number})) == {number})"
        right = f"{number} >= 0.0 and {number} <= {_MAX_TOKENS} and {whole}"
        yield put(cache("bad"), "true", given + SAID, f"({number}{NIL} or not ({right}))")
        yield put(path, f"Int({number})", given + SAID, cache("bad") + NIL, f"not IsInt({path})")
    yield malformed
    yield put(BASIS, text("unpriced"), cache("bad") + SAID)
    for name in aliases.AUDIO:
        yield put(
            UNPRICED,
            text("the span does not say how its audio tokens and its other tokens overlap"),
            attribute(name) + SAID,
            f"{attribute(name)} != 0",
            UNPRICED + NIL,
        )
    total, read, written = (
        attribute(n) for n in (semconv.INPUT_TOKENS, semconv.CACHE_READ_TOKENS, semconv.CACHE_WRITE_TOKENS)
    )
    yield put(cache("cached"), "0")
    yield put(cache("cached"), f"{cache('cached')} + {read}", read + SAID, cache("bad") + NIL)
    yield put(cache("cached"), f"{cache('cached')} + {written}", written + SAID, cache("bad") + NIL)
    scopes = "^(" + "|".join(scope.replace(".", "[.]") for scope in aliases.EXCLUSIVE_SCOPES) + ")$"
    earlier = f"({attribute(aliases.CACHED_INPUT)}{SAID} and {attribute(aliases.NEW_CACHE_READ)}{NIL}"
    earlier += f" and {matches(attribute(aliases.SYSTEM), '^(anthropic|amazon-bedrock|bedrock)')})"
    outside = f"({cache('cached')} > {total} or {matches('instrumentation_scope.name', scopes)} or {earlier})"
    yield put(
        total, f"{total} + {cache('cached')}", f"{cache('cached')} > 0", total + SAID, outside, cache("bad") + NIL
    )
    failed = "span.status.code == STATUS_CODE_ERROR"
    operation, output = attribute(semconv.OPERATION), attribute(semconv.OUTPUT_TOKENS)
    zeros = (f"{total} == 0", f"({output}{NIL} or {output} == 0)", f'{operation} != "rerank"', f"not ({failed})")
    yield put(UNPRICED, text(aliases.NO_TOKENS), *zeros, COST + NIL, UNPRICED + NIL)
    yield put(UNPRICED, text("the span has no usage"), total + NIL, UNPRICED + NIL, f"not ({failed})")


def _raw_usage() -> Iterator[str]:
    """Read cached tokens from the provider's usage object: Logfire records them only there, as JSON."""
    raw, usage = cache("raw"), attribute(aliases.RAW_USAGE)
    given = (attribute(semconv.CACHE_READ_TOKENS) + NIL, matches(usage, '^[{].*"(cached_tokens|cache_).*[}]$'))
    yield put(raw, f"ParseJSON({usage})", *given)
    cut = matches(usage, '"(cached_tokens|cache_[a-z]+_input_tokens)": *[1-9]')
    reason = text("the span's own usage, which says how many tokens were cached, is cut off")
    yield put(UNPRICED, reason, raw + NIL, attribute(semconv.CACHE_READ_TOKENS) + NIL, cut)
    for part in ("prompt_tokens_details", "input_tokens_details"):
        details = f"{raw}[{text(part)}]"
        count = f'{details}["cached_tokens"]'
        said = (raw + SAID, f"IsMap({details})", f"{count}{SAID}")
        yield put(attribute(semconv.CACHE_READ_TOKENS), f"Int({count})", *said)
    theirs = (
        (semconv.CACHE_READ_TOKENS, "cache_read_input_tokens"),
        (semconv.CACHE_WRITE_TOKENS, "cache_creation_input_tokens"),
    )
    for name, part in theirs:
        count = f"{raw}[{text(part)}]"
        yield put(attribute(name), f"Int({count})", raw + SAID, f"IsDouble({count})")
    hour = f'{raw}["cache_creation"]["ephemeral_1h_input_tokens"]'
    said = (raw + SAID, f'IsMap({raw}["cache_creation"])', hour + SAID)
    yield put(attribute(aliases.CACHE_WRITE_1H[0]), f"Int({hour})", *said)
