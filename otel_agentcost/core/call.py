"""The request and the response of a model call: the values that the wire readers produce and all others consume.

These values know nothing of spans, SDKs or HTTP clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from otel_agentcost.core.reported_costs import Reported
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
    default: str = ""
    """The provider that the SDK names, if `provider` is another: the address or the model's prefix decides. Prices are
    found by this one, because another model of the same client can belong to another provider."""
    deployment: str | None = None
    """The Azure deployment in `base_url`, which serves the call; None if the address names none."""

    @property
    def said(self) -> str:
        """The provider that the SDK names."""
        return self.default or self.provider


class Call(NamedTuple):
    """A request to a model. A named tuple, which is made three times as fast as a frozen dataclass."""

    operation: str
    """`gen_ai.operation.name`: chat, text_completion, generate_content, embeddings, ..."""
    model: str | None
    """The requested model, as the application named it; None if the request names none."""
    stream: bool = False
    max_output_tokens: int | None = None
    """The output limit of the request in tokens, per choice; None if it sets none."""
    choices: int = 1
    """The number of requested answers. Each may use the whole output limit."""
    parameters: Mapping[str, AttributeValue] = NO_PARAMETERS
    """Span attributes that describe the request (`gen_ai.request.temperature`, ...), by their convention names."""
    terms: tuple[tuple[str, str], ...] = ()
    """Conditions of the price that only the request has: `("processing", "batch")`. The requested service tier is not
    one of them: the answer has the tier that served the call."""
    asked_terms: tuple[tuple[str, str], ...] = ()
    """Requested conditions that set the price if the provider grants them, in the form of `Answer.terms`. Used for the
    worst case before the call, and not after it."""
    body: Any = None
    """The request body, for data that is read only when needed (message content, estimates). It is never changed."""

    @property
    def other_model(self) -> str | None:
        """The model that the body names, where the address names another one, which serves the call."""
        body: object = self.body
        if type(body) is not dict and not isinstance(body, Mapping):
            return None
        name = cast("Mapping[str, object]", body).get("model")
        return name if name != self.model and isinstance(name, str) and name else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Usage of a second model that the same call is billed for (a compaction, an advisor, a fallback)."""

    model: str | None
    usage: Usage
    terms: tuple[tuple[str, str], ...] = ()


class Partial(NamedTuple):
    """The counts of a response that does not count everything, or that counts what cannot be. None: not known."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    unpriced: str | None = None
    """Why list prices do not apply (capacity paid in advance); None if they do."""
    empty: bool = False
    """True for a usage without any count."""
    absent: bool = False
    """True if there is no usage. The answer may then be estimated, but it contradicts nothing."""


class Answer(NamedTuple):
    """The result of a call, from its response, from the events of its stream so far, or from an error."""

    usage: Usage | None = None
    """None if the provider reported no usage and none could be counted; `missing` then has the reason."""
    missing: str | None = None
    """The reason why the usage or the price is not known, for people ("the response has no usage"). With a usage, it
    means that list prices do not apply (provisioned throughput, malformed counts)."""
    partial: Partial | None = None
    """What the response does count, if its counts are incomplete or contradict each other: `usage` is None, and
    `wire.plausible` estimates the rest from the texts. None if it counts nothing, or everything."""
    doubtful: bool = False
    """True if the counts contradict what was sent and received, and nothing could be estimated. Budgets then keep the
    reservation of the call."""
    uncounted: str | None = None
    """Further usage that the response does not count, for people. The cost of `usage` does not include it."""
    model: str | None = None
    """The model that served the call, as the provider names it."""
    response_id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()
    """Conditions that served the call and set its price: `("service_tier", "flex")`, `("speed", "fast")`."""
    tier: str | None = None
    """The service tier as an OpenAI-compatible provider reports it, for the span (`openai.response.service_tier`)."""
    extra: tuple[Charge, ...] = ()
    """Usage of other models within the call. It is not part of `usage`."""
    reported: tuple[Reported, ...] = ()
    """What the response says of money. If it is believed, it takes precedence over computed prices."""
    free: bool = False
    """The provider does not charge for this kind of call at all."""
    goes_on: bool = False
    """The provider works on after the call has ended: `response_id` retrieves the answer, and its usage, later."""
    total: Usage | None = None
    """What `response_id` has used in all its calls up to now, for a session whose usage is a running total. What was
    charged before is taken off `usage` then (`calls.unfinished`)."""
    attributes: Mapping[str, AttributeValue] = NO_PARAMETERS
    """Further span attributes that describe the response, by their convention names."""

    def tokens(self) -> Tokens:
        """Return all tokens of the call, with those of other models within it: all of them are billed."""
        if self.usage is None:
            return NO_TOKENS
        if not self.extra:
            return self.usage.tokens()
        return sum((charge.usage for charge in self.extra), start=self.usage).tokens()


class HttpStatus(Exception):
    """A provider refused a request: its status is not 2xx. Never raised: an HTTP client returns the response."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status
