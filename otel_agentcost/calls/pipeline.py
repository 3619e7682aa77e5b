"""The line: the life of one model call, from its request to its figures.

`Line.call` and `Line.call_async` below are the whole of it, in order: what is asked, the span, whether the agent goes
round in circles, whether the budgets admit the call, the call itself, and then (at once, or when a stream ends) what
was used, what it cost, what the budgets are charged, and the span's end. Those two questions are the only steps of
ours that may raise, and admission the one that may change the request; what the SDK raises passes unchanged. The
steps themselves are in `inflight.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from otel_agentcost.calls.call import CURRENT, InFlight, Seam
from otel_agentcost.calls.finalize import PENDING, settle_pending
from otel_agentcost.diagnostics import report
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.telemetry.metrics import Metrics
from otel_agentcost.telemetry.spans import Spans, called_from

if TYPE_CHECKING:
    from otel_agentcost.calls.admission import Gate
    from otel_agentcost.calls.content import Capture
    from otel_agentcost.calls.loop_guard import Watch


class Line:
    """What every call needs: prices, spans, metrics, and where to put what was said, if anywhere."""

    def __init__(self, book: PriceBook, spans: Spans, metrics: Metrics, capture: Capture | None = None) -> None:
        self.book = book
        self.spans = spans
        self.metrics = metrics
        self.capture = capture
        self.gate: Gate | None = None
        """Where calls are admitted; None where nothing is limited."""
        self.watch: Watch | None = None
        """Who looks for loops; None where nobody does."""
        self.active = True
        """False after `uninstrument`: a wrapper that somebody else still holds then passes through."""

    def call(self, seam: Seam, wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        """One synchronous call."""
        live = self._begin(seam, instance, args, kwargs)
        if live is None:
            return wrapped(*args, **kwargs)
        try:
            if self.watch is not None:
                self.watch.look(live)
            if self.gate is not None:
                args, kwargs = self.gate.admit(live, seam, args, kwargs)
            with live.current():
                result = wrapped(*args, **kwargs)
        except BaseException as error:
            live.failed(error)
            raise
        return live.deliver(seam, result)

    async def call_async(self, seam: Seam, wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        """One asynchronous call."""
        live = self._begin(seam, instance, args, kwargs)
        if live is None:
            return await wrapped(*args, **kwargs)
        try:
            if self.watch is not None:
                self.watch.look(live)
            if self.gate is not None:
                args, kwargs = await self.gate.admit_async(live, seam, args, kwargs)
            with live.current():
                result = await wrapped(*args, **kwargs)
        except BaseException as error:
            live.failed(error)
            raise
        return live.deliver(seam, result)

    def generate(self, seam: Seam, wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Iterator[Any]:
        """One synchronous call whose method is a generator: it sends its request when the first event is asked for."""
        live = self._begin(seam, instance, args, kwargs)
        if live is None:
            yield from wrapped(*args, **kwargs)
            return
        try:
            if self.watch is not None:
                self.watch.look(live)
            if self.gate is not None:
                args, kwargs = self.gate.admit(live, seam, args, kwargs)
            with live.current():
                events: Iterator[Any] = iter(wrapped(*args, **kwargs))
                first = list(islice(events, 1))
        except BaseException as error:
            live.failed(error)
            raise
        try:
            yield from live.deliver(seam, chain(first, events))
        finally:  # who throws into our generator, or closes it, ends the SDK's: it releases its connection then
            close = getattr(events, "close", None)
            if close is not None:
                close()

    def around(self, _seam: Seam, wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
        """A method that opens a span of the SDK's own, and then comes to a seam: what it is called under is noted."""
        with called_from():
            return wrapped(*args, **kwargs)

    async def around_async(
        self, _seam: Seam, wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any
    ) -> Any:
        """`around`, asynchronous."""
        with called_from():
            return await wrapped(*args, **kwargs)

    def attempt(self, _seam: Seam, wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        """One HTTP response within a call, on its way to becoming what the SDK returns: noted, and passed on."""
        live = CURRENT.get()
        response = kwargs.get("response")
        if live is not None and response is not None and self.active and live.is_of(instance):
            live.attempted(response)
        return wrapped(*args, **kwargs)

    def _begin(self, seam: Seam, instance: Any, args: Any, kwargs: Any) -> InFlight | None:
        if not self.active:
            return None
        try:
            if not PENDING.empty():
                settle_pending()
            asked = seam.read(instance, args, kwargs)
            if asked is None or ((live := CURRENT.get()) is not None and live.is_for(asked)):
                return None
            return InFlight(self, asked, instance)
        except Exception as error:
            report("reading a request", error)
            return None
