"""The URL schemes that settings may have: those of ledgers and those of stores of caches."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from otel_agentcost.plugins import Schemes

_PACKAGE: Final = Path(__file__).parent.parent

LEDGERS: Final = Schemes("ledgers", _PACKAGE / "guard" / "ledger")
CACHE_STORES: Final = Schemes("cache_stores", _PACKAGE / "savings" / "stores")
