"""Message content, for those who ask for it: on the span of the call, in an event beside it, or both.

Only `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` brings any of this to life: without it this module is not
even imported. `inflight.InFlight` shows a conversation its request, its events and its end. Nothing here raises,
and nothing is done for a span that does not record.
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
from otel_agentcost.settings.parsers import CaptureContent, on_spans
from otel_agentcost.telemetry import spans
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire import content, name_of
from otel_agentcost.wire.transcript import Transcript

if TYPE_CHECKING:
    from otel_agentcost.wire import ModelRequest

_OFFICIAL = "opentelemetry.instrumentation.genai."
"""How the scopes of those begin that write the same event, at the same switch."""


class Capture:
    """Where content goes to. One for all calls; there is none where no content is asked for."""

    def __init__(self, mode: CaptureContent, logger: Logger) -> None:
        """`mode` is one of `settings.CaptureContent`, but not `NO_CONTENT`."""
        self.on_span = on_spans(mode)
        self.logger = logger if mode in ("EVENT_ONLY", "SPAN_AND_EVENT") else None

    def begin(self, asked: ModelRequest, record: Record) -> Conversation | None:
        """A new call; None where its span does not record."""
        try:
            return Conversation(self, asked, record) if record.span.is_recording() else None
        except Exception as error:
            report("capturing message content", error)
            return None


class Conversation:
    """What is said in one call."""

    __slots__ = ("_asked", "_capture", "_form", "_record", "_said", "_transcript", "response")

    def __init__(self, capture: Capture, asked: ModelRequest, record: Record) -> None:
        self._capture = capture
        self._asked = asked
        self._record = record
        self._form, body = name_of(asked.format), asked.call.body
        self._transcript: Transcript | None = None
        self.response: Any = None
        """The whole response, where it came as a whole."""
        # At once: until the answer has come, an agent may have gone on writing to its list of messages.
        self._said = _without_gaps(
            {
                semconv.SYSTEM_INSTRUCTIONS: content.system_instructions(self._form, body),
                semconv.TOOL_DEFINITIONS: content.tool_definitions(self._form, body),
                semconv.INPUT_MESSAGES: content.input_messages(self._form, body),
            }
        )

    def overhearing(self, feed: Callable[[Any], object]) -> Callable[[Any], object]:
        """`feed`, with each event shown to a transcript as well."""
        transcript = self._transcript = Transcript(self._form)

        def both(event: Any) -> None:
            transcript.feed(event)
            feed(event)

        return both

    def ended(self, attributes: Mapping[str, AttributeValue]) -> None:
        """The call is over: its content goes where it was asked for. `attributes` are its figures."""
        try:
            response = self._transcript.response() if self.response is None and self._transcript else self.response
            answer = {semconv.OUTPUT_MESSAGES: content.output_messages(self._form, response)}
            said = self._said | _without_gaps(answer)
            if self._capture.on_span:
                self._record.content = said
            if self._capture.logger is not None and not self._told_by_owner():
                self._emit(self._capture.logger, said, attributes)
        except Exception as error:
            report("recording message content", error)

    def _told_by_owner(self) -> bool:
        """Whether the span is somebody's who writes the same event: one call is one event."""
        scope = getattr(self._record.span, "instrumentation_scope", None)
        return str(getattr(scope, "name", "")).startswith(_OFFICIAL)

    def _emit(self, logger: Logger, said: Mapping[str, str], attributes: Mapping[str, AttributeValue]) -> None:
        structured = {name: json.loads(written) for name, written in said.items()}
        # The content first: where a record has a limit to its attributes, the first ones go.
        record, asked = self._record, self._asked
        described = spans.asked_attributes(asked.call, asked.endpoint.attributes, record.attribution)
        logger.emit(_event(logger, record.context, {**structured, **described, **attributes}))


def _without_gaps(found: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in found.items() if value is not None}


def _event(logger: Logger, ctx: Context, attributes: Any) -> LogRecord:
    """The event; OpenTelemetry before 1.37 takes its own records alone, which must be told their resource."""
    said: dict[str, Any] = {
        "event_name": semconv.E_DETAILS,
        "timestamp": time.time_ns(),
        "context": ctx,
        "attributes": attributes,
    }
    own: Any = getattr(sdk_logs, "LogRecord", None)
    if own is None or hasattr(own, "_from_api_log_record"):
        return LogRecord(**said)
    resource = getattr(getattr(logger, "_logger", logger), "resource", None)
    old: LogRecord = own(**said, resource=resource)
    return old
