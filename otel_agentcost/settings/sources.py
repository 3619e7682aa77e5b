"""The sources of settings: arguments, the environment and the settings file.

A source gives the values as they are written, by field; `load.py` parses them. Nothing here logs, and PyYAML is
imported only for a file that needs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from otel_agentcost.settings.parsers import InvalidValue, quoted, to_path

PREFIX = "OTEL_AGENTCOST_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """The values of one source."""

    source: str
    """`argument`, `environment`, or the path of the settings file."""
    written: Mapping[str, object]
    """The values by field; also unknown names."""
    spelling: Callable[[str], str]
    """Returns a name as this source spells it."""


def is_set(value: object) -> bool:
    """Return False for None and blank text. OpenTelemetry has this rule for variables; it applies to every source."""
    return value is not None and not (isinstance(value, str) and not value.strip())


def environment(environ: Mapping[str, str], fields: Mapping[str, str]) -> dict[str, object]:
    """Return the values of the environment by field. `fields` has the field of each variable."""
    written: dict[str, object] = {}
    for name, value in environ.items():
        if is_set(value) and (name in fields or name.startswith(PREFIX)):
            written[fields.get(name) or name.removeprefix(PREFIX).lower()] = value.strip()
    return written


def file_layer(above: Layer) -> Layer:
    """Read the settings file that a layer names.

    Raises:
        InvalidValue: The file cannot be read or parsed.

    """
    file = to_path(above.written["config"])
    return Layer(source=str(file), written=_read_file(file), spelling=lambda name: f"{name} in {file}")


def _read_file(file: Path) -> dict[str, object]:
    try:
        content = file.read_text(encoding="utf-8")
        settings = _parse_json(content) if file.suffix.lower() == ".json" else _parse_yaml(content)
    except OSError as error:
        raise InvalidValue(f"which cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"which cannot be parsed ({_one_line(error)})") from error
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise InvalidValue("which is not a mapping of settings")
    items = cast("Mapping[object, object]", settings).items()
    named = [(str(name).upper().removeprefix(PREFIX).lower(), value) for name, value in items]
    _check_once([name for name, _ in named])
    if "config" in dict(named):
        raise InvalidValue("which names another settings file: only one is allowed")
    return {name: value for name, value in named if is_set(value)}


def _parse_json(content: str) -> object:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        _check_once([name for name, _ in pairs])
        return dict(pairs)

    return json.loads(content, object_pairs_hook=once)


def _parse_yaml(content: str) -> object:
    try:
        import yaml  # noqa: PLC0415 (an extra, needed only for a settings file in YAML)
    except ImportError:
        raise InvalidValue("but YAML needs a package: pip install 'otel-agentcost[yaml]', or write JSON") from None
    try:
        loader: Any = yaml.SafeLoader(content)
        document = loader.get_single_node()
        if document is None:
            return None
        _check_mappings(document, set())
        parsed: object = loader.construct_document(document)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    return parsed


def _check_mappings(node: Any, seen: set[int]) -> None:
    """Refuse a key that occurs twice in one mapping: PyYAML would silently drop the first, and with it a budget."""
    if node.id == "scalar" or id(node) in seen:
        return
    seen.add(id(node))
    if node.id == "mapping":
        _check_once([key.value for key, _ in node.value if key.id == "scalar"])
    for part in node.value:
        _check_mappings(part[1] if node.id == "mapping" else part, seen)


def _check_once(names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidValue(f"where {quoted(twice)} occurs twice in one mapping")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
