"""Generates the files for Honeycomb: API bodies, which the Terraform files read too, and a page of links."""

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
    """Return a link that runs `query` in the reader's account; it contains no key."""
    return f"{dataset_url.rstrip('/')}?query={quote(json.dumps(query, separators=(',', ':')), safe='')}"


def files(limits: Thresholds) -> dict[str, str]:
    """Return the text of each file by its path under `honeycomb/`."""
    queries = {
        question.key: {"name": question.title, "description": question.description, "query": question.query}
        for question in QUESTIONS
    }
    columns = [
        {"alias": each.alias, "expression": each.expression, "description": each.description} for each in COLUMNS
    ]
    alerts = {
        each.key: {
            "name": each.title,
            "description": each.description,
            "query": each.query,
            "threshold": {"op": ">", "value": each.threshold},
            "frequency": each.frequency,
            "alert_type": "on_change",
            "disabled": False,
        }
        for each in triggers(limits)
    }
    return {
        "queries.json": to_json(queries),
        "columns.json": to_json(columns),
        "triggers.json": to_json(alerts),
        "board.json": to_json(board()),
        "links.md": _links(),
    }


def board() -> dict[str, Any]:
    """Return the body for the Boards API.

    `query_id` and `query_annotation_id` are keys of `queries.json`: Honeycomb assigns ids when it creates queries.
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
        "description": "Cost, runs, budgets and loops of agents, by otel-agentcost.",
        "type": "flexible",
        "layout_generation": "manual",
        "panels": panels,
    }


def to_json(value: object) -> str:
    """Return a value as JSON in the format of the committed files."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _links() -> str:
    lines = [
        "# Honeycomb queries as links",
        "",
        "Each link runs its query when opened and contains no key. Replace `TEAM`, `ENVIRONMENT` and `DATASET` by your",
        "names. The list says which queries need [calculated fields](columns.json).",
        "",
    ]
    lines += [
        f"- [{each.title}]({link(DATASET_URL, each.query)}): {each.description}{_needs(each)}" for each in QUESTIONS
    ]
    return "\n".join(lines) + "\n"


def _needs(question: Question) -> str:
    used = [column.alias for column in COLUMNS if f'"{column.alias}"' in json.dumps(question.query)]
    return f" Needs {', '.join(f'`{alias}`' for alias in used)}." if used else ""
