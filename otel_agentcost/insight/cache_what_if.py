"""The dollars that caches would have saved on recorded calls, before any of them is switched on.

Requests are equal if their fingerprints are, for one tenant, else for one user, else within one process. They pass in
the order of their beginnings, as a cache would have met them: an answer is stored when its call has ended, and serves
until its time to live is over; while a call is under way, an equal one would wait for it.

All of it is a ceiling, since a record knows less of a request than a cache does: not its temperature, its files or its
address. What the record does not say is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from otel_agentcost.core import semconv
from otel_agentcost.core.usage import Count
from otel_agentcost.insight.recommendations import Bounded, Prompts, thread
from otel_agentcost.insight.repricing import FRESH, Other, Repricing, moved
from otel_agentcost.store.equal_requests import Request
from otel_agentcost.store.fingerprints import shared
from otel_agentcost.store.questions import Spend
from otel_agentcost.store.single_calls import Names, Recorded

Kind = Literal["answers", "coalescing", "tools", "prompts"]

KINDS: Final[Mapping[Kind, str]] = {
    "answers": "recorded dollars of each request whose equal (provider, model, parameters, whole prompt; one tenant, "
    "else user, else process) had ended with a complete answer at most the time to live before; at most, since the "
    "cache leaves out what a record does not know: a temperature above 0, files, addresses, tools of the provider",
    "coalescing": "recorded dollars of each request that began while its equal was under way; at most, for the same "
    "reason",
    "tools": "recorded dollars of each tool call whose equal (tool, arguments; one tenant, else user, else process) "
    "had ended at most the time to live before; at most, since a tool that does something, or whose answer changes, "
    "has to be called again",
    "prompts": "input tokens of the previous prompt of a conversation that the next one, within 5 minutes, repeated "
    "as a whole and did not read from a cache x (price paid - price of a cached token) - price of writing them; at "
    "most, since a provider may still miss",
}
"""How the dollars of each cache are worked out."""

FINISHED: Final = frozenset(
    {"stop", "end_turn", "stop_sequence", "complete", "completed", "eos", "eos_token", "finish"}
)
"""Reasons for which a complete answer ends: those of `savings/responses/eligibility.py`."""

OPERATIONS: Final = frozenset({semconv.CHAT, semconv.TEXT_COMPLETION, semconv.GENERATE_CONTENT, semconv.EMBEDDINGS})
_FIVE_MINUTES: Final = 300.0
LEAST: Final = 1_024
"""Tokens below which no provider caches a prompt."""


class Place(NamedTuple):
    """The part of a program that a saving is about."""

    cache: Kind
    feature: str
    agent: str
    what: str
    """The model, or the tool."""


@dataclass(slots=True)
class Saving:
    """The savings at one place."""

    calls: int
    """All calls there."""
    hits: int = 0
    """Those that a cache would have answered; of prompts, those that would have read them."""
    nusd: int = 0
    """Billionths of a dollar."""
    unpriced: int = 0
    """Hits whose dollars are not known in whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The savings of caches that were not there."""

    savings: Mapping[Place, Saving] = field(default_factory=dict[Place, Saving])
    """The dearest first."""
    calls: int = 0
    """All model calls of the period."""
    unknown: bool = False
    """True if no request of the period has a fingerprint."""

    def total(self, cache: Kind) -> int:
        """Return the billionths of a dollar that one cache would have saved."""
        return sum(saving.nusd for place, saving in self.savings.items() if place.cache == cache)


BY: Final = ("feature", "agent", "model", "tool")
"""The groupings of the sums that `what_if` needs."""


def what_if(
    requests: Iterable[Request], calls: Callable[[], Iterable[Recorded]], spend: Spend, repricing: Repricing, ttl: float
) -> Answer:
    """Return what caches would have saved.

    Args:
        requests: The requests and tool calls that were made more than once, in the order of their beginnings.
        calls: Returns the recorded calls in the order of time.
        spend: Sums of the period, by `BY`.
        repricing: Prices the calls again.
        ttl: Seconds for which an answer would be kept.
    """
    totals: dict[tuple[str, str, str], int] = {}
    for line in spend.lines:
        feature, agent, model, tool = line.keys
        key = feature, agent, tool or model
        totals[key] = totals.get(key, 0) + (line.sums.tools if tool else line.sums.calls)
    found: dict[Place, Saving] = {}

    def add(cache: Kind, names: Names, nusd: int) -> None:
        place = Place(cache, names.feature, names.agent, names.tool or names.model)
        if place not in found:
            found[place] = Saving(totals.get(place[1:], 0))
        saving = found[place]
        saving.hits += 1
        saving.nusd += nusd
        saving.unpriced += bool(names.unpriced)

    for request, cache in _answered(requests, ttl):
        if request.nusd is not None:
            add(cache, request.names, request.nusd)
    prompts = _Prompts(repricing)
    seen = False
    for call in calls():
        seen = seen or call.segments is not None
        nusd = prompts.saved(call)
        if nusd > 0:
            add("prompts", call.names, nusd)
    ordered = sorted(
        ((place, saving) for place, saving in found.items() if saving.nusd > 0),
        key=lambda each: (tuple(KINDS).index(each[0].cache), -each[1].nusd, each[0]),
    )
    return Answer(dict(ordered), spend.total.calls, unknown=not seen and spend.total.calls > 0)


def _answered(requests: Iterable[Request], ttl: float) -> Iterator[tuple[Request, Kind]]:
    """Yield the requests that a cache would have answered, and which cache."""
    stored: dict[object, Request] = {}
    for request in requests:
        names = request.names
        scope = ("tenant", names.tenant) if names.tenant else ("user", names.user) if names.user else request.process
        key = (request.fingerprint, names.provider, names.requested or names.served, names.operation, names.tool, scope)
        before = stored.get(key)
        if before is not None and request.began < before.ended:
            if not names.tool:  # equal calls of a tool that are under way do not wait for each other
                yield request, "coalescing"
        elif before is not None and request.began < before.ended + ttl:
            yield request, "tools" if names.tool else "answers"
        elif _is_kept(request):
            stored[key] = request


def _is_kept(request: Request) -> bool:
    """Return True if a cache would keep the answer of a request."""
    names = request.names
    if names.error:
        return False
    if names.tool:
        return True
    reasons = {reason.lower() for reason in request.stop.split(",") if reason}
    finished = reasons <= FINISHED and (reasons or names.operation == semconv.EMBEDDINGS)
    return names.operation in OPERATIONS and bool(finished) and names.source != "estimated"


class _Before(NamedTuple):
    """The latest prompt of a conversation."""

    call: Recorded
    segments: tuple[bytes, ...]
    read: int
    """Tokens that it would have read from a cache, beside those that it has read."""


class _Prompts:
    """Prompts that repeat the one before them as a whole, and did not read it from the provider's cache."""

    def __init__(self, repricing: Repricing) -> None:
        self._repricing = repricing
        self._known = Prompts()
        self._before = Bounded[_Before]()

    def saved(self, call: Recorded) -> int:
        """Return the billionths of a dollar that markers would have saved at a call; 0 if none is known to be."""
        segments = self._known.of(call)
        if segments is None or call.tokens is None or not call.chain or call.names.error:
            return 0
        key = thread(call)
        before = self._before.get(key)
        tokens = _repeated(before, call, segments) if before is not None else 0
        self._before.keep(key, _Before(call, segments, tokens))
        if before is None or not tokens:
            return 0
        read = self._change(call, moved(call.counts, tokens, FRESH, "cache_read_tokens"))
        # The earlier call would have written what it would not have read itself.
        fresh = max(0, int(before.call.counts.get("input_tokens", 0)) - before.read)
        written = self._change(before.call, moved(before.call.counts, fresh, _PLAIN, "cache_write_tokens"))
        return max(0, -read - max(0, written or 0)) if read is not None else 0

    def _change(self, call: Recorded, counts: Mapping[str, Count]) -> int | None:
        """Return how many billionths of a dollar more a call would cost with other counts; None if it is not known."""
        basis = self._repricing.whole_basis(call)
        if basis is None or call.nusd is None:
            return None
        nusd = self._repricing.nusd(call, basis, Other(counts))
        return nusd - call.nusd if nusd is not None else None


def _repeated(before: _Before, call: Recorded, segments: tuple[bytes, ...]) -> int:
    """Return the tokens of the earlier prompt that a call has repeated and not read; 0 if that is not known."""
    tokens, those = call.tokens, before.call.tokens
    if tokens is None or those is None or call.at - before.call.at > _FIVE_MINUTES:
        return 0
    if not before.segments or shared(before.segments, segments) < len(before.segments):
        return 0  # a part of the earlier prompt: its tokens are not known
    missed = min(those.input, tokens.input) - tokens.cache_read
    return missed if missed >= LEAST and missed > _SHARE * those.input else 0


_PLAIN: Final = frozenset({"input_tokens"})
_SHARE: Final = 0.05
"""The share of the earlier prompt that makes it worth saying."""
