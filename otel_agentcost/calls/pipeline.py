"""The pipeline: the life of one model call, from its request to its settlement.

    request -> span -> loop check -> admission -> the call -> usage -> cost -> settlement -> close

If answers are cached, the cache is asked before the admission: a cached answer needs none.

`Pipeline.call` and `Pipeline.call_async` below are the whole of it, in this order. Only the loop check and the
admission raise on purpose (`LoopDetected`, `BudgetExceeded`). Only the admission changes the request, and `changes.py`
before the loop check, if a setting asks for it. What the SDK raises passes unchanged. A call that returns a stream is
settled when the stream ends (`settle_stream`); every other call is settled at once. Both come to `finish`, which runs
once a call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import Any, Protocol

from otel_agentcost.calls import finalize, pricing, streams
from otel_agentcost.calls.admission import Gates
from otel_agentcost.calls.answer_cache import AnswerCache
from otel_agentcost.calls.batch_settlement import Awaiting
from otel_agentcost.calls.batches import Batches
from otel_agentcost.calls.call import CURRENT, ActiveCall, CallContent, Ending
from otel_agentcost.calls.changes import Arguments, Changes, Wrapped
from otel_agentcost.calls.framing import is_json
from otel_agentcost.calls.loop_guard import LoopGuard
from otel_agentcost.calls.passage import Passages
from otel_agentcost.calls.prompt_caches import PromptCaches
from otel_agentcost.calls.rejections import is_rejection
from otel_agentcost.calls.replaying import MADE, attributes_of, replayed, replayed_async
from otel_agentcost.calls.retrieval import (
    Looked,
    Reading,
    Whole,
    follows,
    has_failed,
    is_later,
    looked_for,
)
from otel_agentcost.calls.seam import (
    AnswerRead,
    Awaited,
    Body,
    EventIterator,
    EventStream,
    HttpReply,
    Rejected,
    Reply,
    Seam,
    Watched,
)
from otel_agentcost.calls.shared_answers import SharedAnswers
from otel_agentcost.calls.unfinished import Unfinished, UnfinishedAnswers
from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, AttributeValue, HttpStatus
from otel_agentcost.core.cost import Cost
from otel_agentcost.diagnostics import complete, foreign, report, reraise_foreign
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.telemetry import spans
from otel_agentcost.telemetry.metrics import ModelLabels
from otel_agentcost.telemetry.recorder import Recorder
from otel_agentcost.telemetry.spans import CalledFrom, Record, Spans
from otel_agentcost.wire.cache_lifetimes import with_lifetime
from otel_agentcost.wire.fields import parsed
from otel_agentcost.wire.format import ModelRequest
from otel_agentcost.wire.plausible import checked, texts_of, usage_in_headers


class ContentCapture(Protocol):
    """Captures message content (`content.py`, which is imported only if content is captured)."""

    def begin(self, request: ModelRequest, record: Record) -> CallContent | None:
        """Begin a call. Returns None if its span does not record."""
        ...


class Pipeline:
    """Takes model calls from a patched SDK to their settlement. One for each `instrument()`."""

    def __init__(  # noqa: PLR0913, PLR0917 (one argument for each part)
        self,
        book: PriceBook,
        spans: Spans,
        recorder: Recorder,
        gates: Gates,
        loops: LoopGuard | None = None,
        content: ContentCapture | None = None,
        passages: Passages | None = None,
        batches: Batches | None = None,
        prompt_caches: PromptCaches | None = None,
        *,
        cache: AnswerCache | None = None,
        changes: Changes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Assemble a pipeline.

        Args:
            book: Prices the calls.
            spans: Opens the span of a call, or adopts one.
            recorder: Charges metrics, runs and totals.
            gates: Admits calls to which a budget applies.
            loops: Detects loops; None if loop detection is disabled.
            content: Captures messages; None if content is not captured.
            passages: Recognizes calls that another service charges; None if every call is charged.
            batches: Keeps and settles batches; None if they are not kept.
            cache: Has answers to earlier requests; None if answers are not cached.
            prompt_caches: Reports broken prompt caches; None if they are not watched.
            changes: Changes requests before they are sent; None if no setting asks for that.
            clock: Returns the time in seconds since the epoch.
        """
        self._book = book
        self._batches = batches
        self._cache = cache
        self.changes = changes
        """Changes requests before they are sent; None if nothing does."""
        self._spans = spans
        self._recorder = recorder
        self._gates = gates
        self._loops = loops
        self._content = content
        self._passages = passages
        self._prompt_caches = prompt_caches
        self._clock = clock
        self._unfinished = UnfinishedAnswers(recorder, SharedAnswers.of(batches.books if batches is not None else None))
        self.active = True
        """False after `uninstrument`: a wrapper that other code still holds then passes calls through."""

    @property
    def follows_batches(self) -> bool:
        """True if results of batches may be read."""
        return self.active and bool(self._batches)

    @property
    def awaits(self) -> bool:
        """True if a reading may belong to an earlier call: a batch, or an answer or session that goes on."""
        return self.active and (bool(self._batches) or bool(self._unfinished))

    def close(self) -> None:
        """Ask the ledger a last time for what it has not answered, and close the cache."""
        self._unfinished.close()
        if self._cache is not None:
            self._cache.close()

    # --- a call, sync and async ---

    def call(self, seam: Seam, wrapped: Wrapped, instance: Any, args: Any, kwargs: Any) -> Any:
        """Make one synchronous call."""
        call = self._open(seam, instance, args, kwargs)
        if call is None:
            if not follows(seam, self._batches):
                return wrapped(*args, **kwargs)
            with Reading() as reading:
                result = wrapped(*args, **kwargs)
            return result if reading.within else self._retrieved(seam, instance, args, kwargs, result)
        try:
            if self.changes is not None:
                wrapped, args, kwargs = self.changes.before(call, seam, wrapped, instance, args, kwargs)
            self._check_loops(call)
            if self._cache is not None:
                result = replayed(self._cache, call, wrapped, instance, args, kwargs)
                if result is not MADE:
                    return self._deliver(call, seam.unwrap, result)
            if (gate := self._gates.gate) is not None:
                call.admission = gate.admit(call.request, call.record, call.at, call.passage)
                args, kwargs = self._rewrite(call, seam, args, kwargs)
            with call.active():
                result = wrapped(*args, **kwargs)
            return self._deliver(call, seam.unwrap, result)
        except BaseException as error:
            self._stop(call, error)
            raise

    async def call_async(self, seam: Seam, wrapped: Wrapped, instance: Any, args: Any, kwargs: Any) -> Any:
        """Make one asynchronous call."""
        call = self._open(seam, instance, args, kwargs)
        if call is None:
            if not follows(seam, self._batches):
                return await wrapped(*args, **kwargs)
            with Reading() as reading:
                result = await wrapped(*args, **kwargs)
            if reading.within:
                return result
            with Awaiting() as awaiting:
                result = self._retrieved(seam, instance, args, kwargs, result)
            await awaiting.settled()
            return result
        try:
            if self.changes is not None:
                wrapped, args, kwargs = await self.changes.before_async(call, seam, wrapped, instance, args, kwargs)
            self._check_loops(call)
            if self._cache is not None:
                result = await replayed_async(self._cache, call, wrapped, instance, args, kwargs)
                if result is not MADE:
                    return self._deliver(call, seam.unwrap, result)
            if (gate := self._gates.gate) is not None:
                call.admission = await gate.admit_async(call.request, call.record, call.at, call.passage)
                args, kwargs = self._rewrite(call, seam, args, kwargs)
            with call.active():
                result = await wrapped(*args, **kwargs)
            return self._deliver(call, seam.unwrap, result)
        except BaseException as error:
            self._stop(call, error)
            raise

    def generate(self, seam: Seam, wrapped: Wrapped, instance: Any, args: Any, kwargs: Any) -> Iterator[Any]:
        """Make one synchronous call of a generator method, which sends its request with the first event."""
        call = self._open(seam, instance, args, kwargs)
        if call is None:
            yield from wrapped(*args, **kwargs)
            return

        def begun(*args: Any, **kwargs: Any) -> tuple[list[Any], Iterator[Any]]:
            events = iter(wrapped(*args, **kwargs))
            return list(islice(events, 1)), events

        try:
            if self.changes is not None:
                wrapped, args, kwargs = self.changes.before_events(call, seam, wrapped, instance, args, kwargs)
            self._check_loops(call)
            made: Any = MADE
            if self._cache is not None:
                made = replayed(self._cache, call, begun, instance, args, kwargs)
            if made is MADE:
                if (gate := self._gates.gate) is not None:
                    call.admission = gate.admit(call.request, call.record, call.at, call.passage)
                    args, kwargs = self._rewrite(call, seam, args, kwargs)
                with call.active():
                    made = begun(*args, **kwargs)
            first, events = made
            tapped = self._deliver(call, seam.unwrap, chain(first, events))
        except BaseException as error:
            self._stop(call, error)
            raise
        try:
            yield from tapped
        finally:  # an exception thrown into this generator, or its close, ends the SDK's: that releases the connection
            close = getattr(events, "close", None)
            if close is not None:
                close()

    # --- answers that were not asked for one by one: those of a session ---

    def blocks_here(self) -> bool:
        """Return True if asking the budgets could block the event loop of this thread."""
        gate = self._gates.gate
        return gate is not None and gate.guard.blocks_here()

    def fits(self, request: ModelRequest) -> bool:
        """Return True if the budgets admit `request` now, without waiting. Reserves nothing."""
        gate = self._gates.gate
        return gate is None or gate.fits(self._resolved(request), self._clock())

    def unasked(self, seam: Seam, session: Any, event: Any) -> ActiveCall | None:
        """Begin the call of an answer that the provider has begun by itself. `admit_unasked` asks the budgets.

        Args:
            seam: Reads the request of the answer from the event.
            session: The session that gets the answer.
            event: The event that says that it has begun.

        Returns:
            The call. None if nothing is measured.
        """
        call = self._open(seam, session, (event,), {})
        if call is not None:
            call.sent = True
            if self._gates.gate is not None:
                call.unadmitted = threading.Lock()
        return call

    def admit_unasked(self, call: ActiveCall) -> BudgetExceeded | None:
        """Ask the budgets about such a call, once. Returns the error if they refuse it: it counts all the same."""
        lock, gate = call.unadmitted, self._gates.gate
        if lock is None or gate is None:
            return None
        with lock:
            if call.unadmitted is None:
                return None
            call.admission, refused = gate.admit_unasked(call.request, call.record, call.at)
            call.unadmitted = None
        return refused

    def meter(self, call: ActiveCall) -> None:
        """Let the budgets see the events of a stream whose call they have admitted after it was opened."""
        if call.admission is not None and call.reader is not None and not call.settled:
            call.feed = call.admission.metered(call.feed, call.reader, call.request.call.model, call.record.span)

    # --- 1 request, 2 span ---

    def _open(self, seam: Seam, instance: Any, args: Any, kwargs: Any) -> ActiveCall | None:
        """Read the request and open its span. Returns None if the call is no model call, or is measured already."""
        if not self.active:
            return None
        record: Record | None = None
        try:
            if not finalize.PENDING.empty():
                finalize.settle_pending()
            request = seam.read(instance, args, kwargs)
            if request is None or ((current := CURRENT.get()) is not None and current.is_for(request)):
                return None
            request = self._resolved(request)
            at = self._clock()
            record = self._spans.open(request.call, request.endpoint.attributes)
            call = self._begin(request, record, instance, at, nested=current is not None)
        except BaseException as error:  # of others too: it may arrive anywhere in here
            if record is not None:  # the call is not made: its span must not stay open
                complete(record.abandon)
            report("reading a request", error)
            return None
        call.covers = getattr(seam, "covers", False)
        return call

    def _resolved(self, request: ModelRequest) -> ModelRequest:
        """Return `request` with the name of the provider whose prices apply."""
        endpoint = self._book.resolve(request.endpoint, request.call.model)
        return request if endpoint is request.endpoint else replace(request, endpoint=endpoint)

    def _begin(self, request: ModelRequest, record: Record, instance: Any, at: float, *, nested: bool) -> ActiveCall:
        content = self._content.begin(request, record) if self._content is not None else None
        call = ActiveCall(request, record, instance, at, content, self.settle_stream)
        if self._passages is not None:
            call.passage = self._passages.passage(request, at, nested=nested)
        return call

    # --- 3 loop check and admission ---

    def _check_loops(self, call: ActiveCall) -> None:
        """Check for loops. Raises `LoopDetected` if loops are blocked."""
        if self._loops is None:
            return
        loop = self._loops.check(call.request, call.record)
        if loop is None:
            return
        if (gate := self._gates.gate) is not None:
            gate.loop_detected(call.record, call.at, new=loop.new)
        if self._loops.blocks:
            raise loop.error

    def _rewrite(self, call: ActiveCall, seam: Seam, args: Any, kwargs: dict[str, Any]) -> Arguments:
        """Rewrite the request for another model or a lower output limit, if the admission requires it.

        Raises:
            BudgetExceeded: The request cannot be rewritten, and the budget blocks it as it is.
        """
        admission = call.admission
        if admission is None or not admission.rewrites:
            return args, kwargs
        ticket = admission.ticket
        try:
            request, args, kwargs = seam.rewrite(
                call.request, args, kwargs, model=ticket.model, max_output_tokens=ticket.max_output_tokens
            )
            call.rewritten(self._resolved(request))
            admission.rewritten()
        except Exception as bug:
            call.admission = admission.not_rewritten(call.record, bug)
        return args, kwargs

    # --- 4 the call: its attempts, and the span that an SDK opens itself ---

    def attempt(self, _seam: Seam, wrapped: Wrapped, instance: Any, args: Any, kwargs: Any) -> Any:
        """Record one HTTP response within a call, before the SDK parses it."""
        call = CURRENT.get()
        response = kwargs.get("response")
        if call is not None and response is not None and self.active and call.is_of(instance):
            call.attempted(response)
        return wrapped(*args, **kwargs)

    def around(self, _seam: Seam, wrapped: Wrapped, _instance: Any, args: Any, kwargs: Any) -> Any:
        """Record the parent of the span that an SDK opens itself, before its call arrives at the seam."""
        with CalledFrom():
            return wrapped(*args, **kwargs)

    async def around_async(self, _seam: Seam, wrapped: Wrapped, _instance: Any, args: Any, kwargs: Any) -> Any:
        """Do the same as `around`, for an async method."""
        with CalledFrom():
            return await wrapped(*args, **kwargs)

    # --- 5 usage: from a whole response now, from a stream at its end ---

    def _deliver(self, call: ActiveCall, unwrap: Callable[[Any], Reply], result: Any) -> Any:
        """Return what the SDK returned: settled, or tapped. `unwrap` is that of the seam."""
        try:
            return self._received(call, unwrap(result), result)
        except Exception as error:
            report("reading a response", error)
            self.finish(call, Answer(missing=f"the response could not be read ({type(error).__name__})"))
            return result

    def _received(self, call: ActiveCall, reply: Reply, result: Any) -> Any:
        if isinstance(reply, Body):
            self.finish(call, self._read(call, reply.content))
        elif isinstance(reply, EventStream):
            self.open_stream(call)
            streams.watch_events(reply.stream, call)
        elif isinstance(reply, EventIterator):
            self.open_stream(call, reply)
            return streams.tapped(reply.events, call, reply.close)
        elif isinstance(reply, Watched):
            told = reply.headers_alone()  # the call must not keep a dropped response alive
            call.attempt, call.terms = (lambda: told), reply.terms
            self.open_stream(call)
            reply.watch(call)
        elif isinstance(reply, Awaited):
            pass
        elif isinstance(reply, Rejected):
            self.finish(call, Answer(), HttpStatus(reply.status))
        elif isinstance(reply, HttpReply):
            self._received_over_http(call, reply)
        elif not reply.response.is_closed:
            self.open_stream(call)
            call.raw = streams.watch_bytes(reply.response, call)
        else:
            self._read_whole(call, str(reply.response.headers.get("content-type", "")), reply.response.content)
        return result

    def _received_over_http(self, call: ActiveCall, reply: HttpReply) -> None:
        """Read the response of an HTTP client. A provider bills none but a successful one."""
        call.answered(reply.response)
        if not 200 <= reply.status < 300:
            self.finish(call, Answer(), HttpStatus(reply.status))
        elif reply.body is not None:
            self._read_whole(call, reply.content_type, reply.body)
        else:
            self.open_stream(call)
            call.raw = reply.tap(call, None)

    def _retrieved(self, seam: Seam, instance: Any, args: Any, kwargs: Any, result: Any) -> Any:
        """Return what the SDK returned: settled, or tapped, if it belongs to an earlier call."""
        if not self.active:
            return result
        try:
            found = looked_for(seam, instance, args, kwargs, self._batches, self._unfinished)
            reply = seam.unwrap(result) if found is not None else None
            if found is None or reply is None or has_failed(reply):
                return result
            if isinstance(reply, HttpReply) and is_later(found, reply):
                whole = Whole(lambda body: self._followed(found, replace(reply, body=body), instance, None))
                whole.raw = reply.tap(whole, "application/json")
                return result
        except Exception as error:
            report("reading a retrieved answer", error)
            return result
        return self._followed(found, reply, instance, result)

    def settle_begun(self, session: Any, read: AnswerRead, body: Any) -> bool:
        """Settle a call whose answer has arrived in another way than by a request that retrieves it.

        Args:
            session: What the answer has arrived through.
            read: The answer, as a request that retrieves it would name it.
            body: The answer, as its wire format's reader takes it.

        Returns:
            False if no call waits for the answer, as far as this process can know.
        """
        begun = self._unfinished.find(read) if self.active else None
        if begun is None and not (self.active and self._unfinished.are_shared):
            return False
        self._followed(Looked(begun=begun, answer=read if begun is None else None), Body(body), session, None)
        return True

    def _followed(self, found: Looked, reply: Reply, instance: Any, result: Any) -> Any:
        """Do the same, once it is known what was read."""
        begun = found.begun
        try:
            if found.batch is not None and self._batches:
                self._batches.read(found.batch, reply)
            if found.session is not None:
                self._unfinished.read(found.session, reply)
            if found.answer is not None and found.answer.format is not None:
                return self._unfinished.read_elsewhere(found.answer, found.answer.format, reply, result)
            if begun is None or self._unfinished.goes_on(begun, reply):
                return result
            record = self._spans.open(begun.request.call, begun.request.endpoint.attributes)
            record.account_of(begun.record)
        except Exception as error:  # the application gets what it reads all the same
            report("reading a retrieved answer", error)
            return result
        call = ActiveCall(begun.request, record, instance, begun.at, None, self.settle_stream, begun)
        call.sent = True
        return self._deliver(call, lambda _: reply, result)

    def _read_whole(self, call: ActiveCall, content_type: str, content: bytes) -> None:
        """Read an HTTP response that the client, or a hook of the application, has read completely."""
        raw = streams.RawReader(call, content_type)
        if not raw.streamed:
            body = parsed(content) if is_json(content_type) else None
            self.finish(call, self._read(call, body))
            return
        self.open_stream(call, arrived=True)
        raw.feed(content + b"\n")
        call.end(complete=True)

    def open_stream(self, call: ActiveCall, reply: EventIterator | None = None, *, arrived: bool = False) -> None:
        """Let the call's `feed` pass the events of a stream to a reader.

        A stream that has `arrived` completely is not cut off, because that would save nothing.
        """
        reader = call.request.format.open_stream(call.request.call)
        if reply is not None and reply.prepare is not None:
            reader = reply.prepare(reader)
        feed: streams.Feed = reader.feed
        if call.content is not None:
            feed = call.content.with_transcript(feed)
        if call.admission is not None and not arrived:
            feed = call.admission.metered(feed, reader, call.request.call.model, call.record.span)
        call.reader, call.feed = reader, feed
        if call.exchange is not None and not arrived:
            call.exchange.waits_no_longer()
        finalize.watch(call)

    def _read(self, call: ActiveCall, body: Any) -> Answer:
        """Read a whole response."""
        if call.content is not None:
            call.content.response = body
        if self._loops is not None:
            self._loops.answered(call.request, call.record, body)
        return _read_body(call, body)

    def settle_stream(self, call: ActiveCall, error: BaseException | None, *, complete: bool) -> None:
        """Settle a call whose stream has ended.

        Args:
            call: The call.
            error: The exception that ended the stream; None if it was exhausted or closed.
            complete: True if the stream was exhausted.
        """
        if call.exchange is not None and not complete:
            call.exchange.closed_early()
        try:
            answer = self._read_stream(call, complete=complete)
            if error is not None and call.record.first_chunk is None and not answer.goes_on:
                self._fail(call, error)
                return
        except Exception as bug:
            report("reading a stream's end", bug)
            answer = Answer(missing=f"the stream could not be read ({type(bug).__name__})")
        self.finish(call, answer, error)

    def _read_stream(self, call: ActiveCall, *, complete: bool) -> Answer:
        if call.unread is not None:
            return Answer(missing=call.unread)
        if call.raw is not None and not call.raw.streamed:
            body = call.raw.body()
            if body is None and not complete:
                counted = usage_in_headers(call.headers())
                return Answer(usage=counted, missing=None if counted else "the response was closed before it was read")
            return self._read(call, body)
        if call.raw is not None and complete:
            call.raw.ended()
        if call.reader is None:
            return Answer(missing="the response was dropped before it was read")
        if self._loops is not None:
            self._loops.answered(call.request, call.record, getattr(call.reader, "whole", None))
        reader = call.reader
        answer = reader.answer(complete=complete)
        request, form, at_hand = call.request.call, call.request.format, not getattr(reader, "lazy", False)
        return checked(request, form, answer, lambda: reader.so_far().texts, call.headers, in_pieces=at_hand)

    def _stop(self, call: ActiveCall, error: BaseException) -> None:
        """Settle a call that raised, whether in the SDK or, if the exception is one of others, in here."""
        try:
            self._fail(call, error)
        except BaseException:  # of others: it may arrive anywhere in here
            complete(call.leave)
            complete(partial(self._fail, call, error))
            raise
        call.leave()

    def _fail(self, call: ActiveCall, error: BaseException) -> None:
        """Settle a call that raised. The provider may have billed it anyway."""
        if call.settled:
            return
        if not call.sent:
            self.finish(call, Answer(), error)
            return
        answer: Answer | None = None
        try:
            answer = self._rejected_answer(call)
        except Exception as bug:
            report("reading a response that the SDK rejected", bug)
        self.finish(call, answer if answer is not None else Answer(missing=_not_answered(error)), error)

    def _rejected_answer(self, call: ActiveCall) -> Answer | None:
        """Read a successful response that the SDK could not parse, for example because its output limit cut it off."""
        response = call.attempt() if call.attempt is not None and call.reader is None else None
        if response is None or not response.is_closed or not response.is_success:
            return None
        try:
            body = parsed(response.content)
        except Exception as error:  # a stream that was never read, or that broke
            reraise_foreign(error)
            return None
        answer = _read_body(call, body)
        return answer if answer.usage is not None else None

    # --- 6 cost, 7 settlement and close ---

    def finish(self, call: ActiveCall, answer: Answer, error: BaseException | None = None) -> None:
        """Price the answer, settle the budgets, charge the telemetry and end the span. Runs once a call."""
        ending = Ending(answer, error)
        try:
            if not call.ends_with(ending):
                return
            if (gate := self._gates.gate) is not None and (call.unadmitted or call.asks_the_ledger(answer)):
                gate.guard.run_without_blocking(partial(self._end, call, ending))
            else:
                self._end(call, ending)
        except BaseException:  # of others: it may arrive anywhere in here
            if call.ending is ending:
                complete(partial(self._end, call, ending))
            raise

    def _end(self, call: ActiveCall, ending: Ending) -> None:
        """Do what is left to do for a call that has ended: an exception of others may have interrupted this before."""
        try:
            if call.unadmitted is not None:
                self.admit_unasked(call)
            if not ending.charged:
                ending.attributes = self._charge(call, ending) if call.sent else _not_sent(ending.error)
                ending.charged = True
        except Exception as bug:
            report("settling a call", bug)
            ending.attributes = {semconv.UNPRICED: f"otel-agentcost failed to price it ({type(bug).__name__})"}
            ending.charged = True
        if call.admission is not None:
            call.admission.end(made=call.sent)
        if call.passage is not None:
            call.passage.ended(answered=ending.answer.usage is not None)
        if call.content is not None:
            call.content.ended(ending.attributes)
        try:
            call.record.close(ending.attributes, ending.error)
        except Exception as bug:
            report("ending a span", bug)
        call.over(ending)

    def _charge(self, call: ActiveCall, ending: Ending) -> dict[str, AttributeValue]:
        """Price and charge a call that was made. Returns its span's attributes."""
        request, record, error = call.request, call.record, ending.error
        answer = _completed(call, ending.answer)
        if call.is_cached:
            return self._charge_cached(call, ending, answer)
        if call.begun is not None:
            return self._charge_begun(call, call.begun, answer, error)
        cost = pricing.cost_of(self._book, request, answer, at=call.at, failed=error is not None)
        tokens = answer.tokens()
        upstream = call.passage is not None and call.passage.charged_upstream
        self._settle_budgets(call, ending, answer, cost, upstream=upstream)
        if call.asks_the_ledger(answer):
            upstream, cost = _charged_where(call, answer, cost)
        if upstream:
            labels = self._labels(call, request.call.model, answer.model)
            cost = self._recorder.left_to_upstream(record, labels, tokens, cost)
        failure = spans.error_type(error) if error is not None else None
        attributes = spans.answer_attributes(answer, tokens, cost) if record.span.is_recording() else {}
        if record.first_chunk is not None:
            attributes[semconv.TIME_TO_FIRST_CHUNK] = record.first_chunk
        if failure is not None:
            attributes |= _failed(record, failure, cost)
        if upstream:
            return {**attributes, semconv.CHARGED_UPSTREAM: True, semconv.WATCHED: True}
        if ending.recorded:  # telemetry rather misses a part of a call than counts it twice
            return attributes
        labels = self._labels(call, request.call.model, answer.model)
        counted = tokens if answer.usage is not None else None
        seconds = time.perf_counter() - record.started
        ending.recorded = True
        self._recorder.charge_model_call(
            record, labels, counted, cost, failure, seconds=seconds, call=request.call, answer=answer
        )
        self._learn(call, labels, answer, cost)
        return attributes

    def _charge_begun(
        self, call: ActiveCall, begun: Unfinished, answer: Answer, error: BaseException | None
    ) -> dict[str, AttributeValue]:
        """Charge what an answer has cost that an earlier call has begun. Returns the span's attributes."""
        answer = self._unfinished.since(begun, answer)
        cost = pricing.cost_of(self._book, call.request, answer, at=call.at, failed=error is not None)
        labels = self._labels(call, call.request.call.model, answer.model)
        return self._unfinished.charge(begun, call.record, labels, answer, cost, error)

    def _charge_cached(self, call: ActiveCall, ending: Ending, answer: Answer) -> dict[str, AttributeValue]:
        """Count what a cached answer has saved, at the prices of now. Returns the span's attributes."""
        cost = pricing.cost_of(self._book, call.request, answer._replace(reported=()), at=call.at, failed=False)
        attributes = attributes_of(call, answer, answer.tokens(), cost)
        if ending.error is not None:
            attributes[semconv.ERROR_TYPE] = spans.error_type(ending.error)
        if call.record.first_chunk is not None:
            attributes[semconv.TIME_TO_FIRST_CHUNK] = call.record.first_chunk
        if cost.usd is not None and not ending.recorded:
            ending.recorded = True
            labels = self._labels(call, call.request.call.model, answer.model)
            self._recorder.saved_by_cached_answer(cost.usd, labels)
        return attributes

    def _learn(self, call: ActiveCall, labels: ModelLabels, answer: Answer, cost: Cost) -> None:
        """Pass on how a call has ended to what decides about later ones."""
        if self._loops is not None:
            self._loops.settled(call.record, cost)
        if self.changes is not None:
            self.changes.settled(call, answer, cost)
        self._watch_cache(call, labels, answer, cost)

    def _watch_cache(self, call: ActiveCall, labels: ModelLabels, answer: Answer, cost: Cost) -> None:
        """Find out whether the provider has read from its cache what it could have read."""
        caches = self._prompt_caches
        if caches is None or answer.usage is None or answer.usage.tokens().input < caches.least:
            return
        broken = caches.answered(call.request, call.record, labels, answer, cost, call.at)
        if broken and (gate := self._gates.gate) is not None:
            gate.cache_broken(call.record, call.at)

    def _settle_budgets(self, call: ActiveCall, ending: Ending, answer: Answer, cost: Cost, *, upstream: bool) -> None:
        """Settle the reservation first, so that a later error does not lose the cost."""
        if (
            self._batches is not None
            and call.request.format.batches is not None
            and ending.error is None
            and self._batches.created(call, answer)
        ):
            return
        if answer.goes_on and not upstream:
            self._unfinished.add(call.request, call.record, call.admission, call.at, answer)
        elif call.admission is not None:
            saved = call.admission.settle(call.record, call.request.call.model, answer, cost)
            if saved is not None and not ending.recorded:
                self._recorder.saved_by_downgrade(saved.usd, self._labels(call, saved.requested, saved.served))

    def _labels(self, call: ActiveCall, requested: str | None, served: str | None) -> ModelLabels:
        request = call.request
        return self._recorder.model_labels(request.call.operation, request.endpoint.provider, requested, served)


