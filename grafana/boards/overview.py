"""The cost overview: what is spent now, where it will end, who spends it on what, and what of it is lost."""

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
from grafana.boards.queries import change, differs, equals, hourly, legend, named, share, top, total, zero
from grafana.boards.tables import Column, table
from otel_agentcost.core import semconv
from otel_agentcost.telemetry.signals import (
    COST,
    DURATION,
    LOOP_WASTE,
    SAVINGS,
    TOKENS,
    TRACE_COST,
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


def _ticker() -> Row:
    return Row(
        height=5,
        panels=[
            (4, trend(
                "Dollars an hour",
                described("Dollars of model and tool calls in the hour before each point.", COST),
                hourly(COST), unit=USD,
            )),
            (4, stat(
                "Spent in this range",
                described("Dollars of all model and tool calls in the range that the board shows.", COST),
                total(COST), unit=USD,
            )),
            (4, stat(
                "A day at this pace",
                described("Dollars of the last hour, times 24.", COST),
                f"{hourly(COST)} * 24", unit=USD,
            )),
            (4, stat(
                "A month at this pace",
                described(f"Dollars of the last seven days, a day, times {_DAYS_A_MONTH} days.", COST),
                _MONTH, unit=USD,
            )),
            (4, gauge(
                "Month against budget",
                described("The month at this pace, as a part of what is set above as Budget a month.", COST),
                f"{_MONTH} / $budget",
            )),
            (4, trend(
                "Runs an hour",
                described("Runs (traces) that ended in the hour before each point.", TRACE_COST),
                zero(hourly(TRACE_COST, part="count")), unit=COUNT, colour="purple",
            )),
        ],
    )  # fmt: skip


def _flow() -> Row:
    by = (semconv.AGENT, semconv.REQUEST_MODEL)
    moved = change(COST, by=by, ago="1w")
    split = named(hourly(COST, by=("$by",)), "$by")
    return Row(
        height=10,
        panels=[
            (14, graph(
                "Dollars an hour, split",
                described("Dollars in the hour before each point, by what is chosen above as Split by; the 15 largest. "
                          "The heights add up to Dollars an hour.", COST),
                [Query(text=top(split, 15), legend=legend("$by"))], unit=USD, stacked=True,
            )),
            (10, table(
                "Top movers against last week",
                described("Dollars in this range less those of the same stretch a week ago, by agent and model; "
                          "what costs more comes first. Tool calls have no model.", COST),
                {semconv.AGENT: "Agent", semconv.REQUEST_MODEL: "Model"},
                [
                    Column(title="Change", query=named(moved, *by), unit=USD, look={
                        "custom__cellOptions": {"type": "color-text"}, "color": {"mode": "thresholds"},
                        "thresholds": {"mode": "absolute", "steps": [
                            {"color": "green", "value": None}, {"color": "text", "value": -0.01},
                            {"color": "orange", "value": 0.01}]},
                    }),
                    Column(title="Now", query=named(total(COST, by=by), *by), unit=USD),
                    Column(title="A week ago", query=named(total(COST, by=by, ago="1w"), *by), unit=USD),
                ],
                sort="Change",
            )),
        ],
    )  # fmt: skip


def _bars(title: str, attribute: str) -> Panel:
    """Who or what costs most. A click shows the board for it alone, where there is a variable for that."""
    note = " Tool calls have none." if attribute in (semconv.REQUEST_MODEL, semconv.PROVIDER) else ""
    variables = [name for name, chosen in queries.VARIABLES.items() if chosen == attribute]
    return bars(
        title,
        described(f"Dollars in this range, the ten largest.{note}", COST),
        named(top(total(COST, by=(attribute,))), attribute),
        unit=USD,
        legend=legend(attribute),
        links=[_alone(name, attribute) for name in variables],
    )


def _alone(variable: str, attribute: str) -> DashboardLink:
    sources = "${datasource:queryparam}&${tempo:queryparam}"
    value = f"${{__field.labels.{label(attribute)}}}"
    url = f"/d/{_UID}?${{__url_time_range}}&{sources}&var-{variable}={value}"
    return DashboardLink(title=f"Only {value}", url=url)


def _split(width: int, *split: tuple[str, str]) -> Row:
    return Row(height=8, panels=[(width, _bars(title, attribute)) for title, attribute in split])


def _tokens() -> Row:
    cached = total(TOKENS, "1h", equals(semconv.TOKEN_TYPE, "cache_read"))
    prompt = total(TOKENS, "1h", queries.like(semconv.TOKEN_TYPE, "input|cache_read|cache_write"))
    return Row(
        height=9,
        panels=[
            (8, graph(
                "Tokens an hour",
                described("Tokens in the hour before each point, each counted once: input without what came from or "
                          "went to a cache, output without reasoning.", TOKENS),
                [Query(text=hourly(TOKENS, by=(semconv.TOKEN_TYPE,)), legend=legend(semconv.TOKEN_TYPE))],
                unit=COUNT, stacked=True,
            )),
            (8, graph(
                "Saved an hour, and the cache's share",
                described("Dollars that calls cost less in the hour before each point: because tokens were read from "
                          "a cache, or a cheaper model answered.", SAVINGS, TOKENS),
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
                "Wasted an hour",
                described("Dollars in the hour before each point: of calls that failed (and are made again), and that "
                          "loops have spent since their first round. A failed call in a loop is in both: do not add "
                          "them. Loops that only the Collector found have no dollars.", COST, LOOP_WASTE),
                [
                    Query(text=zero(hourly(COST, differs(semconv.ERROR_TYPE, ""))), legend="failed calls"),
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
                described("Model calls whose price is not, or not wholly, known, as a part of all model calls: their "
                          "dollars are missing on this board.", UNPRICED, DURATION),
                f"({zero(total(UNPRICED))}) / ({whole} > 0)",
                unit=SHARE, steps=((None, GREEN), (0.001, YELLOW), (0.05, RED)),
            )),
            (18, table(
                "What has no price, and why",
                described("Model calls in this range that have no price, or none for all of what they used. A file of "
                          "own prices gives them one.", UNPRICED),
                {semconv.PROVIDER: "Provider", semconv.REQUEST_MODEL: "Model", semconv.REASON: "Why"},
                [Column(title="Calls", query=f"{named(total(UNPRICED, by=by), *by)} > 0", unit=COUNT)],
                sort="Calls", unit=COUNT,
            )),
        ],
    )  # fmt: skip


BOARD: Final = Board(
    uid=_UID,
    title="Agent cost · Overview",
    description="What AI agents spend now, where that will end, who spends it on what, and what of it is lost.",
    variables=[
        choice("by", "Split by", [(word, label(name)) for word, name in _SPLITS], "What the graph is split by."),
        number("budget", "Budget a month ($)", "1000", "Dollars that a month may cost."),
    ],
    rows=[
        _ticker(),
        _flow(),
        _split(8, ("By model", semconv.REQUEST_MODEL), ("By agent", semconv.AGENT), ("By user", semconv.USER)),
        _split(6, ("By provider", semconv.PROVIDER), ("By team", semconv.TEAM), ("By feature", semconv.FEATURE),
               ("By service", WHERE[0])),
        _tokens(),
        _unpriced(),
    ],
)  # fmt: skip
