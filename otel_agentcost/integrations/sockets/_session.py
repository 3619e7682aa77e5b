"""A session over a socket, whose turns are model calls: what the protocols share.

The application asks for a turn by an event (`leads`), which goes through the pipeline like any call: its span, its
admission, then the event is sent. The answer arrives as events of the server (`received`). Turns that the server begins
by itself are begun here, in the context of the code that opened the connection.
"""

# Events are JSON, whose parts have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import Any, Final

from otel_agentcost.calls.call import CURRENT, ActiveCall
from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import Awaited, EventIterator, Reply
from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, Endpoint, HttpStatus
from otel_agentcost.diagnostics import report
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.guard.executor import run_in_thread
from otel_agentcost.wire import AnswerReader, CannotRewrite, Change, SoFar
from otel_agentcost.wire.fields import get, parsed
from otel_agentcost.wire.fields import text as text_in
from otel_agentcost.wire.format import ModelRequest
from otel_agentcost.wire.session_context import SOUND

Message = str | bytes
Action = Callable[[Any, Message], bool]
"""Reads an event of one kind for a session. Returns True if the application must not see it."""
_MOST_KEPT: Final = 50_000
"""Events of one turn that are kept until they are needed."""


def kind_of(message: Message) -> str:
    """Return the first `type` in an event, as text: bytes and text must not be compared. Empty without one.

    Events begin with their type, and those with sound are long: nothing else of them is looked at.
    """
    if isinstance(message, bytes):
        at = message.find(b'"type"')
        start = message.find(b'"', at + 6) + 1
        return message[start : message.find(b'"', start)].decode("latin-1") if at >= 0 and start else ""
    at = message.find('"type"')
    start = message.find('"', at + 6) + 1
    return message[start : message.find('"', start)] if at >= 0 and start else ""


def head_of(message: Message, characters: int) -> str:
    """Return the beginning of an event as text: it is ASCII there."""
    return message[:characters] if isinstance(message, str) else message[:characters].decode("ascii", "replace")


def is_closed(error: BaseException) -> bool:
    """Return True if an exception of the client says that the connection is closed."""
    return "ConnectionClosed" in type(error).__name__ or isinstance(error, ConnectionResetError)


def is_whole(kind: str) -> bool:
    """Return True if `kind` is the type of an event, and not that of an object in it: those have no dots."""
    return "." in kind


class Deferred:
    """Keeps the events of a turn unparsed: the last one has the usage, and the others are needed without it only."""

    lazy = True
    """`so_far` takes long: it is called only if a count is in doubt (`calls.pipeline`)."""

    __slots__ = ("_kept", "_reader", "per_token", "sound")

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader
        self._kept: list[Message] = []
        self.sound = 0
        """Characters of sound in base64 that have arrived."""
        self.per_token = 1
        """Characters of a token of sound."""

    @property
    def whole(self) -> Any:
        """The whole answer, once it has arrived."""
        return getattr(self._reader, "whole", None)

    def feed(self, event: Any) -> None:
        """Read a parsed event, or keep an unparsed one."""
        if isinstance(event, dict):
            self._reader.feed(event)
        elif len(self._kept) < _MOST_KEPT:
            self._kept.append(event)

    def so_far(self) -> SoFar:
        """Return the output up to now."""
        self._read()
        return self._reader.so_far()

    def answer(self, *, complete: bool) -> Answer:
        """Return the answer that the events up to now amount to."""
        self._reader.feed(self.heard())
        if get(self.whole, "usage") is None:
            self._read()
        return self._reader.answer(complete=complete)

    def heard(self) -> dict[str, int]:
        """Return the event that stands for the sound that has arrived since the last time."""
        tokens, self.sound = divmod(self.sound, self.per_token)
        return {SOUND: tokens}

    def _read(self) -> None:
        kept, self._kept = self._kept, []
        for message in kept:
            event = parsed_event(message)
            if event is not None:
                self._reader.feed(event)


