"""Message content, if it is captured: on the span of the call, in an event next to it, or both.

Imported only if `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` enables it. The call passes its request, its
events and its end to a `Conversation`. Nothing here raises, and a span that does not record causes no work.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import Logger, LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk import _logs as sdk_logs

from otel_agentcost.core import semconv
from otel_agentcost.core.call import AttributeValue
from otel_agentcost.diagnostics import report
from otel_agentcost.settings import CaptureContent, on_spans
from otel_agentcost.telemetry import spans
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire import content
from otel_agentcost.wire.transcript import Transcript

if TYPE_CHECKING:
    from otel_agentcost.wire import ModelRequest

_OFFICIAL = "opentelemetry.instrumentation.genai."
"""The prefix of the scopes of instrumentations that emit the same event, enabled by the same variable."""


class Capture:
    """The destinations of message content. One object for all calls; none if content is not captured."""

    def __init__(self, mode: CaptureContent, logger: Logger) -> None:
        """Create the destinations.

        Args:
            mode: Where content goes; not `NO_CONTENT`.
            logger: The logger for events.
        """
        self.on_span = on_spans(mode)
        self.logger = logger if mode in ("EVENT_ONLY", "SPAN_AND_EVENT") else None

    def begin(self, request: ModelRequest, record: Record) -> Conversation | None:
        """Return the content of a new call; None if its span does not record."""
        try:
            return Conversation(self, request, record) if record.span.is_recording() else None
        except Exception as error:
            report("capturing message content", error)
            return None


class Conversation:
    """The content of one call."""

    __slots__ = ("_capture", "_input", "_record", "_request", "_transcript", "response")

    def __init__(self, capture: Capture, request: ModelRequest, record: Record) -> None:
        """Read the content of a request."""
        self._capture = capture
        self._request = request
        self._record = record
        self._transcript: Transcript | None = None
        self.response: Any = None
        """The response, if it arrived as a whole."""
        form, body = request.format, request.call.body
        # At once: an agent may change its list of messages before the answer arrives.
        self._input = _present(
            {
                semconv.SYSTEM_INSTRUCTIONS: content.system_instructions(form, body),
                semconv.TOOL_DEFINITIONS: content.tool_definitions(form, body),
                semconv.INPUT_MESSAGES: content.input_messages(form, body),
            }
        )

    def with_transcript(self, feed: Callable[[Any], object]) -> Callable[[Any], object]:
        """Return a function that passes each event of the stream to a transcript and to `feed`."""
        transcript = self._transcript = Transcript(self._request.format)

        def both(event: Any) -> None:
            transcript.feed(event)
            feed(event)

        return both

    def ended(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Record the content of a call that ended.

        Args:
            attributes: The span attributes of the answer, which the event repeats.
        """
        try:
            response = self._transcript.response() if self.response is None and self._transcript else self.response
            output = {semconv.OUTPUT_MESSAGES: content.output_messages(self._request.format, response)}
            messages = self._input | _present(output)
            if self._capture.on_span:
                self._record.content = messages
            if self._capture.logger is not None and not self._emitted_by_owner():
                self._emit(self._capture.logger, messages, attributes)
        except Exception as error:
            report("recording message content", error)

    def _emitted_by_owner(self) -> bool:
        """Return True if the instrumentation that owns the span emits the same event: one call is one event."""
        scope = getattr(self._record.span, "instrumentation_scope", None)
        return str(getattr(scope, "name", "")).startswith(_OFFICIAL)

    def _emit(self, logger: Logger, messages: Mapping[str, str], attributes: Mapping[str, AttributeValue]) -> None:
        structured = {name: json.loads(written) for name, written in messages.items()}
        # The content first: a record with a limit on its attributes drops the first ones.
        record, request = self._record, self._request
        described = spans.request_attributes(request.call, request.endpoint.attributes, record.attribution)
        logger.emit(_event(logger, record.context, {**structured, **described, **attributes}))


def _present(messages: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in messages.items() if value is not None}


def _event(logger: Logger, ctx: Context, attributes: Any) -> LogRecord:
    """Return the event. OpenTelemetry before 1.37 accepts only its own records, which need their resource."""
    values: dict[str, Any] = {
        "event_name": semconv.E_DETAILS,
        "timestamp": time.time_ns(),
        "context": ctx,
        "attributes": attributes,
    }
    own: Any = getattr(sdk_logs, "LogRecord", None)
    if own is None or hasattr(own, "_from_api_log_record"):
        return LogRecord(**values)
    resource = getattr(getattr(logger, "_logger", logger), "resource", None)
    old: LogRecord = own(**values, resource=resource)
    return old
