"""Reads an own price file into mappings, lists and texts: YAML or JSON, each scalar as the text that was written.

Prices stay text because a float cannot hold most of them, dates and times because YAML would turn 16:30 into 990.
PyYAML is optional and loaded here alone.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, cast

from otel_agentcost.errors import AgentCostError

_CONSEQUENCE = (
    "Applications with this OTEL_AGENTCOST_PRICES run without otel-agentcost: their model calls are not measured or "
    "priced"
)
"""What `runtime.start` does. The built-in book alone would put wrong dollars on whatever the file was to override."""


class PriceFileError(AgentCostError):
    """An own price file that cannot be used; the text quotes what is wrong, says what follows and what to do."""

    def __init__(self, path: Path, problem: str, remedy: str = "") -> None:
        """`remedy` is a sentence, where the remedy is not to correct what the file says."""
        self.path = path
        self.problem = problem
        remedy = remedy or f"Correct the file and try: agentcost prices check {path}"
        super().__init__(f"{path}: {problem}. {_CONSEQUENCE}. {remedy}")


def unreadable(path: Path, error: OSError) -> PriceFileError:
    """The error for a file that is not there, or not to be read."""
    return PriceFileError(path, f"it cannot be read ({error.strerror})", "Name a readable file, or none.")


def read_text(path: Path) -> Mapping[str, Any]:
    """The mapping in `path`. Raises `PriceFileError`."""
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
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise PriceFileError(path, f"{twice!r:.80} occurs twice in one mapping")
        return found

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
            "YAML needs PyYAML, which is not installed",
            "Install it (pip install 'otel-agentcost[yaml]'), or write the file in JSON.",
        ) from None
    try:
        return _plain(path, yaml.compose(content, Loader=yaml.BaseLoader), set())
    except (yaml.YAMLError, RecursionError) as error:
        raise PriceFileError(path, f"it is not YAML ({' '.join(str(error).split())})") from None


def _plain(path: Path, node: Any, above: set[int]) -> Any:
    """The value of a YAML node. Done here, because PyYAML lets the second of two equal keys win in silence."""
    if node is None:
        return None
    if id(node) in above:
        raise PriceFileError(path, "it contains itself (an anchor that refers to what holds it)")
    above = above | {id(node)}
    kind = node.id
    if kind == "sequence":
        return [_plain(path, item, above) for item in node.value]
    if kind == "mapping":
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = _plain(path, key_node, above)
            line = key_node.start_mark.line + 1
            if not isinstance(key, Hashable) or not isinstance(key, str):
                raise PriceFileError(path, f"line {line}: {key!r:.80} is not a name")
            if key in found:
                raise PriceFileError(path, f"line {line}: {key!r:.80} occurs twice in one mapping")
            found[key] = _plain(path, value_node, above)
        return found
    empty = node.style is None and node.value in {"", "~", "null"}
    return None if empty else node.value
