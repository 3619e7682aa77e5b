"""Panels as the boards use them: each has a title, a unit, and a description that says how it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from grafana_foundation_sdk.models import common, dashboard, prometheus, tempo

from grafana.boards import queries
from otel_agentcost.telemetry.signals import Signal

USD: Final = "currencyUSD"
SHARE: Final = "percentunit"
COUNT: Final = "short"
SECONDS: Final = "s"

BLUE, GREEN, YELLOW, ORANGE, RED, PURPLE, GREY = "blue", "green", "yellow", "orange", "red", "purple", "#8e8e8e"
"""Money spent is blue, saved green, watched yellow and orange, lost red; tokens and counts are purple."""

PROMETHEUS: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
TEMPO: Final = common.DataSourceRef(type_val="tempo", uid="${tempo}")
MIXED: Final = common.DataSourceRef(type_val="datasource", uid="-- Mixed --")

Steps = Sequence[tuple[float | None, str]]
"""Thresholds: from which value on which colour; the first from None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query to Prometheus."""

    text: str
    legend: str = ""
    instant: bool = False
    format: Literal["time_series", "table", "heatmap"] = "time_series"
    exemplars: bool = False


def described(text: str, *signals: Signal) -> str:
    """`text`, and which metrics it is computed from and which variables choose among them."""
    metrics = ", ".join(dict.fromkeys(signal.prometheus for signal in signals))
    chosen = [name for name in queries.VARIABLES if all(name in queries.filters(signal) for signal in signals)]
    return f"{text}\n\nFrom {metrics}; chosen by {', '.join(chosen)}." if signals else text


def panel(  # noqa: PLR0913 (what any panel has)
    kind: str,
    title: str,
    description: str,
    targets: Sequence[Query | tempo.Dataquery],
    *,
    unit: str,
    options: dict[str, Any] | None = None,
    custom: dict[str, Any] | None = None,
    steps: Steps = (),
    colour: str | None = None,
    overrides: Sequence[dict[str, Any]] = (),
    transformations: Sequence[tuple[str, dict[str, Any]]] = (),
    **defaults: Any,
) -> dashboard.Panel:
    """Any panel. `colour` is a fixed one; without it, `steps` decide, and without those each series has its own."""
    made = [_target(one, chr(ord("A") + place)) for place, one in enumerate(targets)]
    kinds = {isinstance(one, tempo.Dataquery) for one in made}
    source = MIXED if len(kinds) > 1 else TEMPO if True in kinds else PROMETHEUS
    mode = dashboard.FieldColorModeId("fixed" if colour else "thresholds" if steps else "palette-classic-by-name")
    return dashboard.Panel(
        type_val=kind,
        title=title,
        description=description,
        datasource=source,
        targets=list(made),
        options=options or {},
        field_config=dashboard.FieldConfigSource(
            defaults=dashboard.FieldConfig(
                unit=unit,
                color=dashboard.FieldColor(mode=mode, fixed_color=colour),
                thresholds=dashboard.ThresholdsConfig(
                    mode=dashboard.ThresholdsMode("absolute"),
                    steps=[dashboard.Threshold(value=value, color=name) for value, name in steps or ((None, BLUE),)],
                ),
                custom=custom or {},
                **defaults,
            ),
            overrides=[_override(one) for one in overrides],
        ),
        transformations=[dashboard.DataTransformerConfig(id_val=name, options=said) for name, said in transformations]
        or None,
    )


def override(column: str, **properties: Any) -> dict[str, Any]:
    """How one field looks otherwise; `custom__width` is Grafana's `custom.width`."""
    said = [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()]
    return {"matcher": {"id": "byName", "options": column}, "properties": said}


def painted(series: str, colour: str) -> dict[str, Any]:
    """A colour of its own for one series."""
    return override(series, color={"mode": "fixed", "fixedColor": colour})


def stat(
    title: str, description: str, query: str, *, unit: str, colour: str | None = BLUE, steps: Steps = ()
) -> dashboard.Panel:
    """A number that is read at a glance."""
    return panel(
        "stat", title, description, [Query(text=query, instant=True)], unit=unit, steps=steps,
        colour=None if steps else colour,
        options={
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value",
            "graphMode": "none", "justifyMode": "center", "textMode": "value", "orientation": "auto",
            "wideLayout": True,
        },
        no_value="nothing yet",
    )  # fmt: skip


def trend(title: str, description: str, query: str, *, unit: str, colour: str = BLUE) -> dashboard.Panel:
    """A number now, over the line that it comes from."""
    made = stat(title, description, query, unit=unit, colour=colour)
    made.targets = [_target(Query(text=query), "A")]
    cast("dict[str, Any]", made.options)["graphMode"] = "area"
    return made


