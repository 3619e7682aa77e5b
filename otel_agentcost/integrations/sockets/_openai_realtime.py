"""OpenAI realtime, also on Azure and with compatible providers: a turn is a response.

The server begins responses by itself where it detects the end of speech. So input sound asks for one, too: the first
that follows a response is checked against the budgets and is not sent if they refuse it. A response that begins all the
same, and that a budget refuses, is cancelled and counted.
"""

# Events are JSON, whose parts have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.core import semconv
from otel_agentcost.core.call import Call, Endpoint
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
from otel_agentcost.wire.openai_realtime import context_after
from otel_agentcost.wire.session_context import Context

_CANCELS: Final = "agentcost-cancel-"
"""The beginning of the ids of events that cancel a response. An error that answers one is hidden."""
_TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"
_DEFAULT_INSTRUCTIONS: Final = 1000
"""Bytes of the instructions of a session that has none of its own: about 110 tokens
(https://community.openai.com/t/realtime-api-details-costs-usage-etc/966556)."""
_ENVELOPE: Final = 120
"""Characters around the sound of an event."""
_HEARD: Final[Mapping[str, int]] = {"pcm": 6400, "g711": 1066}
"""Characters in base64 of a token of input: 100 ms of sound (https://developers.openai.com/api/docs/guides/realtime-costs)
of 24 kHz with 16 bits, or of 8 kHz with 8 bits."""
_SPOKEN: Final[Mapping[str, int]] = {"pcm": 3200, "g711": 533}
"""The same for output: 50 ms."""
_ABOUT_OTHERS: Final = re.compile("cancel|buffer|item|session|truncat")
"""Matches the codes of errors that are not about a response that was asked for."""


