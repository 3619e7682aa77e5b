"""The cost of a call: of its answer, and of its worst case before the call is made.

Pure but for the price book.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from otel_agentcost.core.call import Answer, Call, Charge
from otel_agentcost.core.cost import FREE, Cost
from otel_agentcost.core.usage import NOTHING, Usage
from otel_agentcost.guard.estimate import Price
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.wire.fields import parsed
from otel_agentcost.wire.format import ModelRequest

_SAY_THEIR_PRICE = frozenset({"openrouter", "perplexity"})
"""The known providers whose responses say what they cost; a gateway at an unknown address may say so too."""


def cost_of(book: PriceBook, request: ModelRequest, answer: Answer, *, at: float, failed: bool) -> Cost:
    """The dollars of a call with this answer, or the reason why they are not known.

    A call that `failed` without a reason to think that it was billed has neither.
    """
    call, endpoint = request.call, request.endpoint
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
        cost = cost._replace(unpriced=answer.uncounted)
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


def with_attempts(answer: Answer, earlier: tuple[Any, ...], request: ModelRequest) -> Answer:
    """`answer` with what earlier attempts within the same call were billed, also where the last one was refused."""
    for response in earlier:
        try:
            other = request.format.read_response(request.call, parsed(response.content))
        except Exception:  # a stream, which is gone, or a response that nobody has read
            other = Answer()
        if other.usage is None or other.missing is not None:
            answer = replace(answer, uncounted=answer.uncounted or "the cost of an earlier attempt is unknown")
        elif other.response_id is None or other.response_id != answer.response_id:
            charge = Charge(model=other.model, usage=other.usage, terms=other.terms)
            answer = replace(answer, usage=answer.usage or NOTHING, extra=(*answer.extra, charge, *other.extra))
    return answer


def worst_case_price(book: PriceBook, request: ModelRequest, at: float) -> Price:
    """Return the function that prices a call's worst case: the dearer of the requested and the standard terms.

    Args:
        book: The price book.
        request: The request.
        at: When the call was made, in seconds since the epoch.
    """
    endpoint, call = request.endpoint, request.call

    def price(usage: Usage, model: str | None) -> Cost:
        def with_terms(terms: tuple[tuple[str, str], ...]) -> Cost:
            return book.price(
                usage, provider=endpoint.provider, base_url=endpoint.base_url, models=(model,), at=at, terms=terms
            )

        plain = with_terms(call.terms)
        if not call.asked_terms:
            return plain
        on_request = with_terms((*call.terms, *call.asked_terms))
        if on_request.usd is None or (plain.usd is not None and plain.usd >= on_request.usd):
            return plain
        return on_request

    return price
