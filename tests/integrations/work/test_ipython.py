"""IPython and Jupyter: each cell has its own allowance."""

from __future__ import annotations

from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import answering, ask, async_client, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

shells: Any = pytest.importorskip(
    "IPython.core.interactiveshell", reason="ipython is not here: pip install 'otel-agentcost[test]'"
)


@pytest.mark.parametrize("cell", ["ask(openai)", "await ask(asynchronous)", "get_ipython().run_cell('ask(openai)')"])
def test_a_cell_is_never_refused_for_another(telemetry: Telemetry, model_server: ModelServer, cell: str) -> None:
    """A hundred cells, and then one that calls without end; also a cell that awaits, and one that runs another."""
    answering(model_server)
    shell = shells.InteractiveShell.instance()
    try:
        with client(model_server) as openai, budgeted(telemetry, trace_max_llm_calls=3):
            shell.push({"ask": ask, "openai": openai, "asynchronous": async_client(model_server)})
            for _ in range(30):
                shell.run_cell(cell).raise_error()
            endless = cell.replace("ask(openai)'", "ask(openai)').raise_error(") if "run_cell" in cell else cell
            runaway = shell.run_cell(f"made = 0\nfor made in range(50):\n    {endless}")
            shell.run_cell("\n".join([cell] * 3)).raise_error()
    finally:
        shells.InteractiveShell.clear_instance()
    assert shell.user_ns["made"] == 3
    assert isinstance(runaway.error_in_exec, BudgetExceeded)
    assert "of notebook cell" in str(runaway.error_in_exec)
    assert str(runaway.error_in_exec).endswith(" The next notebook cell has a new allowance.")
