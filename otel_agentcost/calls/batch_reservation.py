"""The reservation of a batch: the worst cases of its requests together, at batch prices.

The requests are in the body that creates the batch, or in a file that was uploaded before. A file that another process
has uploaded is not known: the dollars of its batch are then unknown, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from otel_agentcost.calls.pricing import WorstCasePrice
from otel_agentcost.core.batch import TERMS
from otel_agentcost.guard.ledger import MOST, Unit
from otel_agentcost.guard.reservation import Policy, reservation_for
from otel_agentcost.guard.types import CallFacts, Reservation
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.wire import load
from otel_agentcost.wire.batch_api import BatchRequest, format_of_line
from otel_agentcost.wire.fields import get, text
from otel_agentcost.wire.format import ModelRequest
from otel_agentcost.wire.openai_batches import LATER

LEASE: Final = 3 * 86_400.0
"""Seconds for which the reservation of a batch is held, at most. Providers end a batch within two days."""

Uploads = dict[str, Reservation]

UPLOADS_AT_MOST = 1_000
"""Uploaded files that are remembered."""


def reserve_batch(facts: CallFacts, request: ModelRequest, book: PriceBook, policy: Policy, uploads: Uploads) -> None:
    """Set what the call that creates a batch reserves.

    Args:
        facts: The call. It is changed.
        request: The request that creates the batch.
        book: The price book.
        policy: The settings of the guard.
        uploads: What the files with the requests of batches reserve, by file.
    """
    batches = request.format.batches
    if batches is None:
        return
    if not policy.reserve_batches:
        if request.call.model is None:  # with nothing left, no batch is created, whatever it costs
            facts.fixed = _UNKNOWN
        return
    requests = batches.requests(request.call)
    if requests is not None:
        facts.fixed = worst_case_of(requests, request, book, policy, facts.now)
    else:
        facts.fixed = uploads.get(text(request.call.body, "input_file_id") or "", _UNSEEN)
    facts.lease = LEASE


_LEAST: Final[dict[Unit, int]] = {"nano_usd": 1, "tokens": 1, "calls": 1}
_UNKNOWN: Final = Reservation(_LEAST, _LEAST, by_bound=False, unpriced=LATER)
_UNSEEN: Final = Reservation(
    _LEAST, _LEAST, by_bound=False, unpriced="the file with the requests of the batch was not uploaded by this process"
)


def worst_case_of(
    requests: Iterable[BatchRequest], request: ModelRequest, book: PriceBook, policy: Policy, now: float
) -> Reservation:
    """Return what the requests of a batch reserve together.

    Args:
        requests: The requests.
        request: The request that creates the batch, or uploads its file.
        book: The price book.
        policy: The settings of the guard.
        now: Epoch seconds.
    """
    nano = tokens = 0
    unpriced: str | None = None
    for each in requests:
        form = load(format_of_line(each.path))
        call = form.read_request(each.body, each.path)._replace(terms=TERMS, asked_terms=())
        line = replace(request, call=call, format=form)
        line = replace(line, endpoint=book.resolve(line.endpoint, call.model))
        price = WorstCasePrice(book, line, now)
        facts = CallFacts(call_id="", call=call, scopes={}, price=price, now=now, format=form)
        wanted = reservation_for(facts, call.model, policy)
        nano += min(MOST, wanted.amounts.get("nano_usd", 0))
        tokens += wanted.amounts.get("tokens", 0)
        unpriced = unpriced or wanted.unpriced
    amounts: dict[Unit, int] = {"nano_usd": min(MOST, max(1, nano)), "tokens": min(MOST, max(1, tokens)), "calls": 1}
    return Reservation(amounts, amounts, by_bound=False, unpriced=unpriced)


def requests_in(lines: Iterable[Any]) -> Iterable[BatchRequest]:
    """Yield the requests in the parsed lines of a file for a batch."""
    for line in lines:
        path = text(line, "url")
        if path is not None and isinstance(line, dict):
            yield BatchRequest(path, get(line, "body"))
