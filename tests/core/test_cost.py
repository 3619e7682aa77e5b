"""Cost: sums that hide nothing, and the reason where there are no dollars."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agentcost.core.cost import FREE, Cost, priced

AMOUNTS = st.decimals(min_value=0, max_value=1000, allow_nan=False, allow_infinity=False, places=9)


@st.composite
def costs(draw: st.DrawFn) -> Cost:
    """Costs as prices make them: their parts sum to them."""
    parts = [draw(AMOUNTS) for _ in range(5)]
    return priced(sum(parts, start=Decimal(0)), parts, "openai/gpt-4o")


def parts_of(cost: Cost) -> Decimal:
    return cost.input_usd + cost.output_usd + cost.cache_read_usd + cost.cache_write_usd + cost.tool_usd


@given(costs(), costs())
def test_costs_are_additive_with_their_parts(one: Cost, other: Cost) -> None:
    """Two calls cost the sum of both, and the parts still sum to the whole."""
    both = one + other
    assert one.usd is not None
    assert other.usd is not None
    assert both.usd == one.usd + other.usd == parts_of(both)


@given(costs())
def test_unknown_plus_known_is_unknown(cost: Cost) -> None:
    """A total says that it does not contain a call, rather than to be too low."""
    unknown = Cost.unknown("no price for 'x'")
    for total in (cost + unknown, unknown + cost):
        assert total.usd is None
        assert total.unpriced == "no price for 'x'"


@given(costs())
def test_a_computed_cost_equals_one_made_by_keywords(cost: Cost) -> None:
    """`priced` puts each amount into the field it belongs to; the value is hashable and cannot be changed."""
    again = Cost(
        usd=cost.usd,
        input_usd=cost.input_usd,
        output_usd=cost.output_usd,
        cache_read_usd=cost.cache_read_usd,
        cache_write_usd=cost.cache_write_usd,
        tool_usd=cost.tool_usd,
        price="openai/gpt-4o",
    )
    assert cost == again
    assert hash(cost) == hash(again)
    assert repr(cost) == repr(again)
    with pytest.raises(AttributeError):
        cost.usd = None  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def test_free_is_known_to_cost_nothing() -> None:
    """Free is zero dollars, which is not the same as unknown."""
    assert FREE.usd == 0
    assert FREE.unpriced is None
    assert Cost.unknown("no usage").usd is None
