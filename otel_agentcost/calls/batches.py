"""Batches: kept in the ledger when they are created, and settled once, line by line, when their results are read.

A batch is answered hours later, in this process or in another one, and its results may be read many times. The ledger
counts each line once; only what it has counted is charged to metrics, totals and a span. Reading never fails for it:
what goes wrong is logged, and the lines stay uncounted until they are read again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from otel_agentcost.calls import streams
from otel_agentcost.calls.batch_reading import Reading
from otel_agentcost.calls.batch_reservation import UPLOADS_AT_MOST, requests_in, worst_case_of
from otel_agentcost.calls.batch_settlement import Books, Settlement
from otel_agentcost.calls.begun import origin_of
from otel_agentcost.calls.call import ActiveCall
from otel_agentcost.calls.scopes import scopes_of, trace_id_of
from otel_agentcost.calls.seam import BatchRead, Body, HttpReply, RawResponse, Reply
from otel_agentcost.core.batch import BATCH_DAYS
from otel_agentcost.core.batch_record import BatchRecord, key_of, name_of_file
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire.batch_api import Batch, BatchApi
from otel_agentcost.wire.fields import get, parsed, text
from otel_agentcost.wire.format import ModelRequest

NOTED_AT_MOST = 10_000
"""Polls that are remembered, so that the same answer is not told to the ledger again."""

RUNS_AT_MOST = 1_000
"""Batches of this process whose runs are remembered, so that their totals get the dollars too."""


class Batches:
    """Keeps and settles the batches of one `instrument()`. Thread-safe."""

    def __init__(self, books: Books) -> None:
        """Create the object. `books` settles the batches."""
        self.books = books
        self._any = books.ledger.shared or books.reserves
        self._noted: OrderedDict[tuple[object, ...], None] = OrderedDict()

    def __bool__(self) -> bool:
        """Return True if the ledger may have batches: of this process, or of others that share it."""
        return self._any

    # --- a batch is created ---

    def created(self, call: ActiveCall, answer: Answer) -> bool:
        """Keep the batch that a call has created. Returns True if its reservation stays until it is settled."""
        batches = call.request.format.batches
        if batches is None or answer.response_id is None:
            return False
        hold = call.admission.keep() if call.admission is not None else None
        record = replace(self._record(call, batches, answer.response_id), hold=hold)
        books, key = self.books, key_of(record.said, record.id)
        self._any = True
        if call.record.runs:
            books.runs[key] = call.record.runs
            if len(books.runs) > RUNS_AT_MOST:
                books.runs.pop(next(iter(books.runs)), None)
        now, written = books.clock(), record.written()
        until = now + BATCH_DAYS * 86_400.0
        books.run(lambda: books.ask(lambda ledger: ledger.keep_batch(key, written, now=now, until=until)))
        return hold is not None

    def _record(self, call: ActiveCall, batches: BatchApi, batch: str) -> BatchRecord:
        request, record, gate = call.request, call.record, self.books.gates.gate
        if gate is not None:
            scopes, allowances = gate.whose(record)
        else:
            scopes, allowances = scopes_of(trace_id_of(record.span), record.attribution), ()
        named = [get(each.body, "model") for each in batches.requests(request.call) or ()]
        models = dict.fromkeys(each for each in (*named, request.call.model) if isinstance(each, str))
        return BatchRecord(
            **origin_of(request, record, call.at),
            id=batch,
            path=batches.path(request.call),
            models=tuple(models),
            scopes=scopes,
            allowances=tuple(allowances),
        )

    # --- a batch or its results are read ---

    def read(self, read: BatchRead, reply: Reply) -> None:
        """Follow what the application reads: settle it now, or as it is read."""
        if read.kind == "results":
            self._read_results(read, reply)
        elif read.kind == "upload":
            self._uploaded(read, _body(reply))
        elif (body := _body(reply)) is not None:
            self.states(read, body)

    def states(self, read: BatchRead, body: Any) -> None:
        """Follow what a response says of batches."""
        batches = read.format.batches
        if batches is None:
            return
        said = read.endpoint.said
        fresh = [state for state in batches.states(body) if self._is_news(said, state)]
        if fresh:
            self.books.run(partial(self._follow, read, fresh))

    def _is_news(self, said: str, state: Batch) -> bool:
        if not state.files and state.results is None and not state.over:
            return False
        note = (said, state.id, state.files, state.over, state.results is not None)
        if note in self._noted:
            return False
        self._noted[note] = None
        if len(self._noted) > NOTED_AT_MOST:
            self._noted.popitem(last=False)
        return True

    def _follow(self, read: BatchRead, states: Iterable[Batch]) -> None:
        for state in states:
            self._follow_one(read, state)

    def _follow_one(self, read: BatchRead, state: Batch) -> None:
        key, now, said = key_of(read.endpoint.said, state.id), self.books.clock(), read.endpoint.said
        if state.results is not None and read.format.batches is not None:
            reading = Reading(self.books, read.format.batches, (key,))
            for item in state.results:
                reading.feed(item)
            reading.end(complete=True)
        elif state.files:
            names = [name_of_file(said, file) for file in state.files]
            self.books.ask(lambda ledger: ledger.name_batch(key, names, now=now))
        elif state.over:
            Settlement(self.books, (key,)).close()

    def _uploaded(self, read: BatchRead, body: Any) -> None:
        """Remember the worst case of the requests in an uploaded file."""
        books, gate, named = self.books, self.books.gates.gate, text(body, "id")
        content = read.content() if gate is not None and books.reserves and named is not None else None
        if gate is None or named is None or content is None:
            return
        requests = requests_in(map(parsed, content.splitlines()))
        call = Call(operation="create_batch", model=None)
        request = ModelRequest(call=call, endpoint=read.endpoint, format=read.format)
        found = worst_case_of(requests, request, books.book, gate.guard.policy, books.clock())
        gate.uploads[named] = found
        if len(gate.uploads) > UPLOADS_AT_MOST:
            gate.uploads.pop(next(iter(gate.uploads)), None)

    def _read_results(self, read: BatchRead, reply: Reply) -> None:
        batches = read.format.batches
        if batches is None:
            return
        said = read.endpoint.said
        reading = Reading(self.books, batches, (name_of_file(said, read.id), key_of(said, read.id)))
        listener: Any = reading  # whose `feed` nothing sets: mypy takes a method for no variable
        if isinstance(reply, HttpReply) and reply.body is None:
            reading.raw = reply.tap(listener, "application/jsonl")
            return
        if isinstance(reply, RawResponse) and not reply.response.is_closed:
            reading.raw = streams.watch_bytes(reply.response, listener, "application/jsonl")
            return
        reading.feed_bytes(_content(reply))


def _body(reply: Reply) -> Any:
    """Return the JSON of a response that was read; None for a stream."""
    if isinstance(reply, Body):
        return reply.content
    if isinstance(reply, RawResponse) and reply.response.is_closed:
        return parsed(reply.response.content)
    if isinstance(reply, HttpReply) and reply.body is not None:
        return parsed(reply.body)
    return None


def _content(reply: Reply) -> bytes:
    """Return the bytes of results that were read."""
    content: Any = None
    if isinstance(reply, RawResponse):
        content = reply.response.content
    elif isinstance(reply, HttpReply):
        content = reply.body
    elif isinstance(reply, Body):
        content = reply.content
        response: Any = getattr(content, "response", None)
        content = getattr(response, "content", content)
    if isinstance(content, str):
        return content.encode("utf-8", "surrogatepass")
    return content if isinstance(content, bytes) else b""
