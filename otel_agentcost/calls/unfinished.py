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
from typing import Any, Final

from otel_agentcost.calls.admission import Admission
from otel_agentcost.calls.seam import Body, HttpReply, RawResponse, Reply
from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, AttributeValue, Call
from otel_agentcost.core.cost import FREE, Cost
from otel_agentcost.core.usage import Count, Kind, Usage
from otel_agentcost.telemetry.metrics import ModelLabels
from otel_agentcost.telemetry.recorder import Recorder
from otel_agentcost.telemetry.spans import Record, answer_attributes, error_type
from otel_agentcost.wire.fields import parsed
from otel_agentcost.wire.format import Format, ModelRequest

AT_MOST = 1_000
"""Answers to wait for. Each keeps its request in memory; the oldest are given up and stay without a price."""


@dataclass(slots=True, kw_only=True, eq=False)
class Unfinished:
    """An answer that goes on elsewhere."""

    answer_id: str
    request: ModelRequest
    record: Record
    """The span of the call, which has ended; its runs, totals and attribution still count."""
    admission: Admission | None
    at: float
    """The time of the call, in seconds since the epoch."""
    process: int
    """The process that made the call: its copy in a forked child must not be charged a second time."""
    earlier: tuple[Admission, ...] = ()
    """The reservations of earlier turns of the same session that nobody has read: this answer's usage has them, too."""
    charged_by: Record | None = None
    """The span of the retrieval that charges the answer."""
    recorded: bool = False
    """True if metrics and totals have the answer, or are about to."""


def _body(reply: Reply) -> Any:
    """Return the JSON of a reply; `_STREAM` for a stream, which says at its end what it is."""
    if isinstance(reply, Body):
        return reply.content
    if isinstance(reply, HttpReply) and reply.body is not None:
        kind, content = reply.content_type, reply.body
    elif isinstance(reply, RawResponse) and reply.response.is_closed:
        kind, content = str(reply.response.headers.get("content-type", "")), reply.response.content
    else:
        return _STREAM
    if "event-stream" in kind:
        return _STREAM
    return parsed(content) if "json" in kind else None


_NO_CALL: Final = Call(operation="", model=None)
_NOTHING_MORE: Final = Answer(usage=Usage(counts={}))
_STREAM: Final = object()
_UNKNOWN_START: Final = "what the session had used before is not known: no SDK of this process created or read it then"


class UnfinishedAnswers:
    """The answers that go on elsewhere, by their id. Thread-safe."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._answers: OrderedDict[str, Unfinished] = OrderedDict()
        self._totals: OrderedDict[str, Usage] = OrderedDict()
        """What sessions have used, as far as it is charged or was used before this process charged them."""
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._answers)

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
        if admission is not None:
            admission.settle_unfinished(record)
        answer_id = answer.response_id
        if answer_id is None:
            return
        if answer.total is not None:
            self._note(answer_id, answer.total)
        begun = Unfinished(
            answer_id=answer_id, request=request, record=record, admission=admission, at=at, process=os.getpid()
        )
        with self._lock:
            before = self._answers.get(answer_id)
            if before is not None and before.process == begun.process:
                begun.earlier = before.earlier if before.admission is None else (*before.earlier, before.admission)
            self._answers[answer_id] = begun
            if len(self._answers) > AT_MOST:
                self._answers.popitem(last=False)

    def find(self, answer_id: str | None) -> Unfinished | None:
        """Return the answer with this id; None if it is not known, or another process waits for it."""
        answer = self._answers.get(answer_id) if answer_id is not None else None
        return answer if answer is not None and answer.process == os.getpid() else None

    def goes_on(self, begun: Unfinished, reply: Reply) -> bool:
        """Return True if `reply`, which the application has polled, says that the answer is not finished."""
        body = _body(reply)
        if body is _STREAM:
            return False
        answer = begun.request.format.read_response(begun.request.call, body)
        return answer.goes_on or (answer.total is not None and self._totals.get(begun.answer_id) == answer.total)

    def read(self, form: Format, reply: Reply) -> None:
        """Note what a session has used that was not begun by this process, or that was created by it."""
        body = _body(reply)
        if body is _STREAM or body is None:
            return
        answer = form.read_response(_NO_CALL, body)
        if answer.total is not None and answer.response_id is not None:
            self._note(answer.response_id, answer.total)

    def _note(self, session: str, total: Usage) -> None:
        with self._lock:
            self._totals.setdefault(session, total)
            self._totals.move_to_end(session)
            if len(self._totals) > AT_MOST:
                self._totals.popitem(last=False)

    def since(self, begun: Unfinished, answer: Answer) -> Answer:
        """Return the answer of a session with what it has used since it was last charged; every other one as it is."""
        if answer.total is None or answer.usage is None:
            return answer
        before = self._totals.get(begun.answer_id)
        if before is None:
            return answer._replace(usage=None, missing=_UNKNOWN_START)
        fresh: dict[Kind, Count] = {}
        for kind, count in answer.usage.counts.items():
            if (more := count - before.counts.get(kind, 0)) > 0:
                fresh[kind] = more
        return answer._replace(usage=Usage(counts=fresh))

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
            return {**answer_attributes(answer, answer.tokens(), cost), **attributes}
        if not self._is_charged_by(begun, record, answer.total):
            return attributes
        if finished:
            if begun.admission is not None:
                begun.admission.finish(record, answer, cost)
            for admission in begun.earlier:
                admission.finish(record, _NOTHING_MORE, FREE)
            counted = answer.tokens() if answer.usage is not None else None
            if not begun.recorded:  # telemetry rather misses an answer than counts it twice
                begun.recorded = True
                self._recorder.charge_finished_answer(begun.record, record, labels, counted, cost)
        return {**answer_attributes(answer, answer.tokens(), cost), **attributes}

    def _is_charged_by(self, begun: Unfinished, record: Record, total: Usage | None) -> bool:
        """Return True if the retrieval of `record` charges the answer: also again, where it was interrupted.

        Another retrieval may have charged it, or a later turn of its session may be charged already.
        """
        session = begun.answer_id
        with self._lock:
            if begun.charged_by is None and self._answers.get(session) is begun and not self._is_old(session, total):
                begun.charged_by = record
            if begun.charged_by is not record:
                return False
            if self._answers.get(session) is begun:
                del self._answers[session]
            if total is not None:
                self._totals[session] = total
                self._totals.move_to_end(session)
        return True

    def _is_old(self, session: str, total: Usage | None) -> bool:
        """Return True if a session has used more than `total` already: its answer was overtaken by a later one."""
        known = self._totals.get(session)
        if known is None or total is None:
            return False
        return any(total.counts.get(kind, 0) < count for kind, count in known.counts.items())
