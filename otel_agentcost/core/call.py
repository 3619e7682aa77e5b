"""A model call as it is asked for and as it is answered: what the wire readers produce and all others consume.

Plain values. They say nothing of spans, SDKs or HTTP clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from otel_agentcost.core.usage import NO_TOKENS, Tokens, Usage

AttributeValue = str | bool | int | float | tuple[str, ...]

NO_PARAMETERS: Mapping[str, AttributeValue] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The address that a client sends its calls to."""

    provider: str
    """`gen_ai.provider.name`."""
    base_url: str
    known: bool
    """True if the address identifies the provider; False if a gateway may stand there."""
    attributes: Mapping[str, AttributeValue]
    """Provider, server address and port: the first attributes of every span of this client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is asked of a model, read from the request."""

    operation: str
    """`gen_ai.operation.name`: chat, text_completion, generate_content, embeddings, ..."""
    model: str | None
    """The model asked for, as the application named it; None where the request names none."""
    stream: bool = False
    max_output_tokens: int | None = None
    """The output limit that the request sets, per choice; None where it sets none."""
    choices: int = 1
    """How many answers are asked for: each may use the whole output limit."""
    parameters: Mapping[str, AttributeValue] = field(default_factory=lambda: NO_PARAMETERS)
    """Span attributes that describe the request (`gen_ai.request.temperature`, ...), by their convention names."""
    terms: tuple[tuple[str, str], ...] = ()
    """What the request alone says about the price: `("processing", "batch")`. The tier that was merely asked for
    does not belong here: the tier that served the call is in the answer."""
    asked_terms: tuple[tuple[str, str], ...] = ()
    """What the request asks for that sets the price if the provider serves it so, in the form of `Answer.terms`: for
    the worst case before the call, and for nothing after it."""
    body: Any = None
    """The request body, for what is read only when it is needed (message content, estimates). Never changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Usage of another model than the answer's, billed with the same call (a compaction, an advisor, a fallback)."""

    model: str | None
    usage: Usage
    terms: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, read from the response, from a stream's events so far, or from an error."""

    usage: Usage | None = None
    """None where the provider gave none and none could be counted; `missing` then says why."""
    missing: str | None = None
    """Why the usage or the price is not known, for people ("the response has no usage"). A `missing` beside a usage
    means that the usage must not be billed at list prices (provisioned throughput, malformed counts)."""
    uncounted: str | None = None
    """What the call used besides, which the response does not count: the dollars of `usage` do not cover it."""
    model: str | None = None
    """The model that served the call, as the provider names it."""
    response_id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()
    """What served the call, where it sets the price: `("service_tier", "flex")`, `("speed", "fast")`."""
    tier: str | None = None
    """The service tier as an OpenAI-compatible provider reports it, for the span (`openai.response.service_tier`)."""
    extra: tuple[Charge, ...] = ()
    """What other models did within the call. Their usage is not part of `usage`."""
    provider_usd: Decimal | None = None
    """The cost that the provider itself reports in its response; it goes before any price of ours."""
    free: bool = False
    """The provider does not charge for this kind of call at all."""
    attributes: Mapping[str, AttributeValue] = field(default_factory=lambda: NO_PARAMETERS)
    """Further span attributes that describe the response, by their convention names."""

    def tokens(self) -> Tokens:
        """All tokens of the call, with those that other models used within it: all of them are billed."""
        if self.usage is None:
            return NO_TOKENS
        if not self.extra:
            return self.usage.tokens()
        return sum((charge.usage for charge in self.extra), start=self.usage).tokens()
