"""The board of opportunities: possible savings in dollars, each with its assumptions."""

from __future__ import annotations

from typing import Final

from grafana.boards.board import Board, Row, number
from grafana.boards.panels import (
    COUNT,
    GREEN,
    ORANGE,
    RED,
    SHARE,
    USD,
    Query,
    bars,
    described,
    graph,
    painted,
    stat,
)
from grafana.boards.queries import (
    HOUR,
    RANGE,
    equals,
    hourly,
    legend,
    matches,
    not_equals,
    or_zero,
    quantile,
    share,
    top,
    total,
    with_default,
)
from grafana.boards.tables import Column, runs, table
from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import (
    COST,
    LOOP_WASTE,
    LOOPS,
    OPERATION_COST,
    PROMPT_CACHE_BREAKS,
    PROMPT_CACHE_LOST,
    SAVINGS,
    TOKEN_USAGE,
    TOKENS,
    TRACE_COST,
)

_MODEL: Final = (semconv.REQUEST_MODEL,)
_AGENT: Final = (semconv.AGENT, semconv.REQUEST_MODEL)
_PROMPTS: Final = "input|cache_read|cache_write"
_NO_TOOL: Final = not_equals(semconv.OPERATION, semconv.EXECUTE_TOOL)
_REPEATED: Final = matches(semconv.LOOP_RULE, "repeat|near_repeat")
_BACKGROUND: Final = matches(semconv.USER, "$background")


def _tokens_of(kinds: str, *by: str, window: str = RANGE) -> str:
    return total(TOKENS, window, matches(semconv.TOKEN_TYPE, kinds), by=by)


_SPENT: Final = total(COST, RANGE, _NO_TOOL, by=_AGENT)
_ALL_TOKENS: Final = total(TOKENS, by=_AGENT)
_PER_MILLION: Final = f"{_SPENT} / ({_ALL_TOKENS} > 0) * 1000000"
_OUTPUT_SHARE: Final = share(_tokens_of("output|reasoning", *_AGENT), _ALL_TOKENS)
_CHEAPER: Final = (
    f"{_SPENT} * (1 - $cheaper / 100) and ({_OUTPUT_SHARE}) < $small / 100 and ({_PER_MILLION}) > $expensive"
)

_CALLS: Final = total(OPERATION_COST, by=_MODEL, part="count")
_PROMPT: Final = share(_tokens_of(_PROMPTS, *_MODEL), _CALLS)
_CACHE_READ: Final = total(TOKENS, RANGE, equals(semconv.TOKEN_TYPE, "cache_read"), by=_MODEL)
_HIT: Final = f"({_CACHE_READ} or {_tokens_of('input', *_MODEL)} * 0) / {_tokens_of(_PROMPTS, *_MODEL)}"
_SAVED_PER_TOKEN: Final = share(total(SAVINGS, RANGE, equals(semconv.SAVINGS_KIND, "cache"), by=_MODEL), _CACHE_READ)
_MISSED: Final = f"{_tokens_of(_PROMPTS, *_MODEL)} * $hit / 100 - {_CACHE_READ}"
_LARGE: Final = f"({_PROMPT}) > 1024"
_CACHED: Final = f"((({_MISSED}) > 0) * ({_SAVED_PER_TOKEN})) and {_LARGE}"
_BATCH: Final = total(COST, RANGE, _NO_TOOL, _BACKGROUND)

_CHEAPER_TEXT: Final = (
    "Savings if a model that costs $cheaper % handled the calls of each agent and model with less than $small % output "
    "tokens and more than $expensive dollars per million tokens."
)
_CACHED_TEXT: Final = (
    "Savings if $hit % of the input tokens came from the cache, for models with more than 1,024 input tokens a call. "
    "Each additional cached token saves as much as the model's cached tokens of this range did. Models without cached "
    "tokens are not included."
)
_REPEATED_TEXT: Final = (
    "Cost after the first round of loops of the rules repeat and near_repeat: a tool is called again with the same or "
    "nearly the same arguments."
)
_BATCH_TEXT: Final = (
    "Half of the cost of background model calls: those without a user, or with a user that matches the variable "
    "Background users. Providers' batch APIs cost half and answer within a day."
)


