"""What docs/agents.md says, and that every framework on it has its tests."""

from __future__ import annotations

from pathlib import Path

from tools import documents
from tools.environments import AGENTS, ROWS

PAGE = documents.AGENTS.read_text(encoding="utf-8")


def test_every_framework_is_in_the_table_and_has_its_tests() -> None:
    """What is watched is what is written, and what is tested with its real package."""
    assert documents.block(PAGE, "agents") == documents.agents_table(), "run `make docs`"
    folder = documents.ROOT / "otel_agentcost" / "integrations" / "agents"
    watched = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")}
    assert watched == {row.tests or name for name, row in ROWS.items() if AGENTS in row.folders}
    assert {Path(f"tests/{AGENTS}/test_{name}.py").exists() for name in watched} == {True}
