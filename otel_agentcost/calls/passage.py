"""One call through two services: the one that is called must not charge what the one that calls charges already.

An instrumented application calls an instrumented gateway, such as a LiteLLM proxy, which calls the model. The
application reserves and charges the call. Its mark travels in the W3C baggage, so it goes where the trace context
goes, and only to addresses that are not a model provider's own. `guard/marks.py` describes the mark.

The gateway counts the call in its budgets, unless it finds the reservation of the application in a shared ledger. In
its metrics and on its span it trusts the mark, for one answered call.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from opentelemetry import baggage, context
from opentelemetry.context import Context

from otel_agentcost.calls.pricing import WorstCasePrice
from otel_agentcost.core.usage import Usage
from otel_agentcost.guard import CallFacts, marks
from otel_agentcost.guard.both_ends import Confirmed
from otel_agentcost.guard.marks import Mark
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.settings import Upstream
from otel_agentcost.wire.format import ModelRequest

_BAGGAGE = "agentcost.call"
_REMEMBERED = 10_000
_SAMPLE = Usage(counts={"input_tokens": 1_000, "output_tokens": 1_000})


class Passage:
    """The mark that one call has received from the service upstream, and the one that it passes on."""

    __slots__ = ("_known", "_passages", "_undo", "covers", "mark", "proved", "taker", "token")

    def __init__(self, passages: Passages, mark: Mark | None, token: str | None, *, covers: bool, known: bool) -> None:
        self._passages = passages
        self._known = known
        self.mark = mark
        """The mark that the request has brought; None for none."""
        self.token = token
        """The token of the call's own mark; None if it sends none."""
        self.covers = covers
        """True if this is the call that the mark speaks of: the first one of its kind that is answered."""
        self.proved = False
        """True if the ledger has the reservation of the call upstream."""
        self.taker = marks.new_token() if covers else ""
        """The id with which the call takes its mark, over all processes of this gateway."""
        self._undo: Callable[[], None] | None = None

    @property
    def charged_upstream(self) -> bool:
        """True if the service upstream charges this call to metrics, totals and spans."""
        return self.covers and (self.proved or self._passages.policy == "on")

    def tell(self, facts: CallFacts, *, shared: bool) -> None:
        """Add to `facts` which budgets hold the call already. `shared`: other services see its ledger too."""
        facts.token = self.token if shared else None
        facts.held = self.mark.holds if self.mark is not None and self.proved else None
        facts.patient = self.mark is None or self.covers  # else the call that it is made for holds the money

    def confirmed(self, standing: Confirmed, undo: Callable[[Mark, str, float], None], now: float) -> None:
        """Note what the ledger says of the mark.

        Args:
            standing: The answer of `Guard.confirms`.
            undo: Lets another call use the mark.
            now: The time in seconds since the epoch.
        """
        if self.mark is not None and standing == "first":
            self.proved, self._undo = True, partial(undo, self.mark, self.taker, now)
        self.covers = standing != "further"

    def outgoing(self, ctx: Context, own: str | None, operation: str) -> Context:
        """Return `ctx` with the mark for the next service; without any, if that is the provider.

        Args:
            ctx: The context of the call.
            own: The mark that its reservation proves, if there is one.
            operation: The operation of the call.
        """
        if self.token is not None:
            return baggage.set_baggage(_BAGGAGE, own or marks.written(self.token, marks.kind_of(operation), ()), ctx)
        if self.mark is not None and self.covers and not self._known:
            return baggage.set_baggage(_BAGGAGE, marks.passed_on(self.mark), ctx)
        return baggage.remove_baggage(_BAGGAGE, ctx)

    def ended(self, *, answered: bool) -> None:
        """Let another call use the mark if this one was not answered: a gateway tries several deployments."""
        if self.covers and self.mark is not None and not answered:
            self._passages.give_back(self.mark)
            if self._undo is not None:
                self._undo()


class Passages:
    """Reads and writes the marks of one `instrument()`. Thread-safe."""

    def __init__(self, book: PriceBook, policy: Upstream) -> None:
        """Create the object.

        Args:
            book: A call without a price passes no mark on: the next service may know what it costs.
            policy: The setting `upstream`.
        """
        self._book = book
        self.policy = policy
        self._lock = threading.Lock()
        self._taken: OrderedDict[str, None] = OrderedDict()
        """The tokens of marks that a call has used."""

    def passage(self, request: ModelRequest, at: float, *, nested: bool) -> Passage | None:
        """Return the marks that a call receives and passes on; None if there are none.

        Args:
            request: The request.
            at: The time of the call, in seconds since the epoch.
            nested: True if another call of this process is being made in this context: the mark is its own.
        """
        if self.policy == "off":
            return None
        received = None if nested else baggage.get_baggage(_BAGGAGE, context.get_current())
        known = request.endpoint.known
        if received is None and known:
            return None
        mark = marks.read(received)
        covers = mark is not None and mark.kind == marks.kind_of(request.call.operation) and self._take(mark)
        token = None if covers or known or not self._charges(request, at) else marks.new_token()
        if received is None and token is None:
            return None
        return Passage(self, mark, token, covers=covers, known=known)

    def _charges(self, request: ModelRequest, at: float) -> bool:
        cost = WorstCasePrice(self._book, request, at)(_SAMPLE, request.call.model)
        return bool(cost.usd)

    def _take(self, mark: Mark) -> bool:
        token = mark.token + mark.hop
        with self._lock:
            if token in self._taken:
                return False
            self._taken[token] = None
            if len(self._taken) > _REMEMBERED:
                self._taken.popitem(last=False)
            return True

    def give_back(self, mark: Mark) -> None:
        """Let another call use the mark."""
        with self._lock:
            self._taken.pop(mark.token + mark.hop, None)
