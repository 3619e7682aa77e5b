"""docs/response-cache.md: its example, its table of settings, and its claims about attributes."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import Any

from otel_agentcost import attribute
from otel_agentcost.settings import ROWS
from tests.savings.responses.asked import ASK, answer, caching
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tools.documents import ROOT

PAGE = (ROOT / "docs" / "response-cache.md").read_text(encoding="utf-8")


def test_the_example_asks_once(model_server: ModelServer, telemetry: Telemetry) -> None:
    """The code of the page, run twice: the second answer is the first one's, of the same tenant."""
    (code,) = re.findall(r"\n\n((?:    with otel_agentcost.*\n)(?:    .*\n)+)", PAGE)
    model_server.responder = answer
    with caching(model_server, telemetry) as client:
        names: dict[str, Any] = {"client": client, "messages": ASK["messages"]}
        for _ in range(2):
            exec(compile("import otel_agentcost\n" + dedent(code), "docs/response-cache.md", "exec"), names)
        with attribute(tenant="umbrella"):
            client.chat.completions.create(**ASK)
    assert len(model_server.requests) == 2
    assert [dict(span.attributes or {}).get("agentcost.cache") for span in telemetry.spans] == [None, "hit", None]


def test_the_table_has_every_setting() -> None:
    """All settings of cached answers, by the names of their variables; other pages have those of the shadow."""
    named = set(re.findall(r"^\| `(OTEL_AGENTCOST_CACHE_\w+)`", PAGE, re.MULTILINE))
    elsewhere = {f"OTEL_AGENTCOST_CACHE_{name}" for name in ("KEY", "EMBED", "JUDGE")}
    assert named == {row.variable for row in ROWS if row.field.startswith("cache_")} - elsewhere


def test_every_attribute_of_the_page_is_set(model_server: ModelServer, telemetry: Telemetry) -> None:
    """Each name under `agentcost.` is that of an attribute of a hit, or of the metric."""
    with caching(model_server, telemetry) as client:
        for _ in range(2):
            client.chat.completions.create(**ASK)
    said = {*(telemetry.spans[1].attributes or {}), "agentcost.savings"}
    assert set(re.findall(r"`(agentcost\.[\w.]+)`", PAGE)) <= said
