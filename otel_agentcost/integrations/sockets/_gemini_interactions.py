"""Gemini's live interactions: the application talks to an interaction that was created before.

The whole interaction is one call, that which has created it: its usage comes once, when the interaction is over. So the
budgets are asked when it is created. If that was elsewhere, nothing says which model answers.
"""

# Events are JSON, whose parts have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import AnswerRead
from otel_agentcost.core.call import Endpoint
from otel_agentcost.integrations.sockets._session import Message, Session, Turn, parsed_event
from otel_agentcost.wire import load
from otel_agentcost.wire.fields import get, text
from otel_agentcost.wire.format import ModelRequest

_ELSEWHERE: Final = "the interaction was created elsewhere, and its events do not say which models it has used"
_CONNECT: Final = "interaction.connect"
_OVER: Final = ("interaction.completed", "interaction.cancelled", "interaction.canceled")


class InteractionSession(Session):
    """One session."""

    def __init__(self, pipeline: Pipeline, target: Endpoint, query: Mapping[str, str]) -> None:
        """Begin a session. The arguments are those of `Session`."""
        super().__init__(pipeline, target, query)
        self._id: str | None = None

    def notes(self, message: Message) -> bool:
        """Note which interaction the session is of."""
        if self._id is None and _has(message, _CONNECT):
            self._id = text(parsed_event(message), "id")
        return False

    def reads(self, message: Message) -> bool:
        """Read what the server sends."""
        if not any(_has(message, kind) for kind in _OVER):
            return False
        frame = parsed_event(message)
        several = get(frame, "events")
        for event in several if isinstance(several, list) else [frame]:
            if text(event, "event_type") in _OVER and get(event, "usage") is not None:
                self._end(event)
        return False

    def _end(self, event: Any) -> None:
        """Settle the interaction that is over. One without a usage can still be read later."""
        whole = {"id": self._id, "status": "completed", "usage": get(event, "usage")}
        read = AnswerRead(self._id, self.endpoint, load("gemini_interactions")) if self._id is not None else None
        if read is not None and self.pipeline.settle_begun(self, read, whole):
            return
        turn = self.seen_begun(event)
        if turn is not None:
            answer = turn.call.request.format.read_response(turn.call.request.call, whole)
            self.pipeline.finish(turn.call, answer._replace(missing=_ELSEWHERE))

    def request(self, event: Any) -> ModelRequest | None:
        """Return the request of an interaction that was created elsewhere."""
        del event
        form = load("gemini_interactions")
        return ModelRequest(call=form.read_request({}, ""), endpoint=self.endpoint, format=form)

    def cancel(self, turn: Turn) -> None:
        """Do nothing: a turn is over when it is seen."""

    def in_flight(self) -> tuple[Turn, ...]:
        """Return no turn: the interaction goes on when its connection is closed."""
        return ()


def _has(message: Message, kind: str) -> bool:
    return f'"{kind}"' in message if isinstance(message, str) else f'"{kind}"'.encode() in message
