"""The settings: what a user can set, parsed.

from otel_agentcost.settings import Settings, from_environment

field.py           the columns of the table
table.py           the table: one row for each setting
parsers.py         parsers of values
sources.py         arguments, environment, settings file
hosts.py           own hosts
load.py            the settings of this process, from all sources
warnings.py        notices about unknown names and settings without effect
schemes.py         the URL schemes of ledgers and of stores of caches
"""

from __future__ import annotations

from otel_agentcost.settings.field import Row
from otel_agentcost.settings.load import from_environment
from otel_agentcost.settings.parsers import CaptureContent, on_spans
from otel_agentcost.settings.sources import PREFIX
from otel_agentcost.settings.table import (
    ACTION_WORDS,
    NO_BUDGET,
    ROWS,
    LoopAction,
    Permission,
    Settings,
    Unlimited,
    Upstream,
)

__all__ = [
    "ACTION_WORDS",
    "NO_BUDGET",
    "PREFIX",
    "ROWS",
    "CaptureContent",
    "LoopAction",
    "Permission",
    "Row",
    "Settings",
    "Unlimited",
    "Upstream",
    "from_environment",
    "on_spans",
]
