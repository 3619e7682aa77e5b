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
    tool_prices: Mapping[str, ToolPrice | Decimal | float | str] = setting(
        ToolPrices(),
        to_tool_prices,
        values="`web_search=0.005,read_*=0.001,sandbox=0.01/s`",
        meaning="What a call of a tool, or a second of it, costs in US dollars.",
    )
    trace_budget_usd: Decimal | None = setting(
        None, to_usd_limit, values="`0.50`", meaning="US dollars that one trace may spend.", budget=True
    )
    trace_budget_tokens: int | None = setting(
        None, to_count, values="`200000`", meaning="Tokens, input and output, that one trace may use.", budget=True
    )
    trace_max_llm_calls: int | None = setting(
        None, to_count, values="`50`", meaning="Model calls that one trace may make.", budget=True
    )
    trace_max_tool_calls: int | None = setting(
        None, to_count, values="`100`", meaning="Tool calls that one trace may make.", budget=True
    )
    trace_max_seconds: int | None = setting(
        None, to_count, values="`600`", meaning="Seconds after which a trace may make no further call.", budget=True
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
        meaning="What happens to a call that does not fit into a budget: it is refused; it is made, with a warning; it "
        "goes to a cheaper model; its output limit is lowered.",
        budget=True,
    )
    downgrade: Mapping[str, str] = setting(
        MappingProxyType({}),
        to_downgrade,
        values="`gpt-4o=gpt-4o-mini,gpt-4o-mini=gpt-4.1-nano`",
        meaning="Which model takes the place of which, where a budget downgrades.",
        budget=True,
    )
    soft_limit: float = setting(
        0.8, to_share, values="`0.8`", meaning="The share of a budget at which a warning is given.", budget=True
    )
    wait_seconds: float = setting(
        10.0,
        to_wait,
        values="seconds",
        meaning="How long a call waits for money that calls in flight only hold, before it is refused.",
        budget=True,
    )
    unpriced: Permission = setting(
        "allow",
        to_permission,
        values="`allow`, `refuse`",
        meaning="What happens to a call whose model has no known price, where a budget in dollars applies.",
        budget=True,
    )
    unlimited_output: Unlimited = setting(
        "rest",
        to_unlimited,
        values="`rest`, `assume`",
        meaning="What a call without an output limit holds: the rest of its tightest budget, or the longest answer.",
        budget=True,
    )
    longest_answer: int = setting(
        128_000, to_count, values="tokens", meaning="The longest answer that a model is taken to give.", budget=True
    )
    time_zone: tzinfo = setting(
        UTC,
        to_zone,
        values="`Europe/Berlin`",
        meaning="Where the hours, days and months of budgets begin.",
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
        meaning="Where budgets are counted: in each process, for all on one machine, or for a fleet.",
        budget=True,
    )
    ledger_down: Permission = setting(
        "allow",
        to_permission,
        values="`allow`, `refuse`",
        meaning="What happens to calls while the ledger does not answer.",
        budget=True,
    )
    ledger_timeout: float = setting(
        0.05, to_timeout, values="seconds", meaning="How long a call waits for the ledger's answer.", budget=True
    )
    loop_max_repeats: int = setting(
        3, to_repeats, values="from 2, or 0", meaning="How often the same makes a loop; 0 looks for none."
    )
    loop_action: LoopAction = setting(
        "warn", to_loop_action, values="`warn`, `block`", meaning="Whether an agent's loop is told, or stopped."
    )
    loop_rules: tuple[Rule, ...] = setting(
        get_args(Rule),
        to_rules,
        values="`repeat,cycle,error_storm`",
        meaning="By which rules loops are looked for, where not by all.",
    )
    loop_thresholds: Mapping[str, float] = setting(
        MappingProxyType({}),
        to_thresholds,
        values="`stall=12,results=0.95`",
        meaning="What makes a loop, where it is to be something else than was measured to be best.",
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
    rules: tuple[Budget, ...] = field(default=(), init=False, compare=False, repr=False)
    """The budgets in force: the limits of traces as one budget, if there are any, then `budgets`."""

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
        """The settings of this process. An argument beats the environment, that beats the file, and that the default.

        An argument that is None or blank counts as not given. Raises `SettingsError` for what cannot be understood.
        """
        return from_environment(os.environ if environ is None else environ, **arguments)

    @property
    def attribution(self) -> dict[str, str]:
        """Whom and what the process spends for, as span attributes, where the code does not say."""
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
    """The settings in `environ`, in the file that it or an argument names, and in `arguments` (see `Settings.load`)."""
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
            "The application runs on without otel-agentcost: its calls are neither measured, priced nor stopped. "
            "Correct or remove the value, and start again."
        )
        meant = meant or any(is_limit(name, _FIELDS) for _, name in unheeded)
        raise SettingsError(" ".join([*problems, consequence, *notices, *([NO_BUDGET] if meant else [])]))
    sources = {name: layer.source for name, layer in found.items()}
    settings = Settings(**values, sources=sources)
    notices += without_effect(settings, {name: layer.spelling(name) for name, layer in found.items()})
    return replace(settings, notices=tuple(notices))


def _add_file(layers: list[Layer]) -> list[str]:
    """Adds the layer of the settings file, where the layers above name one; returns what is wrong with it."""
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
