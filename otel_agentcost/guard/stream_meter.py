"""Counts the output tokens of a stream, to close one that would exceed its budget.

A meter is in front of the reader of a stream whose request has no output limit. It counts the text in the stream:
content, refusals, reasoning and its summaries, and tool calls, of all choices. It also uses the token counts that the
stream carries. Reasoning that is neither in the stream nor counted in it (OpenAI's) is not seen, nor are audio and
images: the count of such an answer is too low. Streams with a full reservation have no meter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from otel_agentcost.diagnostics import report
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.wire import AnswerReader
from otel_agentcost.wire.tokenizers import count_text

_BLOCK: Final = 16_384
"""Characters after which the count of the text so far is final. A cut there adds at most one token."""
_ENDLESS: Final = 2**63


class Meter:
    """Passes each event to `feed`, and raises before the application gets the event that exceeds the limit.

    The meter counts like the charge for a stream that broke off, so an answer that is cut off is charged what its meter
    counted. Tokens never exceed bytes: the text is counted only when its bytes exceed the limit, and again when the
    rest may be used up. That is a few dozen counts for an answer.

    An answer that is complete is never cut off, however long it is: it is paid for, and nothing can be saved.
    """

    __slots__ = (
        "_counted",
        "_end",
        "_feed",
        "_limit",
        "_model",
        "_on_exceeded",
        "_reader",
        "_reported",
        "_room",
        "_seen",
        "_since",
    )

    def __init__(
        self,
        feed: Callable[[Any], object],
        reader: AnswerReader,
        model: str | None,
        most_output_tokens: int,
        on_exceeded: Callable[[int], BudgetExceeded],
    ) -> None:
        """Make a meter.

        Args:
            feed: Takes in an event of the stream.
            reader: The reader that `feed` passes its events to.
            model: The model, for its tokenizer.
            most_output_tokens: The limit, in tokens of all choices together.
            on_exceeded: Returns the exception for a number of output tokens. It must not keep the call alive: a stream
                that is dropped settles when it is garbage-collected.

        """
        self._feed = feed
        self._reader = reader
        self._model = model
        self._limit = most_output_tokens
        self._on_exceeded = on_exceeded
        self._reported = 0
        """The output tokens that the stream has reported."""
        self._counted = 0
        """The tokens of the text before `_since`."""
        self._since = 0
        """Index of the first piece of text that is not in `_counted`."""
        self._seen = 0
        """Index of the first piece of text whose bytes are not subtracted from `_room`."""
        self._room = most_output_tokens
        """Bytes within which the limit cannot be exceeded."""
        self._end: int | None = None
        """The number of pieces of text when the answer was complete."""

    def __call__(self, event: Any) -> None:
        """Take in one event. Raises the exception of `on_exceeded` if the application must not get the event."""
        self._feed(event)
        try:
            tokens = self._exceeding()
            exceeded = None if tokens is None else self._on_exceeded(tokens)
        except Exception as bug:
            report("metering a stream", bug)
            self._room = _ENDLESS
            return
        if exceeded is not None:
            raise exceeded

    def _exceeding(self) -> int | None:
        """Return the tokens so far if they exceed the limit."""
        pieces, reported, complete = self._reader.so_far()
        if reported > self._reported:  # a count that does not grow with the text does not count the text
            self._reported = self._counted = reported
            self._since = self._seen = len(pieces)
            self._room = self._limit - reported
        elif len(pieces) > self._seen:
            self._room -= sum(map(_bytes, pieces[self._seen :]))
            self._seen = len(pieces)
        if complete and self._end is None:
            self._end = len(pieces)
        if self._room >= 0 or self._end == len(pieces):
            return None
        tokens = self._count(pieces)
        self._room = self._limit - tokens
        return tokens if self._room < 0 else None

    def _count(self, pieces: list[str]) -> int:
        text = "".join(piece for piece in pieces[self._since :] if type(piece) is str)
        tokens = self._counted + count_text(text, self._model)
        if len(text) > _BLOCK:
            self._counted, self._since = tokens, len(pieces)
        return tokens


def _bytes(piece: Any) -> int:
    """Return the bytes of a piece; 0 for one that is no text, which readers do not check."""
    if type(piece) is not str:
        return 0
    return len(piece) if piece.isascii() else len(piece.encode(errors="surrogatepass"))
