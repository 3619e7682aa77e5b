"""Settings: one frozen object, one table, one reader of the environment.

The fields of `Settings` are the table: each says how it is parsed, its default and its meaning, and from them come the
names of the environment variables (`environment_variables.py`) and the README's table; tests hold the three equal.

Nothing else in this package reads a setting from the environment. Nothing here logs, knows OpenTelemetry, or opens
a price file. The instrumentor calls `Settings.load` once at start-up, logs its `notices`, and on a `SettingsError`
logs that and leaves the application uninstrumented. The rule: a value that cannot be understood stops the
instrumentation with one sentence; an unknown name, and a value of the switch that is not ours alone, is a notice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

from otel_agentcost import names
from otel_agentcost.errors import SettingsError
from otel_agentcost.understanding import (
    CaptureContent,
    Unclear,
    quoted,
    to_boolean,
    to_capture_content,
    to_path,
    to_text,
    to_tool_prices,
    without_password,
)
from otel_agentcost.version import __version__

__all__ = ["ROWS", "CaptureContent", "Row", "Settings", "from_environment", "markdown_table", "without_password"]

PREFIX = "OTEL_AGENTCOST_"
CAPTURE_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

LATER = frozenset(
    {
        "trace_budget_usd",
        "trace_budget_tokens",
        "trace_max_llm_calls",
        "trace_max_tool_calls",
        "trace_max_seconds",
        "budgets",
        "on_exceed",
        "downgrade",
        "soft_limit",
        "loop_max_repeats",
        "loop_action",
        "wait_seconds",
        "ledger",
        "ledger_down",
    }
)
"""Names that belong to budgets and loop detection. This version has neither, and whoever sets one must be told so."""

T = TypeVar("T")


# --- The table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One setting, as the table has it."""

    field: str
    """The field of `Settings`, the name in a settings file, and the name of the argument."""
    variable: str
    """The environment variable."""
    parse: Callable[[object], object]
    values: str
    """What may be written, for people, in Markdown."""
    default: str
    """What holds where nothing is written, for people, in Markdown."""
    meaning: str


