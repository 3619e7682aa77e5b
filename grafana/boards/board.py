"""A board: its variables, its links to the other boards, and its panels in rows that fill the width."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from grafana.boards import queries
from grafana.boards.panels import PROMETHEUS
from otel_agentcost.collector import signals
from otel_agentcost.collector.signals import label
from otel_agentcost.writing import GENERATED

SCHEMA_VERSION: Final = 39
"""Grafana 10.4's: newer versions take it, and bring it up to theirs."""
TAG: Final = "agentcost"
_WIDTH: Final = 24
_ROOM_FOR_A_LEGEND: Final = 12
"""A graph as wide as that has its legend, with figures, beside it; others below."""

_LABELS: Final = {"service": "Service", "environment": "Environment", "provider": "Provider", "model": "Model",
                  "agent": "Agent", "team": "Team", "user": "User"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Panels beside each other, each with its width, all of one height."""

    height: int
    panels: Sequence[tuple[int, dashboard.Panel]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What is particular to one board."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[dashboard.VariableModel] = ()
    """Beside those that all boards have."""

    def json(self) -> str:
        """The file."""
        made = dashboard.Dashboard(
            uid=self.uid,
            title=self.title,
            description=f"{self.description} {GENERATED} dashboards`: save a copy to change it.",
            tags=[TAG],
            timezone="browser",
            editable=False,
            graph_tooltip=dashboard.DashboardCursorSync.CROSSHAIR,
            time=dashboard.DashboardDashboardTime(from_val="now-24h", to="now"),
            refresh="1m",
            schema_version=SCHEMA_VERSION,
            version=1,
            panels=list(_placed(self.rows)),
            templating=dashboard.DashboardDashboardTemplating(list_val=[*_sources(), *_choices(), *self.variables]),
            links=[_others()],
        )
        # What the file is comes first, for readers and for `agentcost dashboards`, which looks who wrote it.
        said = {"title": made.title, "description": made.description, **made.to_json()}
        plain = json.loads(json.dumps(said, cls=JSONEncoder), object_hook=_seen)
        return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def number(name: str, text: str, value: str, description: str) -> dashboard.VariableModel:
    """A number that the reader of a board sets."""
    return dashboard.VariableModel(
        type_val=dashboard.VariableType("textbox"),
        name=name,
        label=text,
        description=description,
        query=value,
        current=dashboard.VariableOption(text=value, value=value, selected=True),
        options=[dashboard.VariableOption(text=value, value=value, selected=True)],
    )


def choice(name: str, text: str, choices: Sequence[tuple[str, str]], description: str) -> dashboard.VariableModel:
    """One of some values, each with the word for it; the first is what the board begins with."""
    made = [dashboard.VariableOption(text=word, value=value, selected=not place)
            for place, (word, value) in enumerate(choices)]  # fmt: skip
    return dashboard.VariableModel(
        type_val=dashboard.VariableType("custom"),
        name=name,
        label=text,
        description=description,
        query=", ".join(f"{word} : {value}" for word, value in choices),
        current=made[0],
        options=made,
    )


def _placed(rows: Sequence[Row]) -> Sequence[dashboard.Panel]:
    """The panels, numbered and laid out. A row that does not fill the width is a mistake in a board."""
    made: list[dashboard.Panel] = []
    down = 0
    for row in rows:
        across = 0
        for width, one in row.panels:
            one.id_val = len(made) + 1
            if one.type_val == "timeseries" and width < _ROOM_FOR_A_LEGEND:
                options = cast("dict[str, Any]", one.options)
                options["legend"] = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
            one.grid_pos = dashboard.GridPos(h=row.height, w=width, x=across, y=down)
            made.append(one)
            across += width
        if across != _WIDTH:
            raise ValueError(f"the row that begins with {row.panels[0][1].title!r} is {across} wide, not {_WIDTH}")
        down += row.height
    return made


def _seen(said: dict[str, Any]) -> dict[str, Any]:
    """Without the place of a link: the SDK has Grafana 13 put all links into a menu, where nobody looks."""
    return {key: value for key, value in said.items() if (key, value) != ("placement", "inControlsMenu")}


def _sources() -> list[dashboard.VariableModel]:
    return [
        dashboard.VariableModel(
            type_val=dashboard.VariableType("datasource"),
            name=name,
            label=text,
            query=kind,
            current=dashboard.VariableOption(text="", value=""),
            refresh=dashboard.VariableRefresh.ON_DASHBOARD_LOAD,
        )
        for name, text, kind in (("datasource", "Prometheus", "prometheus"), ("tempo", "Tempo", "tempo"))
    ]


def _choices() -> list[dashboard.VariableModel]:
    return [_chosen(name, label(attribute)) for name, attribute in queries.VARIABLES.items()]


def _chosen(name: str, of: str) -> dashboard.VariableModel:
    """All, one or some of the values that a label has. All is `.*`: what has no such label is in it."""
    query = f"label_values({signals.COST.prometheus}, {of})"
    said: dict[str, object] = {"query": query, "refId": f"variable-{name}"}
    return dashboard.VariableModel(
        type_val=dashboard.VariableType("query"),
        name=name,
        label=_LABELS[name],
        query=said,
        definition=query,
        datasource=PROMETHEUS,
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dashboard.VariableSort.ALPHABETICAL_ASC,
        multi=True,
        include_all=True,
        all_value=".*",
        current=_all(),
    )


def _all() -> Any:
    return dashboard.VariableOption(text=["All"], value=["$__all"], selected=True)


def _others() -> dashboard.DashboardLink:
    return dashboard.DashboardLink(
        title="Boards",
        type_val=dashboard.DashboardLinkType("dashboards"),
        tooltip="The other boards, with the same time range and the same choices.",
        tags=[TAG],
        include_vars=True,
        keep_time=True,
    )
