"""The ledger that a command shares with the programs it is about."""

from __future__ import annotations

from otel_agentcost.diagnostics import without_password
from otel_agentcost.errors import AgentCostError
from otel_agentcost.guard.ledger import Ledger, open_ledger
from otel_agentcost.settings import Settings

_SECONDS = 5.0
"""The least time that a command waits for the ledger."""


class NoSharedLedger(AgentCostError):
    """The ledger is that of one process, which is not this one. The text says what to set."""


def shared_ledger(settings: Settings, otherwise: str) -> Ledger:
    """Return the ledger of the settings, which the caller closes.

    Args:
        settings: The settings, as the programs have them.
        otherwise: What to do if the ledger is that of one process, to complete a sentence.

    Raises:
        NoSharedLedger: It is that of one process.
        LedgerError: It cannot be opened.
    """
    url = settings.ledger
    ledger = open_ledger(url, timeout=max(_SECONDS, settings.ledger_timeout)) if isinstance(url, str) else url
    if ledger.shared:
        return ledger
    ledger.close()
    raise NoSharedLedger(
        f"The ledger {without_password(str(url))!r:.120} is that of one process, which is not this one: set "
        f"OTEL_AGENTCOST_LEDGER to the sqlite:// or redis:// ledger of your programs{otherwise}."
    )
