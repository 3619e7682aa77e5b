"""The table of results: which instrumentations open spans for a call, and which span gets the dollars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.coexistence.experiment import OURS, Order, Seen, scope
from tests.coexistence.neighbours import NATIVE, NEIGHBOURS, Neighbour, neighbours
from tests.coexistence.shapes import SHAPES, Shape

COMPANIES: Sequence[Sequence[Neighbour]] = [
    *((one,) for one in NEIGHBOURS),
    *((one, NATIVE) for one in neighbours("anthropic") if one is not NATIVE),
    neighbours("openai"),
    neighbours("anthropic", "official", "openllmetry", "openinference"),
    neighbours("anthropic"),
]
"""Who is tried: each alone, each with anthropic's own tracing, and all at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What many calls have in common."""

    sdk: str
    company: str
    spans: str
    dollars: str


@dataclass(slots=True)
class Calls:
    """The calls that a row stands for."""

    shapes: list[str] = field(default_factory=list[str])
    orders: set[Order] = field(default_factory=set["Order"])
    counted: set[int] = field(default_factory=set[int])


class Table:
    """Collects what was seen, and puts together what is alike."""

    def __init__(self) -> None:
        self._rows: dict[Row, Calls] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, company: Sequence[Neighbour], order: Order, shape: Shape, seen: Seen) -> None:
        """One call."""
        row = Row(
            sdk=shape.sdk,
            company=" + ".join(one.name for one in company),
            spans=", ".join(sorted(_name(scope(span)) for span in seen.spans)),
            dollars=", ".join(_name(scope(span)) for span in seen.costed) or "none: the call was refused",
        )
        calls = self._rows.setdefault(row, Calls())
        if shape.name not in calls.shapes:
            calls.shapes.append(shape.name)
        calls.orders.add(order)
        calls.counted.add(seen.calls)

    def lines(self) -> Iterator[str]:
        """The table in Markdown."""
        yield "| SDK | other instrumentation | spans of a call | dollars on | counted | order | shapes |"
        yield "|---|---|---|---|---|---|---|"
        for row, calls in self._rows.items():
            order = "either" if len(calls.orders) > 1 else next(iter(calls.orders))
            counted = ", ".join(map(str, sorted(calls.counted)))
            every = {shape.name for shape in SHAPES if shape.sdk == row.sdk and not shape.refused}
            shapes = "all" if every == set(calls.shapes) else ", ".join(calls.shapes)
            cells = (row.sdk, row.company, row.spans, row.dollars, counted, order, shapes)
            yield f"| {' | '.join(cells)} |"


def _name(scope_name: str) -> str:
    if scope_name == OURS:
        return "**otel-agentcost**"
    return max((one for one in NEIGHBOURS if scope_name.startswith(one.scope)), key=lambda one: len(one.scope)).name
