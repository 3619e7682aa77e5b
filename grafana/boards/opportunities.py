"""Opportunities: what could be saved, in dollars, each with what it is assumed from."""

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
    differs,
    equals,
    hourly,
    legend,
    like,
    named,
    quantile,
    share,
    top,
    total,
    zero,
)
from grafana.boards.tables import Column, runs, table
from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import (
    COST,
    LOOP_WASTE,
    LOOPS,
    OPERATION_COST,
    SAVINGS,
    TOKEN_USAGE,
    TOKENS,
    TRACE_COST,
)

_MODEL: Final = (semconv.REQUEST_MODEL,)
_AGENT: Final = (semconv.AGENT, semconv.REQUEST_MODEL)
_PROMPTS: Final = "input|cache_read|cache_write"
_NO_TOOL: Final = differs(semconv.OPERATION, semconv.EXECUTE_TOOL)
_AGAIN: Final = like(semconv.LOOP_RULE, "repeat|near_repeat")
_BACKGROUND: Final = like(semconv.USER, "$background")


def _tokens_of(kinds: str, *by: str, window: str = RANGE) -> str:
    return total(TOKENS, window, like(semconv.TOKEN_TYPE, kinds), by=by)


_SPENT: Final = total(COST, RANGE, _NO_TOOL, by=_AGENT)
_ALL_TOKENS: Final = total(TOKENS, by=_AGENT)
_A_MILLION: Final = f"{_SPENT} / ({_ALL_TOKENS} > 0) * 1000000"
_WRITTEN: Final = share(_tokens_of("output|reasoning", *_AGENT), _ALL_TOKENS)
_CHEAPER: Final = f"{_SPENT} * (1 - $cheaper / 100) and ({_WRITTEN}) < $small / 100 and ({_A_MILLION}) > $dear"

_CALLS: Final = total(OPERATION_COST, by=_MODEL, part="count")
_PROMPT: Final = share(_tokens_of(_PROMPTS, *_MODEL), _CALLS)
_READ: Final = total(TOKENS, RANGE, equals(semconv.TOKEN_TYPE, "cache_read"), by=_MODEL)
_HIT: Final = f"({_READ} or {_tokens_of('input', *_MODEL)} * 0) / {_tokens_of(_PROMPTS, *_MODEL)}"
_A_TOKEN: Final = share(total(SAVINGS, RANGE, equals(semconv.SAVINGS_KIND, "cache"), by=_MODEL), _READ)
_MISSED: Final = f"{_tokens_of(_PROMPTS, *_MODEL)} * $hit / 100 - {_READ}"
_LARGE: Final = f"({_PROMPT}) > 1024"
_CACHED: Final = f"((({_MISSED}) > 0) * ({_A_TOKEN})) and {_LARGE}"
_BATCH: Final = total(COST, RANGE, _NO_TOOL, _BACKGROUND)

_CHEAPER_TEXT: Final = (
    "Dollars of model calls, by agent and model, where less than $small % of all tokens are written and a million "
    "tokens cost more than $dear dollars, if a model took over that costs $cheaper % of it."
)
_CACHED_TEXT: Final = (
    "For models with more than 1,024 input tokens a call: the tokens that are missing to $hit % of input read from "
    "the cache, each at what a cached token of that model has saved in this range. Models that have read nothing from "
    "a cache yet are not in it."
)
_AGAIN_TEXT: Final = (
    "Dollars that loops of the rules repeat and near_repeat (a tool called again with the same, or nearly the same, "
    "arguments) have spent since their first round."
)
_BATCH_TEXT: Final = (
    "Half of the dollars of model calls for which nobody waits: those without a user, or whose user matches "
    "Background users above. Providers' batch APIs take half the price and answer within a day."
)


def _glance() -> Row:
    return Row(
        height=4,
        panels=[
            (4, stat("Spent", described("Dollars of model and tool calls in this range, for scale.", COST), total(COST),
                     unit=USD)),
            (5, stat("With cheaper models", described(f"{_CHEAPER_TEXT} The four figures overlap: do not add them.",
                                                      COST, TOKENS),
                     zero(f"sum({_CHEAPER})"), unit=USD, colour=GREEN)),
            (5, stat("With more caching", described(_CACHED_TEXT, TOKENS, SAVINGS, OPERATION_COST),
                     zero(f"sum({_CACHED})"), unit=USD, colour=GREEN)),
            (5, stat("Without repeated tool calls", described(_AGAIN_TEXT, LOOP_WASTE),
                     total(LOOP_WASTE, RANGE, _AGAIN), unit=USD, colour=GREEN)),
            (5, stat("With batches", described(_BATCH_TEXT, COST), zero(f"{_BATCH} * 0.5"), unit=USD, colour=GREEN)),
        ],
    )  # fmt: skip


