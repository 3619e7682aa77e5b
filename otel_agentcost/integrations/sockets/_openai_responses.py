"""OpenAI responses over a socket: each `response.create` is a call like a POST to `/responses`.

A socket has lanes (`stream_id`), which run side by side; the responses of a lane come one after the other. A successor
that the server begins by itself, after `response.steer`, is a call of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.core import semconv
from otel_agentcost.core.call import Endpoint
from otel_agentcost.integrations.sockets._session import (
    Action,
    Message,
    Session,
    Turn,
    is_whole,
    kind_of,
    parsed_event,
)
from otel_agentcost.wire import load
from otel_agentcost.wire.fields import get, text
from otel_agentcost.wire.format import ModelRequest

_INHERITED: Final = ("model", "max_output_tokens", "tools", "instructions", "service_tier", "previous_response_id")
"""The settings of a successor that are the request's."""


class ResponsesSession(Session):
    """One connection."""

    def __init__(self, pipeline: Pipeline, target: Endpoint, query: Mapping[str, str]) -> None:
        """Begin a session. The arguments are those of `Session`."""
        super().__init__(pipeline, target, query)
        self._turns: dict[str, Turn] = {}
        """The responses that have begun, by their lane."""

    def notes(self, message: Message) -> bool:
        """Note what the application sends."""
        if kind_of(message) == "response.create":
            return True
        # The type may be behind the input, whose items have types of their own.
        marked = b'"response.create"' in message if isinstance(message, bytes) else '"response.create"' in message
        return marked and text(parsed_event(message), "type") == "response.create"

    def request(self, event: Any) -> ModelRequest | None:
        """Return the request of a response."""
        form = load("openai_responses")
        if text(event, "type") == "response.create":
            body = {name: value for name, value in event.items() if name != "type"}
        else:
            response = get(event, "response")
            body = {name: get(response, name) for name in _INHERITED if get(response, name) is not None}
            body.setdefault("previous_response_id", "the response before it")
        call = form.read_request(body, "/responses")
        call = call._replace(stream=True, parameters={**call.parameters, semconv.REQUEST_STREAM: True})
        if body.get("generate") is False:
            call = call._replace(max_output_tokens=0)
        return ModelRequest(call=call, endpoint=self.endpoint, format=form)

    def event_in(self, body: dict[str, Any]) -> Any:
        """Return the event to send."""
        return {"type": "response.create", **body}

    # --- what the server sends ---

    def reads(self, message: Message) -> bool:
        """Read what the server sends."""
        kind = kind_of(message)
        action = _ACTIONS.get(kind)
        if action is not None:
            return action(self, message)
        if kind[:9] == "response.":
            return self.on_piece(message)
        if not is_whole(kind) and (found := _ACTIONS.get(text(parsed_event(message), "type") or "")) is not None:
            return found(self, message)  # the type is behind other fields
        return False

    def on_piece(self, message: Message) -> bool:
        """Read an event of a response that has begun."""
        turns = self._turns
        if len(turns) == 1:
            self.feed(next(iter(turns.values())), message)
        elif turns and (turn := turns.get(_lane(parsed_event(message)))) is not None:
            self.feed(turn, message)
        return False

    def on_unneeded(self, _message: Message) -> bool:
        """Leave out sound, images and answers to steering, which no estimate needs."""
        return False

    def on_created(self, message: Message) -> bool:
        """Begin a response."""
        event = parsed_event(message)
        lane = _lane(event)
        turn = self._waiting_in(lane) or self.seen_begun(event)
        if turn is None:
            return False
        if (before := self._turns.get(lane)) is not None:
            before.call.end(complete=False)
        self._turns[lane] = turn
        self.feed_parsed(turn, event)
        return False

    def on_end(self, message: Message) -> bool:
        """End a response."""
        event = parsed_event(message)
        lane = _lane(event)
        turn = self._turns.pop(lane, None) or self._waiting_in(lane)
        turn = turn or self.seen_begun(event)  # if its begin was not seen
        if turn is None:
            return False
        if _prepared_only(turn, get(event, "response")):
            turn.call.unread = "the provider does not say what preparing a request (generate: false) costs"
        self.feed_parsed(turn, event)
        turn.call.end(complete=True)
        return False

    def on_error(self, message: Message) -> bool:
        """End what the server has rejected, or what it has stopped."""
        event = parsed_event(message)
        lane = _lane(event)
        if (turn := self._waiting_in(lane)) is not None:
            status = get(event, "status")
            self.rejected(turn, status if isinstance(status, int) else 400)
        elif (begun := self._turns.pop(lane, None)) is not None:
            self.feed_parsed(begun, event)
            begun.call.end(complete=True)
        return False

    def _waiting_in(self, lane: str) -> Turn | None:
        for turn in tuple(self.waiting):
            if turn.call.settled:
                self.forget(turn)
            elif _lane(turn.call.request.call.body) == lane and self.forget(turn):
                return turn
        return None

    def cancel(self, turn: Turn) -> None:
        """Do nothing: the protocol has no event that cancels a response."""

    def in_flight(self) -> tuple[Turn, ...]:
        """Return the responses that have begun and have not ended."""
        turns, self._turns = self._turns, {}
        return tuple(turns.values())


def _lane(event: Any) -> str:
    return text(event, "stream_id") or ""


def _prepared_only(turn: Turn, response: Any) -> bool:
    """Return True for a request that is only prepared, if the server does not count it."""
    return get(turn.call.request.call.body, "generate") is False and get(response, "usage") is None


_ACTIONS: Final[Mapping[str, Action]] = {
    "response.created": ResponsesSession.on_created,
    "response.completed": ResponsesSession.on_end,
    "response.incomplete": ResponsesSession.on_end,
    "response.failed": ResponsesSession.on_end,
    "response.cancelled": ResponsesSession.on_end,
    "response.audio.delta": ResponsesSession.on_unneeded,
    "response.image_generation_call.partial_image": ResponsesSession.on_unneeded,
    "response.steer.accepted": ResponsesSession.on_unneeded,
    "response.steer.pending": ResponsesSession.on_unneeded,
    "response.steer.failed": ResponsesSession.on_unneeded,
    "error": ResponsesSession.on_error,
}
