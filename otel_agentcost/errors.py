"""Every exception that this package raises on purpose.

    AgentCostError              base of them all
    ├── SettingsError           a setting cannot be understood; the text quotes it and says what to do
    └── PriceFileError          a file of own prices cannot be used (defined beside its reader, in `pricebook`)

Nothing here is ever raised into a model call: settings and price files are read at start-up, and the instrumentor
turns both into one log record. What goes wrong while a call is measured is caught and logged, not raised.
"""

from __future__ import annotations

__all__ = ["AgentCostError", "SettingsError"]


class AgentCostError(Exception):
    """Base of this package's exceptions. Its text is one or more full sentences for the person who runs the program."""


class SettingsError(AgentCostError):
    """A setting cannot be understood."""
