"""The table of settings: one frozen dataclass, whose fields are the rows.

A row has the parser, the default and the meaning of a setting. The names of the environment variables and the table of
docs/settings.md are derived from it; a test compares that table. A new setting is a row here,
and the code that uses it.

This module reads no environment and no file (`load.py` does), logs nothing, and opens neither a price file nor a
ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

from otel_agentcost.core import hints, semconv
from otel_agentcost.core.breakers import Breaker
from otel_agentcost.core.budgets import Action, Budget, Unit, to_limit
from otel_agentcost.core.ledger import Ledger
from otel_agentcost.core.loops import Rule
from otel_agentcost.core.prices import PrivateAddresses
from otel_agentcost.core.tool_cache import ToolCacheRules
from otel_agentcost.core.tool_prices import ToolPrice, ToolPrices
from otel_agentcost.diagnostics import without_password
from otel_agentcost.errors import SettingsError
from otel_agentcost.settings.cache import Sampling, to_caches, to_duration, to_names, to_size
from otel_agentcost.settings.cache_key import CacheKey, to_cache_key, to_cache_store
from otel_agentcost.settings.field import Row, setting
from otel_agentcost.settings.functions import shown_function, to_function
from otel_agentcost.settings.hosts import OwnHost, to_hosts
from otel_agentcost.settings.on_context import OnContext, to_on_context
from otel_agentcost.settings.parsers import (
    CaptureContent,
    InvalidValue,
    one_of,
    quoted,
    to_boolean,
    to_breakers,
    to_budgets,
    to_capture_content,
    to_count,
    to_downgrade,
    to_labels,
    to_ledger,
    to_path,
    to_record,
    to_repeats,
    to_rules,
    to_seconds,
    to_share,
    to_switch,
    to_text,
    to_thresholds,
    to_timeout,
    to_tool_prices,
    to_usd_limit,
    to_wait,
    to_zone,
)
from otel_agentcost.settings.sources import PREFIX, is_set
from otel_agentcost.settings.tool_cache import to_servers, to_tool_cache
from otel_agentcost.settings.webhook import WebhookUrl, to_webhook

Permission = Literal["allow", "refuse"]
Unlimited = Literal["rest", "assume"]
LoopAction = Literal["warn", "block"]
Upstream = Literal["on", "ledger", "off"]
PromptCache = Literal["auto", "off"]

ACTION_WORDS: Mapping[Action, str] = {
    "block": "is blocked",
    "warn": "is sent, with a warning",
    "downgrade": "goes to a cheaper model",
    "clamp": "gets a lower output limit",
}
"""The actions on a call that does not fit into a budget, to complete a sentence about the call."""

NO_BUDGET = "NO BUDGET IS ENFORCED."
"""Ends every message about a mistake that disables a budget."""

CAPTURE_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

UTC: tzinfo = timezone.utc

# --- The table --------------------------------------------------------------------------------------------------------


def _show_models(models: Mapping[str, str]) -> str:
    return ", ".join(f"{model} -> {cheaper}" for model, cheaper in models.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The parsed settings. `from_environment()` reads them; `Settings()` has all defaults.

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
    private_addresses: PrivateAddresses = setting(
        "priced",
        one_of(get_args(PrivateAddresses)),
        values="`priced`, `free`, `unpriced`",
        meaning="Price of calls to private addresses (loopback, RFC 1918, link-local, `*.local`, single-label hosts) "
        "that no provider of your price file covers: that of the provider that the SDK or the model's name suggests, "
        "nothing, or unknown.",
    )
    tool_prices: Mapping[str, ToolPrice | Decimal | float | str] = setting(
        ToolPrices(),
        to_tool_prices,
        values="`web_search=0.005,read_*=0.001,sandbox=0.01/s`",
        meaning="Price of a tool in US dollars, per call or per second (`/s`).",
        show=lambda prices: ", ".join(f"{tool} ${price}" for tool, price in prices.items()),
    )
    tool_cache: ToolCacheRules | Mapping[str, str] | str = setting(
        ToolCacheRules(),
        to_tool_cache,
        values="`web_search=15m,read_*=1h,my_orders=5m/user`, `auto`, `off`",
        meaning="Tools whose results are kept, and for how long, per tenant, user, run or process (`/user`). `auto`: "
        "tools of `TOOL_CACHE_SERVERS` that say that they only read. `off`: none, nor those of `@tool(cache=...)`.",
    )
    tool_cache_servers: tuple[str, ...] = setting(
        (),
        to_servers,
        values="`docs,weather`",
        meaning="Names of the MCP servers whose word `auto` believes.",
        show=", ".join,
    )
    cache_store: str = setting(
        "memory://",
        to_cache_store,
        values="`memory://`, `sqlite:///path`, `redis://host:port/db`",
        meaning="Where cached answers and tool results are kept: in each process, for one machine, or for a fleet.",
        show=without_password,
    )
    cache_key: CacheKey | str | None = setting(
        None,
        to_cache_key,
        values="a Fernet key, or `file:/path`",
        meaning="Encrypts what a store on disk or on a server keeps. It needs the extra `encryption`.",
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
        to_seconds,
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
        show=lambda budgets: "; ".join(budget.text for budget in budgets) or "none",
    )
    on_exceed: Action = setting(
        "block",
        one_of(get_args(Action)),
        values="`block`, `warn`, `downgrade`, `clamp`",
        meaning="Action for a call that does not fit into a budget: refuse it, send it with a warning, use a cheaper "
        "model, or lower its output limit.",
        budget=True,
        effect=lambda action: f"a call over a budget {ACTION_WORDS[action]}, unless the rule of the budget differs",
    )
    downgrade: Mapping[str, str] = setting(
        MappingProxyType({}),
        to_downgrade,
        values="`gpt-4o=gpt-4o-mini,gpt-4o-mini=gpt-4.1-nano`",
        meaning="The cheaper model for each model, for budgets that downgrade.",
        budget=True,
        show=_show_models,
        effect=_show_models,
    )
    soft_limit: float = setting(
        0.8,
        to_share,
        values="`0.8`",
        meaning="Share of a budget at which a warning is emitted.",
        budget=True,
        effect=lambda share: f"a warning at {share * 100:g} % of a budget",
    )
    wait_seconds: float = setting(
        10.0,
        to_wait,
        values="seconds",
        meaning="How long a call waits for budget reserved by in-flight calls before it is refused.",
        budget=True,
        effect=lambda seconds: (
            f"{f'up to {seconds:g} s' if seconds else 'not at all'}, for budget reserved by in-flight calls"
        ),
    )
    unpriced: Permission = setting(
        "allow",
        one_of(get_args(Permission)),
        values="`allow`, `refuse`",
        meaning="Action for a call without a known price, if a budget in dollars applies.",
        budget=True,
        effect={
            "allow": "a call without a known price is sent, and no budget in dollars counts it",
            "refuse": "a call without a known price is refused if a budget in dollars applies",
        }.__getitem__,
    )
    unlimited_output: Unlimited = setting(
        "rest",
        one_of(get_args(Unlimited)),
        values="`rest`, `assume`",
        meaning="What a call without an output limit reserves if the longest answer does not fit: the `rest` of its "
        "tightest budget, or (`assume`) the longest answer, so that it is refused.",
        budget=True,
        effect={
            "rest": "a call without an output limit reserves the rest of its tightest budget until it ends",
            "assume": "a call without an output limit reserves the longest answer, or is refused",
        }.__getitem__,
    )
    reserve_batches: bool = setting(
        False,
        to_boolean,
        values="`true`, `false`",
        meaning="`true` reserves the worst case of a batch, at batch prices, from its creation until its results are "
        "settled.",
        budget=True,
        effect=lambda reserve: (
            f"a batch {'reserves its worst case' if reserve else 'reserves nothing'} until it is settled"
        ),
    )
    longest_answer: int = setting(
        128_000,
        to_count,
        values="tokens",
        meaning="Assumed length of the longest answer, for models without a documented maximum.",
        budget=True,
        effect="{:,} tokens, unless the maximum of the model is documented".format,
    )
    time_zone: tzinfo = setting(
        UTC,
        to_zone,
        values="`Europe/Berlin`",
        meaning="Time zone for the hours, days, weeks and months of budgets.",
        budget=True,
    )
    breakers: tuple[Breaker, ...] = setting(
        (),
        to_breakers,
        values="`agent:trips=5/10m,open=15m`",
        meaning="Circuit breakers, joined by `;`: `scope[=name]:trips=N/time,open=time`.",
        budget=True,
        show=lambda breakers: "; ".join(breaker.text for breaker in breakers),
    )
    ledger: str | Ledger = setting(
        cast("str | Ledger", "memory://"),
        to_ledger,
        values="`memory://`, `sqlite:///path`, `redis://host:port/db`",
        meaning="Store of the budgets: in each process, for one machine, or for a fleet.",
        budget=True,
        show=lambda ledger: without_password(str(ledger)),
    )
    ledger_down: Permission = setting(
        "allow",
        one_of(get_args(Permission)),
        values="`allow`, `refuse`",
        meaning="Action for calls while the ledger does not answer.",
        budget=True,
    )
    ledger_timeout: float = setting(
        0.05, to_timeout, values="seconds", meaning="How long a call waits for the ledger.", budget=True
    )
    upstream: Upstream = setting(
        "on",
        one_of(get_args(Upstream)),
        values="`on`, `ledger`, `off`",
        meaning="Whether the mark of an instrumented service upstream is believed, which charges the call already: "
        "`ledger` only if the shared ledger confirms it; `off` neither sends nor reads marks.",
    )
    http: Literal["on", "off"] = setting(
        "on",
        to_switch,
        values="`on`, `off`",
        meaning="Whether requests of HTTP clients (httpx, requests, aiohttp, urllib3) to known providers are counted "
        "as model calls, if no SDK above has counted them.",
    )
    hosts: tuple[OwnHost, ...] = setting(
        (),
        to_hosts,
        values="`llm.internal=openai,10.0.0.5:8000=anthropic`",
        meaning="Your own hosts that speak the format of a provider, with the provider whose prices apply: "
        "`host[:port][/path]=provider`. A host covers the hosts below it.",
        show=lambda hosts: ", ".join(map(str, hosts)),
    )
    loop_max_repeats: int = setting(
        3,
        to_repeats,
        values="from 2 to 1000, or 0",
        meaning="Number of repetitions that make a loop; 0 disables loop detection.",
    )
    loop_action: LoopAction = setting(
        "warn",
        one_of(get_args(LoopAction)),
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
    prompt_cache_health: Literal["on", "off"] = setting(
        "on",
        to_switch,
        values="`on`, `off`",
        meaning="Watching for broken prompt caches ([prompt-caches.md](prompt-caches.md)).",
    )
    record: str | None = setting(
        None,
        to_record,
        values="`sqlite:////path/to/file`",
        meaning="Store of what was spent, call by call, for `agentcost spend`. Content is never stored.",
    )
    record_days: int = setting(
        35,
        to_count,
        values="days",
        meaning="How long the store keeps single calls. Sums of hours are kept for good.",
    )
    cache_embed: str | Callable[[str], Sequence[float]] | None = setting(
        cast("str | Callable[[str], Sequence[float]] | None", None),
        to_function,
        values="`module:function`",
        meaning="Function that returns the embedding of a text, for `semantic-shadow`. It runs in a thread of its own.",
        show=shown_function,
    )
    cache_judge: str | Callable[[str, str, str], bool] | None = setting(
        cast("str | Callable[[str, str, str], bool] | None", None),
        to_function,
        values="`module:function`",
        meaning="Function that returns whether two answers to a question mean the same, for `semantic-shadow`: "
        "question, cached answer, real answer. Without it, answers in other words are `unknown`.",
        show=shown_function,
    )
    webhook: WebhookUrl | str | None = setting(
        cast("WebhookUrl | str | None", None),
        to_webhook,
        values="`https://hooks.slack.com/services/...`",
        meaning="Address that is told of reached limits, refused calls, opened breakers and loops, each at most once a "
        "minute. It gets Slack's form at hooks.slack.com and with `slack+` before the address, else plain JSON. Its "
        "path is never logged.",
    )
    on_context: OnContext | str | None = setting(
        cast("OnContext | str | None", None),
        to_on_context,
        values="`package.module:function`, with `,least=20000,growth=0.25,seconds=30`; `native`",
        meaning="Function that is asked when the history of requests grows long, and may return shorter messages. "
        "`native` uses the provider's own context management. It changes requests ([history.md](history.md)).",
    )
    prompt_cache: PromptCache = setting(
        "off",
        one_of(get_args(PromptCache)),
        values="`auto`, `off`",
        meaning="`auto` marks the prompts for the provider's prompt cache that are seen to repeat, where the "
        "application has set no marks. It changes requests "
        "([prompt-caches.md](prompt-caches.md#marks-where-the-application-sets-none)).",
    )
    bill_labels: tuple[str, ...] = setting(
        (),
        to_labels,
        values="`team,feature`",
        meaning="Attribution that requests carry as labels, for the provider's bill or logs: `user`, `tenant`, `team`, "
        "`feature`, `agent`. It changes requests.",
        show=", ".join,
    )
    cache: tuple[str, ...] = setting(
        (),
        to_caches,
        values="`off`, `exact`, `exact,semantic-shadow`",
        meaning="`exact` answers a request that was answered before without asking the provider, within one tenant. "
        "[response-cache.md](response-cache.md) says which. It stores content. `semantic-shadow` counts what a "
        "semantic cache would answer, and serves nothing ([cache-savings.md](cache-savings.md)).",
        show=lambda names: ", ".join(names) or "off",
    )
    cache_ttl: float = setting(
        3600.0,
        to_duration,
        values="`15m`, `1h`, `7d`",
        meaning="How long an answer is cached.",
        show=lambda seconds: f"{seconds:g} s",
    )
    cache_bytes: int = setting(
        64 * 1024 * 1024,
        to_size,
        values="`64m`, `1g`",
        meaning="How much a store in memory or in a file keeps. The answers that were not used for the longest time go "
        "first.",
    )
    cache_version: str = setting(
        "",
        to_text,
        values="text",
        meaning="Version of the application's code. Answers and tool results that were cached under another one are "
        "not used.",
    )
    cache_sampling: Sampling = setting(
        "deterministic",
        one_of(get_args(Sampling)),
        values="`deterministic`, `unset`, `any`",
        meaning="Which requests are cached: those with temperature 0 alone, those without a temperature too, or any.",
    )
    cache_tool_calls: bool = setting(
        False,
        to_boolean,
        values="`true`, `false`",
        meaning="`true` caches answers that call tools of the application.",
    )
    cache_only: frozenset[str] = setting(
        cast("frozenset[str]", frozenset()),
        to_names,
        values="`triage,summary`",
        meaning="Features and agents whose answers are cached. Default: all.",
        show=lambda names: ", ".join(sorted(names)),
    )
    strict: bool = setting(
        False,
        to_boolean,
        values="`true`, `false`",
        meaning="`true` stops the program at its start if a setting cannot be understood.",
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
        written = {row.field: getattr(self, row.field) for row in ROWS}
        parsed, mistakes = parse(written, "{} of Settings".format)
        for name, value in parsed.items():
            object.__setattr__(self, name, value)
        if mistakes:
            budget = any(row.budget and getattr(self, row.field) != DEFAULTS[row.field] for row in ROWS)
            raise settings_error(mistakes.values(), "Correct or remove the value.", budget=budget)
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


def variable(name: str) -> str:
    """Return the environment variable of the setting `name`. The switch that all GenAI instrumentations share keeps its
    own name.
    """
    return CAPTURE_CONTENT if name == "capture_content" else PREFIX + name.upper()


DEFAULTS: Mapping[str, object] = {
    entry.name: cast("Any", entry.default_factory)() for entry in fields(Settings) if entry.metadata
}


def _rows() -> tuple[Row, ...]:
    rows: list[Row] = []
    for entry in fields(Settings):
        if not entry.metadata:
            continue
        default = DEFAULTS[entry.name]
        written = f"{default:g}" if isinstance(default, float) else str(default)
        if isinstance(default, tuple):
            written = ",".join(map(str, cast("tuple[object, ...]", default)))
        shown = "" if default in (None, {}, ()) else f"`{written}`".replace("True", "true").replace("False", "false")
        rows.append(Row(field=entry.name, variable=variable(entry.name), default=shown, **entry.metadata))
    return tuple(rows)


ROWS = _rows()
ROW_OF: Mapping[str, Row] = {row.field: row for row in ROWS}


# --- Parsing ----------------------------------------------------------------------------------------------------------


def parse(written: Mapping[str, object], spelled: Callable[[str], str]) -> tuple[dict[str, object], dict[str, str]]:
    """Parse values of settings. A value that is not set gives the default.

    Args:
        written: The values by field.
        spelled: Returns the name of a setting as its source spells it.

    Returns:
        The parsed values, and for each value that cannot be parsed a sentence without a full stop; both by field. Of a
        list with invalid items, the others are the parsed value.

    """
    parsed: dict[str, object] = {}
    mistakes: dict[str, str] = {}
    for row in ROWS:
        if row.field not in written:
            continue
        value = written[row.field]
        try:
            parsed[row.field] = row.parse(value) if is_set(value) else DEFAULTS[row.field]
        except InvalidValue as error:
            written_as = _quoted(row.field, value)
            mistakes[row.field] = f"{spelled(row.field)} is {written_as}, {error}{hints.unquoted(value)}"
            if error.rest is not None:
                parsed[row.field] = error.rest
    return parsed, mistakes


def _quoted(field: str, value: object) -> str:
    """Format a value that cannot be parsed, without the secret that it may be or have."""
    if field == "cache_key":
        return "***"
    return quoted(value, url=field in ("ledger", "cache_store"), address=field == "webhook")


def ended(sentence: str) -> str:
    """Return the sentence with a full stop, unless it ends with a question."""
    return sentence if sentence.endswith("?") else f"{sentence}."


def settings_error(
    mistakes: Iterable[str], consequence: str, *, budget: bool, notices: Iterable[str] = ()
) -> SettingsError:
    """Make the exception for settings that cannot be parsed.

    Args:
        mistakes: A sentence for each of them, without a full stop.
        consequence: Sentences on what happens now, and what to do.
        budget: True if a budget was wanted, which is not enforced now.
        notices: Further sentences.

    """
    sentences = map(ended, mistakes)
    return SettingsError(" ".join([*sentences, consequence, *notices, *([NO_BUDGET] if budget else [])]))
