"""How much a stream has produced so far: what cuts off one that would pass its budget.

A meter stands in front of the reader of a stream that has no output limit of its own. It sees what the stream shows:
words, refusals, thoughts and their summaries, tool calls, of all choices; and it believes the counts that a stream
carries. Thoughts that are neither shown nor counted on the way (OpenAI's) cannot be seen, nor can sound and pictures:
of such an answer less is noticed than it costs. Called by `inflight.py`; streams without a fence have no meter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from otel_agentcost.diagnostics import report
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.wire import AnswerReader
from otel_agentcost.wire.tokenizers import count_text

_BLOCK: Final = 16_384
"""Characters after which the text up to here is counted for good. A cut there makes at most a token too many."""
_ENDLESS: Final = 2**63


class Meter:
    """Shows each event to `feed`, and raises before one is passed on with which the answer passes its fence.

    What it counts with is what a stream that broke off is charged by, so an answer that is cut off is charged as much
    as its meter had counted. Tokens never exceed bytes: the text itself is only counted when its bytes pass the fence,
    and again when what was left then may be used up, which comes to a few dozen counts an answer.

    An answer that has come to its end is left alone, however long it is: it is paid for, and nothing can be saved.
    """

    __slots__ = (
        "_counted",
        "_end",
        "_feed",
        "_fence",
        "_model",
        "_outrun",
        "_reader",
        "_room",
        "_seen",
        "_since",
        "_told",
    )

    def __init__(
        self,
        feed: Callable[[Any], object],
        reader: AnswerReader,
        model: str | None,
        most_output_tokens: int,
        outrun: Callable[[int], BudgetExceeded],
    ) -> None:
        """`reader` is the one that `feed` shows its events to (before or after others). `outrun` makes the exception
        from the number of tokens so far. It must not keep the call alive: a dropped stream is to settle at once.
        """
        self._feed = feed
        self._reader = reader
        self._model = model
        self._fence = most_output_tokens
        self._outrun = outrun
        self._told = 0
        """The output tokens that the stream itself has reported."""
        self._counted = 0
        """All tokens of the text before `_since`."""
        self._since = 0
        """The first piece of text that is not in `_counted`."""
        self._seen = 0
        """The first piece of text whose bytes have not been taken from `_room`."""
        self._room = most_output_tokens
        """The bytes for which the fence cannot be passed."""
        self._end: int | None = None
        """How many pieces of text there were when the answer came to its end."""

    def __call__(self, event: Any) -> None:
        """Takes in one event. Raises what `outrun` makes if the application must not get it."""
        self._feed(event)
        try:
            tokens = self._beyond()
            outrun = None if tokens is None else self._outrun(tokens)
        except Exception as bug:
            report("metering a stream", bug)
            self._room = _ENDLESS
            return
        if outrun is not None:
            raise outrun

    def _beyond(self) -> int | None:
        """The tokens so far if they pass the fence."""
        said, told, over = self._reader.so_far()
        if told > self._told:  # a count that does not grow with the text is none of it
            self._told = self._counted = told
            self._since = self._seen = len(said)
            self._room = self._fence - told
        elif len(said) > self._seen:
            self._room -= sum(map(_bytes, said[self._seen :]))
            self._seen = len(said)
        if over and self._end is None:
            self._end = len(said)
        if self._room >= 0 or self._end == len(said):
            return None
        tokens = self._count(said)
        self._room = self._fence - tokens
        return tokens if self._room < 0 else None

    def _count(self, said: list[str]) -> int:
        text = "".join(piece for piece in said[self._since :] if type(piece) is str)
        tokens = self._counted + count_text(text, self._model)
        if len(text) > _BLOCK:
            self._counted, self._since = tokens, len(said)
        return tokens


def _bytes(piece: Any) -> int:
    """The bytes of a piece of text; readers have no time to see whether a piece is one."""
    if type(piece) is not str:
        return 0
    return len(piece) if piece.isascii() else len(piece.encode(errors="surrogatepass"))