def _totals() -> Row:
    return Row(
        height=4,
        panels=[
            (4, stat("Spent", described("Cost of all model and tool calls in this range, for comparison.", COST),
                     total(COST), unit=USD)),
            (5, stat("With cheaper models", described(f"{_CHEAPER_TEXT} Do not add the four figures: they overlap.",
                                                      COST, TOKENS),
                     or_zero(f"sum({_CHEAPER})"), unit=USD, color=GREEN)),
            (5, stat("With more caching", described(_CACHED_TEXT, TOKENS, SAVINGS, OPERATION_COST),
                     or_zero(f"sum({_CACHED})"), unit=USD, color=GREEN)),
            (5, stat("Without repeated tool calls", described(_REPEATED_TEXT, LOOP_WASTE),
                     total(LOOP_WASTE, RANGE, _REPEATED), unit=USD, color=GREEN)),
            (5, stat("With batches", described(_BATCH_TEXT, COST), or_zero(f"{_BATCH} * 0.5"), unit=USD, color=GREEN)),
        ],
    )  # fmt: skip


def _models() -> Row:
    return Row(
        height=9,
        panels=[
            (12, table(
                "Expensive models with little output",
                described(f"{_CHEAPER_TEXT} Rows without savings do not meet these conditions.", COST, TOKENS),
                {semconv.AGENT: "Agent", semconv.REQUEST_MODEL: "Model"},
                [
                    Column(title="Spent", query=with_default(_SPENT, *_AGENT), unit=USD),
                    Column(title="Per million tokens", query=with_default(_PER_MILLION, *_AGENT), unit=USD),
                    Column(title="Output share", query=with_default(_OUTPUT_SHARE, *_AGENT), unit=SHARE),
                    Column(title="Possible savings", query=with_default(_CHEAPER, *_AGENT), unit=USD, look=_GREEN),
                ],
                sort="Possible savings",
            )),
            (12, table(
                "Large prompts with little caching",
                described(_CACHED_TEXT, TOKENS, SAVINGS, OPERATION_COST),
                {semconv.REQUEST_MODEL: "Model"},
                [
                    Column(title="Input tokens per call", query=_PROMPT, unit=COUNT),
                    Column(title="From cache", query=f"{_HIT} and {_LARGE}", unit=SHARE),
                    Column(title="Possible savings", query=_CACHED, unit=USD, look=_GREEN),
                ],
                sort="Possible savings",
            )),
        ],
    )  # fmt: skip


_GREEN: Final = {
    "color": {"mode": "thresholds"},
    "thresholds": {"mode": "absolute", "steps": [{"color": GREEN, "value": None}]},
    "custom__cellOptions": {"type": "color-text"},
}


def _caching() -> Row:
    read = hourly(TOKENS, equals(semconv.TOKEN_TYPE, "cache_read"), by=_MODEL)
    prompt = _tokens_of(_PROMPTS, *_MODEL, window=HOUR)
    parts = (("P50", 0.5, GREEN), ("P90", 0.9, ORANGE), ("P99", 0.99, RED))
    return Row(
        height=8,
        panels=[
            (12, graph(
                "Share of input from cache",
                described("Tokens read from a cache, as a share of all input tokens in the hour before each point.",
                          TOKENS),
                [Query(text=share(read, prompt), legend=legend(*_MODEL))], unit=SHARE, max_val=1,
            )),
            (12, graph(
                "Input tokens of a model call",
                described("P50, P90 and P99 in the day before each point. The values are as exact as the histogram's "
                          "buckets. If P90 is far above P50, contexts grow during runs. A dot is a call; click it to "
                          "open its trace.", TOKEN_USAGE),
                [Query(text=quantile(part, TOKEN_USAGE, "1d", equals(semconv.TOKEN_TYPE, "input")), legend=name,
                       exemplars=True) for name, part, _ in parts],
                unit=COUNT, overrides=[painted(name, color) for name, _, color in parts],
            )),
        ],
    )  # fmt: skip


