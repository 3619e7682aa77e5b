"""The log at start and the doctor report rules that can never do anything."""

from __future__ import annotations

import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost.cli import main
from otel_agentcost.guard.futile_rules import futile_rules
from otel_agentcost.pricebook import open_book
from otel_agentcost.settings import Settings
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry

FUTILE: list[tuple[dict[str, Any], str]] = [
    ({"downgrade": "gpt-4o=gpt-5-nan"}, "by gpt-5-nan, for which there is no price"),
    ({"downgrade": "gpt-4o=gpt-5-nan"}, "(did you mean gpt-5-nano?)"),
    (
        {"downgrade": "gpt-4oo=gpt-4o-mini"},
        "replaces gpt-4oo, which the price book does not have (did you mean gpt-4o?)",
    ),
    ({"downgrade": "gpt-4o-mini=gpt-4o"}, "which does not cost less: it saves nothing"),
    ({"hosts": "llm.internal=opnai"}, "no provider opnai: calls to this host are unpriced, unless your price file has"),
    ({"hosts": "llm.internal=opnai"}, "(did you mean openai?)"),
    ({"budgets": "model=gpt-5-nan:usd=1"}, "no dollar of them counts (did you mean gpt-5-nano?)"),
    ({"budgets": "model=gpt-5-nan:calls=1"}, "a model that the price book does not have (did you mean gpt-5-nano?)"),
    ({"budgets": "user:calls=5,on_exceed=clamp"}, "a lower output limit saves no calls"),
    ({"budgets": "user/day:usd=5;user/day:usd=1"}, "user/day:usd=5 never refuses a call, because user/day:usd=1"),
    ({"budgets": "agent=bees:usd=5;agent:usd=1,calls=3"}, "agent=bees:usd=5 never refuses a call, because agent:usd=1"),
    ({"budgets": "user/day:usd=5;user/month:usd=1"}, "user/day:usd=5 never refuses a call, because user/month:usd=1"),
    ({"budgets": "model=gpt-4o:usd=5;total:usd=1"}, "model=gpt-4o:usd=5 never refuses a call, because total:usd=1"),
    ({"budgets": "user/day:usd=5;user/week:usd=1"}, "user/day:usd=5 never refuses a call, because user/week:usd=1"),
    ({"budgets": "user/24h:usd=5;user/7d:usd=1"}, "user/24h:usd=5 never refuses a call, because user/7d:usd=1"),
    ({"budgets": "user/day:usd=5;user/7d:usd=1"}, "user/day:usd=5 never refuses a call, because user/7d:usd=1"),
    ({"budgets": "user:calls=5,on_exceed=downgrade"}, "a cheaper model saves no calls"),
    ({"budgets": "user:tokens=5,on_exceed=downgrade"}, "a cheaper model saves no tokens"),
    ({"budgets": "user=*:usd=1"}, "is for the user '*' alone: * has no meaning in a name. Write user without a name"),
    ({"budgets": "agent=research*:usd=1"}, "is for the agent 'research*' alone"),
    ({"budgets": "user=bob|alice:usd=1"}, "or one rule for each name"),
    ({"budgets": "user=bob,alice:usd=1"}, "or one rule for each name"),
    ({"budgets": "tenant=${TENANT}:usd=1"}, "${TENANT} has no meaning in a name"),
    ({"downgrade": "gpt-4o=claude-haiku-4-5"}, "only a gateway that has both can answer it"),
    ({"breakers": "agent:refusals=5/1m,open=1m"}, "never opens, because no budget of the settings refuses a call"),
    (
        {"breakers": "agent:refusals=5/1m,open=1m", "budgets": "user:usd=1,on_exceed=warn"},
        "never opens, because no budget of the settings refuses a call",
    ),
]


@pytest.mark.parametrize(("settings", "words"), FUTILE)
def test_a_rule_that_can_never_do_anything_is_not_silent(settings: dict[str, Any], words: str) -> None:
    """The sentence has the rule, why it is futile, and what may have been meant."""
    assert [sentence for sentence in futile_rules(Settings(**settings), open_book()) if words in sentence]


@pytest.mark.parametrize(
    "settings",
    [
        {"downgrade": "gpt-4o=gpt-4o-mini,our-deployment=gpt-4o-mini,claude-opus-4-1=claude-haiku-4-5"},
        {"budgets": "model=gpt-4o:usd=1;model=our-deployment:calls=5;user/day:usd=1;user/month:usd=5"},
        {"budgets": "user/day:usd=5;user/day:usd=1,on_exceed=warn;total:usd=10,calls=5;total:usd=20,calls=3"},
        {"budgets": "user/week:usd=5;user/month:usd=1"},
        {"budgets": "user/24h:usd=4;user/week:usd=4.5;user/7d:usd=6;user/6d:usd=5"},
        {"budgets": "user/hour:usd=1;user/day:usd=5;total:usd=100;trace:usd=0.5;tenant=a/b@c.de:usd=1"},
        {"downgrade": "openai/gpt-4o=anthropic/claude-haiku-4-5"},
        {"budgets": "user:usd=1", "breakers": "agent:refusals=5/1m,open=1m;agent:trips=5/1m,open=1m"},
        {"breakers": "agent:trips=5/1m,open=1m;agent:loops=5/1m,open=1m"},
    ],
)
def test_a_rule_that_can_do_something_is_not_suspected(settings: dict[str, Any]) -> None:
    """Names of deployments, larger limits of a longer window, limits that only warn, breakers of loops."""
    assert list(futile_rules(Settings(**settings), open_book())) == []


def test_a_provider_that_no_call_can_have_is_told(tmp_path: Path) -> None:
    """Prices of a provider that the book does not know apply to nothing without its address."""
    file = tmp_path / "prices.json"
    file.write_text('{"providers": {"opnai": {"models": {"gpt-4o": {"input_mtok": 1, "output_mtok": 2}}}}}')
    (said,) = futile_rules(Settings(prices=file), open_book(file))
    assert said.endswith("did you mean openai?")


def test_a_futile_rule_is_told_at_start_and_by_the_doctor(
    telemetry: Telemetry,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One log record; and a line that needs attention, so that the exit code is 1."""
    given = {"DOWNGRADE": "gpt-4o=gpt-5-nan", "TRACE_BUDGET_USD": "1", "ON_EXCEED": "downgrade"}
    named: Any = {name.lower(): value for name, value in given.items()}
    with caplog.at_level(logging.WARNING, "otel_agentcost"), budgeted(telemetry, **named):
        pass
    assert (
        len([record for record in caplog.records if "by gpt-5-nan, for which there is no price" in record.message]) == 1
    )
    for name, value in given.items():
        monkeypatch.setenv(f"OTEL_AGENTCOST_{name}", value)
    assert main(["doctor", "--no-imports"]) == 1
    assert "by gpt-5-nan, for which there is no price" in capsys.readouterr().out
    assert Settings(**named).trace_budget_usd == Decimal(1)
