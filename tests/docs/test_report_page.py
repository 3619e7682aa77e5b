"""What docs/report.md says: its tables are those of the code, its figures those of a real report."""

from __future__ import annotations

import re

from otel_agentcost.cli import _report
from otel_agentcost.insight import forecast, recommendations
from otel_agentcost.insight.report import RUNS, VIEWS
from tests.cli.report.test_focus import VERSION
from tools import documents

PAGE = (documents.ROOT / "docs" / "report.md").read_text(encoding="utf-8")


def first_cells(heading: str) -> list[str]:
    """The names in the first column of the table below a heading of columns."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_every_form_is_named() -> None:
    """In the table of forms."""
    assert sorted(first_cells("`--format`")) == sorted(_report.forms())


def test_every_recommendation_is_named_with_its_class() -> None:
    """In the order of the classes; what is not in the record is said not to be there."""
    assert sorted(first_cells("recommendation")) == sorted(recommendations.names())
    classes = re.findall(r"^\| `\w+` \| (\w+) \|", PAGE, re.MULTILINE)
    assert list(dict.fromkeys(kind for kind in classes if kind in recommendations.CLASSES)) == [
        *recommendations.CLASSES
    ]
    for module in recommendations.names():
        source = (documents.ROOT / f"otel_agentcost/insight/recommendations/{module}.py").read_text(encoding="utf-8")
        (written,) = re.findall(rf"^\| `{module}` \| (\w+) \|", PAGE, re.MULTILINE)
        assert f'"{written}"' in source, module


def test_the_numbers_are_those_of_the_code() -> None:
    """Of tables, runs, days and the validator."""
    assert f"by {', '.join(VIEWS[:-1])} and {VIEWS[-1]}" in PAGE
    assert RUNS == 10
    assert f"the last {forecast.BEHIND} whole days" in PAGE
    assert (forecast.ENOUGH, "Less than five whole days" in PAGE) == (5, True)
    assert f"focus-validator {VERSION} passes" in PAGE
