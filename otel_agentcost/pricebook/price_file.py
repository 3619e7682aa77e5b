"""Parse a user's price file (YAML or JSON) into mappings, lists and texts: each scalar stays the text that was written.

Prices stay text because a float cannot hold most of them; dates and times because YAML would turn 16:30 into 990.
PyYAML is optional and imported only here.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, cast

from otel_agentcost.errors import AgentCostError

_CONSEQUENCE = (
    "An application that has it in OTEL_AGENTCOST_PRICES uses list prices alone, and marks every cost with "
    "agentcost.unpriced"
)
"""The reaction of `runtime.start`: the file could have another price for each call."""


class PriceFileError(AgentCostError):
    """A user's price file, or a row of it, cannot be used. The text quotes the mistake, and says what to do."""

    def __init__(self, path: Path, problem: str, remedy: str = "", consequence: str = _CONSEQUENCE) -> None:
        """Build the text.

        Args:
            path: The file.
            problem: The mistake, as a clause without a full stop.
            remedy: A sentence, if correcting the file is not the remedy.
            consequence: What the mistake turns off, as a sentence without a full stop.
        """
        self.path = path
        self.problem = problem
        remedy = remedy or f"Correct the file and try: agentcost prices check {path}"
        super().__init__(f"{path}: {problem}. {consequence}. {remedy}")


class WrittenTwice:
    """The value of a name that is written twice in one place: nothing says which of the two applies."""

    def __init__(self, where: str = "") -> None:
        self._where = where

    def __repr__(self) -> str:
        return f"written twice in one place{self._where}"


def unreadable(path: Path, error: OSError) -> PriceFileError:
    """Return the error for a file that does not exist or cannot be read."""
    return PriceFileError(path, f"it cannot be read ({error.strerror})", "Name a file that can be read, or none.")


def read_text(path: Path) -> Mapping[str, Any]:
    """Return the mapping in the file `path`, with texts as its scalars.

    Raises:
        PriceFileError: The file cannot be read or parsed, or holds no mapping.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise PriceFileError(path, f"it is not text in UTF-8 ({error.reason} at byte {error.start})") from None
    read: object = _json(path, content) if path.suffix.lower() == ".json" else _yaml(path, content)
    if read is None or read == "":
        return {}
    if not isinstance(read, dict):
        raise PriceFileError(path, f"it holds {read!r:.80}, not a mapping with providers or models")
    return cast("Mapping[str, Any]", read)


def _json(path: Path, content: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for name, value in pairs:
            mapping[name] = WrittenTwice() if name in mapping else value
        return mapping

    try:
        return json.loads(content, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise PriceFileError(path, f"it is not JSON ({error})") from None


def _yaml(path: Path, content: str) -> Any:
    try:
        yaml: Any = importlib.import_module("yaml")
    except ImportError:
        raise PriceFileError(
            path,
            "reading YAML requires PyYAML, which is not installed",
            "Install it (pip install 'otel-agentcost[yaml]'), or write the file in JSON.",
        ) from None
    try:
        return _plain(path, yaml.compose(content, Loader=yaml.BaseLoader), set())
    except (yaml.YAMLError, RecursionError) as error:
        raise PriceFileError(path, f"it is not YAML ({' '.join(str(error).split())})") from None


def _plain(path: Path, node: Any, above: set[int]) -> Any:
    """Return the value of a YAML node. PyYAML itself would silently use the second of two equal keys."""
    if node is None:
        return None
    if id(node) in above:
        raise PriceFileError(path, "it contains itself (an anchor refers to a node that contains it)")
    above = above | {id(node)}
    kind = node.id
    if kind == "sequence":
        return [_plain(path, item, above) for item in node.value]
    if kind == "mapping":
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = _plain(path, key_node, above)
            line = key_node.start_mark.line + 1
            if not isinstance(key, Hashable) or not isinstance(key, str):
                raise PriceFileError(path, f"line {line}: {key!r:.80} is not a name")
            value = _plain(path, value_node, above)
            mapping[key] = WrittenTwice(f" (line {line})") if key in mapping else value
        return mapping
    empty = node.style is None and node.value in {"", "~", "null"}
    return None if empty else node.value
