"""The cost of one tool call, from a price or a price function. Called by `tool_call.py`.

Errors of a price function do not reach the application: the call is unpriced, and the log says so once per cause.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from otel_agentcost.core import money
from otel_agentcost.core.tool_prices import ToolPrice
from otel_agentcost.diagnostics import reraise_foreign, warn_once
from otel_agentcost.telemetry.spans import error_type

Dollars = Decimal | float | str
PriceFunction = Callable[[dict[str, Any], Any], Dollars]
Price = ToolPrice | PriceFunction
ToolCost = tuple[Decimal | None, str | None]
"""US dollars, None for a tool without a price; and the reason if a tool that has a price has no cost."""

NO_RESULT: Final = object()
"""The result of a call that has none."""


def tool_cost(
    tool: str, price: Price, arguments: Callable[[], dict[str, Any]], result: Any, nanoseconds: int, *, failed: bool
) -> ToolCost:
    """Return the cost of a tool call.

    Args:
        tool: The name of the tool, for the log.
        price: Its price, or a function of its arguments and its result.
        arguments: Returns the arguments by name. Called only for a price function.
        result: The result, or `NO_RESULT`. A price function gets None for `NO_RESULT`.
        nanoseconds: The duration of the call.
        failed: True if the call raised an exception.
    """
    if isinstance(price, ToolPrice):
        return price.of(nanoseconds), None
    if failed and result is NO_RESULT:
        return None, "the tool failed, and its price depends on its result"
    try:
        amount = price(arguments(), None if result is NO_RESULT else result)
    except Exception as error:
        reraise_foreign(error)
        _warn(tool, "raised", error_type(error), f" ({error!s:.300})")
        return None, f"the tool's price function raised {error_type(error)}"
    usd = money.reported(amount)
    if usd is None:
        _warn(tool, "returned", type(amount).__name__, ", which is not an amount of dollars")
        return None, "the tool's price function returned no amount of dollars"
    return usd, None


def _warn(tool: str, verb: str, kind: str, details: str) -> None:
    cause = f"the price function of the tool {tool:.120} {verb} {kind}"
    warn_once(cause, f"otel-agentcost: {cause}{details}. The tool is not affected; its calls are unpriced.")
