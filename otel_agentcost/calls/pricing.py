"""The cost of a model call: of its response, and of its worst case before the call is made.

Pure functions, apart from the price book.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from otel_agentcost.calls.reported_costs import believed
from otel_agentcost.core.call import Answer, Call, Charge
from otel_agentcost.core.cost import FREE, Cost
from otel_agentcost.core.prices import TextRates
from otel_agentcost.core.usage import NOTHING, Kind, Usage
from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.wire.fields import parsed
from otel_agentcost.wire.format import ModelRequest

_BY_THE_HOUR = (":provisioned-model/", ":imported-model/")
"""Parts of the ARNs of Bedrock's models whose capacity is billed, not their tokens
(docs.aws.amazon.com/bedrock/latest/userguide/prov-throughput.html, import-model-calculate-cost.html)."""


def cost_of(book: PriceBook, request: ModelRequest, answer: Answer, *, at: float, failed: bool) -> Cost:
    """Return the cost of a call.

    Args:
        book: The price book.
        request: The request.
        answer: The response.
        at: The time of the call in seconds since the epoch.
        failed: True if the call raised an exception.

    Returns:
        The cost, or the reason why it is unknown. Empty for a failed call that was probably not billed.
    """
    if answer.free:
        return FREE
    if answer.reported:
        by_book = partial(_by_book, book, request, answer, at=at, failed=failed)
        cost = believed(answer, request.endpoint, request.call.model, by_book)
        if cost is not None:
            return cost
    return _by_book(book, request, answer, at=at, failed=failed)


def _by_book(book: PriceBook, request: ModelRequest, answer: Answer, *, at: float, failed: bool) -> Cost:
    """Return the cost of a call at the prices of the book. The arguments are those of `cost_of`."""
    call, endpoint = request.call, request.endpoint
    if answer.usage is None or answer.missing is not None:
        if failed and answer.missing is None:
            return Cost()
        return Cost.unknown(answer.missing or "the response has no usage")

    def price(usage: Usage, models: tuple[str | None, ...], terms: tuple[tuple[str, str], ...]) -> Cost:
        provider, base_url = endpoint.said, endpoint.base_url
        return book.price(
            usage, provider=provider, base_url=base_url, models=models, at=at, terms=(*call.terms, *terms)
        )

    models: tuple[str | None, ...] = (answer.model, call.model)
    if endpoint.provider == "aws.bedrock":  # the inference profile ("global.", "us.") sets the price, and
        models = (call.model, answer.model)  # only the request names it
        if call.model is not None and any(part in call.model for part in _BY_THE_HOUR):
            models = (call.model,)  # the tokens of the served model are not billed
    elif (other := call.other_model) is not None:
        models = (*models, other)
    cost = price(answer.usage, models, answer.terms)
    if answer.uncounted is not None:
        both = answer.uncounted if cost.unpriced is None else f"{cost.unpriced}; {answer.uncounted}"
        cost = cost._replace(unpriced=both)
    for charge in answer.extra:
        cost += price(charge.usage, (charge.model,), charge.terms)
    return cost.known()


def within_limit(answer: Answer, call: Call) -> Answer:
    """Return `answer` with estimated output tokens reduced to the output limit of the request."""
    usage, limit = answer.usage, call.max_output_tokens
    if usage is None or not usage.estimated or not limit:
        return answer
    surplus = usage.tokens().output - limit * max(1, call.choices)
    if surplus <= 0 or usage.counts.get("output_tokens", 0) <= surplus:
        return answer
    counts = {**usage.counts, "output_tokens": usage.counts["output_tokens"] - surplus}
    return answer._replace(usage=replace(usage, counts=counts))


def with_attempts(answer: Answer, earlier: tuple[Any, ...], request: ModelRequest) -> Answer:
    """Return `answer` with the usage of earlier attempts within the same call, which are billed too.

    Args:
        answer: The response of the last attempt.
        earlier: The HTTP responses of the earlier attempts.
        request: The request.
    """
    for response in earlier:
        try:
            other = request.format.read_response(request.call, parsed(response.content))
        except Exception as error:  # a stream, or a response that was not read
            reraise_foreign(error)
            other = Answer()
        if other.usage is None or other.missing is not None:
            answer = answer._replace(uncounted=answer.uncounted or "the cost of an earlier attempt is unknown")
        elif other.response_id is None or other.response_id != answer.response_id:
            charge = Charge(model=other.model, usage=other.usage, terms=other.terms)
            answer = answer._replace(usage=answer.usage or NOTHING, extra=(*answer.extra, charge, *other.extra))
    return answer


class WorstCasePrice:
    """Prices the worst case of a call: the higher price of the requested and the standard terms."""

    __slots__ = ("_at", "_book", "_call", "_endpoint", "_other")

    def __init__(self, book: PriceBook, request: ModelRequest, at: float) -> None:
        """Create the object.

        Args:
            book: The price book.
            request: The request.
            at: The time of the call, in seconds since the epoch.
        """
        self._book = book
        self._at = at
        self._endpoint = request.endpoint
        self._call = request.call
        self._other = request.call.other_model  # a deployment can have any name: the body may name its model

    def __call__(self, usage: Usage, model: str | None) -> Cost:
        """Return the price of `usage` with `model`."""
        call = self._call
        plain = self._with_terms(usage, model, call.terms)
        if not call.asked_terms:
            return plain
        on_request = self._with_terms(usage, model, (*call.terms, *call.asked_terms))
        if on_request.usd is None or (plain.usd is not None and plain.usd >= on_request.usd):
            return plain
        return on_request

    def of_text(self, model: str | None, inputs: tuple[Kind, ...]) -> TextRates | None:
        """Return the prices of text whose input is of the dearest of `inputs`; None if this object has to be called."""
        call, endpoint = self._call, self._endpoint
        if call.asked_terms:
            return None
        return self._book.text_rates(
            inputs,
            provider=endpoint.said,
            base_url=endpoint.base_url,
            models=(model,) if self._other is None else self._models(model),
            at=self._at,
            terms=call.terms,
        )

    def _with_terms(self, usage: Usage, model: str | None, terms: tuple[tuple[str, str], ...]) -> Cost:
        endpoint = self._endpoint
        return self._book.price(
            usage,
            provider=endpoint.said,
            base_url=endpoint.base_url,
            models=self._models(model),
            at=self._at,
            terms=terms,
        )

    def _models(self, model: str | None) -> tuple[str | None, ...]:
        return (model,) if self._other is None or model != self._call.model else (model, self._other)
