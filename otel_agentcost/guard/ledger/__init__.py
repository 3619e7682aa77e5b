"""Ledgers: one module for each kind, and the function that opens one by its URL.

The protocol and its values are defined in `core.ledger`. A module of this folder whose name has no leading underscore
is the ledger of the URL scheme of that name; it has a function `open_ledger(url, *, timeout)`. Other distributions add
theirs with an entry point of the group `otel_agentcost.ledgers`: its name is the scheme, and its value such a function
or a module that has one. No OpenTelemetry here, and nothing is connected before the first verb needs it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint

from otel_agentcost import plugins
from otel_agentcost.core.ledger import (
    GRACE,
    KEEP,
    KEPT_SLICES,
    MOST,
    REMEMBER,
    SLICES,
    UNITS,
    VERBS,
    Amounts,
    Claim,
    Ledger,
    Refusal,
    Standing,
    Unit,
    checked,
    encoded,
    ends,
    free_again,
    freed,
    is_ledger,
    outdated,
    refusal,
    refusals,
    slice_end,
    slice_seconds,
    slice_to_spend,
    told,
)
from otel_agentcost.diagnostics import without_password
from otel_agentcost.errors import AgentCostError
from otel_agentcost.settings.schemes import LEDGERS

__all__ = [
    "GRACE",
    "KEEP",
    "KEPT_SLICES",
    "MOST",
    "REMEMBER",
    "SLICES",
    "UNITS",
    "Amounts",
    "Claim",
    "Ledger",
    "LedgerError",
    "Refusal",
    "Standing",
    "Unit",
    "checked",
    "encoded",
    "ends",
    "free_again",
    "freed",
    "open_ledger",
    "outdated",
    "refusal",
    "refusals",
    "slice_end",
    "slice_seconds",
    "slice_to_spend",
    "told",
]


class LedgerError(AgentCostError):
    """The ledger cannot be opened, reached or read. Never raised for a budget that is used up: that is a `Refusal`."""


def open_ledger(url: str, *, timeout: float = 1.0) -> Ledger:
    """Open the ledger that `url` names. Nothing is connected yet.

    Args:
        url: For example `memory://`, `sqlite:///path/to/file` or `redis://host:port/db`.
        timeout: Seconds that a call waits for the answer of a server. A file that other processes are writing to is
            not down: a call waits longer for it.

    Raises:
        LedgerError: The scheme is unknown, or the ledger cannot be opened.

    """
    scheme = plugins.scheme_of(url)
    if scheme in LEDGERS.built_in:
        ledger: Ledger = import_module(f"{__name__}.{scheme}").open_ledger(url, timeout=timeout)
        return ledger
    entry = LEDGERS.entry_point(scheme)
    if entry is None:
        raise LedgerError(f"The ledger {without_password(url)!r:.120} has an unknown scheme: {LEDGERS.hint()}.")
    return _open_plugin(entry, url, timeout)


def _open_plugin(entry: EntryPoint, url: str, timeout: float) -> Ledger:
    try:
        ledger: object = plugins.load(entry, "open_ledger")(url, timeout=timeout)
    except LedgerError:
        raise
    except (Exception, SystemExit) as error:  # code of other distributions may raise anything
        reason = without_password(f"{type(error).__name__}: {error}")
        raise LedgerError(
            f"The ledger {without_password(url)!r:.120} of {entry.value} cannot be opened ({reason:.300})."
        ) from error
    if not is_ledger(ledger):
        raise LedgerError(
            f"The entry point {entry.name} = {entry.value} opens {type(ledger).__name__}, which is not a ledger: it "
            f"lacks one of the methods {', '.join(VERBS)}."
        )
    return ledger