def _models() -> Row:
    return Row(
        height=9,
        panels=[
            (12, table(
                "Expensive models that write little",
                described(f"{_CHEAPER_TEXT} Without a figure: too cheap, or writes too much, to be in question.",
                          COST, TOKENS),
                {semconv.AGENT: "Agent", semconv.REQUEST_MODEL: "Model"},
                [
                    Column(title="Spent", query=named(_SPENT, *_AGENT), unit=USD),
                    Column(title="A million tokens", query=named(_A_MILLION, *_AGENT), unit=USD),
                    Column(title="Written", query=named(_WRITTEN, *_AGENT), unit=SHARE),
                    Column(title="Could be saved", query=named(_CHEAPER, *_AGENT), unit=USD, look=_GREEN),
                ],
                sort="Could be saved",
            )),
            (12, table(
                "Large prompts, little cache",
                described(_CACHED_TEXT, TOKENS, SAVINGS, OPERATION_COST),
                {semconv.REQUEST_MODEL: "Model"},
                [
                    Column(title="Prompt a call", query=_PROMPT, unit=COUNT),
                    Column(title="From cache", query=f"{_HIT} and {_LARGE}", unit=SHARE),
                    Column(title="Could be saved", query=_CACHED, unit=USD, look=_GREEN),
                ],
                sort="Could be saved",
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
                "Input read from the cache",
                described("Tokens read from a cache, as a part of all input tokens of the hour before each point.",
                          TOKENS),
                [Query(text=share(read, prompt), legend=legend(*_MODEL))], unit=SHARE, max_val=1,
            )),
            (12, graph(
                "How long prompts are",
                described("Input tokens of a model call, in the day before each point, to the width of the histogram's "
                          "buckets. P90 far above P50: contexts grow as runs go on. A dot is a call: click it for its "
                          "trace.", TOKEN_USAGE),
                [Query(text=quantile(part, TOKEN_USAGE, "1d", equals(semconv.TOKEN_TYPE, "input")), legend=name,
                       exemplars=True) for name, part, _ in parts],
                unit=COUNT, overrides=[painted(name, colour) for name, _, colour in parts],
            )),
        ],
    )  # fmt: skip


def _calls() -> Row:
    again = (semconv.TOOL, semconv.AGENT)
    batch = (semconv.FEATURE, semconv.AGENT)
    failed = total(COST, RANGE, differs(semconv.ERROR_TYPE, ""), by=(semconv.ERROR_TYPE,))
    return Row(
        height=8,
        panels=[
            (8, table(
                "Tools called again with the same arguments",
                described(f"Loops of the rules repeat and near_repeat in this range. {_AGAIN_TEXT}", LOOPS, LOOP_WASTE),
                {semconv.TOOL: "Tool", semconv.AGENT: "Agent"},
                [
                    Column(title="Loops", query=f"{named(total(LOOPS, RANGE, _AGAIN, by=again), *again)} > 0",
                           unit=COUNT),
                    Column(title="Could be saved", look=_GREEN, unit=USD,
                           query=f"{named(total(LOOP_WASTE, RANGE, _AGAIN, by=again), *again)} > 0"),
                ],
                sort="Loops",
            )),
            (8, bars(
                "What could run in batches", described(f"{_BATCH_TEXT} By feature and agent.", COST),
                named(top(f"{total(COST, RANGE, _NO_TOOL, _BACKGROUND, by=batch)} * 0.5"), *batch),
                unit=USD, legend=legend(*batch), colour=GREEN,
            )),
            (8, bars(
                "Dollars of calls that failed",
                described("Dollars of calls that ended in an error in this range: of what a provider bills although "
                          "the answer was lost.", COST),
                named(top(failed), semconv.ERROR_TYPE), unit=USD, legend=legend(semconv.ERROR_TYPE), colour=ORANGE,
            )),
        ],
    )  # fmt: skip


def _growth() -> Row:
    return Row(
        height=10,
        panels=[
            (24, runs(
                "Long runs, and what their steps carry along",
                "Up to 200 sampled runs of five or more model calls, the dearest of them first. Each step sends what "
                "came before once more: where input tokens grow faster than steps, shorten the context. The figures "
                "are the totals on the run's first span; red: above twice the median of this range "
                f"({TRACE_COST.prometheus}). Chosen by service.",
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
    description="What could be saved, in dollars, and what each figure assumes. The figures overlap: do not add them.",
    variables=[
        number("small", "Small output (% of tokens)", "2", "Who writes less of all tokens may not need a large model."),
        number("dear", "Expensive ($ a million tokens)", "1", "Models that cost less are left alone."),
        number("cheaper", "Cheaper model costs (%)", "20", "Of what the expensive one costs."),
        number("hit", "Cache share to aim at (%)", "80", "Of all input tokens."),
        number("background", "Background users", "|.*(batch|cron|job|nightly|bot).*",
               "A regular expression; its empty beginning matches calls that have no user."),
    ],
    rows=[_glance(), _models(), _caching(), _calls(), _growth()],
)  # fmt: skip
