"""Answers that go on, in a ledger that processes share: whichever process reads the end of one charges it, once.

The process that makes the call leaves a note in the ledger: whose the call is, and what budgets have counted of it. The
process that reads the finished answer takes the note, which only one can, and charges the answer to those who asked for
it. A process that ends in between loses the dollars of its telemetry, and budgets keep the worst case: nothing is
charged twice. Reading never fails for it.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_agentcost.calls import pricing
from otel_agentcost.calls.admission import Gate
from otel_agentcost.calls.batch_settlement import Books
from otel_agentcost.calls.begun import Begun, turn_of
from otel_agentcost.calls.session_usage import UNKNOWN_START, is_overtaken, used_since
from otel_agentcost.core import semconv
from otel_agentcost.core.answer_note import AnswerNote, OtherVersionError, Turn
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.cost import FREE, Cost
from otel_agentcost.core.notes import NOTE_DAYS, keeps_notes
from otel_agentcost.core.usage import Usage
from otel_agentcost.diagnostics import complete, warn_once
from otel_agentcost.guard import Ticket
from otel_agentcost.guard.ledger import LedgerError
from otel_agentcost.guard.resilient_ledger import Paused
from otel_agentcost.guard.types import Counted, Level
from otel_agentcost.telemetry import blocks, rollup
from otel_agentcost.telemetry.recorder import Account, SpanAccount
from otel_agentcost.telemetry.rollup import InFlight
from otel_agentcost.telemetry.run_context import Run
from otel_agentcost.telemetry.spans import Record, answer_attributes, settled_later
from otel_agentcost.wire import Format
from otel_agentcost.wire.format import ModelRequest

LIVE_AT_MOST = 1_000
"""Calls of this process whose runs and totals are remembered, so that they get the dollars too."""

UNREAD_AT_MOST = 100
"""Answers that were read while the ledger did not answer, and are kept in memory until it does."""

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 30.0
"""Seconds until the ledger is asked again: after the first failure, and after many in a row."""

CHARGED_DAYS = 1
"""Days for which the ledger knows that an answer is charged, for a process that could not tell if its note was kept."""

_UNREADABLE = (
    "otel-agentcost: the ledger has a note of an answer in the background that this version cannot read ({error}). "
    "Its answer is not charged here, and budgets keep its worst case: let all processes that share a ledger use the "
    "same version."
)

_TRIES = 20
"""How often a note is read again that another process has replaced meanwhile."""


class SharedAnswers:
    """Leaves and takes the notes of one `instrument()`. Thread-safe."""

    def __init__(self, books: Books) -> None:
        """Create the object. `books` has the ledger, and charges what is taken."""
        self._books = books
        self._live: OrderedDict[str, tuple[int, Record]] = OrderedDict()
        """The process and the span of calls, by their id."""
        self._own: OrderedDict[str, tuple[int, _Own]] = OrderedDict()
        """The process and the turns for which the ledger has not confirmed a note, by the key of their answer."""
        self._unread: OrderedDict[str, tuple[int, Callable[[], None]]] = OrderedDict()
        """The process and the settlement of answers that were read while the ledger did not answer, by their key."""
        self._pause = FIRST_PAUSE
        self._timer: tuple[int, threading.Timer] | None = None

    @classmethod
    def of(cls, books: Books | None) -> SharedAnswers | None:
        """Return the object for a ledger that processes share and that keeps notes; None for any other one."""
        return cls(books) if books is not None and books.ledger.shared and keeps_notes(books.ledger) else None

    # --- a call begins an answer, or a session is created ---

    def begun(self, key: str, begun: Begun, answer: Answer) -> None:
        """Count the worst case of a call, and leave its note.

        Args:
            key: Identifies the answer, or the session.
            begun: The call.
            answer: What has arrived of the answer.
        """
        counted = begun.admission.unfinished(begun.record) if begun.admission is not None else None
        turn = turn_of(begun)
        _put(self._live, turn.call_id, begun.record)
        self._books.run(partial(self._leave, key, turn, answer, counted))

    def _leave(self, key: str, turn: Turn, answer: Answer, counted: Callable[[], None] | None) -> None:
        if counted is not None:
            counted()  # before another process can correct it
        own = self._mine(key) or _Own(answer.total)
        own.turns = (*own.turns, turn)
        _put(self._own, key, own)
        self._keep(key, own, None)  # seldom there is a note: that of a session
        self._caught_up()

    def _keep(self, key: str, own: _Own, before: str | None) -> None:
        """Leave the note of turns of this process, where there may be one (`before`). Raises `LedgerError`."""
        try:
            for _ in range(_TRIES):
                note = self._read(before) or AnswerNote(total=own.total)
                if self._swap(key, before, note.with_turns(own.turns)):
                    self._own.pop(key, None)
                    return
                before = self._find(key)
        except LedgerError as error:
            own.unsure |= not isinstance(error, Paused)
            self._try_later()
            raise

    def _mine(self, key: str) -> _Own | None:
        process, own = self._own.get(key, (0, None))
        return own if process == os.getpid() else None

    # --- the ledger did not answer ---

    def _catch_up(self) -> None:
        """Leave the notes, and settle the readings, that the ledger has not answered. Raises `LedgerError`."""
        for key in tuple(self._own):
            if (own := self._mine(key)) is None:
                self._own.pop(key, None)  # of the process that this one was forked from
            elif key not in self._unread:
                self._keep(key, own, self._find(key))  # the ledger first gets what it has to count
        for key in tuple(self._unread):
            process, settle = self._unread.pop(key)
            if process == os.getpid():
                settle()
        self._pause = FIRST_PAUSE

    def _try_later(self) -> None:
        """Let a thread ask the ledger again after a pause."""
        if self._timer is not None and self._timer[0] == os.getpid():
            return
        timer = threading.Timer(self._pause, self._again)
        timer.daemon = True
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._timer = os.getpid(), timer
        with suppress(RuntimeError):  # the process exits
            timer.start()

    def _again(self) -> None:
        self._timer = None
        self._books.run(self._caught_up)

    def _caught_up(self) -> None:
        try:
            if self._own or self._unread:
                self._catch_up()
        except LedgerError:
            self._try_later()
            raise

    def close(self) -> None:
        """Ask the ledger a last time for what it has not answered."""
        if self._own or self._unread:
            self._books.run(self._catch_up)
        if self._timer is not None:
            self._timer[1].cancel()
            self._timer = None
        self._own.clear()
        self._unread.clear()

    # --- an answer, or a session, is read ---

    def read(self, key: str, form: Format, answer_to: Callable[[Call], Answer], answer: Answer) -> None:
        """Charge an answer that the application has read, if it is finished and no process has charged it.

        Args:
            key: Identifies the answer, or the session.
            form: The wire format that has read it.
            answer_to: Reads it again, as the answer to a call.
            answer: The answer.
        """
        if answer.goes_on and answer.total is None:
            return
        here = copy_context()  # the span that is current here is the parent of the settlement
        action = partial(self._settle, key, form, answer_to, answer)
        settle: Callable[[], None] = partial(here.run, action)
        tally = rollup.tally_of(trace.get_current_span(blocks.here()))
        if tally is None:
            self._books.run(settle)
            return
        in_flight = InFlight(tally)  # a thread may settle it: the span around must not end without it
        try:
            in_flight.begin()
            self._books.run(partial(_ending, in_flight, settle))
        except BaseException:  # of others: totals must not wait for ever
            complete(in_flight.end)
            raise

    def _settle(self, key: str, form: Format, answer_to: Callable[[Call], Answer], answer: Answer) -> None:
        try:
            for _ in range(_TRIES):
                written = self._find(key)
                if answer.total is not None and (own := self._mine(key)) is not None:
                    self._keep(key, own, written)  # else the total would go on without it
                    written = self._find(key)
                note = self._read(written)
                if answer.total is not None:
                    settled = self._settle_session(key, written, note, form, answer)
                elif note is None or written is None or not note.turns:
                    settled = self._settle_own(key, written, note, form, answer_to)
                else:
                    settled = self._settle_answer(key, written, note, form, answer_to)
                if settled:
                    break
        except LedgerError:
            if not self._settle_unkept(key, form, answer_to, answer):
                settle = partial(self._settle, key, form, answer_to, answer)
                again: Callable[[], None] = partial(copy_context().run, settle)
                _put(self._unread, key, again, UNREAD_AT_MOST)
                self._try_later()
            raise
        self._unread.pop(key, None)
        self._caught_up()

    def _settle_unkept(self, key: str, form: Format, answer_to: Callable[[Call], Answer], answer: Answer) -> bool:
        """Charge an answer while the ledger does not answer, if it never got the note: no other process can, then."""
        own = self._mine(key)
        if own is None or own.unsure or answer.total is not None:
            return False
        return self._charge_own(key, own, form, answer_to, lambda: True)

    def _settle_own(
        self, key: str, written: str | None, note: AnswerNote | None, form: Format, answer_to: Callable[[Call], Answer]
    ) -> bool:
        """Charge an answer of this process whose note the ledger does not have. Returns False if it has one now."""
        own = self._mine(key)
        if own is None:
            if written is not None and note is None:
                self._forget_broken(key, written)
            return True
        if note is not None and own.turns[-1].call_id in note.charged:
            del self._own[key]  # the note was kept, and another process has taken it
            return True
        after = (note or AnswerNote()).after(own.turns, None)

        def take() -> bool:
            with suppress(LedgerError):  # it said a moment ago that no note is kept
                return self._swap(key, written, after)
            return True

        return self._charge_own(key, own, form, answer_to, take)

    def _forget_broken(self, key: str, written: str) -> None:
        """Delete a note that no version can read."""
        try:
            AnswerNote.read(written)
        except OtherVersionError:
            return
        except ValueError:
            self._swap(key, written, None)

    def _charge_own(
        self, key: str, own: _Own, form: Format, answer_to: Callable[[Call], Answer], take: Callable[[], bool]
    ) -> bool:
        turn = own.turns[-1]
        answer = answer_to(turn.call)
        cost = self._cost_of(turn, form, answer)
        if not _is_finished(answer, cost):
            return True
        if not take():
            return False
        self._own.pop(key, None)
        self._charge(turn, own.turns[:-1], answer, cost)
        return True

    def _settle_answer(
        self, key: str, written: str, note: AnswerNote, form: Format, answer_to: Callable[[Call], Answer]
    ) -> bool:
        """Take the note of a finished answer and charge it. Returns False if the note is another one meanwhile."""
        turn = note.turns[-1]
        answer = answer_to(turn.call)
        cost = self._cost_of(turn, form, answer)
        if not _is_finished(answer, cost):
            return True  # a later reading may have its usage
        if not self._swap(key, written, note.after(note.turns, None)):
            return False
        self._own.pop(key, None)
        self._charge(turn, note.turns[:-1], answer, cost)
        return True

    def _settle_session(
        self, key: str, written: str | None, note: AnswerNote | None, form: Format, answer: Answer
    ) -> bool:
        """Charge what a session has used since it was last charged. Returns False if another process was faster."""
        total, known = answer.total, note.total if note is not None else None
        if total is None or (known is not None and (known == total or is_overtaken(total, known))):
            return True
        turns = note.turns if note is not None else ()
        if answer.goes_on and note is not None:  # it runs, or it has not begun to
            return True
        if not self._swap(key, written, (note or AnswerNote()).after(turns, total)):
            return False
        if turns:
            fresh = answer._replace(usage=None, missing=UNKNOWN_START) if known is None else used_since(answer, known)
            self._charge(turns[-1], turns[:-1], fresh, self._cost_of(turns[-1], form, fresh))
        return True

    def _cost_of(self, turn: Turn, form: Format, answer: Answer) -> Cost:
        request = ModelRequest(call=turn.call, endpoint=turn.target, format=form)
        return pricing.cost_of(self._books.book, request, answer, at=turn.at, failed=False)

    def _charge(self, turn: Turn, others: Sequence[Turn], answer: Answer, cost: Cost) -> None:
        """Charge an answer to those who asked for it, with a span that has a link to that of its call.

        Args:
            turn: The call.
            others: Earlier turns of the same session, which the answer's usage has too.
            answer: The answer.
            cost: Its cost.
        """
        books, tokens = self._books, answer.tokens()
        account = books.spans.settling(turn.call, turn.attributes, turn.attribution, turn.span)
        finished = answer.usage is not None or cost.usd is not None
        try:
            if finished:
                self._correct(account, turn, others, answer, cost)
                labels = books.recorder.model_labels(turn.operation, turn.provider, turn.model, answer.model)
                counted = tokens if answer.usage is not None else None
                books.recorder.charge_finished_answer(self._account_of(turn, account), account, labels, counted, cost)
        finally:
            later = settled_later(resolves=cost.unpriced is None) if finished else {semconv.DUPLICATE: True}
            account.close({**later, **answer_attributes(answer, tokens, cost)}, None)

    def _correct(self, account: Record, turn: Turn, others: Sequence[Turn], answer: Answer, cost: Cost) -> None:
        """Replace the worst cases that budgets have counted."""
        gate, tokens = self._books.gates.gate, answer.tokens()
        if gate is None:
            return
        for level in _corrected(gate, turn, cost, tokens.input + tokens.output):
            gate.reports.level(account.span, *level)
        for other in others:
            _corrected(gate, other, FREE, 0)

    def _account_of(self, turn: Turn, account: Record) -> Account:
        """Return the account of the call: its own, if this process has made it."""
        process, live = self._live.pop(turn.call_id, (0, None))
        if live is not None and process == os.getpid():
            return live
        here = {run.value: run for run in account.runs}
        runs = tuple(here.get(value) or Run("", value, None, _unknown) for value in turn.runs)
        span = NonRecordingSpan(SpanContext(*turn.span, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
        return SpanAccount(turn.attribution, account.context, runs, None, span)

    # --- the ledger ---

    def _read(self, written: str | None) -> AnswerNote | None:
        """Return the note that was found; None if there is none, or one that cannot be read."""
        try:
            return AnswerNote.read(written) if written is not None else None
        except ValueError as error:
            warn_once("answers: note", _UNREADABLE.format(error=f"{error!s:.100}"))
            return None

    def _find(self, key: str) -> str | None:
        now = self._books.clock()
        return self._books.ask_notes(lambda ledger: ledger.find_note(key, now=now))

    def _swap(self, key: str, before: str | None, after: AnswerNote | None) -> bool:
        now, text = self._books.clock(), after.written() if after is not None else None
        over = after is not None and not after.turns and after.total is None
        until = now + (CHARGED_DAYS if over else NOTE_DAYS) * 86_400.0
        return self._books.ask_notes(lambda ledger: ledger.swap_note(key, before, text, now=now, until=until))


def _ending(in_flight: InFlight, action: Callable[[], object]) -> None:
    try:
        action()
    finally:
        in_flight.end()


@dataclass(slots=True)
class _Own:
    """Turns of one answer or session that this process has begun, and whose note is not confirmed."""

    total: Usage | None
    """What the session had used when the first of them was begun."""
    turns: tuple[Turn, ...] = ()
    unsure: bool = False
    """True if the ledger may have got the note: only its answer was lost."""


_V = TypeVar("_V")


def _put(kept: OrderedDict[str, tuple[int, _V]], key: str, value: _V, most: int = LIVE_AT_MOST) -> None:
    kept[key] = os.getpid(), value
    if len(kept) > most:
        kept.popitem(last=False)


def _is_finished(answer: Answer, cost: Cost) -> bool:
    """Return True if an answer says what it has used. Counts of zero say nothing."""
    tokens = answer.tokens()
    counted = answer.usage is not None and tokens.input + tokens.output > 0
    return not answer.goes_on and (counted or bool(cost.usd))


def _corrected(gate: Gate, turn: Turn, cost: Cost, tokens: int) -> Sequence[Level]:
    ticket = Ticket(turn.call_id, tuple(Counted(*each) for each in turn.counted), turn.worst_case)
    return gate.guard.correct(ticket, cost.usd, tokens, gate.clock())


def _unknown(_run: Run) -> None:
    """Return what a ledger has for a run: it is not asked."""
