"""Exact money: US dollars as `Decimal`, integer nano-dollars in ledgers, floats only in attributes and metrics.

Every operation uses a decimal context of this module. An application that lowers the precision of its own context, or
makes inexact results an error, can neither change a price nor be broken by one.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation

NANO_PER_USD = 1_000_000_000

# 28 digits and half-even: the precision in which published prices are multiplied and compared (tests hold
# the results equal to the genai-prices library, which computes in Python's default decimal context).
_CONTEXT = Context(prec=28, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
# The same, but a result that would have to be rounded raises `Inexact` instead: as long as it does not, sums and
# products may be taken in any order.
_EXACT = Context(prec=28, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, Inexact])
# Room for every sum of amounts and counts that can be met, so that nothing is ever rounded away between two parts.
_WIDE = Context(prec=10_000, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
_UP = Context(prec=60, rounding=ROUND_CEILING, traps=[InvalidOperation])

ZERO = Decimal(0)
MOST = Decimal(10**6)
"""No call costs a million dollars. Without a bound, one absurd figure from a provider would spoil every sum."""

add = _CONTEXT.add
subtract = _CONTEXT.subtract
multiply = _CONTEXT.multiply
divide = _CONTEXT.divide

exact_add = _EXACT.add
exact_multiply = _EXACT.multiply

wide_add = _WIDE.add
wide_subtract = _WIDE.subtract


def to_nano(usd: Decimal) -> int:
    """Convert US dollars to whole nano-dollars, rounded up: a ledger never counts too little."""
    return int(_UP.to_integral_value(_UP.multiply(usd, Decimal(NANO_PER_USD))))


def from_nano(nano: int) -> Decimal:
    """Convert nano-dollars to US dollars, exactly."""
    return Decimal(nano).scaleb(-9, _UP)


def to_float(usd: Decimal) -> float:
    """Return the nearest double, for a span attribute or a metric: the only place where money becomes a float."""
    return float(usd)


def from_number(value: object) -> Decimal | None:
    """Parse an amount that a provider or a user wrote as a number or as text.

    Returns:
        US dollars; None for booleans, NaN, infinities, negative amounts, and anything that is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        amount = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def reported(value: object) -> Decimal | None:
    """Parse the cost of one call that a provider reports; None if it is not an amount, or a million dollars or more."""
    amount = from_number(value)
    return amount if amount is not None and amount < MOST else None
