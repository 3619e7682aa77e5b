"""The files for Honeycomb: bodies for its API, which the Terraform files read too, and a page of links."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

from grafana.alerts.thresholds import Thresholds
from grafana.vendors.honeycomb_table import COLUMNS, QUESTIONS, Query, Question, triggers

_WIDE: Final = 12
_HALF: Final = 6
_HIGH: Final = 5
DATASET_URL: Final = "https://ui.honeycomb.io/TEAM/environments/ENVIRONMENT/datasets/DATASET"


def link(dataset_url: str, query: Query) -> str:
    """A link that runs `query` in the reader's own browser and account: no key is in it."""
    return f"{dataset_url.rstrip('/')}?query={quote(json.dumps(query, separators=(',', ':')), safe='')}"


def files(limits: Thresholds) -> dict[str, str]:
    """The texts, by their paths under `honeycomb/`."""
    queries = {
        question.key: {"name": question.title, "description": question.answers, "query": question.query}
        for question in QUESTIONS
    }
    columns = [{"alias": each.alias, "expression": each.expression, "description": each.means} for each in COLUMNS]
    alerts = {
        each.key: {
            "name": each.title,
            "description": each.says,
            "query": each.query,
            "threshold": {"op": ">", "value": each.above},
            "frequency": each.every,
            "alert_type": "on_change",
            "disabled": False,
        }
        for each in triggers(limits)
    }
    return {
        "queries.json": written(queries),
        "columns.json": written(columns),
        "triggers.json": written(alerts),
        "board.json": written(board()),
        "links.md": _links(),
    }


def board() -> dict[str, Any]:
    """The body for the Boards API. `query_id` and `query_annotation_id` are keys of `queries.json`: Honeycomb gives ids
    to queries when it gets them.
    """
    panels: list[dict[str, Any]] = []
    for number, question in enumerate(QUESTIONS):
        first = number == 0
        row, place = (0, 0) if first else divmod(number + 1, 2)
        panels.append(
            {
                "type": "query",
                "position": {
                    "x_coordinate": 0 if first else place * _HALF,
                    "y_coordinate": row * _HIGH,
                    "width": _WIDE if first else _HALF,
                    "height": _HIGH,
                },
                "query_panel": {
                    "query_id": question.key,
                    "query_annotation_id": question.key,
                    "query_style": question.style,
                },
            }
        )
    return {
        "name": "Agent cost",
        "description": "Dollars, runs, budgets and loops of agents, by otel-agentcost.",
        "type": "flexible",
        "layout_generation": "manual",
        "panels": panels,
    }


def written(value: object) -> str:
    """JSON as it is committed."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _links() -> str:
    lines = [
        "# Questions to Honeycomb, as links",
        "",
        "Each runs its query when it is opened, and has no key in it. Put your own names for `TEAM`, `ENVIRONMENT` and",
        "`DATASET`. Those that need [calculated fields](columns.json) say so.",
        "",
    ]
    lines += [f"- [{each.title}]({link(DATASET_URL, each.query)}): {each.answers}{_needs(each)}" for each in QUESTIONS]
    return "\n".join(lines) + "\n"


def _needs(question: Question) -> str:
    used = [column.alias for column in COLUMNS if f'"{column.alias}"' in json.dumps(question.query)]
    return f" Needs {', '.join(f'`{alias}`' for alias in used)}." if used else ""
