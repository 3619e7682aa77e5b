"""The page of a board: its panels where `gridPos` puts them, in the colours of Grafana's dark theme. No script."""

from __future__ import annotations

import datetime as dt
import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from grafana.preview import board, cells, charts
from grafana.preview.board import Board, Moment, Panel
from grafana.preview.frames import Table, asked, lines, table
from grafana.preview.prometheus import Client, Refused

WIDTH: Final = 1600
_GAP, _UNIT, _EDGE = 8, 38, 16
_HEAD: Final = 34
_TOP: Final = 84
STRETCHES: Final = ("1h", "6h", "24h", "2d", "7d", "14d")
Runs = Callable[[Panel], "Table | None"]
"""What is known of a panel whose data is in Tempo."""

_STYLE: Final = """
*{box-sizing:border-box} body{margin:0;background:#111217;color:#ccccdc;font:13px Inter,Helvetica,Arial,sans-serif}
a{color:#6e9fff;text-decoration:none} header{padding:12px 16px 0;height:84px}
header h1{display:inline;font-size:18px;font-weight:500;margin:0 18px 0 0} header nav{display:inline}
header nav a{margin-right:14px} header nav a.here{color:#fff;border-bottom:2px solid #f55f3e;padding-bottom:3px}
header form{margin-top:12px;display:flex;gap:10px;align-items:center;flex-wrap:nowrap;overflow:hidden}
header label{color:rgba(204,204,220,.65);font-size:12px;white-space:nowrap}
select,button{background:#181b1f;color:#ccccdc;border:1px solid rgba(204,204,220,.2);border-radius:2px;height:26px;
max-width:130px}
.note{color:#ff9830;font-size:12px;float:right;padding-top:5px}
main{position:relative;width:1600px} .panel,.head{position:absolute}
.panel{background:#181b1f;border:1px solid rgba(204,204,220,.12);border-radius:2px;overflow:hidden}
.panel h2{font-size:14px;font-weight:500;margin:0;padding:8px 10px 0;height:34px;white-space:nowrap;overflow:hidden;
text-overflow:ellipsis} .panel h2 span{color:rgba(204,204,220,.45);cursor:help;margin-left:7px;font:italic 10px serif;
border:1px solid;border-radius:7px;padding:0 4px}
.head{font-size:16px;font-weight:500;padding-top:8px;border-bottom:1px solid rgba(204,204,220,.12)}
.body{padding:0 8px} .says{color:rgba(204,204,220,.65);padding:12px 8px}
.wrong{color:#f2495c;padding:8px;font-size:12px}
.stats{display:flex;flex-wrap:wrap} .stat{position:relative;display:flex;flex-direction:column;align-items:center;
justify-content:center;font-weight:500;line-height:1.15} .stat .name{font-size:13px;font-weight:400;color:#ccccdc}
.stat>div{position:relative} .stat .course{position:absolute;left:0;top:0}
.aside{display:flex} .legend{overflow:hidden;font-size:12px} .legend .item{display:inline-block;margin-right:14px;
height:20px;white-space:nowrap} .legend i{display:inline-block;width:14px;height:4px;border-radius:1px;
margin:0 6px 3px 0}
.legend table{width:100%;border-collapse:collapse} .legend td,.legend th{height:22px;padding:0 4px;text-align:right;
white-space:nowrap} .legend th{color:#6e9fff;font-weight:400} .legend td:first-child{text-align:left}
table.rows{width:100%;border-collapse:collapse;font-size:13px} .rows th{color:#6e9fff;font-weight:500;text-align:left}
.rows th,.rows td{height:29px;padding:0 8px;white-space:nowrap;border-bottom:1px solid rgba(204,204,220,.08)}
.rows .number{text-align:right;font-variant-numeric:tabular-nums}
.gauge{display:inline-block;width:90px;height:10px;background:#22252b;text-align:left;margin-right:6px}
.gauge .bar{display:block;height:10px} .gauge+b{display:inline-block;min-width:52px;font-weight:400}
.text{padding:0 4px;line-height:1.45} .text p,.text h3,.text ul{margin:0 0 8px}
code{background:#22252b;padding:1px 4px;border-radius:2px}
svg{display:block;font-family:Inter,Helvetica,Arial,sans-serif}
"""


def page(
    one: Board, boards: Sequence[Board], client: Client, moment: Moment, given: Mapping[str, str], *,
    note: str = "", runs: Runs | None = None,
) -> str:  # fmt: skip
    """The HTML of a board. `given` are values of its variables, `note` is said at its top."""
    values = board.chosen(one, moment, given)
    drawn = "".join(_placed(panel, client, moment, values, runs) for panel in one.panels)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(one.title)}</title>'
        f"<style>{_STYLE}</style><body style='width:{WIDTH}px'>{_header(one, boards, client, moment, given, note)}"
        f'<main style="height:{height(one) - _TOP}px">{drawn}</main></body></html>\n'
    )


def height(one: Board) -> int:
    """How many pixels high the page is."""
    return _TOP + _EDGE + max((panel.y + panel.h for panel in one.panels), default=0) * _UNIT


