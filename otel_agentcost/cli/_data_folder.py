"""The folder for data of the user, where `agentcost run` records if no store is named."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def store_url() -> str:
    """Return the URL of the store in that folder."""
    return f"sqlite:///{_folder() / 'spend.db'}"


def _folder() -> Path:
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "otel-agentcost"
