"""`agentcost report`: the same dollars in every form and table, and one sentence for what is wrong."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost.cli import _figures, _report, main
from otel_agentcost.cli import report as report_command
from otel_agentcost.cli._report import _words, to_md
from otel_agentcost.core import money
from otel_agentcost.insight.report import VIEWS
from otel_agentcost.settings import from_environment
from otel_agentcost.store.questions import GROUPINGS, SINGLE, shown
from otel_agentcost.store.sources import sqlite
from tests.cli.report.conftest import BOLD
from tests.insight.recorded_calls import BEGAN, Recording
from tests.store.recorded import nano, spend, url_of, writer_of
from tests.support.budgeted_calls import ask, budgeted
from tests.support.in_memory import Telemetry
from tests.support.openai_call import client as local

ALL = ("--since", "2026-11-01", "--until", "2026-11-30")
WEEK = ("--since", "2026-11-24", "--until", "2026-11-30")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints."""
    capsys.readouterr()
    code = main(["report", *arguments])
    streams = capsys.readouterr()
    assert (code, streams.err) == (0, "")
    return streams.out


def in_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(said(capsys, *arguments, "--format", "json"))


def amount(cell: str) -> int:
    """The billionths of a dollar that a cell shows."""
    return 0 if cell == "unpriced" else int(Decimal(re.sub(r"[^0-9.]", "", cell)).scaleb(9))


