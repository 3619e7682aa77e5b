"""The parts that the modules of this folder share: the exchange of the call that is being made, and its bytes."""

from __future__ import annotations

from collections.abc import Callable

from otel_agentcost.calls.answer_cache import Exchange, Recording
from otel_agentcost.calls.call import CURRENT
from otel_agentcost.diagnostics import report


def current() -> Exchange | None:
    """Return what the call that is being made here has to do with the cache; None if its answer is not cached."""
    call = CURRENT.get()
    return None if call is None or call.settled else call.exchange


class Taken:
    """Receives the bytes of a response, and their end."""

    reading = False

    def __init__(self, recording: Recording, decode: Callable[[bytes], bytes] | None) -> None:
        self._recording: Recording | None = recording
        self._decode = decode

    def feed(self, data: bytes) -> None:
        """Add bytes as they came."""
        if self._recording is None:
            return
        try:
            self._recording.chunk(data if self._decode is None else self._decode(data))
        except Exception as error:  # the application reads on: the answer is not kept
            self._recording = None
            report("recording an answer", error)

    def end(self, error: BaseException | None = None, *, complete: bool) -> None:
        """Note the end."""
        if complete and error is None and self._recording is not None:
            self._recording.ended()
