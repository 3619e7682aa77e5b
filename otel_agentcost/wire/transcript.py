"""Collects the events of a stream into one response, so that `content` can render it.

`Transcript` wraps the collector of a format's `content` facet: nothing that it reads makes it raise. Collectors use
`Room`, which ends a transcript at `MAX_CHARACTERS`; its last words then are `CUT`. Used only if message content is
captured.
"""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.diagnostics import reraise_foreign
from otel_agentcost.wire import format as wire_format
from otel_agentcost.wire.format import Format

__all__ = ["CUT", "MAX_CHARACTERS", "Pieces", "Room", "Transcript"]

MAX_CHARACTERS = 4 * 1024 * 1024
"""Characters of one answer that are kept."""
CUT: Final = " [cut off here: the answer is too long to be recorded]"
_ENTRY: Final = 64
"""Characters that a choice, a block or a tool call counts as, however short it is."""

Pieces = list[str]


class Transcript:
    """One streamed answer."""

    __slots__ = ("_collector",)

    def __init__(self, form: Format) -> None:
        """Create an empty transcript.

        Args:
            form: The wire format of the stream; without a `content` facet, the transcript stays empty.
        """
        self._collector: wire_format.Transcript | None = form.content.transcript() if form.content else None

    def feed(self, event: Any) -> None:
        """Read one event."""
        if self._collector is not None:
            try:
                self._collector.feed(event)
            except Exception as error:  # content is optional: an event that makes no sense has none
                reraise_foreign(error)

    def response(self) -> Any:
        """Return the events up to now in the shape of a whole response; None if there are none."""
        try:
            return self._collector.response() if self._collector is not None else None
        except Exception as error:  # content is optional: a stream that makes no sense has none
            reraise_foreign(error)
            return None


class Room:
    """The number of characters that may still be kept."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_CHARACTERS

    def keep(self, pieces: Pieces, words: Any) -> None:
        """Append `words` to `pieces`, or as much of them as there is room for."""
        if not isinstance(words, str) or not words or self._left <= 0:
            return
        pieces.append(words if len(words) <= self._left else words[: self._left] + CUT)
        self._left -= len(words)

    def entry(self, size: int = 0) -> bool:
        """Return True if there is room for one more choice, block or tool call of `size` characters."""
        self._left -= _ENTRY + size
        return self._left > 0