def _calls() -> Row:
    by = (semconv.TOOL, semconv.AGENT)
    batch = (semconv.FEATURE, semconv.AGENT)
    failed = total(COST, RANGE, not_equals(semconv.ERROR_TYPE, ""), by=(semconv.ERROR_TYPE,))
    return Row(
        height=8,
        panels=[
            (8, table(
                "Repeated tool calls",
                described(f"Loops in this range, and their cost. {_REPEATED_TEXT}", LOOPS, LOOP_WASTE),
                {semconv.TOOL: "Tool", semconv.AGENT: "Agent"},
                [
                    Column(title="Loops", query=f"{with_default(total(LOOPS, RANGE, _REPEATED, by=by), *by)} > 0",
                           unit=COUNT),
                    Column(title="Possible savings", look=_GREEN, unit=USD,
                           query=f"{with_default(total(LOOP_WASTE, RANGE, _REPEATED, by=by), *by)} > 0"),
                ],
                sort="Loops",
            )),
            (8, bars(
                "Savings with batches", described(f"{_BATCH_TEXT} By feature and agent.", COST),
                with_default(top(f"{total(COST, RANGE, _NO_TOOL, _BACKGROUND, by=batch)} * 0.5"), *batch),
                unit=USD, legend=legend(*batch), color=GREEN,
            )),
            (8, bars(
                "Cost of failed calls",
                described("Cost in this range of calls that ended in an error: the provider bills them although the "
                          "application received no response.", COST),
                with_default(top(failed), semconv.ERROR_TYPE), unit=USD, legend=legend(semconv.ERROR_TYPE),
                color=ORANGE,
            )),
        ],
    )  # fmt: skip


def _broken_caches() -> Row:
    by = (semconv.AGENT, semconv.REQUEST_MODEL, semconv.PROMPT_CACHE_REASON)
    reason = (semconv.PROMPT_CACHE_REASON,)
    return Row(
        height=8,
        panels=[
            (12, table(
                "Broken prompt caches",
                described("Calls that paid again for a prompt that the provider had cached, because its tools, system "
                          "prompt, model, parameters or messages had changed, or because the provider had dropped it. "
                          "The event on the call's span names the part.", PROMPT_CACHE_BREAKS, PROMPT_CACHE_LOST),
                {semconv.AGENT: "Agent", semconv.REQUEST_MODEL: "Model", semconv.PROMPT_CACHE_REASON: "What changed"},
                [
                    Column(title="Breaks", query=f"{with_default(total(PROMPT_CACHE_BREAKS, RANGE, by=by), *by)} > 0",
                           unit=COUNT),
                    Column(title="Paid again", look=_GREEN, unit=USD,
                           query=f"{with_default(total(PROMPT_CACHE_LOST, RANGE, by=by), *by)} > 0"),
                ],
                sort="Paid again",
            )),
            (12, bars(
                "Paid again for cached prompts",
                described("By what has changed.", PROMPT_CACHE_LOST),
                with_default(top(total(PROMPT_CACHE_LOST, RANGE, by=reason)), *reason), unit=USD,
                legend=legend(*reason), color=ORANGE,
            )),
        ],
    )  # fmt: skip


def _growth() -> Row:
    return Row(
        height=10,
        panels=[
            (24, runs(
                "Long runs and their context",
                "Up to 200 sampled runs of five or more model calls, the most expensive first. Each model call sends "
                "the previous conversation again: if input tokens grow faster than model calls, shorten the context. "
                "The figures are totals on the run's root span. A red total is above twice the median of this range "
                f"({TRACE_COST.prometheus}). Filters: service.",
                f"2 * {quantile(0.5, TRACE_COST, RANGE)}",
                where=f"span.{semconv.TRACE_LLM_CALLS} >= 5",
                attributes=(semconv.AGENT, semconv.TRACE_LLM_CALLS, semconv.TRACE_INPUT_TOKENS,
                            semconv.TRACE_OUTPUT_TOKENS, semconv.TRACE_COST),
            )),
        ],
    )  # fmt: skip


BOARD: Final = Board(
    uid="agentcost-opportunities",
    title="Agent cost · Opportunities",
    description="Possible savings in dollars, each with its assumptions. Do not add the figures: they overlap.",
    variables=[
        number("small", "Small output (% of tokens)", "2",
               "Calls with a smaller share of output may not need a large model."),
        number("expensive", "Expensive ($ per million tokens)", "1", "Cheaper models are ignored."),
        number("cheaper", "Cheaper model costs (%)", "20",
               "Price of the cheaper model, as a share of the expensive one."),
        number("hit", "Target cache share (%)", "80", "Share of input tokens that could come from the cache."),
        number("background", "Background users", "|.*(batch|cron|job|nightly|bot).*",
               "A regular expression. The empty alternative at its start matches calls without a user."),
    ],
    rows=[_totals(), _models(), _caching(), _broken_caches(), _calls(), _growth()],
)  # fmt: skip
