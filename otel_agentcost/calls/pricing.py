"""What a call asks, at which address, and what its answer is charged.

Pure but for the price book that it is given. Called by `inflight.py`, once a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from otel_agentcost.calls.streams import parsed
from otel_agentcost.core.call import Answer, AttributeValue, Call, Charge
from otel_agentcost.core.cost import FREE, Cost
from otel_agentcost.core.usage import NOTHING, Usage
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.wire import Format


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a client sends its calls."""

    provider: str
    """`gen_ai.provider.name`."""
    base_url: str
    known: bool
    """Whether the address tells the provider; if not, a gateway may stand there."""
    attributes: Mapping[str, AttributeValue]
    """Provider, server address and port: what every span of this client starts with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call as a seam reads it from an SDK's arguments."""

    call: Call
    endpoint: Endpoint
    format: Format


_SAY_THEIR_PRICE = frozenset({"openrouter", "perplexity"})
"""The known providers whose responses say what they cost; a gateway at an unknown address may say so too."""


def cost_of(book: PriceBook, asked: Asked, answer: Answer, *, at: float, failed: bool) -> Cost:
    """The dollars of a call with this answer, or the reason why they are not known.

    A call that `failed` without a reason to think that it was billed has neither.
    """
    call, endpoint = asked.call, asked.endpoint
    if answer.provider_usd is not None and (not endpoint.known or endpoint.provider in _SAY_THEIR_PRICE):
        return Cost(usd=answer.provider_usd, source="provider")
    if answer.free:
        return FREE
    if answer.usage is None or answer.missing is not None:
        if failed and answer.missing is None:
            return Cost()
        return Cost.unknown(answer.missing or "the response has no usage")

    def price(usage: Usage, models: tuple[str | None, ...], terms: tuple[tuple[str, str], ...]) -> Cost:
        provider, base_url = endpoint.provider, endpoint.base_url
        return book.price(
            usage, provider=provider, base_url=base_url, models=models, at=at, terms=(*call.terms, *terms)
        )

    models = (answer.model, call.model)
    if endpoint.provider == "aws.bedrock":  # the profile asked for ("global.", "us.") sets the price, and only
        models = (call.model, answer.model)  # the request names it: the answer has the bare model
    cost = price(answer.usage, models, answer.terms)
    if answer.uncounted is not None and cost.unpriced is None:
        cost = replace(cost, unpriced=answer.uncounted)
    for charge in answer.extra:
        cost += price(charge.usage, (charge.model,), charge.terms)
    return cost


def within_limit(answer: Answer, call: Call) -> Answer:
    """`answer`, with no more output than the request's limit lets the provider make: what is counted here is an
    estimate, and may come to a few tokens more.
    """
    usage, limit = answer.usage, call.max_output_tokens
    if usage is None or not usage.estimated or not limit:
        return answer
    surplus = usage.tokens().output - limit * max(1, call.choices)
    if surplus <= 0 or usage.counts.get("output_tokens", 0) <= surplus:
        return answer
    counts = {**usage.counts, "output_tokens": usage.counts["output_tokens"] - surplus}
    return replace(answer, usage=replace(usage, counts=counts))


def with_attempts(answer: Answer, earlier: tuple[Any, ...], asked: Asked) -> Answer:
    """`answer` with what earlier attempts within the same call were billed, also where the last one was refused."""
    for response in earlier:
        try:
            other = asked.format.read_response(asked.call, parsed(response.content))
        except Exception:  # a stream, which is gone, or a response that nobody has read
            other = Answer()
        if other.usage is None or other.missing is not None:
            answer = replace(answer, uncounted=answer.uncounted or "the cost of an earlier attempt is unknown")
        elif other.response_id is None or other.response_id != answer.response_id:
            charge = Charge(model=other.model, usage=other.usage, terms=other.terms)
            answer = replace(answer, usage=answer.usage or NOTHING, extra=(*answer.extra, charge, *other.extra))
    return answer