def test_every_table_of_the_text_adds_up(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To the billionth of a dollar, with what is beyond the first lines in one."""
    out = said(capsys, *ALL, "--no-recommendations")
    tables = [part for part in out.split("\n\n") if part.startswith("by ")]
    assert [part.split()[1] for part in tables] == list(VIEWS)
    for part in tables:
        *lines, total = part.splitlines()[2:]
        assert sum(amount(line.split()[-1]) for line in lines) == amount(total.split()[-1]) == nano(store), part
    assert "11 others" in out
    assert "\x1b" not in out
    assert out.startswith(f">={_words.usd(nano(store))} since 2026-11-01 00:00 UTC until 2026-12-01 00:00 UTC, in 113 ")
    assert "unpriced: 1 call: nobody knows inert" in out


@pytest.mark.parametrize("by", [*GROUPINGS, *SINGLE, "agent,model", "day,user,terms"])
def test_any_grouping_adds_up_in_every_form(store: Path, by: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Text, Markdown, page, JSON and CSV."""
    whole = nano(store)
    options = (*ALL, "--by", by, "--no-recommendations")
    lines = in_json(capsys, *options)["by"][by]
    assert sum(line["nano_usd"] or 0 for line in lines) == whole
    rows = list(csv.DictReader(io.StringIO(said(capsys, *options, "--format", "csv"))))
    assert sum(int(row["nano_usd"] or 0) for row in rows) == whole
    parts = {form: said(capsys, *options, "--format", form) for form in ("text", "md", "html")}
    cells = {
        "text": [
            line.split()[-1] for line in parts["text"].partition(f"by {by.replace(',', ', ')}\n")[2].splitlines()[1:]
        ],
        "md": re.findall(r"(\S+) \|$", parts["md"], re.MULTILINE)[2:],
        "html": re.findall(r'<td class="number">([^<]*)</td></tr>', parts["html"]),
    }
    for form, found in cells.items():
        amounts = [amount(cell) for cell in found if cell]
        assert amounts, form
        assert (sum(amounts[:-1]), amounts[-1]) == (whole, whole), form


def test_json_is_read_by_viewers_of_ccusage(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`daily` and `totals` have their names, and agree with each other and with the tables."""
    found = in_json(capsys, *ALL)
    totals, daily = found["totals"], found["daily"]
    names = ("inputTokens", "outputTokens", "cacheCreationTokens", "cacheReadTokens", "totalTokens")
    for name in names:
        assert sum(day[name] for day in daily) == totals[name]
        if name != "totalTokens":
            assert sum(each[name] for day in daily for each in day["modelBreakdowns"]) == totals[name]
    assert totals["totalTokens"] == sum(totals[name] for name in names[:4])
    assert sum(day["nanoUsd"] for day in daily) == totals["nanoUsd"] == nano(store)
    assert totals["totalCost"] == pytest.approx(nano(store) / 1e9)
    assert (totals["unpricedCalls"], found["unpriced"]) == (1, {"nobody knows inert": 1})
    assert {each["modelName"]: each["cost"] for each in daily[-1]["modelBreakdowns"]}["inert-2024-07-18"] is None
    for day in daily:
        assert sum(each["nanoUsd"] or 0 for each in day["modelBreakdowns"]) == day["nanoUsd"]
        named = [each["modelName"] for each in day["modelBreakdowns"]]
        assert day["modelsUsed"] == [name for name in named if name != "tools"]


def test_a_bill_of_focus_adds_up(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also by model and feature, and each unit price times its quantity is the cost, exactly."""
    rows = list(csv.DictReader(io.StringIO(said(capsys, *ALL, "--format", "focus"))))
    assert sum(Decimal(row["BilledCost"]) for row in rows) == money.from_nano(nano(store))
    by_feature: dict[str, int] = defaultdict(int)
    for row in rows:
        by_feature[row["x_Feature"].removeprefix("'")] += int(Decimal(row["BilledCost"]).scaleb(9))
        if row["ListUnitPrice"]:
            assert Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"]) == Decimal(row["ListCost"])
            assert 0 <= Decimal(row["BilledCost"]) - Decimal(row["ListCost"]) < Decimal(row["x_Requests"]).scaleb(-9)
    assert by_feature == {line.keys[0] and shown(line.keys[0]): line.sums.nusd for line in spend(store, "feature")}
    (unpriced,) = (row for row in rows if row["x_Unpriced"])
    assert (unpriced["SkuPriceId"], unpriced["ListUnitPrice"], unpriced["PricingQuantity"]) == ("", "", "")
    assert "unpriced: nobody knows inert" in unpriced["ChargeDescription"]
    meters = {row["SkuMeter"] for row in rows}
    assert meters == {"", "input tokens", "output tokens", "cache read tokens", "cache write tokens", "calls"}


def test_the_trend_is_that_of_the_weeks(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its parts add up to the difference, in JSON and in words."""
    found = in_json(capsys, *WEEK)
    change = found["change"]
    assert (
        change["volume_nano_usd"] + change["mix_nano_usd"] + change["price_nano_usd"] == change["difference_nano_usd"]
    )
    assert change["now_nano_usd"] == found["total"]["nano_usd"]
    assert change["before_nano_usd"] == found["before"]["total"]["nano_usd"]
    assert " volume " in said(capsys, *WEEK)


def test_recommendations_stand_in_every_form_for_people(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With their dollars, class and formula; none is added to another."""
    found = in_json(capsys, *ALL, "--offline", "nightly")["recommendations"]
    names = {each["name"] for each in found}
    assert {"batches", "cache_savings", "cheaper_models", "failed_calls", "unread_cache_writes"} <= names
    assert {each["class"] for each in found} == {"measured", "exact", "ceiling"}
    for form in ("text", "md", "html"):
        out = said(capsys, *ALL, "--offline", "nightly", "--format", form)
        for each in found:
            assert each["title"].replace("_", "") in re.sub(r"[\\_]", "", out)
            assert _words.usd(each["nano_usd"]).lstrip("$") in out
        assert "are not added up" in out
    assert in_json(capsys, *ALL, "--no-recommendations")["recommendations"] == []


def test_the_dearest_runs_are_those_of_the_store(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten, the dearest first, with all their calls."""
    runs = in_json(capsys, *ALL)["dearest_runs"]
    by_trace = sorted((line.sums.nusd for line in spend(store, "trace") if line.keys[0]), reverse=True)
    assert [run["nano_usd"] for run in runs] == by_trace[:10]
    assert all(run["began"] <= run["ended"] for run in runs)


def test_names_of_users_are_no_markup(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in a page nor in Markdown nor for a spreadsheet nor a terminal."""
    for form in _report.forms():
        out = said(capsys, *ALL, "--format", form)
        assert "\x1b" not in out or form in ("csv", "focus")
        assert "<script>alert" not in out or form in ("text", "csv", "focus", "json")
        assert "|<script>" not in out or form not in ("md", "html")
    assert in_json(capsys, *ALL)["by"]["feature"][0]["feature"] == BOLD


def test_a_budget_is_forecast(
    telemetry: Telemetry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model_server: Any,
) -> None:
    """Of the ledger that the settings name; a record of one day has no forecast, and says so."""
    rules, ledger, record = "total:usd=50", url_of(tmp_path / "ledger.db"), url_of(tmp_path / "spend.db")
    with budgeted(telemetry, budgets=rules, ledger=ledger, record=record):
        ask(local())
    for name, value in (("BUDGETS", rules), ("LEDGER", ledger), ("RECORD", record)):
        monkeypatch.setenv(f"OTEL_AGENTCOST_{name}", value)
    assert "There is no forecast: it needs 5 whole days of records before today." in said(capsys)
    ((scope, budget),) = report_command._budgets(from_environment(), BEGAN)
    assert (scope, budget.budget, budget.whose) == ("total", rules, "")
    assert 0 < 50 * 10**9 - budget.left < 10**9


@pytest.mark.parametrize("name", ["\r=cmd()", " =1+1", "\x1b[31m@SUM(1)", "=1+1", "\u202e-1"])
def test_a_spreadsheet_and_a_terminal_get_text(name: str) -> None:
    """No formula, and nothing that moves the cursor or turns the text around."""
    (cell,) = _figures.shielded({"user": name}).values()
    assert isinstance(cell, str)
    assert cell.isprintable()
    assert cell.lstrip()[0] not in "=+-@"


def test_markdown_calls_nobody() -> None:
    """A name behind an @ would be told; an address of mail is none."""
    assert to_md._cell("@octocat, a@b.c") == "@&#8203;octocat, a@b.c"


def test_the_latest_days_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 25 days, the five earlier ones are one line above the others."""
    recording = Recording(tmp_path / "spend.db", began=BEGAN - 25 * 86_400)
    for _ in range(25):
        recording.call({"input_tokens": 1000}, after=86_400)
    recording.close()
    out = said(capsys, "--since", "all", "--by", "day", "--source", url_of(recording.path), "--no-recommendations")
    lines = out.partition("by day\n")[2].splitlines()
    assert lines[1].split()[:3] == ["5", "earlier", "5"]
    assert lines[21].split()[0] == "2026-11-30"
    assert amount(lines[22].split()[-1]) == nano(recording.path)
    assert "four times in five" not in out  # each day has cost the same


def test_a_feature_that_no_call_has_is_said(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error: the report of a night without such calls still comes."""
    assert store.exists()
    assert main(["report", *ALL, "--offline", "nightly, nix"]) == 0
    streams = capsys.readouterr()
    assert streams.err.startswith("No call of the period is of the feature 'nix' of --offline. There are ")
    assert streams.err.count("\n") == 1
    assert streams.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--by", "agnet"], "'agnet' is no grouping; did you mean agent?"),
        (["--by", ","], "No grouping is named"),
        (["--since", "soon"], "'soon' is no time: write today"),
        (["--since", "2020-01-01", "--until", "2020-01-31"], "No call is recorded since 2020-01-01 until 2020-01-31"),
        (["--source", "sqlite:////nowhere/spend.db"], "There is no store at /nowhere/spend.db"),
        (["--source", "mysql://host"], "is no source of spend"),
    ],
)
@pytest.mark.parametrize("form", _report.forms())
def test_what_is_wrong_is_one_sentence(
    store: Path, form: str, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """That says what is allowed; exit code 2, and nothing on standard output."""
    assert main(["report", *arguments, "--format", form]) == 2
    streams = capsys.readouterr()
    assert sentence in streams.err
    assert (streams.out, streams.err.count("\n")) == ("", 1)


def test_the_example_of_the_help_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it stands there, with a store of today."""
    writer = writer_of(tmp_path / "spend.db")
    from tests.store.recorded import a_call

    writer.settled(a_call())
    writer.close()
    monkeypatch.setenv("OTEL_AGENTCOST_RECORD", url_of(tmp_path / "spend.db"))
    example: str = report_command.EXAMPLE
    assert main(shlex.split(example.removeprefix("Example: agentcost "))) == 0
    assert capsys.readouterr().out.startswith("# \\$0.001")


def test_tables_agree_while_others_write(weeks: Path, tmp_path: Path) -> None:
    """A report is of one moment, although it asks several times."""
    from otel_agentcost.store.questions import Question
    from tests.cli.report.conftest import filled
    from tests.store.recorded import a_call

    path = filled(tmp_path / "spend.db")
    source = sqlite.SqliteSource(path)
    source.hold()
    before = source.spend(Question(by=("agent",))).total
    writer = writer_of(path, clock=lambda: BEGAN)
    writer.settled(a_call())
    writer.close()
    assert source.spend(Question(by=("day",))).total == source.spend(Question(by=("trace",))).total == before
    source.close()
    assert spend(path).total.calls == before.calls + 1
    assert weeks.exists()
