"""Files that a command writes into a folder: nothing that somebody has changed is written over unasked.

What was written last is remembered beside it, as a digest of each file: a file that is still so is ours, and replaced.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from otel_agentcost.errors import AgentCostError

WRITTEN = ".agentcost.json"
"""The digests of what was written, in the folder."""


class CannotWrite(AgentCostError):
    """A file that cannot be written; the text says which, and why."""


def write(files: Mapping[str, str], folder: Path, *, force: bool) -> list[str]:
    """Writes `files` (text by relative path) into `folder`. Returns those that were left alone: they were there, and
    are neither what is written now nor what was written last. Raises `CannotWrite`.
    """
    known = _known(folder)
    kept: list[str] = []
    for name, text in files.items():
        path = folder / name
        try:
            present = path.read_bytes() if path.exists() else None
            if not force and present not in {None, text.encode()} and known.get(name) != _digest(present or b""):
                kept.append(name)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            known[name] = _digest(text.encode())
        except OSError as error:
            raise CannotWrite(f"{path} cannot be written ({error.strerror}); nothing after it was written.") from None
    try:
        (folder / WRITTEN).write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
    except OSError as error:
        raise CannotWrite(f"{folder / WRITTEN} cannot be written ({error.strerror}); the other files were.") from None
    return kept


def _known(folder: Path) -> dict[str, str]:
    try:
        found: Any = json.loads((folder / WRITTEN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    return {name: digest for name, digest in known.items() if isinstance(digest, str)}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
