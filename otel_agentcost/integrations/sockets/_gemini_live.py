"""Gemini live, on the Gemini API and on Vertex AI: a turn is what the model generates until it waits for input again.

Turns have no ids. A turn ends with `turnComplete`, or with a tool call, whose result asks for the next. Its usage comes
with that message or with the next one. Input sound, to which the model answers by itself, is checked like that of
OpenAI realtime; the protocol has no event that cancels a turn.
"""

# Events are JSON, whose parts have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.core.call import Endpoint
from otel_agentcost.core.usage import Usage
from otel_agentcost.integrations.endpoints import endpoint, with_location
from otel_agentcost.integrations.sockets._session import Message, Session, Turn, head_of, parsed_event
from otel_agentcost.wire import load
from otel_agentcost.wire.fields import Malformed, get, text
from otel_agentcost.wire.format import ModelRequest
from otel_agentcost.wire.gemini import generate_usage
from otel_agentcost.wire.gemini.requests import either
from otel_agentcost.wire.gemini_live import context_after, usage_of
from otel_agentcost.wire.session_context import Context

_KEYS: Final = 60
"""Characters in which the first key of a message is."""
_HEARD: Final = 1700
"""Characters in base64 of a token of input: 25 tokens are a second of sound of 16 kHz with 16 bits
(https://ai.google.dev/gemini-api/docs/tokens has 32; the fewer characters, the higher the bound)."""
_SPOKEN: Final = 2560
"""The same for output, of 24 kHz (https://ai.google.dev/gemini-api/docs/live-api/capabilities)."""
_FRAME: Final = 258
"""Tokens of a video frame (https://ai.google.dev/gemini-api/docs/tokens)."""
_LOCATION: Final = re.compile(r"/locations/([\w-]+)/")
_TELLING: Final = ("usageMetadata", "turnComplete", "toolCall", "groundingMetadata", "interrupted", "setupComplete")
"""Names whose messages are read at once. The sound beside them has none of these letters in this order."""
_BYTES: Final = tuple(name.encode() for name in _TELLING)