def setting(default: T, parse: Callable[[object], T], *, values: str, meaning: str) -> T:
    """A field of `Settings` with its row of the table."""
    row = {"parse": parse, "values": values, "meaning": meaning}
    return field(default_factory=lambda: default, metadata=row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user set, understood. `Settings.load()` reads it; `Settings()` is all defaults.

    However one is made, its values go through the parsers of the table: `Settings(prices="own.json")` holds a path,
    None and blank text count as not given, and what cannot be understood raises a `SettingsError` that quotes it.
    """

    enabled: bool = setting(
        True, to_boolean, values="`true`, `false`", meaning="`false` leaves every SDK untouched: nothing is measured."
    )
    prices: Path | None = setting(
        None,
        to_path,
        values="a file",
        meaning="Own prices, YAML or JSON: they add to the built-in price book and override it.",
    )
    tool_prices: Mapping[str, Decimal] = setting(
        MappingProxyType({}),
        to_tool_prices,
        values="`web_search=0.005,read_page=0.001`",
        meaning="What one call of a tool costs, in US dollars.",
    )
    config: Path | None = setting(
        None,
        to_path,
        values="a file",
        meaning="Holds any of these settings, YAML or JSON; keys are their names without the prefix.",
    )
    user: str | None = setting(
        None, to_text, values="text", meaning="Whom the process spends for, where the code does not say: `user.id`."
    )
    tenant: str | None = setting(None, to_text, values="text", meaning="The same for the tenant: `agentcost.tenant`.")
    team: str | None = setting(None, to_text, values="text", meaning="The same for the team: `agentcost.team`.")
    feature: str | None = setting(
        None, to_text, values="text", meaning="The same for the feature: `agentcost.feature`."
    )
    agent: str | None = setting(None, to_text, values="text", meaning="The same for the agent: `gen_ai.agent.name`.")
    conversation: str | None = setting(
        None, to_text, values="text", meaning="The same for the conversation: `gen_ai.conversation.id`."
    )
    capture_content: CaptureContent = setting(
        "NO_CONTENT",
        to_capture_content,
        values="`NO_CONTENT`, `SPAN_ONLY`, `EVENT_ONLY`, `SPAN_AND_EVENT`",
        meaning="Whether prompts and answers are recorded, and where (`true` means `SPAN_ONLY`); all GenAI "
        "instrumentations share this switch.",
    )

    sources: Mapping[str, str] = field(default_factory=dict[str, str], compare=False, repr=False)
    """Where each value came from, by field: `argument`, `environment`, or the path of the settings file. A field that
    is not in it has its default."""
    notices: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """Sentences to log at start-up: what was set and has no effect."""

    def __post_init__(self) -> None:
        problems: list[str] = []
        for row in ROWS:
            value: object = getattr(self, row.field)
            try:
                understood = row.parse(value) if _is_set(value) else _DEFAULTS[row.field]
            except Unclear as error:
                problems.append(f"{row.field} of Settings is {quoted(value)}, {error}.")
            else:
                object.__setattr__(self, row.field, understood)
        if problems:
            raise SettingsError(" ".join([*problems, "Correct or remove it."]))

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **arguments: object) -> Settings:
        """The settings of this process. An argument beats the environment, that beats the file, and that the default.

        An argument that is None or blank counts as not given. Raises `SettingsError` for what cannot be understood.
        """
        return from_environment(os.environ if environ is None else environ, **arguments)

    @property
    def attribution(self) -> dict[str, str]:
        """Whom and what the process spends for, as span attributes, where the code does not say."""
        attributes = {
            names.USER: self.user,
            names.TENANT: self.tenant,
            names.TEAM: self.team,
            names.FEATURE: self.feature,
            names.AGENT: self.agent,
            names.CONVERSATION: self.conversation,
        }
        return {name: value for name, value in attributes.items() if value is not None}


def _variable(name: str) -> str:
    # The one switch that all GenAI instrumentations share keeps its own name.
    return CAPTURE_CONTENT if name == "capture_content" else PREFIX + name.upper()


_DEFAULTS: Mapping[str, object] = {
    entry.name: cast("Any", entry.default_factory)() for entry in fields(Settings) if entry.metadata
}


def _rows() -> tuple[Row, ...]:
    rows: list[Row] = []
    for entry in fields(Settings):
        if not entry.metadata:
            continue
        default = _DEFAULTS[entry.name]
        shown = "" if default in (None, {}) else f"`{default}`".replace("True", "true")
        rows.append(Row(field=entry.name, variable=_variable(entry.name), default=shown, **entry.metadata))
    return tuple(rows)


ROWS = _rows()
_FIELDS = frozenset(row.field for row in ROWS)


def markdown_table() -> str:
    """The README's table of settings."""
    lines = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{row.variable}` | {row.values} | {row.default} | {row.meaning} |" for row in ROWS]
    return "\n".join(lines) + "\n"


# --- Reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """One of the places that settings come from: what it says, by field or unknown name, and how it spells a name."""

    source: str
    written: Mapping[str, object]
    spelling: Callable[[str], str]


def from_environment(environ: Mapping[str, str], **arguments: object) -> Settings:
    """The settings in `environ`, in the file that it or an argument names, and in `arguments` (see `Settings.load`)."""
    problems: list[str] = []
    given = {name: value for name, value in arguments.items() if _is_set(value)}
    layers = [
        _Layer(source="argument", written=given, spelling="the argument {}".format),
        _Layer(source="environment", written=_environment(environ), spelling=_variable),
    ]
    layers += _file_layers(layers, problems)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    notices: list[str] = []
    for row in ROWS:
        layer = next((layer for layer in layers if row.field in layer.written), None)
        if layer is None:
            continue
        value = layer.written[row.field]
        try:
            values[row.field] = row.parse(value)
            sources[row.field] = layer.source
        except Unclear as error:
            # A variable that all instrumentations share is not ours to stop for, and its default records no content.
            shared = not row.variable.startswith(PREFIX) and layer.source == "environment"
            sentence = f"{layer.spelling(row.field)} is {quoted(value)}, {error}"
            if shared:
                notices.append(f"{sentence}: no content is recorded.")
            else:
                problems.append(f"{sentence}.")
    for layer in layers:
        notices += [_without_effect(layer, name) for name in layer.written if name not in _FIELDS]
    if problems:
        consequence = (
            "The application runs on without otel-agentcost: its model calls are neither measured nor priced. "
            "Correct or remove the value, and start again."
        )
        raise SettingsError(" ".join([*problems, consequence, *notices]))
    return Settings(**values, sources=sources, notices=tuple(notices))


def _is_set(value: object) -> bool:
    # Nothing, or blank text, counts as not set: for variables that is OpenTelemetry's rule, and one rule serves all.
    return value is not None and not (isinstance(value, str) and not value.strip())


def _environment(environ: Mapping[str, str]) -> dict[str, object]:
    """What the environment says, by field."""
    fields_by_variable = {row.variable: row.field for row in ROWS}
    written: dict[str, object] = {}
    for name, value in environ.items():
        if _is_set(value) and (name in fields_by_variable or name.startswith(PREFIX)):
            written[fields_by_variable.get(name) or name.removeprefix(PREFIX).lower()] = value.strip()
    return written


def _file_layers(layers: list[_Layer], problems: list[str]) -> list[_Layer]:
    """The layer of the settings file, where the layers above name one."""
    above = next((layer for layer in layers if "config" in layer.written), None)
    if above is None:
        return []
    spelled, value = above.spelling("config"), above.written["config"]
    try:
        file = to_path(value)
        written = _read_file(file)
    except Unclear as error:
        problems.append(f"{spelled} is {quoted(value)}, {error}.")
        return []
    return [_Layer(source=str(file), written=written, spelling=lambda name: f"{name} in {file}")]


def _read_file(file: Path) -> dict[str, object]:
    try:
        content = file.read_text(encoding="utf-8")
        settings: object = json.loads(content) if file.suffix == ".json" else _parse_yaml(content)
    except OSError as error:
        raise Unclear(f"which cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise Unclear(f"which cannot be understood ({_one_line(error)})") from error
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise Unclear("which does not hold a mapping of settings")
    items = cast("Mapping[object, object]", settings).items()
    named = {str(name).upper().removeprefix(PREFIX).lower(): value for name, value in items}
    if "config" in named:
        raise Unclear("which names a further settings file: there is only one")
    return {name: value for name, value in named.items() if _is_set(value)}


def _parse_yaml(content: str) -> object:
    try:
        import yaml  # noqa: PLC0415 (an extra, needed by whoever has a settings file in YAML)
    except ImportError:
        raise Unclear("and YAML needs a package: pip install 'otel-agentcost[yaml]', or write JSON") from None
    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _without_effect(layer: _Layer, name: str) -> str:
    """One sentence or two on a name that this version does not know."""
    written = f"{layer.spelling(name)} is {quoted(layer.written[name])}, but"
    no_budget = (
        "NO BUDGET IS ENFORCED and no loop detected: this version measures what calls cost, and stops none. "
        "Remove it, or set a limit with the provider."
    )
    if name in LATER:
        return f"{written} {no_budget}"
    import difflib  # noqa: PLC0415 (only a misspelt name needs it)

    nearest = difflib.get_close_matches(name, sorted(_FIELDS | LATER), n=1)
    hint = f"; did you mean {layer.spelling(nearest[0])}?" if nearest else ": the README lists the settings."
    unknown = f"{written} otel-agentcost {__version__} has no such setting, and ignores it{hint}"
    return f"{unknown} {no_budget}" if nearest and nearest[0] in LATER else unknown


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
