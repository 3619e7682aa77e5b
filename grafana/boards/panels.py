"""Builds the kinds of panels that the boards use. Each has a title, a unit, and a description of its computation."""

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

BLUE, GREEN, YELLOW, ORANGE, RED, PURPLE = "blue", "green", "yellow", "orange", "red", "purple"
"""Spend is blue, savings green, warnings yellow and orange, losses red; tokens and counts are purple."""

PROMETHEUS: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
TEMPO: Final = common.DataSourceRef(type_val="tempo", uid="${tempo}")
MIXED: Final = common.DataSourceRef(type_val="datasource", uid="-- Mixed --")

Steps = Sequence[tuple[float | None, str]]
"""Thresholds as (lower bound, color); the first bound is None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A PromQL query."""

    text: str
    legend: str = ""
    instant: bool = False
    format: Literal["time_series", "table", "heatmap"] = "time_series"
    exemplars: bool = False


def described(text: str, *signals: Signal) -> str:
    """Return `text` with the metrics of the computation and the variables that filter them."""
    metrics = ", ".join(dict.fromkeys(signal.prometheus for signal in signals))
    applied = [name for name in queries.VARIABLES if all(name in queries.filters(signal) for signal in signals)]
    return f"{text}\n\nMetrics: {metrics}. Filters: {', '.join(applied)}." if signals else text


def panel(  # noqa: PLR0913 (properties of every panel)
    kind: str,
    title: str,
    description: str,
    targets: Sequence[Query | tempo.Dataquery],
    *,
    unit: str,
    options: dict[str, Any] | None = None,
    custom: dict[str, Any] | None = None,
    steps: Steps = (),
    color: str | None = None,
    overrides: Sequence[dict[str, Any]] = (),
    transformations: Sequence[tuple[str, dict[str, Any]]] = (),
    **defaults: Any,
) -> dashboard.Panel:
    """Return a panel of any kind.

    The color is `color`, or that of the threshold reached in `steps`, or a color for each series.
    """
    target_models = [_target(one, chr(ord("A") + place)) for place, one in enumerate(targets)]
    kinds = {isinstance(one, tempo.Dataquery) for one in target_models}
    source = MIXED if len(kinds) > 1 else TEMPO if True in kinds else PROMETHEUS
    mode = dashboard.FieldColorModeId("fixed" if color else "thresholds" if steps else "palette-classic-by-name")
    return dashboard.Panel(
        type_val=kind,
        title=title,
        description=description,
        datasource=source,
        targets=list(target_models),
        options=options or {},
        field_config=dashboard.FieldConfigSource(
            defaults=dashboard.FieldConfig(
                unit=unit,
                color=dashboard.FieldColor(mode=mode, fixed_color=color),
                thresholds=dashboard.ThresholdsConfig(
                    mode=dashboard.ThresholdsMode("absolute"),
                    steps=[dashboard.Threshold(value=value, color=name) for value, name in steps or ((None, BLUE),)],
                ),
                custom=custom or {},
                **defaults,
            ),
            overrides=[_override(one) for one in overrides],
        ),
        transformations=[dashboard.DataTransformerConfig(id_val=name, options=given) for name, given in transformations]
        or None,
    )


def override(column: str, **properties: Any) -> dict[str, Any]:
    """Return settings of one field; `custom__width` is Grafana's `custom.width`."""
    settings = [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()]
    return {"matcher": {"id": "byName", "options": column}, "properties": settings}


def painted(series: str, color: str) -> dict[str, Any]:
    """Return a fixed color for one series."""
    return override(series, color={"mode": "fixed", "fixedColor": color})


def stat(
    title: str, description: str, query: str, *, unit: str, color: str | None = BLUE, steps: Steps = ()
) -> dashboard.Panel:
    """Return a panel of one large number."""
    return panel(
        "stat", title, description, [Query(text=query, instant=True)], unit=unit, steps=steps,
        color=None if steps else color,
        options={
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value",
            "graphMode": "none", "justifyMode": "center", "textMode": "value", "orientation": "auto",
            "wideLayout": True,
        },
        no_value="No data yet",
    )  # fmt: skip


def trend(title: str, description: str, query: str, *, unit: str, color: str = BLUE) -> dashboard.Panel:
    """Return the newest number above a line of its history."""
    model = stat(title, description, query, unit=unit, color=color)
    model.targets = [_target(Query(text=query), "A")]
    cast("dict[str, Any]", model.options)["graphMode"] = "area"
    return model


def gauge(title: str, description: str, query: str) -> dashboard.Panel:
    """Return a gauge of the utilization of a limit: yellow from 80 %, red from 100 %."""
    return panel(
        "gauge", title, description, [Query(text=query, instant=True)], unit=SHARE, steps=LIMIT, min_val=0, max_val=1.2,
        decimals=0,
        options={
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "showThresholdLabels": False,
            "showThresholdMarkers": True, "orientation": "auto", "minVizHeight": 75,
            "minVizWidth": 75, "sizing": "auto",
        },
        no_value="No data yet",
    )  # fmt: skip


LIMIT: Final[Steps] = ((None, GREEN), (0.8, YELLOW), (1, RED))


def bars(
    title: str,
    description: str,
    query: str,
    *,
    unit: str,
    legend: str,
    color: str = BLUE,
    steps: Steps = (),
    **more: Any,
) -> dashboard.Panel:
    """Return horizontal bars, the largest first."""
    return panel(
        "bargauge", title, description, [Query(text=f"sort_desc({query})", legend=legend, instant=True)], unit=unit,
        color=None if steps else color, steps=steps,
        options={
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "displayMode": "basic",
            "orientation": "horizontal", "showUnfilled": True, "valueMode": "color", "namePlacement": "auto",
            "sizing": "auto", "minVizHeight": 16, "minVizWidth": 8, "maxVizHeight": 26,
        },
        min_val=0, no_value="None", **more,
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
    """Return lines over time, or stacked areas; `logarithmic` is for values of very different sizes."""
    custom: dict[str, Any] = {
        "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1 if stacked else 2, "showPoints": "never",
        "fillOpacity": 45 if stacked else 8, "gradientMode": "none", "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if steps else "off"},
    }  # fmt: skip
    custom |= {"scaleDistribution": {"type": "log", "log": 10}} if logarithmic else {"axisSoftMin": 0}
    model = panel(
        "timeseries", title, description, targets, unit=unit, custom=custom, overrides=overrides, steps=steps,
        options={
            "legend": {"displayMode": "table", "placement": "right", "showLegend": True,
                       "calcs": ["lastNotNull", "max"], "sortBy": "Last *", "sortDesc": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        min_val=0 if stacked else None, no_value="No data in this range", **more,
    )  # fmt: skip
    if model.field_config is not None and model.field_config.defaults.color is not None:
        model.field_config.defaults.color.mode = dashboard.FieldColorModeId("palette-classic-by-name")
    return model


def heatmap(title: str, description: str, query: str) -> dashboard.Panel:
    """Return a heatmap of a histogram of dollars, with one column for each hour."""
    model = panel(
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
    model.interval = queries.HOUR  # a cell counts the hour before it, so cells must be an hour apart
    return model


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


def _override(given: dict[str, Any]) -> dashboard.DashboardFieldConfigSourceOverrides:
    return dashboard.DashboardFieldConfigSourceOverrides(
        matcher=dashboard.MatcherConfig(id_val=given["matcher"]["id"], options=given["matcher"]["options"]),
        properties=[dashboard.DynamicConfigValue(id_val=one["id"], value=one["value"]) for one in given["properties"]],
    )