DEFERRED: Final = EventIterator(None, Deferred)


def parsed_event(message: Message) -> dict[str, Any] | None:
    """Return the JSON object of an event; None if it is none."""
    event = parsed(message)
    return event if isinstance(event, dict) else None


class Turn:
    """One turn in flight."""

    __slots__ = ("call", "eager", "event_id", "fed", "refused")

    def __init__(self, call: ActiveCall, *, fed: bool = False, event_id: str | None = None) -> None:
        """Create the turn.

        Args:
            call: Its call.
            fed: True if it was asked for by input alone, to which the server need not answer.
            event_id: The id of the event that asked for it, if it has one.
        """
        self.call = call
        self.fed = fed
        self.event_id = event_id
        self.refused = False
        """True if the budgets refuse it, although the server has begun it."""
        self.eager = False
        """True if a budget or a transcript looks at each event as it arrives."""
        self.look()

    def look(self) -> None:
        """Find out whether something looks at each event."""
        call = self.call
        self.eager = call.reader is not None and call.feed != call.reader.feed


class Session(ABC):
    """One connection. It is the seam of its calls, too (`calls.seam.Seam`)."""

    def __init__(self, pipeline: Pipeline, target: Endpoint, query: Mapping[str, str]) -> None:
        """Begin a session.

        Args:
            pipeline: Takes its calls.
            target: The address.
            query: The parameters of the address.
        """
        self.pipeline = pipeline
        self.endpoint = target
        self.query = query
        self.waiting: deque[Turn] = deque()
        """Turns that were asked for and have not begun, oldest first."""
        self.outbox: deque[str] = deque()
        """Events that the session has to send: those that cancel what a budget refuses."""
        self.asynchronous = False
        """True if its client awaits what must not block the event loop (`leads_async`, `admit`)."""
        self.unadmitted: deque[tuple[Turn, bool]] = deque()
        """Turns that the server has begun and about which the budgets are not asked yet, and whether they are cancelled
        if refused."""
        self.kept: deque[Any] = deque()
        """Messages that have been read and that the application has not got yet."""
        self.asking: ModelRequest | None = None
        """What the budgets have to be asked about before input is sent, where the ledger would block the event loop."""
        self._opener = copy_context()
        self._fed = False
        self._feeding = False

    # --- what the application sends ---

    def leads(self, message: Any) -> bool:
        """Return True if `message` asks the model for a turn, so that it has to go through the pipeline."""
        try:
            return isinstance(message, (str, bytes)) and self.notes(message)
        except Exception as error:  # an event of another version: it is sent all the same
            report("reading what is sent over a socket", error)
            return False

    @abstractmethod
    def notes(self, message: Message) -> bool:
        """Note what the application sends. Returns True if it asks for a turn."""

    def leads_by_input(self, request: ModelRequest | None) -> bool:
        """Return True if the budgets may refuse the turn that the server begins for input, so that it leads to one."""
        if request is not None and self.asynchronous and self.pipeline.blocks_here():
            self.asking = request
            return False
        return self.fed(fits=request is None or self.pipeline.fits(request))

    def fed(self, *, fits: bool) -> bool:
        """Note whether the budgets admit the turn for the input that is about to be sent. Returns True if not."""
        self._fed, self._feeding = self._fed or fits, self._feeding or not fits
        return not fits

    async def leads_async(self, message: Any) -> bool:
        """Do the same as `leads`, without blocking the event loop."""
        leads = self.leads(message)
        if (request := self.asking) is None:
            return leads
        self.asking = None
        return self.fed(fits=await run_in_thread(partial(self.pipeline.fits, request), _nothing))

    @abstractmethod
    def request(self, event: Any) -> ModelRequest | None:
        """Return the request of a turn; None if there is none.

        Args:
            event: What asks for it, or the server's event that begins it.
        """

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        """Return the request that an event makes."""
        del instance, kwargs
        event = args[0]
        return self.request(parsed_event(event) if isinstance(event, (str, bytes)) else event)

    def rewrite(
        self,
        request: ModelRequest,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        model: str | None,
        max_output_tokens: int | None,
    ) -> tuple[ModelRequest, tuple[Any, ...], dict[str, Any]]:
        """Return the same event for another model, or with a lower output limit."""
        if self._feeding:
            raise CannotRewrite("it is input, which has neither a model nor a limit")
        target = request.endpoint
        change = Change(model=model, max_output_tokens=max_output_tokens, provider=target.provider, known=target.known)
        body, path = request.format.rewrite(request.call, "", change)
        text = json.dumps(self.event_in(body))
        sent = text.encode() if isinstance(args[0], bytes) else text
        return replace(request, call=request.format.read_request(body, path)), (sent, *args[1:]), kwargs

    def event_in(self, body: dict[str, Any]) -> Any:
        """Return the event to send, from the body of its request."""
        return body

    def unwrap(self, result: Any) -> Reply:
        """Return that the answer arrives later."""
        del result
        return AWAITED

    def asked(self) -> ActiveCall | None:
        """Begin the turn whose event is about to be sent. Returns None if it is not measured."""
        call = CURRENT.get()
        if call is None or not call.is_of(self):
            return None
        try:
            self.pipeline.open_stream(call, DEFERRED)
            fed, self._feeding = self._feeding, False
            event_id = text_in(get(call.request.call.body, "event"), "event_id")
            self.waiting.append(Turn(call, fed=fed, event_id=event_id))
        except Exception as bug:  # the event is sent all the same
            report("waiting for an answer over a socket", bug)
        return call

    def not_sent(self, call: ActiveCall | None, error: BaseException) -> None:
        """End the turn of an event that could not be sent. A closed connection takes none, and nothing is billed."""
        turn = next((turn for turn in tuple(self.waiting) if turn.call is call), None)
        if turn is None or not self.forget(turn):
            return
        if is_closed(error):
            self.pipeline.finish(turn.call, Answer(), error)

    def forget(self, turn: Turn) -> bool:
        """Take a turn out of those that wait. Returns False if another thread has done so."""
        try:
            self.waiting.remove(turn)
        except ValueError:
            return False
        return True

    # --- what the server sends ---

    def received(self, message: Any) -> bool:
        """Read what the server sends. Returns True if the application must not see it: it did not ask for it."""
        try:
            return isinstance(message, (str, bytes)) and self.reads(message)
        except Exception as error:  # an event of another version: the application gets it all the same
            report("reading what arrives over a socket", error)
            return False

    @abstractmethod
    def reads(self, message: Message) -> bool:
        """Read what the server sends. Returns True if the application must not see it."""

    def begun_by_server(self, event: Any, *, cancels: bool = True) -> tuple[Turn, BudgetExceeded | None] | None:
        """Begin a turn that nothing has asked for, under the attribution of the code that opened the connection.

        Where the ledger would block the event loop, the budgets are asked afterwards (`admit`).

        Args:
            event: The event that says that it has begun.
            cancels: True if a turn that the budgets refuse can be cancelled.

        Returns:
            The turn, and the error if a budget refuses it. None if nothing is measured.
        """
        call = self._opener.copy().run(self.pipeline.unasked, self, self, event)
        if call is None:
            return None
        if call.unadmitted is not None and self.asynchronous and self.pipeline.blocks_here():
            self.pipeline.open_stream(call, DEFERRED)
            turn = Turn(call)
            self.unadmitted.append((turn, cancels))
            return turn, None
        refused = self._opener.copy().run(self.pipeline.admit_unasked, call)
        self.pipeline.open_stream(call, DEFERRED)
        return Turn(call), refused

    async def admit(self) -> None:
        """Ask the budgets about the turns that the server has begun. One that ends meanwhile asks by itself."""
        while self.unadmitted:
            turn, cancels = self.unadmitted[0]
            if not turn.call.settled:
                await run_in_thread(partial(self._ask, turn), _nothing)
            if not turn.call.settled:
                self.pipeline.meter(turn.call)
                turn.look()
                if turn.refused and cancels:
                    self.cancel(turn)
            if self.unadmitted and self.unadmitted[0][0] is turn:  # else another reader of the socket has done it
                self.unadmitted.popleft()

    def _ask(self, turn: Turn) -> None:
        turn.refused = self.pipeline.admit_unasked(turn.call) is not None or turn.refused

    def seen_begun(self, event: Any) -> Turn | None:
        """Begin such a turn where a refusal changes nothing: it is over, or the protocol cannot cancel it."""
        found = self.begun_by_server(event, cancels=False)
        return found[0] if found is not None else None

    def next_waiting(self) -> Turn | None:
        """Return the oldest turn that was asked for and has not begun, and forget it."""
        return next((turn for turn in tuple(self.waiting) if self.forget(turn) and not turn.call.settled), None)

    def feed(self, turn: Turn, message: Message) -> None:
        """Pass an event of a turn to its reader. A turn that exceeds its budget is cancelled, not the reading."""
        call = turn.call
        call.first_chunk()
        event: Any = parsed_event(message) if turn.eager else message
        self.feed_parsed(turn, event)

    def hear(self, turn: Turn, characters: int, per_token: int) -> None:
        """Measure sound of a turn, in characters of base64."""
        turn.call.first_chunk()
        kept = turn.call.reader
        if isinstance(kept, Deferred):
            kept.sound += characters
            kept.per_token = per_token
            if turn.eager:
                self.feed_parsed(turn, kept.heard())

    def feed_parsed(self, turn: Turn, event: Any) -> None:
        """Do the same with a parsed event."""
        try:
            turn.call.feed(event)
        except BudgetExceeded:  # its span says so
            turn.eager = False
            if turn.call.reader is not None:
                turn.call.feed = turn.call.reader.feed
            self.cancel(turn)

    @abstractmethod
    def cancel(self, turn: Turn) -> None:
        """Let the server stop a turn, if the protocol has a way to do so."""

    def rejected(self, turn: Turn, status: int) -> None:
        """End a turn that the provider has rejected, which costs nothing."""
        self.pipeline.finish(turn.call, Answer(), HttpStatus(status))

    def belongs_to(self, turn: Turn, conversation: str | None) -> None:
        """Name the conversation of a turn, unless the application has named one."""
        record = turn.call.record
        if conversation and semconv.CONVERSATION not in record.attribution:
            record.span.set_attribute(semconv.CONVERSATION, conversation)

    # --- the end ---

    def failed(self, error: BaseException) -> None:
        """End the session if `error` says that its connection is closed. A time limit or cancellation ends nothing."""
        if is_closed(error):
            self.closed(error)

    def closed(self, error: BaseException | None) -> None:
        """End what is in flight, by what has been reported, or by an estimate."""
        try:
            for turn in (*self.in_flight(), *self.waiting):
                call = turn.call
                if turn.fed and call.record.first_chunk is None:  # input to which no answer came: no call was made
                    call.sent = False
                    self.pipeline.finish(call, Answer())
                else:
                    failure = error if call.record.first_chunk is not None and _is_failure(error) else None
                    call.end(failure, complete=False)
            self.waiting.clear()
        except Exception as bug:  # the connection is closed all the same
            report("ending a session", bug)

    @abstractmethod
    def in_flight(self) -> tuple[Turn, ...]:
        """Return the turns that have begun and have not ended, and forget them."""


def _nothing() -> None:
    """Undo nothing."""


def _is_failure(error: BaseException | None) -> bool:
    return error is not None and "ConnectionClosedOK" not in type(error).__name__


AWAITED: Final = Awaited()
