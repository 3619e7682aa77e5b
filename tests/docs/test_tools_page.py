"""What docs/tools.md says, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from otel_agentcost import Settings
from otel_agentcost.core import semconv
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tools import documents
from tools.environments import ROWS

PAGE = (documents.ROOT / "docs" / "tools.md").read_text(encoding="utf-8")


def test_the_example_makes_two_calls_of_tools(telemetry: Telemetry) -> None:
    """One decorated, with its price, and one in a block, with the id of the model's call."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with instrumented(telemetry, settings=Settings(capture_content="SPAN_ONLY")):
        defined: dict[str, object] = {}
        exec(code + '\nsearch("bees")\n', defined)
    fetched, searched = telemetry.attributes("execute_tool fetch"), telemetry.attributes("execute_tool search")
    assert (fetched[semconv.TOOL_CALL_ID], fetched[semconv.TOOL_RESULT]) == ("call_1", "the page")
    assert searched[semconv.COST] == 0.005


def test_the_prices_by_name_are_understood() -> None:
    """As they stand there: an exact name before a pattern, a second of a sandbox."""
    (written,) = re.findall(r'OTEL_AGENTCOST_TOOL_PRICES="(.*?)"', PAGE)
    prices = Settings(tool_prices=written).tool_prices
    assert list(prices) == ["search", "search_*", "sandbox"]


def test_every_framework_is_in_the_table_and_has_its_tests() -> None:
    """What is watched is what is written, and what is tested with its real package, oldest and newest."""
    assert documents.block(PAGE, "frameworks") == documents.frameworks_table(), "run `make docs`"
    folder = documents.ROOT / "otel_agentcost" / "integrations" / "tools"
    watched = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")}
    assert watched == {name for name, row in ROWS.items() if "integrations/tools" in row.folders}
    assert {Path(f"tests/integrations/tools/test_{name}.py").exists() for name in watched} == {True}