def _header(
    one: Board, boards: Sequence[Board], client: Client, moment: Moment, given: Mapping[str, str], note: str
) -> str:
    links = "".join(
        f'<a href="/{other.uid}" class="{"here" if other.uid == one.uid else ""}">{html.escape(other.title)}</a>'
        for other in boards
    )
    values = board.chosen(one, moment, given)
    fields: list[str] = []
    for variable in one.variables:
        if variable.get("type") not in ("query", "custom") or variable.get("hide") == 2:
            continue
        name = variable["name"]
        every = "All" if variable.get("includeAll") else ""
        known = board.choices(variable, client, moment, values)
        fields.append(
            _select(
                f"var-{name}", variable.get("label") or name, known, given.get(name, ""), every, board.words(variable)
            )
        )
    stretch = next((text for text in STRETCHES if board.seconds(text) == moment.stretch), "")
    fields.append(_select("range", "Last", STRETCHES, stretch, "", {}))
    until = dt.datetime.fromtimestamp(moment.end, dt.timezone.utc)
    said = f"{note} · until {until:%Y-%m-%d %H:%M} UTC" if note else f"until {until:%Y-%m-%d %H:%M} UTC"
    return (
        f'<header><h1>{html.escape(one.title)}</h1><nav>{links}</nav><span class="note">{html.escape(said)}</span>'
        f"<form>{''.join(fields)}<button>Show</button></form></header>"
    )


def _select(name: str, label: str, known: Sequence[str], here: str, every: str, said: Mapping[str, str]) -> str:
    options = [f'<option value="">{every}</option>'] if every else []
    for value in known:
        text = html.escape(value)
        shown = html.escape(said.get(value, value))
        options.append(f'<option value="{text}"{" selected" if value == here else ""}>{shown}</option>')
    return f'<label>{html.escape(label)} <select name="{html.escape(name)}">{"".join(options)}</select></label>'


def _placed(panel: Panel, client: Client, moment: Moment, values: Mapping[str, str], runs: Runs | None) -> str:
    column = (WIDTH - 2 * _EDGE + _GAP) / 24
    left, top = _EDGE + panel.x * column, panel.y * _UNIT
    wide, tall = panel.w * column - _GAP, panel.h * _UNIT - _GAP
    size = f"left:{left:.0f}px;top:{top}px;width:{wide:.0f}px;height:{tall}px"
    title = html.escape(board.replaced(panel.title, values))
    if panel.kind == "row":
        return f'<div class="head" style="{size}">⌄ {title}</div>'
    try:
        body = drawn(panel, client, moment, values, (wide - 18, tall - _HEAD - (8 if panel.title else 0)), runs)
    except (Refused, ValueError, KeyError, TypeError) as error:
        body = f'<div class="wrong">{html.escape(f"{type(error).__name__}: {error}")}</div>'
    tip = html.escape(panel.description)
    head = f'<h2 title="{tip}">{title}{"<span>i</span>" if tip else ""}</h2>' if title else ""
    return f'<div class="panel" style="{size}">{head}<div class="body">{body}</div></div>'


def drawn(
    panel: Panel, client: Client, moment: Moment, values: Mapping[str, str], size: tuple[float, float],
    runs: Runs | None,
) -> str:  # fmt: skip
    """What is inside a panel. Raises Refused or ValueError where that cannot be drawn."""
    width, height_ = size
    if panel.raw.get("interval"):
        moment = replace(moment, least=board.seconds(str(panel.raw["interval"])))
        values = {**values, **moment.built_in()}
    if panel.kind == "text":
        return cells.text(panel)
    if any(query.source == "tempo" for query in panel.queries):
        known = runs(panel) if runs else None
        if known is None:
            return '<div class="says">From Tempo: this preview has Prometheus only.</div>'
        limits = [client.value(expression, moment.end) for _, expression in asked(panel, values)]
        return cells.table(panel, known, height_, red=limits[0] if limits else math.inf)
    asks_table = any(query.table for query in panel.queries)
    if panel.kind in ("table", "barchart") or asks_table:
        rows = table(panel, client, moment, values)
        return _of_rows(panel, rows, width, height_) if rows.rows else _nothing(panel)
    found = lines(panel, client, moment, values)
    if panel.kind in ("timeseries", "heatmap"):
        draw = charts.heatmap if panel.kind == "heatmap" else charts.over_time
        return draw(panel, found, moment, width, height_) if found else _nothing(panel)
    return _of_values(panel, cells.values(panel, found), width, height_)


def _of_rows(panel: Panel, rows: Table, width: float, height_: float) -> str:
    if panel.kind == "table":
        return cells.table(panel, rows, height_)
    if panel.kind == "barchart":
        return cells.columns(panel, rows, width, height_)
    return _of_values(panel, cells.values(panel, [], rows), width, height_)


def _of_values(panel: Panel, found: Sequence[cells.Value], width: float, height_: float) -> str:
    if panel.kind == "stat":
        return cells.stat(panel, found, width, height_)
    if panel.kind == "gauge":
        return cells.gauge(found, width, height_)
    if panel.kind == "bargauge":
        return cells.bars(panel, found, width, height_)
    if panel.kind == "piechart":
        return cells.shares(found, width, height_)
    raise ValueError(f"this kind of panel is not known here: {panel.kind}")


def _nothing(panel: Panel) -> str:
    return f'<div class="says">{html.escape(str(panel.defaults.get("noValue") or "No data"))}</div>'
