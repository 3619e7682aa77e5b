"""Settings: one frozen object, one table, one reader of the environment.

The fields of `Settings` are the table: each says how it is parsed, its default and its meaning, and from them come the
names of the environment variables (`environment_variables.py`) and the README's table; tests hold the three equal.
`understanding.py` has the parsers, `layers.py` what is written where.

Nothing else in this package reads a setting from the environment. Nothing here logs, knows OpenTelemetry, or opens
a price file or a ledger. The instrumentor calls `Settings.load` once at start-up, logs its `notices`, and on a
`SettingsError` logs that and leaves the application uninstrumented. The rule: a value that cannot be understood stops
the instrumentation with one sentence; an unknown name, and a value of the switch that is not ours alone, is a notice;
and where a budget was meant and none is enforced, that is said in capitals.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast, get_args

from otel_agentcost.core import semconv
from otel_agentcost.core.breakers import Breaker
from otel_agentcost.core.budgets import Action, Budget, Unit, to_limit
from otel_agentcost.core.loops import Rule
from otel_agentcost.core.tool_prices import ToolPrice, ToolPrices
from otel_agentcost.errors import SettingsError
from otel_agentcost.settings.field import Row, setting
from otel_agentcost.settings.parsers import (
    CaptureContent,
    LoopAction,
    Permission,
    Unclear,
    Unlimited,
    quoted,
    to_boolean,
    to_breakers,
    to_budgets,
    to_capture_content,
    to_count,
    to_downgrade,
    to_exceeding,
    to_ledger,
    to_loop_action,
    to_path,
    to_permission,
    to_repeats,
    to_rules,
    to_share,
    to_text,
    to_thresholds,
    to_timeout,
    to_tool_prices,
    to_unlimited,
    to_usd_limit,
    to_wait,
    to_zone,
    without_password,
)
from otel_agentcost.settings.sources import PREFIX, Layer, environment, file_layer, is_set
from otel_agentcost.settings.warnings import NO_BUDGET, is_limit, unknown, without_effect

__all__ = [
    "NO_BUDGET",
    "PREFIX",
    "ROWS",
    "CaptureContent",
    "Row",
    "Settings",
    "from_environment",
    "without_password",
]

CAPTURE_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

UTC: tzinfo = timezone.utc

# --- The table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The parsed settings. `Settings.load()` reads them; `Settings()` has all defaults.

    Every value goes through the parsers of the table, however it is passed: `Settings(prices="own.json")` holds a
    path, and None and blank text count as not set.

    Raises:
        SettingsError: A value cannot be parsed; the message quotes it.

    """

    enabled: bool = setting(
        True,
        to_boolean,
        values="`true`, `false`",
        meaning="`false` disables the package: no SDK is patched and nothing is measured.",
    )
    prices: Path | None = setting(
        None,
        to_path,
        values="a file",
        meaning="Your price file, YAML or JSON. It adds to the built-in price book and overrides it.",
    )
    tool_prices: Mapping[str, ToolPrice | Decimal | float | str] = setting(
        ToolPrices(),
        to_tool_prices,
        values="`web_search=0.005,read_*=0.001,sandbox=0.01/s`",
        meaning="Price of a tool in US dollars, per call or per second (`/s`).",
    )
    trace_budget_usd: Decimal | None = setting(
        None, to_usd_limit, values="`0.50`", meaning="Maximum US dollars of one trace.", budget=True
    )
    trace_budget_tokens: int | None = setting(
        None, to_count, values="`200000`", meaning="Maximum tokens of one trace, input and output.", budget=True
    )
    trace_max_llm_calls: int | None = setting(
        None, to_count, values="`50`", meaning="Maximum model calls of one trace.", budget=True
    )
    trace_max_tool_calls: int | None = setting(
        None, to_count, values="`100`", meaning="Maximum tool calls of one trace.", budget=True
    )
    trace_max_seconds: int | None = setting(
        None,
        to_count,
        values="`600`",
        meaning="Maximum age of a trace in seconds; later calls are refused.",
        budget=True,
    )
    budgets: tuple[Budget, ...] = setting(
        (),
        to_budgets,
        values="`user/day:usd=1;agent=researcher/day:usd=50;total/month:usd=1000,on_exceed=warn`",
        meaning="Other budgets, joined by `;`: `scope[=name][/window]:limit=value[,limit=value][,on_exceed=action]`.",
        budget=True,
    )
    on_exceed: Action = setting(
        "block",
        to_exceeding,
        values="`block`, `warn`, `downgrade`, `clamp`",
        meaning="Action for a call that does not fit into a budget: refuse it, send it with a warning, use a cheaper "
        "model, or lower its output limit.",
        budget=True,
    )
    downgrade: Mapping[str, str] = setting(
        MappingProxyType({}),
        to_downgrade,
        values="`gpt-4o=gpt-4o-mini,gpt-4o-mini=gpt-4.1-nano`",
        meaning="The cheaper model for each model, for budgets that downgrade.",
        budget=True,
    )
    soft_limit: float = setting(
        0.8, to_share, values="`0.8`", meaning="Share of a budget at which a warning is emitted.", budget=True
    )
    wait_seconds: float = setting(
        10.0,
        to_wait,
        values="seconds",
        meaning="How long a call waits for budget reserved by in-flight calls before it is refused.",
        budget=True,
    )
    unpriced: Permission = setting(
        "allow",
        to_permission,
        values="`allow`, `refuse`",
        meaning="Action for a call without a known price, if a budget in dollars applies.",
        budget=True,
    )
    unlimited_output: Unlimited = setting(
        "rest",
        to_unlimited,
        values="`rest`, `assume`",
        meaning="What a call without an output limit reserves if the longest answer does not fit: the `rest` of its "
        "tightest budget, or (`assume`) the longest answer, so that it is refused.",
        budget=True,
    )
    longest_answer: int = setting(
        128_000,
        to_count,
        values="tokens",
        meaning="Assumed length of the longest answer, for models without a documented maximum.",
        budget=True,
    )
    time_zone: tzinfo = setting(
        UTC,
        to_zone,
        values="`Europe/Berlin`",
        meaning="Time zone for the hours, days and months of budgets.",
        budget=True,
    )
    breakers: tuple[Breaker, ...] = setting(
        (),
        to_breakers,
        values="`agent:trips=5/10m,open=15m`",
        meaning="Circuit breakers, joined by `;`: `scope[=name]:trips=N/time,open=time`.",
        budget=True,
    )
    ledger: str = setting(
        "memory://",
        to_ledger,
        values="`memory://`, `sqlite:///path`, `redis://host:port/db`",
        meaning="Store of the budgets: in each process, for one machine, or for a fleet.",
        budget=True,
    )
    ledger_down: Permission = setting(
        "allow",
        to_permission,
        values="`allow`, `refuse`",
        meaning="Action for calls while the ledger does not answer.",
        budget=True,
    )
    ledger_timeout: float = setting(
        0.05, to_timeout, values="seconds", meaning="How long a call waits for the ledger.", budget=True
    )
    loop_max_repeats: int = setting(
        3,
        to_repeats,
        values="from 2, or 0",
        meaning="Number of repetitions that make a loop; 0 disables loop detection.",
    )
    loop_action: LoopAction = setting(
        "warn",
        to_loop_action,
        values="`warn`, `block`",
        meaning="Action for a detected loop: log a warning, or block the next model call.",
    )
    loop_rules: tuple[Rule, ...] = setting(
        get_args(Rule),
        to_rules,
        values="`repeat,cycle,error_storm`",
        meaning="Loop rules to enable (default: all).",
    )
    loop_thresholds: Mapping[str, float] = setting(
        MappingProxyType({}),
        to_thresholds,
        values="`stall=12,results=0.95`",
        meaning="Overrides for the loop-detection thresholds.",
    )
    config: Path | None = setting(
        None,
        to_path,
        values="a file",
        meaning="Settings file, YAML or JSON; keys are the names of the settings without the prefix.",
    )
    user: str | None = setting(
        None, to_text, values="text", meaning="Default `user.id` when the code does not set one."
    )
    tenant: str | None = setting(None, to_text, values="text", meaning="Default `agentcost.tenant`.")
    team: str | None = setting(None, to_text, values="text", meaning="Default `agentcost.team`.")
    feature: str | None = setting(None, to_text, values="text", meaning="Default `agentcost.feature`.")
    agent: str | None = setting(None, to_text, values="text", meaning="Default `gen_ai.agent.name`.")
    conversation: str | None = setting(None, to_text, values="text", meaning="Default `gen_ai.conversation.id`.")
    capture_content: CaptureContent = setting(
        "NO_CONTENT",
        to_capture_content,
        values="`NO_CONTENT`, `SPAN_ONLY`, `EVENT_ONLY`, `SPAN_AND_EVENT`",
        meaning="Where prompts and answers are recorded (`true` means `SPAN_ONLY`). All GenAI instrumentations share "
        "this switch.",
    )

    sources: Mapping[str, str] = field(default_factory=dict[str, str], compare=False, repr=False)
    """Where each value came from, by field: `argument`, `environment`, or the path of the settings file. A field that
    is not in it has its default."""
    notices: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """Sentences to log at start-up about settings without effect."""
    rules: tuple[Budget, ...] = field(default=(), init=False, compare=False, repr=False)
    """The budgets in effect: the limits of traces as one budget, if any, then `budgets`."""

    def __post_init__(self) -> None:
        problems: list[str] = []
        for row in ROWS:
            value: object = getattr(self, row.field)
            try:
                understood = row.parse(value) if is_set(value) else _DEFAULTS[row.field]
            except Unclear as error:
                problems.append(f"{row.field} of Settings is {_quoted(row, value)}, {error}.")
            else:
                object.__setattr__(self, row.field, understood)
        if problems:
            meant = any(row.budget and getattr(self, row.field) != _DEFAULTS[row.field] for row in ROWS)
            raise SettingsError(" ".join([*problems, "Correct or remove it.", *([NO_BUDGET] if meant else [])]))
        object.__setattr__(self, "rules", (*self._trace_rule(), *self.budgets))

    def _trace_rule(self) -> Iterator[Budget]:
        written: Mapping[Unit, object] = {
            "nano_usd": self.trace_budget_usd,
            "tokens": self.trace_budget_tokens,
            "calls": self.trace_max_llm_calls,
            "tool_calls": self.trace_max_tool_calls,
            "seconds": self.trace_max_seconds,
        }
        limits: dict[Unit, int] = {unit: to_limit(unit, limit) for unit, limit in written.items() if limit is not None}
        if limits:
            yield Budget(scope="trace", limits=limits)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **arguments: object) -> Settings:
        """Load the settings of this process.

        An argument takes precedence over the environment, the environment over the settings file, and the file over
        the default.

        Args:
            environ: The environment variables; default `os.environ`.
            arguments: Settings by field name. None and blank text count as not set.

        Raises:
            SettingsError: A value cannot be parsed; the message quotes it.

        """
        return from_environment(os.environ if environ is None else environ, **arguments)

    @property
    def attribution(self) -> dict[str, str]:
        """The default attribution as span attributes."""
        attributes = {
            semconv.USER: self.user,
            semconv.TENANT: self.tenant,
            semconv.TEAM: self.team,
            semconv.FEATURE: self.feature,
            semconv.AGENT: self.agent,
            semconv.CONVERSATION: self.conversation,
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
        written = f"{default:g}" if isinstance(default, float) else str(default)
        if isinstance(default, tuple):
            written = ",".join(map(str, cast("tuple[object, ...]", default)))
        shown = "" if default in (None, {}, ()) else f"`{written}`".replace("True", "true")
        rows.append(Row(field=entry.name, variable=_variable(entry.name), default=shown, **entry.metadata))
    return tuple(rows)


ROWS = _rows()
_FIELDS = frozenset(row.field for row in ROWS)


# --- Reading ----------------------------------------------------------------------------------------------------------


def from_environment(environ: Mapping[str, str], **arguments: object) -> Settings:
    """Read the settings from `environ`, the settings file and `arguments` (see `Settings.load`)."""
    given = {name: value for name, value in arguments.items() if is_set(value)}
    variables = environment(environ, {row.variable: row.field for row in ROWS})
    layers = [
        Layer(source="argument", written=given, spelling="the argument {}".format),
        Layer(source="environment", written=variables, spelling=_variable),
    ]
    problems = _add_file(layers)
    meant = bool(problems)  # what is written in a file that cannot be read may well be a budget
    values: dict[str, Any] = {}
    found: dict[str, Layer] = {}
    notices: list[str] = []
    for row in ROWS:
        layer = next((layer for layer in layers if row.field in layer.written), None)
        if layer is None:
            continue
        meant = meant or row.budget
        value = layer.written[row.field]
        try:
            values[row.field] = row.parse(value)
            found[row.field] = layer
        except Unclear as error:
            # A variable that all instrumentations share is not ours to stop for, and its default records no content.
            shared = not row.variable.startswith(PREFIX) and layer.source == "environment"
            sentence = f"{layer.spelling(row.field)} is {_quoted(row, value)}, {error}"
            if shared:
                notices.append(f"{sentence}: no content is recorded.")
            elif not (row.field == "config" and problems):
                problems.append(f"{sentence}.")
    unheeded = [(layer, name) for layer in layers for name in layer.written if name not in _FIELDS]
    notices += [unknown(layer, name, _FIELDS) for layer, name in unheeded]
    if problems:
        consequence = (
            "The application runs without otel-agentcost: calls are not measured, priced or stopped. "
            "Correct or remove the value, and restart."
        )
        meant = meant or any(is_limit(name, _FIELDS) for _, name in unheeded)
        raise SettingsError(" ".join([*problems, consequence, *notices, *([NO_BUDGET] if meant else [])]))
    sources = {name: layer.source for name, layer in found.items()}
    settings = Settings(**values, sources=sources)
    notices += without_effect(settings, {name: layer.spelling(name) for name, layer in found.items()})
    return replace(settings, notices=tuple(notices))


def _add_file(layers: list[Layer]) -> list[str]:
    """Add the layer of the settings file if a layer above names one. Return the problems with it."""
    above = next((layer for layer in layers if "config" in layer.written), None)
    if above is None:
        return []
    try:
        layers.append(file_layer(above))
    except Unclear as error:
        return [f"{above.spelling('config')} is {quoted(above.written['config'])}, {error}."]
    return []


def _quoted(row: Row, value: object) -> str:
    return quoted(value, url=row.field == "ledger")
