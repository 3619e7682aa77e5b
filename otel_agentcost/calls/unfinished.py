"""Answers that the provider goes on with after their call has ended, such as OpenAI's background responses.

The call ends without a price. The application gets the usage when it retrieves the finished answer, which is not billed
again: the pipeline charges it then, once, to whatever the call counts in.

A session, such as those of Anthropic's managed agents, has one usage for all its turns. What it had used when this
process first read it, and what was charged since, is taken off.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from otel_agentcost.calls.admission import Admission
from otel_agentcost.calls.begun import Begun
from otel_agentcost.calls.following import STREAM, body_of, follow
from otel_agentcost.calls.seam import AnswerRead, Reply, SessionRead
from otel_agentcost.calls.session_usage import UNKNOWN_START, is_overtaken, used_since
from otel_agentcost.calls.shared_answers import SharedAnswers
from otel_agentcost.core import semconv
from otel_agentcost.core.answer_note import key_of_answer
from otel_agentcost.core.call import Answer, AttributeValue, Call
from otel_agentcost.core.cost import FREE, Cost
from otel_agentcost.core.usage import Usage
from otel_agentcost.diagnostics import warn_once
from otel_agentcost.telemetry.metrics import ModelLabels
from otel_agentcost.telemetry.recorder import Recorder
from otel_agentcost.telemetry.spans import Record, answer_attributes, error_type, settled_later
from otel_agentcost.wire.fields import get
from otel_agentcost.wire.format import Format, ModelRequest

AT_MOST = 1_000
"""Answers to wait for. Each keeps its request in memory; the oldest are given up and stay without a price."""


@dataclass(slots=True, kw_only=True, eq=False)
class Unfinished:
    """An answer that goes on elsewhere."""

    key: str
    """Identifies the answer over all providers (`core.answer_note`)."""
    request: ModelRequest
    record: Record
    """The span of the call, which has ended; its runs, totals and attribution still count."""
    admission: Admission | None
    at: float
    """The time of the call, in seconds since the epoch."""
    process: int
    """The process that made the call: its copy in a forked child must not be charged a second time."""
    earlier: tuple[Admission, ...] = ()
    """The reservations of earlier turns of the session that were not read: the usage of this answer has them, too."""
    charged_by: Record | None = None
    """The span of the retrieval that charges the answer."""
    recorded: bool = False
    """True if metrics and totals have the answer, or are about to."""


_NO_CALL: Final = Call(operation="", model=None)
_NOT_CHARGED: Final = (
    "otel-agentcost: an answer that runs in the background was read here, and another process has begun it. It is not "
    "charged: the ledger of this process is in memory, and does not know whose it is. Set OTEL_AGENTCOST_LEDGER to a "
    "ledger that both processes share (sqlite:// or redis://)."
)
_NOTHING_MORE: Final = Answer(usage=Usage(counts={}))


class _Teller:
    """Logs once that an answer was read which another process has begun: this one cannot charge it."""

    def __init__(self) -> None:
        self._in_background = False

    def see(self, content: Any) -> None:
        """Look at the body, or at an event of a stream, which has the body within."""
        if get(content, "background") is True or get(get(content, "response"), "background") is True:
            self._in_background = True

    def done(self, _answer_to: object, answer: Answer) -> None:
        """Log it, if the answer goes on, or if its request had ended before it was finished."""
        if answer.total is None and (answer.goes_on or (self._in_background and answer.usage is not None)):
            warn_once("answers of other processes", _NOT_CHARGED)


class UnfinishedAnswers:
    """The answers that go on elsewhere, by their id. Thread-safe."""

    def __init__(self, recorder: Recorder, shared: SharedAnswers | None = None) -> None:
        """Create the object.

        Args:
            recorder: Charges metrics, runs and totals.
            shared: Lets other processes charge the answers, too; None if no ledger does.
        """
        self._recorder = recorder
        self._shared = shared
        self._answers: OrderedDict[str, Unfinished] = OrderedDict()
        self._totals: OrderedDict[str, Usage] = OrderedDict()
        """What sessions have used, as far as it is charged or was used before this process charged them."""
        self._ended: OrderedDict[str, None] = OrderedDict()
        """The keys of answers that this process has begun, and does not wait for any more."""
        self._lock = threading.Lock()

    def close(self) -> None:
        """Ask the ledger a last time for what it has not answered."""
        if self._shared is not None:
            self._shared.close()

    def __bool__(self) -> bool:
        """Return True if an answer may be waited for: of this process, or of one that shares the ledger."""
        return self._shared is not None or bool(self._answers)

    def add(
        self, request: ModelRequest, record: Record, admission: Admission | None, at: float, answer: Answer
    ) -> None:
        """Count the worst case of a call whose answer is not finished, and wait for the answer.

        Args:
            request: The request.
            record: The span of the call.
            admission: The reservation of the call; None if no budget applies.
            at: The time of the call, in seconds since the epoch.
            answer: What has arrived of the answer. Without an id, nothing can retrieve the rest.
        """
        answer_id = answer.response_id
        if answer_id is None:
            if admission is not None:
                admission.settle_unfinished(record)
            return
        key = key_of_answer(request.endpoint, answer_id)
        begun = Begun(request, record, admission, at)
        if self._shared is not None:
            self._shared.begun(key, begun, answer)
            return
        if admission is not None:
            admission.settle_unfinished(record)
        self._add(key, begun, answer)

    def _add(self, key: str, call: Begun, answer: Answer) -> None:
        """Wait for an answer that no other process can charge."""
        if answer.total is not None:
            self._note(key, answer.total)
        request, record, admission, at = call
        begun = Unfinished(key=key, request=request, record=record, admission=admission, at=at, process=os.getpid())
        with self._lock:
            before = self._answers.get(key)
            if before is not None and before.process == begun.process:
                begun.earlier = before.earlier if before.admission is None else (*before.earlier, before.admission)
            self._answers[key] = begun
            if len(self._answers) > AT_MOST:
                self._end(self._answers.popitem(last=False)[0])

    def _end(self, key: str) -> None:
        self._ended[key] = None
        if len(self._ended) > AT_MOST:
            self._ended.popitem(last=False)

    @property
    def are_shared(self) -> bool:
        """True if other processes can charge the answers, too."""
        return self._shared is not None

    def find(self, read: AnswerRead | None) -> Unfinished | None:
        """Return the answer that `read` may retrieve; None if it is not known, or another process waits for it."""
        answer = self._answers.get(read.key) if read is not None and self._answers else None
        return answer if answer is not None and answer.process == os.getpid() else None

    def goes_on(self, begun: Unfinished, reply: Reply) -> bool:
        """Return True if `reply`, which the application has polled, says that the answer is not finished."""
        body = body_of(reply)
        if body is STREAM:
            return False
        answer = begun.request.format.read_response(begun.request.call, body)
        return answer.goes_on or (answer.total is not None and self._totals.get(begun.key) == answer.total)

    def read_elsewhere(self, read: AnswerRead, form: Format, reply: Reply, result: Any) -> Any:
        """Follow an answer that this process does not wait for. Returns what the application gets.

        Args:
            read: The request.
            form: The wire format of the answer.
            reply: What came back.
            result: What the method of the SDK has returned.
        """
        if self._shared is not None:
            return follow(form, reply, result, partial(self._shared.read, read.key, form))
        if read.key in self._ended:
            return result
        teller = _Teller()
        return follow(form, reply, result, teller.done, teller.see)

    def read(self, session: SessionRead, reply: Reply) -> None:
        """Note what a session has used that was not begun by this process, or that was created by it."""
        body, form = body_of(reply), session.format
        if body is STREAM or body is None:
            return
        answer = form.read_response(_NO_CALL, body)
        if answer.total is None or answer.response_id is None:
            return
        key = key_of_answer(session.endpoint, answer.response_id)
        if self._shared is not None:
            self._shared.read(key, form, lambda _: answer, answer)
        else:
            self._note(key, answer.total)

    def _note(self, session: str, total: Usage) -> None:
        """Note what a session has used. What others have used of it is never charged here."""
        with self._lock:
            known = self._totals.get(session)
            if known is None or (session not in self._answers and not is_overtaken(total, known)):
                self._totals[session] = total
            self._totals.move_to_end(session)
            if len(self._totals) > AT_MOST:
                self._totals.popitem(last=False)

    def since(self, begun: Unfinished, answer: Answer) -> Answer:
        """Return the answer of a session with what it has used since it was last charged; every other one as it is."""
        if answer.total is None or answer.usage is None:
            return answer
        before = self._totals.get(begun.key)
        return answer._replace(usage=None, missing=UNKNOWN_START) if before is None else used_since(answer, before)

    def charge(
        self,
        begun: Unfinished,
        record: Record,
        labels: ModelLabels,
        answer: Answer,
        cost: Cost,
        error: BaseException | None,
    ) -> dict[str, AttributeValue]:
        """Charge a retrieved answer, unless it is not finished, or was charged with another copy of it.

        A finished answer without usage (cancelled, failed) is not charged: a later retrieval may have its usage.

        Args:
            begun: The call that began the answer.
            record: The span of the retrieval.
            labels: The call's metric attributes.
            answer: The answer.
            cost: Its cost.
            error: The exception that ended the retrieval, if it failed.

        Returns:
            The attributes of the span.
        """
        attributes: dict[str, AttributeValue] = {} if error is None else {semconv.ERROR_TYPE: error_type(error)}
        finished = answer.usage is not None or cost.usd is not None
        if answer.goes_on or not (finished or answer.total is not None):
            return {**answer_attributes(answer, answer.tokens(), cost), **attributes, semconv.DUPLICATE: True}
        if not self._is_charged_by(begun, record, answer.total):
            return {**attributes, semconv.DUPLICATE: True}
        if finished:
            if begun.admission is not None:
                begun.admission.finish(record, answer, cost)
            for admission in begun.earlier:
                admission.finish(record, _NOTHING_MORE, FREE)
            counted = answer.tokens() if answer.usage is not None else None
            if not begun.recorded:  # telemetry rather misses an answer than counts it twice
                begun.recorded = True
                self._recorder.charge_finished_answer(begun.record, record, labels, counted, cost)
            attributes |= settled_later(resolves=cost.unpriced is None)
        return {**answer_attributes(answer, answer.tokens(), cost), **attributes}

    def _is_charged_by(self, begun: Unfinished, record: Record, total: Usage | None) -> bool:
        """Return True if the retrieval of `record` charges the answer: also again, where it was interrupted.

        Another retrieval may have charged it, or a later turn of its session may be charged already.
        """
        session = begun.key
        with self._lock:
            if begun.charged_by is None and self._answers.get(session) is begun and not self._is_old(session, total):
                begun.charged_by = record
            if begun.charged_by is not record:
                return False
            if self._answers.get(session) is begun:
                del self._answers[session]
                self._end(session)
            if total is not None:
                self._totals[session] = total
                self._totals.move_to_end(session)
        return True

    def _is_old(self, session: str, total: Usage | None) -> bool:
        """Return True if a session has used more than `total` already: its answer was overtaken by a later one."""
        known = self._totals.get(session)
        return known is not None and total is not None and is_overtaken(total, known)
