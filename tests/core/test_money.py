"""Money: exact sums, nano-dollars that never understate, and independence of the application's decimal context."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal, Inexact, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_agentcost.core import money

DOLLARS = st.decimals(min_value=0, max_value=10**6, allow_nan=False, allow_infinity=False, places=12)


@given(DOLLARS)
def test_a_ledger_never_holds_too_little(usd: Decimal) -> None:
    """Whole nano-dollars are rounded up, and by less than one of them."""
    nano = money.to_nano(usd)
    assert money.from_nano(nano) >= usd
    assert money.from_nano(nano - 1) < usd


@given(st.integers(min_value=0, max_value=10**20))
def test_nano_dollars_come_back_unchanged(nano: int) -> None:
    """From a ledger to dollars and back nothing is lost, however large the sum."""
    assert money.to_nano(money.from_nano(nano)) == nano


@given(DOLLARS, DOLLARS)
def test_arithmetic_ignores_the_applications_context(left: Decimal, right: Decimal) -> None:
    """An application that works with three digits, or makes rounding an error, changes no price."""
    expected = [money.add(left, right), money.multiply(left, right), money.to_nano(left)]
    with localcontext() as context:
        context.prec = 3
        context.rounding = ROUND_UP
        context.traps[Inexact] = True
        assert [money.add(left, right), money.multiply(left, right), money.to_nano(left)] == expected


def test_exact_operations_refuse_to_round() -> None:
    """Where 28 digits are not enough the exact operations raise, so that the caller rounds on purpose or not at all."""
    with pytest.raises(Inexact):
        money.exact_multiply(Decimal("1.000000000000001"), Decimal("1.000000000000001"))
    assert money.exact_add(Decimal("0.1"), Decimal("0.2")) == Decimal("0.3")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0.15", "0.15"),
        (0.15, "0.15"),
        (2, "2"),
        ("1e-7", "0.0000001"),
        (Decimal("3.75"), "3.75"),
        (0, "0"),
    ],
)
def test_an_amount_is_read_as_it_was_written(written: object, read: str) -> None:
    """Text, floats and integers become the decimal number that a person would read."""
    assert money.from_number(written) == Decimal(read)


@pytest.mark.parametrize("written", [True, None, "free", "", "NaN", float("inf"), -1, "-0.5", [1], {}, "1,5", "$2"])
def test_what_is_no_amount_is_refused(written: object) -> None:
    """Booleans, NaN, infinities, negative and other amounts are not money spent."""
    assert money.from_number(written) is None
