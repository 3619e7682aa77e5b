"""The HTML page of a board: links to the other boards, a form with the board's variables, and the board's SVG."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Final

from grafana.preview import style
from grafana.preview.board import Board, parse_duration, variable_options
from grafana.preview.picture import WIDTH, Source, draw

RANGES: Final = ("1h", "6h", "24h", "2d", "7d", "14d")
_STYLE: Final = f"""
body{{margin:0;width:{WIDTH}px;background:{style.BACKGROUND};color:{style.TEXT};font:13px {style.FONT}}}
header{{padding:12px 16px 0}} h1{{display:inline;font-size:18px;font-weight:500;margin-right:18px}}
a{{color:{style.LINK};text-decoration:none;margin-right:14px}} a.current{{color:#fff;border-bottom:2px solid #f55f3e}}
form{{margin-top:12px;display:flex;gap:10px;align-items:center}} label{{color:{style.MUTED};font-size:12px}}
select,button{{background:{style.PANEL};color:{style.TEXT};border:1px solid {style.BORDER};height:26px;max-width:130px}}
aside{{float:right;color:#ff9830;font-size:12px}}
"""


def page(board: Board, boards: Sequence[Board], source: Source, chosen: Mapping[str, str], note: str) -> str:
    """Return the HTML of a board. `chosen` are the values that its reader chose; `note` stands at the top."""
    links = "".join(
        f'<a href="/{other.uid}" class="{"current" if other is board else ""}">{html.escape(other.title)}</a>'
        for other in boards
    )
    fields: list[str] = []
    for variable in board.variables:
        if variable["type"] in ("query", "custom"):
            every = {"": "All"} if variable["type"] == "query" else {}
            options = every | variable_options(variable, source.client, source.time, source.values)
            name = variable["name"]
            fields.append(_select(f"var-{name}", variable["label"], options, chosen.get(name, "")))
    current = next((text for text in RANGES if parse_duration(text) == source.time.seconds), "")
    fields.append(_select("range", "Last", dict(zip(RANGES, RANGES, strict=True)), current))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(board.title)}</title>'
        f"<style>{_STYLE}</style><header><aside>{html.escape(note)}</aside><h1>{html.escape(board.title)}</h1>"
        f"<nav style='display:inline'>{links}</nav><form>{''.join(fields)}<button>Show</button></form></header>"
        f"<main>{draw(board, source)}</main></html>\n"
    )


def _select(name: str, label: str, options: Mapping[str, str], current: str) -> str:
    choices = "".join(
        f'<option value="{html.escape(value)}"{" selected" if value == current else ""}>{html.escape(text)}</option>'
        for value, text in options.items()
    )
    return f'<label>{html.escape(label)} <select name="{html.escape(name)}">{choices}</select></label>'
