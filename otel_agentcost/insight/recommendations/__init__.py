"""Recommendations: each module is one, with its dollars, its formula and the calls that it rests on.

A module has a function `watch(evidence)`, which returns a `Watcher`. Another recommendation is one more file here.
Calls pass once, one after the other, and a watcher keeps no more of them than it needs. Dollars of one recommendation
can be those of another, too (a repeated request may also fit into a batch), so that no sum over them means anything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules
from typing import Final, Generic, Literal, NamedTuple, TypeVar

from otel_agentcost.insight.repricing import Basis, Counts, Other, Repricing
from otel_agentcost.store import fingerprints
from otel_agentcost.store.questions import Spend, Sums
from otel_agentcost.store.single_calls import Recorded, Repeated, Terms

Class = Literal["measured", "exact", "ceiling"]
"""`measured`: dollars that were spent or saved. `exact`: the same tokens at another price that is known. `ceiling`: at
most this much, and only a test can tell."""

CLASSES: Final[tuple[Class, ...]] = ("measured", "exact", "ceiling")

_V = TypeVar("_V")
_PROMPTS: Final = 2_000
_STATES: Final = 5_000


class Finding(NamedTuple):
    """The dollars that one recommendation has found."""

    name: str
    """The name of its module."""
    title: str
    kind: Class
    nusd: int
    """Billionths of a dollar."""
    calls: int
    """The calls that it rests on."""
    formula: str
    """How the dollars are computed."""
    where: tuple[tuple[str, int], ...]
    """The places with the most of it, and their billionths of a dollar."""
    unit: str = "calls"
    """The name of what `calls` counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that recommendations know beside single calls."""

    repricing: Repricing
    until: float
    """The end of the period, in seconds since the epoch."""
    total: Sums = field(default_factory=Sums)
    errors: Spend = field(default_factory=lambda: Spend((), ()))
    """What was spent, by error, agent and price key."""
    loops: tuple[int, int] = (0, 0)
    """The number of loops, and the billionths of a dollar that they wasted."""
    repeated: Iterable[Repeated] = ()
    repeated_tools: Iterable[Repeated] = ()
    offline: frozenset[str] = frozenset()
    """The features whose answers can come later."""
    cheaper: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """A cheaper model of the same provider by price key and operation."""


class Seen:
    """One call, as watchers see it."""

    __slots__ = ("_asked", "_basis", "call", "repricing", "segments")

    def __init__(self, call: Recorded, segments: tuple[bytes, ...] | None, repricing: Repricing) -> None:
        """Take a call with the fingerprints of its prompt; None if they are not known."""
        self.call = call
        self.segments = segments
        self.repricing = repricing
        self._asked = False
        self._basis: Basis | None = None

    @property
    def basis(self) -> Basis | None:
        """The basis of the recorded dollars, so that another price can be compared with them; None if there is none."""
        if not self._asked:
            self._asked, self._basis = True, self.repricing.whole_basis(self.call)
        return self._basis

    def cost_of(self, counts: Counts) -> int | None:
        """Return what the call would have cost with other counts, in billionths of a dollar; None if not known."""
        return None if self.basis is None else self.repricing.nusd(self.call, self.basis, Other(counts))

    def saved(
        self, counts: Counts | None = None, *, model: tuple[str, str] | None = None, terms: Terms | None = None
    ) -> int:
        """Return the billionths of a dollar that the call would cost less; 0 if it would not, or if that is not known.

        Args:
            counts: Other counts.
            model: Another provider and model.
            terms: Other terms of the price.
        """
        basis = self.basis
        if basis is None or self.call.nusd is None:
            return 0
        if model is not None:
            basis = self.repricing.instead(basis, model[1], model[0])
        nusd = self.repricing.nusd(self.call, basis, Other(counts, terms))
        return max(0, self.call.nusd - nusd) if nusd is not None else 0


class Watcher:
    """Collects what one recommendation is about. The base sees no calls: its evidence is elsewhere."""

    sees = False
    """True if single calls pass through `see`."""

    def see(self, seen: Seen) -> None:
        """Take one call, in the order of time."""

    def found(self) -> Iterator[Finding]:
        """Yield what was found, if anything."""
        yield from ()


class Tally:
    """Dollars and calls by place."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.nusd = 0
        self.calls = 0
        self._places: dict[str, int] = {}

    def add(self, place: str, nusd: int, calls: int = 1) -> None:
        """Add the dollars of calls at a place; nothing if there are no dollars."""
        if nusd > 0:
            self.nusd += nusd
            self.calls += calls
            self._places[place] = self._places.get(place, 0) + nusd

    def finding(self, name: str, title: str, kind: Class, formula: str) -> Iterator[Finding]:
        """Yield the finding, if there is anything in it."""
        if self.nusd > 0:
            first = sorted(self._places.items(), key=lambda each: (-each[1], each[0]))[:3]
            where = tuple((place, nusd) for place, nusd in first if place)
            yield Finding(name, title, kind, self.nusd, self.calls, formula, where)


class Bounded(OrderedDict[object, _V], Generic[_V]):
    """Values by key; of too many, the oldest are forgotten."""

    def keep(self, key: object, value: _V, most: int = _STATES) -> None:
        """Set a value."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > most:
            self.popitem(last=False)


class Prompts:
    """The fingerprints of the latest prompts, of which rows hold what is new."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._known = Bounded[tuple[bytes, ...]]()

    def of(self, call: Recorded) -> tuple[bytes, ...] | None:
        """Return the fingerprints of a call's prompt; None if they are not known."""
        if not call.segments:
            return None
        base = self._known.get(call.base, ()) if call.base is not None else ()
        if len(base) < call.kept:
            return None
        segments = fingerprints.unpacked(call.segments, base)
        self._known.keep(call.number, segments, _PROMPTS)
        return segments


def names() -> tuple[str, ...]:
    """Return the names of the recommendations that there are."""
    return tuple(sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_")))


def findings(evidence: Evidence, calls: Iterable[Recorded], only: Sequence[str] | None = None) -> list[Finding]:
    """Return all findings, by class, the dearest first.

    Args:
        evidence: Sums of the period.
        calls: Its calls, in the order of time.
        only: The names of the recommendations; None for all of them.
    """
    wanted = names() if only is None else only
    made: list[Callable[[Evidence], Watcher]] = [import_module(f"{__name__}.{name}").watch for name in wanted]
    watchers = [watch(evidence) for watch in made]
    seeing = [watcher.see for watcher in watchers if watcher.sees]
    prompts = Prompts()
    for call in calls if seeing else ():
        seen = Seen(call, prompts.of(call), evidence.repricing)
        for see in seeing:
            see(seen)
    found = [finding for watcher in watchers for finding in watcher.found()]
    return sorted(found, key=lambda each: (CLASSES.index(each.kind), -each.nusd, each.name))


def thread(call: Recorded) -> object:
    """Return the key of calls whose prompts grow from one another."""
    return call.chain, call.names.agent, call.names.model


def place(call: Recorded) -> str:
    """Return the place of a call: its agent or feature, and its model."""
    who = call.names.agent or call.names.feature
    return f"{who}, {call.names.model}" if who else call.names.model
