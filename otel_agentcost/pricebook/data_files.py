"""Read the small tables beside the price book: corrections, hosts, output limits, service tiers.

Each is a JSON file of this folder that names the source of its rows. A table is read when it is first used, never at
import, and its reader keeps the result.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

_FOLDER = Path(__file__).parent


def read_table(name: str) -> dict[str, Any]:
    """Return the JSON object in the file `name` of this folder.

    Raises:
        OSError: The file is not part of the installation.
        ValueError: The file is not JSON.
    """
    return cast("dict[str, Any]", json.loads((_FOLDER / name).read_text(encoding="utf-8")))
