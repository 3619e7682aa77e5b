"""The example of docs/batches.md, run as it stands there."""

from __future__ import annotations

import re
from typing import Any

import pytest

from otel_agentcost.guard.ledger.memory import MemoryLedger
from tests.support.batch_provider import BatchProvider
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tools.documents import ROOT

PAGE = (ROOT / "docs" / "batches.md").read_text(encoding="utf-8")


def test_the_example_charges_the_user_who_created_the_batch(
    telemetry: Telemetry,
    model_server: ModelServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Three lines are answered; the span of the settlement has the user."""
    provider = model_server.responder = BatchProvider()
    provider.finish()
    monkeypatch.setenv("OPENAI_BASE_URL", f"{model_server.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with budgeted(telemetry, budgets="user:usd=1", ledger=MemoryLedger()):
        names: dict[str, Any] = {}
        exec(compile(code, "docs/batches.md", "exec"), names)
        names["client"].close()
    assert "q0" in capsys.readouterr().out
    (settled,) = (span.attributes or {} for span in telemetry.spans if span.name.startswith("settle_batch"))
    assert settled["user.id"] == "u1"
    assert settled["agentcost.cost.usd"] == pytest.approx(3 * (1000 * 0.15 + 100 * 0.6) / 2e6)


def test_the_table_names_every_batch_api() -> None:
    """One row for each that a reader knows."""
    rows = re.findall(r"^\| (\w+) \| `", PAGE, re.MULTILINE)
    readers = (ROOT / "otel_agentcost" / "wire").glob("*_batches.py")
    assert {row.lower() for row in rows} == {reader.stem.removesuffix("_batches") for reader in readers}
