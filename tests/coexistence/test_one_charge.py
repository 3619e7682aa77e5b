"""One call, one span, one charge: each neighbour, alone and with others, in both orders, in every shape of a call.

`python -m tests.coexistence` prints the table of what happens, which `docs/neighbours.md` shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from otel_agentcost.core import semconv
from tests.coexistence.experiment import Order, Seen, play, scope
from tests.coexistence.neighbours import Neighbour, needs_neighbours
from tests.coexistence.shapes import SHAPES, Shape
from tests.coexistence.table import COMPANIES, Table
from tests.support.model_server import ModelServer

pytestmark = [
    needs_neighbours,
    pytest.mark.filterwarnings("default"),  # what neighbours themselves warn of is not what these tests are about
]

AFTER_THE_FACT = {("openllmetry", "responses"), ("openllmetry", "responses stream")}
"""Where a neighbour opens its span only when the call is over: nobody can put dollars on a span that is not there."""

table = Table()


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    """One server for all scenes."""
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def _printed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Prints the table when all scenes are over."""
    yield
    reporter: Any = request.config.pluginmanager.get_plugin("terminalreporter")
    if table and reporter is not None:
        reporter.write_line("")
        for line in table.lines():
            reporter.write_line(line)


@pytest.mark.parametrize("order", ["theirs first", "ours first"])
@pytest.mark.parametrize(
    "company", COMPANIES, ids=lambda company: company[0].sdk + " " + "+".join(one.name for one in company)
)
def test_one_call_is_one_charge(company: Sequence[Neighbour], order: Order, server: ModelServer) -> None:
    """One span carries the dollars, the metrics count the call once, and the neighbours' spans stay as they are."""
    for shape in SHAPES:
        if shape.sdk == company[0].sdk:
            seen = play(company, shape, server, order)
            table.add(company, order, shape, seen)
            check_charge(shape, seen)
            check_spans(company, shape, seen)
            check_neighbours(_without_us(tuple(company), shape, server), seen)


def check_charge(shape: Shape, seen: Seen) -> None:
    """The call is counted once, its dollars are on one span, and they are right."""
    assert seen.calls == 1, shape.name
    assert len(seen.costed) == (0 if shape.refused else 1), (shape.name, [scope(span) for span in seen.costed])
    if shape.usd is not None:
        given = seen.costed[0].attributes or {}
        assert given[semconv.COST] == pytest.approx(shape.usd)
        assert seen.usd == pytest.approx(shape.usd)
        if shape.output_tokens:
            assert (
                given[semconv.OUTPUT_TOKENS] == shape.output_tokens
            )  # OpenLLMetry counts 185 in a stream of anthropic's
    elif not shape.refused:
        assert (seen.costed[0].attributes or {})[semconv.ESTIMATED] is True


def check_spans(company: Sequence[Neighbour], shape: Shape, seen: Seen) -> None:
    """We add a span only where nobody else has opened one when the call begins."""
    ids = [span.get_span_context() for span in seen.spans]
    assert len({one.span_id for one in ids if one is not None}) == len(ids), "a span was exported twice"
    alone = all((one.name, shape.name) in AFTER_THE_FACT for one in company)
    assert len(seen.ours) == (1 if alone else 0), shape.name


def check_neighbours(without: Seen, seen: Seen) -> None:
    """Each span that there is without us is there with us, with all that it says, and with no other status."""
    found = {_key(span): span for span in seen.theirs}
    for span in without.theirs:
        now = found[_key(span)]
        assert now.status.status_code is span.status.status_code
        assert _said(span).items() <= _said(now).items()
        assert len(now.events) == len(span.events)


@cache
def _without_us(company: tuple[Neighbour, ...], shape: Shape, server: ModelServer) -> Seen:
    return play(company, shape, server, "without us")


def _key(span: ReadableSpan) -> tuple[str, str]:
    return scope(span), span.name


_OURS_WIN = {
    semconv.INPUT_TOKENS,
    semconv.OUTPUT_TOKENS,
    semconv.CACHE_READ_TOKENS,
    semconv.CACHE_WRITE_TOKENS,
    semconv.TIME_TO_FIRST_CHUNK,
}


def _said(span: ReadableSpan) -> Mapping[str, object]:
    given = (span.attributes or {}).items()
    return {name: re.sub(r"resp_\d+", "resp", str(value)) for name, value in given if name not in _OURS_WIN}
