"""Answers that go on, in a ledger that processes share: whichever process reads the end of one charges it, once.

The process that makes the call leaves a note in the ledger: whose the call is, and what budgets have counted of it. The
process that reads the finished answer takes the note, which only one can, and charges the answer to those who asked for
it. A process that ends in between loses the dollars of its telemetry, and budgets keep the worst case: nothing is
charged twice. Reading never fails for it.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from typing import NamedTuple, TypeVar

from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_agentcost.calls import pricing
from otel_agentcost.calls.admission import Admission, Gate
from otel_agentcost.calls.batch_settlement import Books
from otel_agentcost.calls.scopes import new_id
from otel_agentcost.calls.session_usage import UNKNOWN_START, is_overtaken, used_since
from otel_agentcost.core import semconv
from otel_agentcost.core.answer_note import AnswerNote, Turn
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.cost import FREE, Cost
from otel_agentcost.core.notes import NOTE_DAYS, keeps_notes
from otel_agentcost.guard import Ticket
from otel_agentcost.guard.ledger import LedgerError
from otel_agentcost.guard.types import Counted, Level
from otel_agentcost.telemetry.recorder import Account, SpanAccount
from otel_agentcost.telemetry.run_context import Run
from otel_agentcost.telemetry.spans import Record, answer_attributes, settled_later
from otel_agentcost.wire import Format
from otel_agentcost.wire.format import ModelRequest

LIVE_AT_MOST = 1_000
"""Calls of this process whose runs and totals are remembered, so that they get the dollars too."""

_TRIES = 20
"""How often a note is read again that another process has replaced meanwhile."""


class Begun(NamedTuple):
    """A call of this process whose answer goes on."""

    request: ModelRequest
    record: Record
    admission: Admission | None
    at: float
    """The time of the call, in seconds since the epoch."""


class SharedAnswers:
    """Leaves and takes the notes of one `instrument()`. Thread-safe."""

    def __init__(self, books: Books) -> None:
        """Create the object. `books` has the ledger, and charges what is taken."""
        self._books = books
        self._live: OrderedDict[str, tuple[int, Record]] = OrderedDict()
        """The process and the span of calls, by their id."""
        self._own: OrderedDict[str, tuple[int, Turn]] = OrderedDict()
        """The process and the turn of answers for which the ledger has not confirmed a note, by their key."""

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
        turn = self._turn(begun)
        _put(self._live, turn.call_id, begun.record)
        counted = begun.admission.unfinished(begun.record) if begun.admission is not None else None
        self._books.run(partial(self._leave, key, turn, answer, counted))

    def _turn(self, begun: Begun) -> Turn:
        request, record, admission = begun.request, begun.record, begun.admission
        call, target, context = request.call, request.endpoint, record.span.get_span_context()
        ticket = admission.ticket if admission is not None else None
        return Turn(
            call_id=ticket.call_id if ticket is not None else new_id(),
            format=type(request.format).__module__.rpartition(".")[2],
            operation=call.operation,
            model=call.model,
            max_output_tokens=call.max_output_tokens,
            choices=call.choices,
            parameters=dict(call.parameters),
            terms=call.terms,
            asked_terms=call.asked_terms,
            other_model=call.other_model,
            deployment=target.deployment,
            at=begun.at,
            provider=target.provider,
            said=target.said,
            base_url=target.base_url,
            known=target.known,
            attributes=dict(target.attributes),
            attribution=dict(record.attribution),
            runs=tuple(run.value for run in record.runs),
            span=(context.trace_id, context.span_id),
            counted=tuple((each.budget, each.value, each.claim) for each in (ticket.counted if ticket else ())),
            worst_case=dict(ticket.worst_case) if ticket is not None else {},
        )

    def _leave(self, key: str, turn: Turn, answer: Answer, counted: Callable[[], None] | None) -> None:
        if counted is not None:
            counted()  # before another process can correct it
        _put(self._own, key, turn)
        before: str | None = None  # seldom there is a note: that of a session
        for _ in range(_TRIES):
            note = AnswerNote.read(before) if before is not None else AnswerNote(total=answer.total)
            if self._swap(key, before, note.with_turn(turn)):
                self._own.pop(key, None)
                return
            before = self._find(key)

    # --- an answer, or a session, is read ---

    def read(self, key: str, form: Format, answer_to: Callable[[Call], Answer], answer: Answer) -> None:
        """Charge an answer that the application has read, if it is finished and nobody has charged it.

        Args:
            key: Identifies the answer, or the session.
            form: The wire format that has read it.
            answer_to: Reads it again, as the answer to a call.
            answer: The answer.
        """
        if answer.goes_on and answer.total is None:
            return
        here = copy_context()  # the span that is current here is the parent of the settlement
        self._books.run(lambda: here.run(lambda: self._settle(key, form, answer_to, answer)))

    def _settle(self, key: str, form: Format, answer_to: Callable[[Call], Answer], answer: Answer) -> None:
        try:
            for _ in range(_TRIES):
                written = self._find(key)
                note = AnswerNote.read(written) if written is not None else None
                if answer.total is not None:
                    settled = self._settle_session(key, written, note, form, answer)
                elif note is None or written is None or not note.turns:
                    self._settle_own(key, form, answer_to)
                    return
                else:
                    settled = self._settle_answer(key, written, note, form, answer_to)
                if settled:
                    return
        except LedgerError:
            self._settle_own(key, form, answer_to)
            raise

    def _settle_own(self, key: str, form: Format, answer_to: Callable[[Call], Answer]) -> None:
        """Charge an answer whose note the ledger does not have, because it did not answer: no other process can."""
        process, turn = self._own.get(key, (0, None))
        if turn is None or process != os.getpid():
            return
        answer = answer_to(turn.call)
        cost = self._cost_of(turn, form, answer)
        if answer.total is None and _is_finished(answer, cost):
            del self._own[key]
            self._charge(turn, (), answer, cost)

    def _settle_answer(
        self, key: str, written: str, note: AnswerNote, form: Format, answer_to: Callable[[Call], Answer]
    ) -> bool:
        """Take the note of a finished answer and charge it. Returns False if the note is another one meanwhile."""
        turn = note.turns[-1]
        answer = answer_to(turn.call)
        cost = self._cost_of(turn, form, answer)
        if not _is_finished(answer, cost):
            return True  # a later reading may have its usage
        if not self._swap(key, written, None):
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
        if not self._swap(key, written, AnswerNote(total=total)):
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

    def _find(self, key: str) -> str | None:
        now = self._books.clock()
        return self._books.ask_notes(lambda ledger: ledger.find_note(key, now=now))

    def _swap(self, key: str, before: str | None, after: AnswerNote | None) -> bool:
        now, text = self._books.clock(), after.written() if after is not None else None
        until = now + NOTE_DAYS * 86_400.0
        return self._books.ask_notes(lambda ledger: ledger.swap_note(key, before, text, now=now, until=until))


_V = TypeVar("_V")


def _put(kept: OrderedDict[str, tuple[int, _V]], key: str, value: _V) -> None:
    kept[key] = os.getpid(), value
    if len(kept) > LIVE_AT_MOST:
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
