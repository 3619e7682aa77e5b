"""A report as one HTML file that opens from disk. Charts, styles and figures are in it, and it asks for nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from otel_agentcost.cli._figures import as_float
from otel_agentcost.cli._report import _words
from otel_agentcost.insight.report import Report, Wanted, report_of
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.store.questions import Line, Source, Spend, Sums, printable

_FOLDER: Final = Path(__file__).parent
_MODELS: Final = 7
"""Models with a colour of their own; the others share one."""

_BARS: Final = 10
_POLICY: Final = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
"""A browser that knows it refuses each request that the page would make."""


def pieces(source: Source, wanted: Wanted, repricing: Repricing) -> Iterator[str]:
    """Yield a report. See `_report.pieces`."""
    report = report_of(source, wanted, repricing)
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Agent cost: {_safe(_words.head(report))}</title>\n"
        f"<style>\n{_file('page.css')}</style>\n</head>\n<body>\n"
    )
    yield f"<h1>{_safe(_words.head(report))}</h1>\n"
    yield f"<ul>{''.join(f'<li>{_safe(line)}</li>' for line in _words.said(report))}</ul>\n"
    charts = _charts(report)
    yield '<div class="charts">\n'
    for name, chart in charts.items():
        title = _safe(chart["title"])
        yield f'<figure><figcaption>{title}</figcaption><div><canvas id="{name}"></canvas></div></figure>\n'
    yield "</div>\n"
    yield from _advice(report)
    yield from map(_table, _words.tables(report))
    yield "".join(f"<p>{_safe(note)}</p>\n" for note in _words.notes(report))
    figures = json.dumps(charts, ensure_ascii=True).replace("<", "\\u003c")
    yield f'<script type="application/json" id="charts">{figures}</script>\n'
    yield f"<script>\n{_file('vendor/chart.umd.min.js')}</script>\n<!--\n{_file('vendor/chart.js.LICENSE.md')}-->\n"
    yield f"<script>\n{_file('page.js')}</script>\n</body>\n</html>\n"


def _advice(report: Report) -> Iterator[str]:
    for kind, found in _words.advice(report.findings):
        yield f"<h2>Recommendations, {_safe(_words.CLASSES[kind])}</h2>\n<dl>\n"
        for one in found:
            yield f"<dt><b>{_safe(one.dollars)}</b> {_safe(one.title)}</dt>\n"
            yield "".join(f"<dd>{_safe(detail)}</dd>\n" for detail in one.details)
        yield "</dl>\n"


def _table(table: _words.Table) -> str:
    def row(cells: Sequence[str], mark: str) -> str:
        kinds = ["" if at < table.words else ' class="number"' for at in range(len(cells))]
        written = (f"<{mark}{kind}>{_safe(cell)}</{mark}>" for cell, kind in zip(cells, kinds, strict=True))
        return f"<tr>{''.join(written)}</tr>\n"

    body = "".join(row(cells, "td") for cells in table.rows)
    heads = row(table.heads, "th")
    total = ' class="total"' if table.total else ""
    return f"<h2>{_safe(table.title)}</h2>\n<table{total}>\n<thead>{heads}</thead>\n<tbody>\n{body}</tbody>\n</table>\n"


def _charts(report: Report) -> dict[str, dict[str, Any]]:
    """Return what the charts show, by the id of their canvas."""
    found = {"daily": _daily(report)}
    if report.change is not None:
        found["change"] = _change(report)
    for view in report.views:
        if len(view.by) == 1 and view.by[0] in ("agent", "feature", "user") and any(line.keys[0] for line in view):
            found[f"by-{view.by[0]}"] = _bars(view)
    return found


def _daily(report: Report) -> dict[str, Any]:
    models: dict[str, int] = {}
    for line in report.daily:
        models[line.keys[1]] = models.get(line.keys[1], 0) + line.sums.nusd
    first = sorted((name for name in models if name and models[name]), key=lambda name: -models[name])[:_MODELS]
    days = list(dict.fromkeys(line.keys[0] for line in report.daily))
    amounts: dict[tuple[str, str], int] = {}
    for line in report.daily:
        key = line.keys[0], line.keys[1] if line.keys[1] in first else "others"
        amounts[key] = amounts.get(key, 0) + line.sums.nusd
    names = [*first, "others"] if any(name == "others" and nusd for (_, name), nusd in amounts.items()) else first
    sets = [{"label": name, "data": [as_float(amounts.get((day, name), 0)) for day in days]} for name in names]
    title = f"Dollars by day and model{' (priced calls)' if report.total.unpriced > 0 else ''}"
    return {"kind": "stacked", "title": title, "labels": days, "sets": sets}


def _change(report: Report) -> dict[str, Any]:
    """Return the steps from the period before to this one, each as the two ends of a bar."""
    change = report.change
    if change is None:  # pragma: no cover - its one caller asks
        return {}
    steps, at = [(0, change.before)], change.before
    for nusd in (change.volume, change.mix, change.price):
        steps.append((at, at + nusd))
        at += nusd
    steps.append((0, change.now))
    labels = ["before", "volume", "mix", "price", "now"]
    data = [[as_float(low), as_float(high)] for low, high in steps]
    title = "Change since the period before"
    return {"kind": "steps", "title": title, "labels": labels, "sets": [{"label": "dollars", "data": data}]}


def _bars(view: Spend) -> dict[str, Any]:
    lines = view.lines[:_BARS]
    rest = Spend(view.by, view.lines[_BARS:]).total
    labels = [_label(line) for line in lines]
    data = [as_float(line.sums.nusd) for line in lines]
    if rest != Sums():
        labels, data = [*labels, "others"], [*data, as_float(rest.nusd)]
    title = f"Dollars by {view.by[0]}"
    return {"kind": "bars", "title": title, "labels": labels, "sets": [{"label": "dollars", "data": data}]}


def _label(line: Line) -> str:
    """Return the name of a bar, which says if the bar is too short."""
    name = line.keys[0] or "-"
    if line.usd is None:
        return f"{name} (unpriced)"
    return f"{name} (at least)" if line.sums.unpriced > 0 else name


def _safe(text: str) -> str:
    return escape(printable(text))


def _file(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
