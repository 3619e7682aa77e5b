"""Facets of formats that carry neither messages nor a conversation: embeddings, moderations, images, audio, batches.

A format that sets them states that there is nothing to see. A format without a facet leaves that open, and the user
gets a warning.
"""

# ruff: noqa: ARG002 (a facet has the methods of its protocol)
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from otel_agentcost.core.loops import Item, ToolCall
from otel_agentcost.wire.format import Message, Part

__all__ = ["NO_CONTENT", "NO_CONVERSATION"]


class _NoTranscript:
    __slots__ = ()

    def feed(self, event: Any) -> None:
        """Ignore the event."""

    def response(self) -> None:
        """Return None: there is no message."""


class _NoContent:
    """Content of requests without messages."""

    def system_instructions(self, body: Any) -> Iterable[Part]:
        return ()

    def tool_definitions(self, body: Any) -> Iterable[Mapping[str, Any]]:
        return ()

    def input_messages(self, body: Any) -> Iterable[Message]:
        return ()

    def output_messages(self, response: Any) -> Iterable[Message]:
        return ()

    def transcript(self) -> _NoTranscript:
        return _NoTranscript()


class _NoConversation:
    """Conversation of requests without a history."""

    def messages(self, body: Any) -> Sequence[Any]:
        return ()

    def read(self, message: Any, items: list[Item]) -> None:
        """Append nothing."""

    def fingerprint(self, message: Any) -> int:
        return 0

    def by_model(self, message: Any) -> bool:
        return False

    def is_instruction(self, message: Any) -> bool:
        return False

    def continues(self, body: Any) -> bool:
        return False

    def is_stored(self, body: Any) -> bool:
        return False

    def tool_calls(self, response: Any) -> list[ToolCall]:
        return []


NO_CONTENT: Final = _NoContent()
NO_CONVERSATION: Final = _NoConversation()