class GeminiSession(Session):
    """One session."""

    def __init__(self, pipeline: Pipeline, target: Endpoint, query: Mapping[str, str]) -> None:
        """Begin a session. The arguments are those of `Session`."""
        super().__init__(pipeline, target, query)
        self._setup: dict[str, Any] = {}
        self._id: str | None = None
        self._turn: Turn | None = None
        """The turn that has begun."""
        self._ending: Turn | None = None
        """A turn that is complete, and whose usage may still come."""
        self._counted = Context()
        self._added, self._sound, self._images = 0, 0, 0
        self._fed = False

    # --- what the application sends ---

    def notes(self, message: Message) -> bool:
        """Note what the application sends."""
        if not self._notes(message) and self.asking is None:
            return False
        if all(turn.call.settled for turn in tuple(self.waiting)):
            return True
        self.asking = None
        self._feeding = False  # the model answers all input that arrives before it begins by one turn
        return False

    def _notes(self, message: Message) -> bool:
        kind = _first_key(message)
        if kind == "realtimeinput":
            return self._notes_input(message)
        if kind in ("clientcontent", "toolresponse"):
            self._added += len(message)
            content = either(parsed_event(message), "clientContent") if kind == "clientcontent" else None
            return kind == "toolresponse" or either(content, "turnComplete") is True
        if kind == "setup":
            self._notes_setup(message)
        elif kind == "contextupdate":
            self._added += len(message)
        return False

    def _notes_setup(self, message: Message) -> None:
        setup = get(parsed_event(message), "setup")
        if not isinstance(setup, dict):
            return
        self._setup = setup
        self._added += len(message)
        if (found := _LOCATION.search(text(setup, "model") or "")) is not None:
            base = with_location(self.endpoint.base_url, found[1])
            located = endpoint(base, self.endpoint.provider)
            self.endpoint = replace(located, provider=self.endpoint.provider, attributes=self.endpoint.attributes)

    def _notes_input(self, message: Message) -> bool:
        head = head_of(message, 200)
        if '"video"' in head or '"image/' in head:
            self._images += 1
        elif '"text"' in head:
            self._added += len(message)
            return True
        elif any(f'"{name}"' in head for name in ("activity_end", "activityEnd")):
            return True
        elif '"audio"' in head or '"media' in head:
            self._sound += len(message)
        else:
            return False
        if self._fed or self._manual():
            return False
        return self.leads_by_input(self._request({}))

    def _manual(self) -> bool:
        """Return True if the application says when the user has spoken."""
        detection = either(either(self._setup, "realtimeInputConfig"), "automaticActivityDetection")
        return get(detection, "disabled") is True

    def request(self, event: Any) -> ModelRequest | None:
        """Return the request of a turn."""
        return self._request({} if "usageMetadata" in event or "serverContent" in event else event)

    def _request(self, event: Any) -> ModelRequest:
        form = load("gemini_live")
        body = {
            "event": event if "realtime_input" not in event and "realtimeInput" not in event else {},
            "session": self._setup,
            "tools": get(self._setup, "tools"),
            "context": self._context(),
            "conversation": self._id,
        }
        return ModelRequest(call=form.read_request(body, ""), endpoint=self.endpoint, format=form)

    def _context(self) -> Context:
        sound = -(-self._sound // _HEARD)
        image = self._counted.image + self._images * _FRAME
        return self._counted._replace(added_bytes=self._added, added_audio=sound, image=image)

    # --- what the server sends ---

    def reads(self, message: Message) -> bool:
        """Read what the server sends."""
        if isinstance(message, str):
            telling = any(name in message for name in _TELLING)
        else:
            telling = any(name in message for name in _BYTES)
        if not telling:
            self._piece(message)
            return False
        event = parsed_event(message)
        if event is None:
            return False
        if "setupComplete" in event:
            self._id = text(event["setupComplete"], "sessionId")
        content = get(event, "serverContent")
        used = usage_of(event)
        if "modelTurn" in (content or ()) or "toolCall" in event:
            self._piece(event)
        elif used is not None or content is not None:
            self._feed(self._ending or self._turn or (self._begun(event) if used is not None else None), event)
        if used is not None:
            self._count(event)
        if get(content, "turnComplete") is True or "toolCall" in event:
            self._complete()
        if used is not None and self._ending is not None:
            self._end(self._ending)
        return False

    def _piece(self, message: Any) -> None:
        """Read a part of what the model generates."""
        parsed = isinstance(message, dict)
        if not parsed and not _generates(message):
            return
        if self._ending is not None:  # a new turn begins: no usage comes for the one before
            self._end(self._ending)
        turn = self._begun(message)
        if turn is None:
            return
        turn.call.first_chunk()
        if parsed:
            self.hear(turn, _length_of_sound(message), _SPOKEN)
            self._feed(turn, message)
        elif _has_sound(message):
            self.hear(turn, len(message), _SPOKEN)
        else:
            self.feed(turn, message)

    def _begun(self, event: Any) -> Turn | None:
        """Return the turn that the server is in, which begins now if it has not."""
        if self._turn is None:
            self._turn = self.next_waiting()
            if self._turn is None:
                self._turn = self.seen_begun({"serverContent": {}} if not isinstance(event, dict) else event)
            self._fed = False
            if self._turn is not None:
                self.belongs_to(self._turn, self._id)
        return self._turn

    def _feed(self, turn: Turn | None, event: dict[str, Any]) -> None:
        if turn is not None:
            self.feed_parsed(turn, event)

    def _count(self, event: dict[str, Any]) -> None:
        """Note the session as a usage counts it: it is the input of the next turn."""
        try:
            usage: Usage = generate_usage(usage_of(event))
        except Malformed:
            return
        self._counted, self._added, self._sound, self._images = context_after(usage), 0, 0, 0

    def _complete(self) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        if self._ending is not None:
            self._end(self._ending)
        self._ending = turn
        if get(getattr(turn.call.reader, "whole", None), "usage") is not None:
            self._end(turn)

    def _end(self, turn: Turn) -> None:
        self._ending = None
        turn.call.end(complete=True)

    def cancel(self, turn: Turn) -> None:
        """Do nothing: the protocol has no event that cancels a turn."""

    def in_flight(self) -> tuple[Turn, ...]:
        """Return the turns that have begun and have not ended."""
        turns = tuple(turn for turn in (self._ending, self._turn) if turn is not None)
        self._ending = self._turn = None
        return turns


def _first_key(message: Message) -> str:
    """Return the first key of a message, in lower case without `_`: clients write it in two ways."""
    return head_of(message, _KEYS).partition('"')[2].partition('"')[0].replace("_", "").lower()


def _generates(message: Message) -> bool:
    """Return True if the model generates something in a message: words, or sound."""
    if isinstance(message, str):
        return "modelTurn" in message or "outputTranscription" in message
    return b"modelTurn" in message or b"outputTranscription" in message


def _has_sound(message: Message) -> bool:
    head = head_of(message, 400)
    return '"inlineData"' in head and '"text"' not in head


def _length_of_sound(event: dict[str, Any]) -> int:
    parts = get(get(get(event, "serverContent"), "modelTurn"), "parts")
    found = [get(get(part, "inlineData"), "data") for part in parts] if isinstance(parts, list) else []
    return sum(len(data) for data in found if isinstance(data, str))
