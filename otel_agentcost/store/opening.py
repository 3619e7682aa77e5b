"""From a setting to the receiver that writes the spend store. Nothing of a store is imported while it is off."""

from __future__ import annotations

from collections.abc import Callable

from otel_agentcost.diagnostics import alarm
from otel_agentcost.errors import AgentCostError
from otel_agentcost.telemetry.receiver import Receiver


def open_writer(
    url: str | None, book: str, dropped: Callable[[int], None], *, days: int, clock: Callable[[], float]
) -> Receiver | None:
    """Return the receiver of settled calls. It opens its file with the first call.

    Args:
        url: The store; None if nothing is recorded.
        book: The source and the date of the price book.
        dropped: Counts rows that are lost.
        days: The days for which single calls are kept.
        clock: Returns the time in seconds since the epoch.

    Returns:
        None if nothing is recorded, or if the URL cannot be understood, which is logged.
    """
    if url is None:
        return None
    from otel_agentcost.store.writer import Writer  # noqa: PLC0415 (off unless it is set)

    try:
        return Writer(url, book, dropped, days=days, clock=clock)
    except AgentCostError as error:
        alarm(f"otel-agentcost: {error} NOTHING IS RECORDED.")
        return None