def gauge(title: str, description: str, query: str) -> dashboard.Panel:
    """How far a limit is used: yellow from 80 % on, red from all of it."""
    return panel(
        "gauge", title, description, [Query(text=query, instant=True)], unit=SHARE, steps=LIMIT, min_val=0, max_val=1.2,
        decimals=0,
        options={
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "showThresholdLabels": False,
            "showThresholdMarkers": True, "orientation": "auto", "minVizHeight": 75,
            "minVizWidth": 75, "sizing": "auto",
        },
        no_value="nothing yet",
    )  # fmt: skip


LIMIT: Final[Steps] = ((None, GREEN), (0.8, YELLOW), (1, RED))


def bars(
    title: str,
    description: str,
    query: str,
    *,
    unit: str,
    legend: str,
    colour: str = BLUE,
    steps: Steps = (),
    **more: Any,
) -> dashboard.Panel:
    """The largest ones of the range, as bars under each other."""
    return panel(
        "bargauge", title, description, [Query(text=f"sort_desc({query})", legend=legend, instant=True)], unit=unit,
        colour=None if steps else colour, steps=steps,
        options={
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "displayMode": "basic",
            "orientation": "horizontal", "showUnfilled": True, "valueMode": "color", "namePlacement": "auto",
            "sizing": "auto", "minVizHeight": 16, "minVizWidth": 8, "maxVizHeight": 26,
        },
        min_val=0, no_value="none", **more,
    )  # fmt: skip


def graph(
    title: str,
    description: str,
    targets: Sequence[Query],
    *,
    unit: str,
    stacked: bool = False,
    overrides: Sequence[dict[str, Any]] = (),
    steps: Steps = (),
    logarithmic: bool = False,
    **more: Any,
) -> dashboard.Panel:
    """Lines over time, or areas on top of each other. `logarithmic`: for values a thousand times apart."""
    custom: dict[str, Any] = {
        "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1 if stacked else 2, "showPoints": "never",
        "fillOpacity": 45 if stacked else 8, "gradientMode": "none", "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if steps else "off"},
    }  # fmt: skip
    custom |= {"scaleDistribution": {"type": "log", "log": 10}} if logarithmic else {"axisSoftMin": 0}
    made = panel(
        "timeseries", title, description, targets, unit=unit, custom=custom, overrides=overrides, steps=steps,
        options={
            "legend": {"displayMode": "table", "placement": "right", "showLegend": True,
                       "calcs": ["lastNotNull", "max"], "sortBy": "Last *", "sortDesc": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        min_val=0 if stacked else None, no_value="nothing in this range", **more,
    )  # fmt: skip
    if made.field_config is not None and made.field_config.defaults.color is not None:
        made.field_config.defaults.color.mode = dashboard.FieldColorModeId("palette-classic-by-name")
    return made


def heatmap(title: str, description: str, query: str) -> dashboard.Panel:
    """How many runs cost how much, hour by hour."""
    made = panel(
        "heatmap", title, description, [
            Query(text=query, legend="{{le}}", format="heatmap", exemplars=True)
        ],
        unit=USD,
        options={
            "calculate": False, "cellGap": 1, "yAxis": {"unit": USD, "axisPlacement": "left", "reverse": False},
            "color": {"mode": "scheme", "scheme": "Blues", "steps": 64, "exponent": 0.5, "fill": "dark-blue",
                      "reverse": False, "scale": "exponential"},
            "cellValues": {"unit": COUNT}, "filterValues": {"le": 1e-9}, "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": True}, "legend": {"show": True},
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
        },
    )  # fmt: skip
    made.interval = queries.HOUR  # a cell is the hour before it: the next one begins where it ended
    return made


def _target(one: Query | tempo.Dataquery, ref: str) -> prometheus.Dataquery | tempo.Dataquery:
    if isinstance(one, tempo.Dataquery):
        one.ref_id = ref
        return one
    return prometheus.Dataquery(
        expr=one.text,
        instant=one.instant,
        range_val=not one.instant,
        exemplar=one.exemplars,
        editor_mode=prometheus.QueryEditorMode("code"),
        format_val=prometheus.PromQueryFormat(one.format),
        legend_format=one.legend or None,
        ref_id=ref,
        datasource=PROMETHEUS,
    )


def _override(said: dict[str, Any]) -> dashboard.DashboardFieldConfigSourceOverrides:
    return dashboard.DashboardFieldConfigSourceOverrides(
        matcher=dashboard.MatcherConfig(id_val=said["matcher"]["id"], options=said["matcher"]["options"]),
        properties=[dashboard.DynamicConfigValue(id_val=one["id"], value=one["value"]) for one in said["properties"]],
    )
