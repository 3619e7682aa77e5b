"""Prices of tools: how they are written, which of several counts, and that they are exact."""

from __future__ import annotations

from decimal import Decimal

import pytest

from otel_agentcost.core.tool_prices import ToolPrice, ToolPrices, to_price
from otel_agentcost.settings import Settings, from_environment


def usd(written: object) -> ToolPrice:
    price = to_price(written)
    assert price is not None
    return price


@pytest.mark.parametrize(
    ("written", "price", "shown"),
    [
        (0.005, ToolPrice(Decimal("0.005")), "0.005"),
        ("0.005", ToolPrice(Decimal("0.005")), "0.005"),
        ("0.005 / call", ToolPrice(Decimal("0.005")), "0.005"),
        ("0.01/s", ToolPrice(Decimal("0.01"), "second"), "0.01/s"),
        ("0.01/second", ToolPrice(Decimal("0.01"), "second"), "0.01/s"),
        (0, ToolPrice(Decimal(0)), "0"),
    ],
)
def test_a_price_is_for_a_call_or_for_a_second(written: object, price: ToolPrice, shown: str) -> None:
    """Numbers and texts, exactly, and shown again as they may be written."""
    assert to_price(written) == price
    assert str(price) == shown
    assert to_price(shown) == price


@pytest.mark.parametrize("written", ["", "/s", "0.01/h", "0.01/", "-1/s", "nan/s", "cheap", True, None, [1]])
def test_what_is_no_price_is_none(written: object) -> None:
    """A unit that is not known is not taken for a call."""
    assert to_price(written) is None


@pytest.mark.parametrize(
    ("tool", "price"),
    [
        ("search_news", "2"),  # its own name
        ("search_web", "0.005"),  # a pattern
        ("search_web_deep", "0.5"),  # two patterns, of which the longer counts
        ("fetch_page", "0.001"),
        ("research_web", None),  # a pattern means the whole name
        ("a.b", "7"),
        ("axb", None),  # only `*` stands for anything
        ("Search_web", None),
    ],
)
def test_the_nearest_name_counts(tool: str, price: str | None) -> None:
    """An exact name beats a pattern, and a longer pattern a shorter one, in whatever order they are written."""
    written = {"search_*": "0.005", "search_news": "2", "search_*_deep": "0.5", "*_page": "0.001", "a.b": "7"}
    for pairs in (list(written.items()), list(written.items())[::-1]):
        prices = ToolPrices({name: usd(amount) for name, amount in pairs})
        assert prices.find(tool) == (None if price is None else usd(price))


def test_of_two_patterns_of_one_length_the_first_counts() -> None:
    """What is written decides, not chance."""
    assert ToolPrices({"a*": usd(1), "*b": usd(2)}).find("ab") == usd(1)
    assert ToolPrices({"*b": usd(2), "a*": usd(1)}).find("ab") == usd(2)


def test_seconds_are_charged_exactly() -> None:
    """To the nanosecond, without binary fractions; a clock that goes back costs nothing."""
    assert usd("0.01/s").of(1_500_000_001) == Decimal("0.01500000001")
    assert usd("0.01/s").of(-5) == 0
    assert usd("0.01").of(1_500_000_001) == Decimal("0.01")


def test_every_place_takes_the_same_prices() -> None:
    """Text of the environment, and a mapping of a file or of code, with seconds and patterns in them."""
    text = from_environment({"OTEL_AGENTCOST_TOOL_PRICES": "sandbox=0.01/s,search_*=0.005"}).tool_prices
    mapping = Settings(tool_prices={"sandbox": "0.01/s", "search_*": Decimal("0.005")}).tool_prices
    assert text == mapping == {"sandbox": usd("0.01/s"), "search_*": usd("0.005")}
    assert isinstance(text, ToolPrices)
    assert text.find("search_web") == usd("0.005")
