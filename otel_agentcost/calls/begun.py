"""A call whose answer goes on, and what its note in the ledger has of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from otel_agentcost.calls.admission import Admission
from otel_agentcost.calls.scopes import new_id
from otel_agentcost.core.answer_note import Turn
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire.format import ModelRequest


class Begun(NamedTuple):
    """A call of this process whose answer goes on."""

    request: ModelRequest
    record: Record
    admission: Admission | None
    at: float
    """The time of the call, in seconds since the epoch."""


def origin_of(request: ModelRequest, record: Record, at: float) -> dict[str, Any]:
    """Return the fields of an `Origin`: the call that began work at a provider, and whose it is.

    Args:
        request: The request of the call.
        record: Its span.
        at: Its time, in seconds since the epoch.
    """
    target, context = request.endpoint, record.span.get_span_context()
    return {
        "format": type(request.format).__module__.rpartition(".")[2],
        "at": at,
        "provider": target.provider,
        "said": target.said,
        "base_url": target.base_url,
        "known": target.known,
        "attributes": dict(target.attributes),
        "attribution": dict(record.attribution),
        "runs": tuple(run.value for run in record.runs),
        "span": (context.trace_id, context.span_id),
    }


def turn_of(begun: Begun) -> Turn:
    """Return what the note of a call has of it."""
    request, record, admission = begun.request, begun.record, begun.admission
    call = request.call
    ticket = admission.ticket if admission is not None else None
    return Turn(
        **origin_of(request, record, begun.at),
        call_id=ticket.call_id if ticket is not None else new_id(),
        operation=call.operation,
        model=call.model,
        max_output_tokens=call.max_output_tokens,
        choices=call.choices,
        parameters=dict(call.parameters),
        terms=call.terms,
        asked_terms=call.asked_terms,
        other_model=call.other_model,
        deployment=request.endpoint.deployment,
        counted=tuple((each.budget, each.value, each.claim) for each in (ticket.counted if ticket else ())),
        worst_case=dict(ticket.worst_case) if ticket is not None else {},
    )
