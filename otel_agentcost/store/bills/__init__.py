"""Bills of providers: each module is one provider, and fetches its bill or reads an export of it.

bill.py     a bill as values
_api.py     shared by the modules that ask an API
_table.py   shared by the modules that read a file

A module has `SUMMARY`, `NAMES` (the provider's names in the store) and `fetch(ask)`, which returns a `Bill`. Another
provider is one more file here.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import cast

from otel_agentcost.core import hints
from otel_agentcost.store.bills.bill import BillError, BillSource

__all__ = ["bill_source", "providers"]

_SHARED = {"bill"}


def providers() -> tuple[str, ...]:
    """Return the names of the providers whose bills can be read."""
    names = (module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    return tuple(sorted(name for name in names if name not in _SHARED))


def bill_source(provider: str) -> BillSource:
    """Return the module that reads the bills of a provider.

    Raises:
        BillError: There is none.
    """
    name = provider.strip().lower()
    if not name:
        raise BillError(f"Name a provider: there are {', '.join(providers())}.")
    if name not in providers():
        near = hints.near(name, providers()) or "."
        raise BillError(f"Bills of {provider!r:.60} cannot be read{near} There are {', '.join(providers())}.")
    return cast("BillSource", import_module(f"{__name__}.{name}"))
