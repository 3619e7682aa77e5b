"""The claims of docs/prompt-caches.md: its lists are the ones of the code."""

from __future__ import annotations

import re
from pathlib import Path

from otel_agentcost.cli._cache import advise
from otel_agentcost.core import breakers
from otel_agentcost.core.prompt_caches import EXPECTED, REASONS
from otel_agentcost.insight import recommendations
from otel_agentcost.savings.prompt_cache import breaks, conversations, segments

PAGE = (Path(__file__).resolve().parents[2] / "docs/prompt-caches.md").read_text(encoding="utf-8")


def test_every_reason_is_on_the_page() -> None:
    """Those that are breaks in the table, the others in the list below it."""
    table = PAGE.partition("## Advice")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [each for each in REASONS if each not in EXPECTED]
    assert set(re.findall(r"^- `(\w+)`:", PAGE, re.MULTILINE)) == EXPECTED


def test_the_figures_are_those_of_the_code() -> None:
    """Thresholds, and how much is kept."""
    assert f"at least {breaks.LEAST:,}" in PAGE
    assert f"Up to {conversations.MOST:,} conversations" in PAGE
    assert {"tool_choice", "response_format", "reasoning", "prompt_cache_key"} <= set(segments.PARAMETERS)


def test_the_breaker_of_the_page_is_one() -> None:
    """It can be pasted."""
    (rule,) = re.findall(r"OTEL_AGENTCOST_BREAKERS='(.*)'", PAGE)
    (breaker,) = breakers.parse(rule)
    assert (breaker.counted, breaker.times) == ("cache", 2)


def test_every_advice_is_on_the_page() -> None:
    """Those of the command, which the report has, too."""
    table = PAGE.partition("## Advice")[2]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(named) == sorted(advise.ADVICE)
    assert set(named) <= set(recommendations.names())
