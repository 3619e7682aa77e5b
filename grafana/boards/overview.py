"""The overview board: current and projected spend, spend by attribute, savings, waste and unpriced calls."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import DashboardLink, Panel

from grafana.boards import queries
from grafana.boards.board import Board, Row, choice, number
from grafana.boards.panels import (
    COUNT,
    GREEN,
    ORANGE,
    RED,
    SHARE,
    USD,
    YELLOW,
    Query,
    bars,
    described,
    gauge,
    graph,
    painted,
    stat,
    trend,
)
from grafana.boards.queries import change, equals, hourly, legend, not_equals, or_zero, share, top, total, with_default
from grafana.boards.tables import Column, table
from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import (
    COST,
    DURATION,
    LOOP_WASTE,
    SAVINGS,
    TOKENS,
    TRACE_LLM_CALLS,
    UNPRICED,
    WHERE,
    label,
)

_UID: Final = "agentcost-overview"
_DAYS_A_MONTH: Final = 30.4
_SPLITS: Final = (
    ("model", semconv.REQUEST_MODEL), ("provider", semconv.PROVIDER), ("agent", semconv.AGENT), ("user", semconv.USER),
    ("tenant", semconv.TENANT), ("team", semconv.TEAM), ("feature", semconv.FEATURE), ("service", WHERE[0]),
    ("environment", WHERE[1]), ("operation", semconv.OPERATION), ("tool", semconv.TOOL),
)  # fmt: skip
_MONTH: Final = f"{total(COST, '7d')} / 7 * {_DAYS_A_MONTH}"


def _totals() -> Row:
    return Row(
        height=5,
        panels=[
            (4, trend(
                "Dollars per hour",
                described("Cost of model and tool calls in the hour before each point.", COST),
                hourly(COST), unit=USD,
            )),
            (4, stat(
                "Spent in this range",
                described("Cost of all model and tool calls in the time range of the board.", COST),
                total(COST), unit=USD,
            )),
            (4, stat(
                "A day at this pace",
                described("Cost of the last hour, multiplied by 24.", COST),
                f"{hourly(COST)} * 24", unit=USD,
            )),
            (4, stat(
                "A month at this pace",
                described(f"Mean daily cost of the last seven days, multiplied by {_DAYS_A_MONTH} days.", COST),
                _MONTH, unit=USD,
            )),
            (4, gauge(
                "Month against budget",
                described("A month at this pace, as a share of the variable Monthly budget.", COST),
                f"{_MONTH} / $budget",
            )),
            (4, trend(
                "Runs per hour",
                described("Runs (traces) that ended in the hour before each point.", TRACE_LLM_CALLS),
                or_zero(hourly(TRACE_LLM_CALLS, part="count")), unit=COUNT, color="purple",
            )),
        ],
    )  # fmt: skip


def _changes() -> Row:
    by = (semconv.AGENT, semconv.REQUEST_MODEL)
    increase = change(COST, by=by, ago="1w")
    split = with_default(hourly(COST, by=("$by",)), "$by")
    return Row(
        height=10,
        panels=[
            (14, graph(
                "Dollars per hour, split",
                described("Cost in the hour before each point, split by the variable Split by; the 15 largest. The "
                          "areas add up to Dollars per hour.", COST),
                [Query(text=top(split, 15), legend=legend("$by"))], unit=USD, stacked=True,
            )),
            (10, table(
                "Top movers against last week",
                described("Cost in this range minus the cost in the same range a week ago, by agent and model. The "
                          "largest increase is first. Tool calls have no model.", COST),
                {semconv.AGENT: "Agent", semconv.REQUEST_MODEL: "Model"},
                [
                    Column(title="Change", query=with_default(increase, *by), unit=USD, look={
                        "custom__cellOptions": {"type": "color-text"}, "color": {"mode": "thresholds"},
                        "thresholds": {"mode": "absolute", "steps": [
                            {"color": "green", "value": None}, {"color": "text", "value": -0.01},
                            {"color": "orange", "value": 0.01}]},
                    }),
                    Column(title="Now", query=with_default(total(COST, by=by), *by), unit=USD),
                    Column(title="A week ago", query=with_default(total(COST, by=by, ago="1w"), *by), unit=USD),
                ],
                sort="Change",
            )),
        ],
    )  # fmt: skip


def _bars(title: str, attribute: str) -> Panel:
    """Return the cost by an attribute. A click filters the board by the value if there is a variable for it."""
    of_models = attribute in (semconv.REQUEST_MODEL, semconv.PROVIDER)
    note = " Tool calls have no model and no provider." if of_models else ""
    variables = [name for name, filtered in queries.VARIABLES.items() if filtered == attribute]
    return bars(
        title,
        described(f"Cost in this range, the ten largest.{note}", COST),
        with_default(top(total(COST, by=(attribute,))), attribute),
        unit=USD,
        legend=legend(attribute),
        links=[_filter_link(name, attribute) for name in variables],
    )


def _filter_link(variable: str, attribute: str) -> DashboardLink:
    sources = "${datasource:queryparam}&${tempo:queryparam}"
    value = f"${{__field.labels.{label(attribute)}}}"
    url = f"/d/{_UID}?${{__url_time_range}}&{sources}&var-{variable}={value}"
    return DashboardLink(title=f"Only {value}", url=url)


def _split(width: int, *split: tuple[str, str]) -> Row:
    return Row(height=8, panels=[(width, _bars(title, attribute)) for title, attribute in split])


def _tokens() -> Row:
    cached = total(TOKENS, "1h", equals(semconv.TOKEN_TYPE, "cache_read"))
    prompt = total(TOKENS, "1h", queries.matches(semconv.TOKEN_TYPE, "input|cache_read|cache_write"))
    return Row(
        height=9,
        panels=[
            (8, graph(
                "Tokens per hour",
                described("Tokens in the hour before each point. Each token counts once: input excludes tokens read "
                          "from or written to a cache, output excludes reasoning.", TOKENS),
                [Query(text=hourly(TOKENS, by=(semconv.TOKEN_TYPE,)), legend=legend(semconv.TOKEN_TYPE))],
                unit=COUNT, stacked=True,
            )),
            (8, graph(
                "Savings per hour, and share of input from cache",
                described("Savings in the hour before each point, from tokens that were read from a cache, from known "
                          "answers and tool results, and from downgrades to a cheaper model; and the share of input "
                          "tokens read from a cache.", SAVINGS, TOKENS),
                [
                    Query(text=hourly(SAVINGS, by=(semconv.SAVINGS_KIND,)), legend=legend(semconv.SAVINGS_KIND)),
                    Query(text=share(cached, prompt), legend="share of input from cache"),
                ],
                unit=USD,
                overrides=[painted("cache", GREEN), painted("downgrade", "#96D98D"), {
                    "matcher": {"id": "byName", "options": "share of input from cache"},
                    "properties": [{"id": "unit", "value": SHARE}, {"id": "custom.axisPlacement", "value": "right"},
                                   {"id": "max", "value": 1}, {"id": "color", "value": {
                                       "mode": "fixed", "fixedColor": "purple"}}],
                }],
            )),
            (8, graph(
                "Wasted per hour",
                described("Cost in the hour before each point of failed calls, which are usually retried, and of loops "
                          "after their first round. Do not add the two: a failed call in a loop is in both. Loops that "
                          "only the Collector detects have no cost.", COST, LOOP_WASTE),
                [
                    Query(text=or_zero(hourly(COST, not_equals(semconv.ERROR_TYPE, ""))), legend="failed calls"),
                    Query(text=hourly(LOOP_WASTE), legend="loops"),
                ],
                unit=USD, overrides=[painted("failed calls", ORANGE), painted("loops", RED)],
            )),
        ],
    )  # fmt: skip


def _unpriced() -> Row:
    by = (semconv.PROVIDER, semconv.REQUEST_MODEL, semconv.REASON)
    whole = total(DURATION, part="count")
    return Row(
        height=7,
        panels=[
            (6, stat(
                "Calls without a price",
                described("Share of model calls whose price is unknown or incomplete. Their cost is missing on this "
                          "board.", UNPRICED, DURATION),
                f"({or_zero(total(UNPRICED))}) / ({whole} > 0)",
                unit=SHARE, steps=((None, GREEN), (0.001, YELLOW), (0.05, RED)),
            )),
            (18, table(
                "Calls without a price, by reason",
                described("Model calls in this range without a price, or without a price for a part of their usage. A "
                          "price file adds missing prices.", UNPRICED),
                {semconv.PROVIDER: "Provider", semconv.REQUEST_MODEL: "Model", semconv.REASON: "Reason"},
                [Column(title="Calls", query=f"{with_default(total(UNPRICED, by=by), *by)} > 0", unit=COUNT)],
                sort="Calls", unit=COUNT,
            )),
        ],
    )  # fmt: skip


BOARD: Final = Board(
    uid=_UID,
    title="Agent cost · Overview",
    description="Current and projected spend of AI agents by model, agent, user and team; savings and waste.",
    variables=[
        choice("by", "Split by", [(text, label(name)) for text, name in _SPLITS], "Attribute that splits the graph."),
        number("budget", "Monthly budget ($)", "1000", "Monthly budget in US dollars."),
    ],
    rows=[
        _totals(),
        _changes(),
        _split(8, ("By model", semconv.REQUEST_MODEL), ("By agent", semconv.AGENT), ("By user", semconv.USER)),
        _split(6, ("By provider", semconv.PROVIDER), ("By team", semconv.TEAM), ("By feature", semconv.FEATURE),
               ("By service", WHERE[0])),
        _tokens(),
        _unpriced(),
    ],
)  # fmt: skip
