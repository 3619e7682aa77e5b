"""The folder for data of the user, where `agentcost run` records if no store is named."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from otel_agentcost.errors import AgentCostError


class NoFolder(AgentCostError):
    """The user has no folder for data. The text says what to set."""


def store_url() -> str:
    """Return the URL of the store in that folder.

    Raises:
        NoFolder: The environment names no folder, and the user has no home.
    """
    try:
        return f"sqlite:///{_folder() / 'spend.db'}"
    except RuntimeError as error:
        raise NoFolder(
            "There is no folder for your data, because HOME is not set and this user has none: set "
            "OTEL_AGENTCOST_RECORD=sqlite:////path/to/spend.db (`agentcost run --no-record` needs none)."
        ) from error


def _folder() -> Path:
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "otel-agentcost"
