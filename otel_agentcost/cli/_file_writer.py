"""Write generated files into a folder without overwriting files that the user has changed.

A file of digests in the folder records the content that was written last. A file with another content was changed by
the user.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from otel_agentcost.errors import AgentCostError

WRITTEN = ".agentcost.json"
"""Name of the file that holds the digest of each written file."""


class CannotWrite(AgentCostError):
    """A file cannot be written. The message names the file and the reason."""


def write(files: Mapping[str, str], folder: Path, *, force: bool) -> list[str]:
    """Write files into a folder, and keep existing files that the user has changed.

    Args:
        files: Text by path, relative to `folder`.
        folder: The folder; it and its subfolders are created if they do not exist.
        force: True to replace changed files too.

    Returns:
        The names of the files that were kept. A file is kept if its content is neither the new content nor the content
        that was written last.

    Raises:
        CannotWrite: A file cannot be written; the files after it are not written.
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
            raise CannotWrite(f"{path} cannot be written ({error.strerror}); no later file was written.") from None
    try:
        (folder / WRITTEN).write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
    except OSError as error:
        raise CannotWrite(f"{folder / WRITTEN} cannot be written ({error.strerror}); all others were.") from None
    return kept


def _known(folder: Path) -> dict[str, str]:
    try:
        content: Any = json.loads((folder / WRITTEN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    return {name: digest for name, digest in known.items() if isinstance(digest, str)}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