class RealtimeSession(Session):
    """One session."""

    def __init__(self, pipeline: Pipeline, target: Endpoint, query: Mapping[str, str]) -> None:
        """Begin a session. The arguments are those of `Session`."""
        super().__init__(pipeline, target, query)
        self._model = query.get("model") or query.get("deployment")
        self._config: dict[str, Any] = {}
        """The configuration. It is changed in place: the server may send it after a response was asked for."""
        self._conversation: str | None = None
        self._turns: dict[str, Turn] = {}
        self._counted = Context()
        """The conversation as the last response has counted it."""
        self._added, self._sound, self._images = _DEFAULT_INSTRUCTIONS, 0, 0
        """Bytes, characters of sound and images that were added since the last response began."""
        self._in_turn = (0, 0, 0)
        """The same for what was added before it: it counts them."""
        self._fed = False
        """True if the budgets have been asked about the input since the last response."""
        self._cancelled = 0

    # --- what the application sends ---

    def notes(self, message: Message) -> bool:
        """Note what the application sends."""
        kind = kind_of(message)
        if kind == "input_audio_buffer.append":
            self._sound += max(0, len(message) - _ENVELOPE)
            return not self._fed and self._leads_by_itself()
        if kind == "response.create":
            return True
        if kind == "conversation.item.create":
            self._note_item(message)
        elif kind == "session.update":
            self._note_update(get(parsed_event(message), "session"))
        elif not is_whole(kind):  # the type is behind other fields
            event = parsed_event(message)
            return text(event, "type") == "response.create"
        return False

    def _note_item(self, message: Message) -> None:
        whole = message if isinstance(message, str) else message.decode("utf-8", "replace")
        if '"input_image"' in whole:
            self._images += whole.count('"input_image"')
        elif '"input_audio"' in whole:
            self._sound += len(whole)
        else:
            self._added += len(message) if isinstance(message, bytes) else len(whole.encode("utf-8", "surrogatepass"))

    def _note_update(self, update: Any) -> None:
        """Note a new configuration: a response may be asked for before the server confirms it."""
        if not isinstance(update, dict):
            return
        before = _instructions(self._config)
        _merge(self._config, update)
        if (said := _instructions(self._config)) != before:
            self._added += len(said.encode("utf-8", "surrogatepass"))

    def _leads_by_itself(self) -> bool:
        """Return True if the budgets may refuse what the server will do with the input."""
        event = {"type": "response.create"} if self._responds() else {"type": _TRANSCRIBED}
        return self.leads_by_input(self.request(event))

    def _responds(self) -> bool:
        """Return True if the server begins responses by itself."""
        if self._transcribes_only():
            return False
        for source in (get(get(self._config, "audio"), "input"), self._config):
            if isinstance(source, dict) and "turn_detection" in source:
                detection = source["turn_detection"]
                return detection is not None and get(detection, "create_response") is not False
        return True  # the default

    def _transcribes_only(self) -> bool:
        return text(self._config, "type") == "transcription" or self.query.get("intent") == "transcription"

    def _transcriber(self) -> str | None:
        inner = get(get(get(self._config, "audio"), "input"), "transcription")
        return text(inner or get(self._config, "input_audio_transcription"), "model")

    def request(self, event: Any) -> ModelRequest | None:
        """Return the request of a response, or of a transcription."""
        kind = text(event, "type")
        if kind == _TRANSCRIBED:
            model = self._transcriber()
            if model is None and "usage" not in event:
                return None
            known = {semconv.OUTPUT_TYPE: "text"}
            if self._conversation:
                known[semconv.CONVERSATION] = self._conversation
            call = Call(operation=semconv.GENERATE_CONTENT, model=model, parameters=known, body={"event": None})
            return ModelRequest(call=call, endpoint=self.endpoint, format=load("openai_audio"))
        if kind == "response.created":  # begun by the server: it says with which limit
            asked = get(event, "response") or {}
            settings = {name: asked[name] for name in ("max_output_tokens", "output_modalities") if name in asked}
            event = {"type": "response.create", "response": settings}
        elif kind in ("response.done", "input_audio_buffer.append"):
            event = {"type": "response.create"}
        elif kind != "response.create":
            return None
        form = load("openai_realtime")
        body = {
            "event": event,
            "session": self._config,
            "context": self._context(),
            "model": self._model,
            "conversation": self._conversation,
        }
        return ModelRequest(call=form.read_request(body, ""), endpoint=self.endpoint, format=form)

    def event_in(self, body: dict[str, Any]) -> Any:
        """Return the event to send."""
        return body["event"]

    def _context(self) -> Context:
        added, sound, images = (one + other for one, other in zip(self._in_turn, self._sums(), strict=True))
        tokens = -(-sound // _HEARD[self._sound_format("input")])
        return self._counted._replace(added_bytes=added, added_audio=tokens, added_images=images)

    def _sums(self) -> tuple[int, int, int]:
        return self._added, self._sound, self._images

    def _sound_format(self, side: str) -> str:
        inner = text(get(get(get(self._config, "audio"), side), "format"), "type")
        name = inner or text(self._config, f"{side}_audio_format") or "pcm"
        return "g711" if name.startswith(("g711", "audio/pcmu", "audio/pcma")) else "pcm"

    # --- what the server sends ---

    def reads(self, message: Message) -> bool:
        """Read what the server sends."""
        kind = kind_of(message)
        action = _ACTIONS.get(kind)
        if action is None:
            if is_whole(kind):
                return False
            event = parsed_event(message)  # the type is behind other fields
            action = _ACTIONS.get(text(event, "type") or "")
        return action(self, message) if action is not None else False

    def _turn_of(self, message: Message) -> Turn | None:
        """Return the turn that an event is a part of."""
        turns = self._turns
        if len(turns) == 1:
            return next(iter(turns.values()))
        return turns.get(text(parsed_event(message), "response_id") or "") if turns else None

    def on_words(self, message: Message) -> bool:
        """Read a piece of text."""
        turn = self._turn_of(message)
        if turn is not None:
            self.feed(turn, message)
        return False

    def on_sound(self, message: Message) -> bool:
        """Measure a piece of sound."""
        turn = self._turn_of(message)
        if turn is not None:
            self.hear(turn, max(0, len(message) - _ENVELOPE), _SPOKEN[self._sound_format("output")])
        return False

    def on_session(self, message: Message) -> bool:
        """Read the configuration of the session."""
        event = parsed_event(message)
        config = get(event, "session")
        if not isinstance(config, dict):
            return False
        said = _instructions(config)
        if said != _instructions(self._config):
            self._added += len(said.encode("utf-8", "surrogatepass"))
        self._config.clear()
        self._config.update(config)
        self._model = self._model or text(config, "model")
        self._conversation = self._conversation or text(config, "id")
        return False

    def on_conversation(self, message: Message) -> bool:
        """Read the id of the conversation."""
        self._conversation = text(get(parsed_event(message), "conversation"), "id") or self._conversation
        return False

    def on_created(self, message: Message) -> bool:
        """Begin a response."""
        event = parsed_event(message)
        response = get(event, "response")
        found = (waiting, None) if (waiting := self.next_waiting()) is not None else self.begun_by_server(event)
        if found is None:
            return False
        turn, refused = found
        self._turns[text(response, "id") or ""] = turn
        if refused is not None:
            self.cancel(turn)
        self.feed_parsed(turn, event)
        self._note_conversation(turn, response)
        self._fed = False
        self._in_turn, self._added, self._sound, self._images = self._sums(), 0, 0, 0
        return False

    def on_done(self, message: Message) -> bool:
        """End a response."""
        event = parsed_event(message)
        response = get(event, "response")
        turn = self._turns.pop(text(response, "id") or "", None) or self.next_waiting()
        turn = turn or self.seen_begun(event)  # if its begin was not seen
        if turn is None:
            return False
        self.feed_parsed(turn, event)
        self._note_conversation(turn, response)
        context = context_after(get(response, "usage"))
        if context is not None and ("conversation_id" not in response or response["conversation_id"] is not None):
            self._counted, self._in_turn = context, (0, 0, 0)
        turn.call.end(complete=True)
        return False

    def _note_conversation(self, turn: Turn, response: Any) -> None:
        named = text(response, "conversation_id")
        self._conversation = named or self._conversation
        self.belongs_to(turn, self._conversation)

    def on_error(self, message: Message) -> bool:
        """End what the server has rejected."""
        event = parsed_event(message)
        error = get(event, "error")
        cause, code = text(error, "event_id"), text(error, "code") or ""
        if cause is not None and cause.startswith(_CANCELS):
            return True
        asked = [turn for turn in tuple(self.waiting) if not turn.fed]
        if cause is not None:
            asked = [turn for turn in asked if turn.event_id == cause]
        elif _ABOUT_OTHERS.search(code):
            return False
        if asked and self.forget(asked[0]):
            self.rejected(asked[0], 500 if text(error, "type") == "server_error" else 400)
        return False

    def on_transcribed(self, message: Message) -> bool:
        """Count a transcription of input, which is billed by the price of its own model."""
        event = parsed_event(message) or {}
        turn = self.seen_begun({"usage": None, **event})
        self._fed = False
        if turn is None:
            return False
        done = {"type": "transcript.text.done", "usage": event.get("usage"), "text": event.get("transcript")}
        self.feed_parsed(turn, done)
        turn.call.end(complete=True)
        return False

    def cancel(self, turn: Turn) -> None:
        """Let the server stop a response."""
        named = next((name for name, each in self._turns.items() if each is turn), "")
        self._cancelled += 1
        which = f', "response_id": "{named}"' if _ID.fullmatch(named) else ""
        self.outbox.append(f'{{"type": "response.cancel", "event_id": "{_CANCELS}{self._cancelled}"{which}}}')

    def in_flight(self) -> tuple[Turn, ...]:
        """Return the responses that have begun and have not ended."""
        turns, self._turns = self._turns, {}
        return tuple(turns.values())


def _merge(config: dict[str, Any], update: Mapping[str, Any]) -> None:
    """Change what `update` names, and nothing else."""
    for name, value in update.items():
        inner = config.get(name)
        if isinstance(inner, dict) and isinstance(value, dict):
            _merge(inner, value)
        else:
            config[name] = value


_ID: Final = re.compile(r"[\w-]+")


def _instructions(config: Mapping[str, Any]) -> str:
    """Return what the model reads of a configuration."""
    return f"{config.get('instructions')}{config.get('tools')}{config.get('prompt')}"


_WORDS: Final = (
    "response.text.delta",
    "response.output_text.delta",
    "response.audio_transcript.delta",
    "response.output_audio_transcript.delta",
    "response.function_call_arguments.delta",
    "response.mcp_call_arguments.delta",
)
_ACTIONS: Final[Mapping[str, Action]] = {
    **dict.fromkeys(_WORDS, RealtimeSession.on_words),
    "response.audio.delta": RealtimeSession.on_sound,
    "response.output_audio.delta": RealtimeSession.on_sound,
    "session.created": RealtimeSession.on_session,
    "session.updated": RealtimeSession.on_session,
    "transcription_session.created": RealtimeSession.on_session,
    "transcription_session.updated": RealtimeSession.on_session,
    "conversation.created": RealtimeSession.on_conversation,
    "response.created": RealtimeSession.on_created,
    "response.done": RealtimeSession.on_done,
    "error": RealtimeSession.on_error,
    _TRANSCRIBED: RealtimeSession.on_transcribed,
}
