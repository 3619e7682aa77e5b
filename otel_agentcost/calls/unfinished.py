"""Answers that the provider goes on with after their call has ended, such as OpenAI's background responses.

The call ends without a price. The application gets the usage when it retrieves the finished answer, which is not billed
again: the pipeline charges it then, once, to whatever the call counts in.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass

from otel_agentcost.calls.admission import Admission
from otel_agentcost.calls.seam import Body, RawResponse, Reply
from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer, AttributeValue
from otel_agentcost.core.cost import Cost
from otel_agentcost.telemetry.metrics import ModelLabels
from otel_agentcost.telemetry.recorder import Recorder
from otel_agentcost.telemetry.spans import Record, answer_attributes, error_type
from otel_agentcost.wire.fields import parsed
from otel_agentcost.wire.format import ModelRequest

AT_MOST = 1_000
"""Answers to wait for. Each keeps its request in memory; the oldest are given up and stay without a price."""


@dataclass(frozen=True, slots=True, kw_only=True)
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

    def goes_on(self, reply: Reply) -> bool:
        """Return True if `reply`, which the application has polled, says that the answer is not finished."""
        if isinstance(reply, Body):
            body = reply.content
        elif isinstance(reply, RawResponse) and reply.response.is_closed:
            kind = str(reply.response.headers.get("content-type", ""))
            if "event-stream" in kind:
                return False
            body = parsed(reply.response.content) if "json" in kind else None
        else:  # a stream, which says it at its end
            return False
        return self.request.format.read_response(self.request.call, body).goes_on


class UnfinishedAnswers:
    """The answers that go on elsewhere, by their id. Thread-safe."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._answers: OrderedDict[str, Unfinished] = OrderedDict()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._answers)

    def add(
        self, request: ModelRequest, record: Record, admission: Admission | None, at: float, answer_id: str | None
    ) -> None:
        """Count the worst case of a call whose answer is not finished, and wait for the answer.

        Args:
            request: The request.
            record: The span of the call.
            admission: The reservation of the call; None if no budget applies.
            at: The time of the call, in seconds since the epoch.
            answer_id: The id that retrieves the answer; None if it has not arrived.
        """
        if admission is not None:
            admission.settle_unfinished(record)
        if answer_id is None:
            return
        begun = Unfinished(
            answer_id=answer_id, request=request, record=record, admission=admission, at=at, process=os.getpid()
        )
        with self._lock:
            self._answers[answer_id] = begun
            if len(self._answers) > AT_MOST:
                self._answers.popitem(last=False)

    def find(self, answer_id: str | None) -> Unfinished | None:
        """Return the answer with this id; None if it is not known, or another process waits for it."""
        answer = self._answers.get(answer_id) if answer_id is not None else None
        return answer if answer is not None and answer.process == os.getpid() else None

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
        if not answer.goes_on and (answer.usage is not None or cost.usd is not None):
            with self._lock:
                first = self._answers.pop(begun.answer_id, None) is not None
            if not first:
                return attributes
            if begun.admission is not None:
                begun.admission.finish(record, answer, cost)
            counted = answer.tokens() if answer.usage is not None else None
            self._recorder.charge_finished_answer(begun.record, record, labels, counted, cost)
        return {**answer_attributes(answer, answer.tokens(), cost), **attributes}
