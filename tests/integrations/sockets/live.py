"""Sessions of Gemini live, made from the SDK's own types: messages, and the script of a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.genai import types

MODEL = "gemini-3.1-flash-live-preview"
USAGE: dict[str, Any] = {
    "promptTokenCount": 522,
    "responseTokenCount": 42,
    "totalTokenCount": 700,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 332}, {"modality": "AUDIO", "tokenCount": 165}],
    "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 42}],
    "thoughtsTokenCount": 136,
}
"""As in https://discuss.ai.google.dev/t/188765: 25 tokens of the prompt are in no detail."""
USD = (357 * 0.75 + 165 * 3 + 42 * 12 + 136 * 4.5) / 1e6
"""The price of `USAGE` by hand, from Google's price list for gemini-3.1-flash-live-preview."""


def message(**fields: Any) -> dict[str, Any]:
    """A message of the server, as its JSON is."""
    dumped: dict[str, Any] = types.LiveServerMessage.model_validate(fields).model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    return dumped


SETUP_COMPLETE = message(setup_complete={"session_id": "live-session-1"})


def words(text: str) -> dict[str, Any]:
    """A piece of text."""
    return message(server_content={"model_turn": {"role": "model", "parts": [{"text": text}]}})


def sound(milliseconds: int) -> dict[str, Any]:
    """A piece of sound, 24 kHz with 16 bits."""
    data = {"data": bytes(48 * milliseconds), "mime_type": "audio/pcm;rate=24000"}
    return message(server_content={"model_turn": {"role": "model", "parts": [{"inline_data": data}]}})


def complete(usage: dict[str, Any] | None = USAGE, **content: Any) -> dict[str, Any]:
    """The end of a turn."""
    return message(server_content={"turn_complete": True, **content}, **({"usage_metadata": usage} if usage else {}))


def tool_call(usage: dict[str, Any] | None = USAGE) -> dict[str, Any]:
    """A call of a function."""
    call = {"function_calls": [{"id": "call-1", "name": "look", "args": {"at": "sky"}}]}
    return message(tool_call=call, **({"usage_metadata": usage} if usage else {}))


class Provider:
    """Answers each turn; sound too, if it detects speech."""

    def __init__(self, *turn: dict[str, Any] | None, speech: bool = False) -> None:
        self.turn = turn or (sound(100), sound(100), complete())
        self.speech = speech

    def __call__(self, event: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if "setup" in event:
            yield SETUP_COMPLETE
            return
        content, heard = event.get("client_content", {}), event.get("realtime_input", {})
        asked = content.get("turnComplete") or content.get("turn_complete") or "text" in heard
        if asked or "tool_response" in event or (self.speech and heard):
            yield from self.turn
