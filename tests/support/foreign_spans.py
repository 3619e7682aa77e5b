"""Spans as other instrumentations make them, without their packages: a scope, a name, what is said at start and end."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span, Status, StatusCode

from tests.support.in_memory import Telemetry

Said = Mapping[str, Any]

GROQ = "opentelemetry.instrumentation.groq"
GROQ_TOO = "openinference.instrumentation.groq"
TOGETHER = "opentelemetry.instrumentation.together"
COHERE = "opentelemetry.instrumentation.cohere"
BOTOCORE = "opentelemetry.instrumentation.botocore.bedrock-runtime"
BEDROCK = "opentelemetry.instrumentation.bedrock"
OFFICIAL_BEDROCK = "opentelemetry.instrumentation.genai.bedrock"
BEDROCK_TOO = "openinference.instrumentation.bedrock"

MODEL = "llama-3.3-70b-versatile"
USD = 0.00085552
"""181 plain and 1,024 cached input tokens at $0.59, 183 output tokens at $0.79 a million: Groq has no cache price."""

ASKS: Said = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "groq", "gen_ai.request.model": MODEL}
SAYS: Said = {
    "gen_ai.usage.input_tokens": 1205,
    "gen_ai.usage.cache_read.input_tokens": 1024,
    "gen_ai.usage.output_tokens": 183,
}
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


@contextmanager
def span_of(
    telemetry: Telemetry, scope: str = GROQ, asks: Said = ASKS, says: Said = SAYS, *, name: str = "chat"
) -> Generator[Span]:
    """A span of another instrumentation, current while its call is made; `says` is what the answer brings."""
    tracer = telemetry.tracer_provider.get_tracer(scope)
    with tracer.start_as_current_span(name, attributes=dict(asks)) as span:
        yield span
        span.set_attributes(dict(says))


def call(telemetry: Telemetry, scope: str = GROQ, asks: Said = ASKS, says: Said = SAYS, *, name: str = "chat") -> None:
    """One call as another instrumentation sees it."""
    with span_of(telemetry, scope, asks, says, name=name):
        pass


def failed(span: Span) -> None:
    """The call that `span` stands for has failed."""
    span.set_status(Status(StatusCode.ERROR, "503"))


def dollars(spans: tuple[ReadableSpan, ...]) -> list[object]:
    """What the spans say that their calls cost, of those that say it."""
    given = [span.attributes or {} for span in spans]
    return [said["agentcost.cost.usd"] for said in given if "agentcost.cost.usd" in said]
