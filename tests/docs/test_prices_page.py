"""What docs/prices.md and docs/usage.md say of reported costs and of work that is billed later."""

from __future__ import annotations

import re
from importlib import import_module

from otel_agentcost.core.reported_costs import ROWS
from otel_agentcost.integrations.sdks import discover
from otel_agentcost.wire.billed_later import WORK
from tools import documents

PRICES = (documents.ROOT / "docs" / "prices.md").read_text(encoding="utf-8")
USAGE = (documents.ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
TELEMETRY = (documents.ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")

WORDS = {
    "create_batch": "batches",
    "send_session_events": "sessions",
    "run_agent": "runs of assistants and agents",
    "generate_video": "videos",
    "tune_model": "tuning",
    "run_eval": "evaluations",
    "query_models": "flows and knowledge bases",
    "start_answer": "answers that are retrieved later",
}
"""How the pages call each kind of work that is billed later."""


def section(heading: str) -> str:
    return PRICES.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def test_every_field_that_is_believed_is_on_the_page_and_no_other() -> None:
    """Fields and headers with their hosts, as the table in the code has them."""
    page = section("What the provider itself says")
    costs = [line for line in page.splitlines() if line.startswith("| ") and "`" in line]
    assert len(costs) == sum(not row.hits for row in ROWS)
    for row in ROWS:
        assert row.teller in page, row
        assert f"`{row.name}`" in page, row
    for row in (row for row in ROWS if not row.hits):
        (line,) = (line for line in costs if f"`{row.name}`" in line)
        assert set(re.findall(r"`([^`]*)`", line.split("|")[3])) == set(row.hosts)


def test_every_kind_of_work_that_is_billed_later_is_on_the_page() -> None:
    """What a page says is seen is seen, and what is seen is on the page."""
    assert set(WORDS) == {work.operation for work in WORK.values()}
    for words in WORDS.values():
        assert words in TELEMETRY, words


def test_what_the_table_of_sdks_calls_unpriced_is_seen() -> None:
    """Each SDK's row names the work that its paths start; batches are settled."""
    for sdk in discover():
        module = import_module(f"otel_agentcost.integrations.sdks.{sdk.name}")
        formats: dict[str, str] = getattr(module, "FORMATS", {})  # Bedrock's clients share those of `_bedrock.py`
        (row,) = re.findall(rf"^\| (?:[^|]*, )?{re.escape(sdk.distribution)}(?:,[^|]*)? \|.*$", USAGE, re.MULTILINE)
        unpriced = row.partition("unpriced: ")[2]
        for ending, form in formats.items():
            if form.endswith("batches"):
                assert "batches" in row
            elif form == "billed_later":
                kind = next(work for end, work in WORK.items() if end == ending or ending.endswith(end))
                assert any(word in unpriced for word in (WORDS[kind.operation], "agents", "runs")), (ending, unpriced)