def _charged_where(call: ActiveCall, answer: Answer, cost: Cost) -> tuple[bool, Cost]:
    """Return whether the service upstream charges the call, and otherwise its cost, by the ledger of both."""
    passage, admission = call.passage, call.admission
    if passage is None or admission is None:
        return False, cost
    if passage.proved and passage.mark is not None:
        return admission.left_upstream(call.record, passage.mark, answer, cost), cost
    made = admission.made_for(call.record) if cost.usd is None else None
    return passage.charged_upstream, made or cost


def _read_body(call: ActiveCall, body: Any) -> Answer:
    """Return the answer in a whole response, without counts that contradict it."""
    request, form = call.request.call, call.request.format
    # mypy bars the cast
    chunks: list[Any] = body if isinstance(body, list) else []  # pyright: ignore[reportUnknownVariableType]
    # Gemini, if not asked for server-sent events
    if request.stream and chunks and all(isinstance(chunk, dict) for chunk in chunks):
        reader = form.open_stream(request)
        for chunk in chunks:
            reader.feed(chunk)
        answer = reader.answer(complete=True)
        return checked(request, form, answer, lambda: reader.so_far().texts, call.headers)
    return checked(request, form, form.read_response(request, body), lambda: texts_of(form, body), call.headers)


def _completed(call: ActiveCall, answer: Answer) -> Answer:
    """Return `answer` with what its headers say of money and terms, within the output limit, with earlier attempts."""
    if call.reported:
        answer = answer._replace(reported=(*answer.reported, *call.reported))
    if call.terms:
        answer = answer._replace(terms=(*answer.terms, *call.terms))
    answer = pricing.within_limit(answer, call.request.call)
    if answer.usage is not None and "cache_write_tokens" in answer.usage.counts:  # seldom: most say how long
        answer = with_lifetime(answer, call.request.call)
    if call.earlier:
        answer = pricing.with_attempts(answer, call.earlier, call.request)
    return answer


def _failed(record: Record, failure: str, cost: Cost) -> dict[str, AttributeValue]:
    """Return the attributes of a failed call. The span of another instrumentation does not show that it was counted."""
    shown = not record.adopted or cost.usd is not None or cost.unpriced is not None
    return {semconv.ERROR_TYPE: failure, **({} if shown else {semconv.CALLS: 1})}


def _not_sent(error: BaseException | None) -> dict[str, AttributeValue]:
    """Return the attributes of a call that was refused before it was sent."""
    return {} if error is None else {semconv.ERROR_TYPE: spans.error_type(error), semconv.CALLS: 0}


def _not_answered(error: BaseException) -> str | None:
    """Return why the cost of a failed call is unknown; None if the provider rejected it, which costs nothing."""
    if not foreign(error) and is_rejection(error):
        return None
    return f"no answer came ({type(error).__name__}): whether the provider bills it is not known"
