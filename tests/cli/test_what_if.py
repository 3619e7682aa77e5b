"""`agentcost what-if`: over a real store, in every form, and one sentence for what is wrong."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from decimal import Decimal
from pathlib import Path

import pytest

from otel_agentcost.cli import main
from otel_agentcost.cli.what_if import EXAMPLE
from otel_agentcost.core import money
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import open_book
from tests.store.recorded import a_call, url_of, writer_of
from tools.documents import ROOT

PAGE = (ROOT / "docs" / "what-if.md").read_text(encoding="utf-8")
USAGE = Usage(counts={"input_tokens": 1000, "output_tokens": 200})


def price(model: str) -> Decimal:
    """The dollars of a call."""
    cost = open_book().price(USAGE, provider="openai", base_url=None, models=(model,), at=1_795_000_000.0)
    assert cost.usd is not None
    return cost.usd


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with three calls of gpt-4o, one of a model that nobody knows, and one that has no price."""
    path = tmp_path / "spend.db"
    writer = writer_of(path)
    for _ in range(3):
        settled = a_call(price("gpt-4o"), model="gpt-4o", counts=USAGE.counts)
        writer.settled(settled._replace(names=("chat", "openai", "gpt-4o", "gpt-4o-2024-08-06")))
    writer.settled(a_call(None, model="inert", unpriced="no price for 'inert'"))
    writer.close()
    monkeypatch.setenv("OTEL_AGENTCOST_RECORD", url_of(path))
    return path


@pytest.mark.usefixtures("store")
def test_the_example_of_the_help_works(capsys: pytest.CaptureFixture[str]) -> None:
    """Exact, by model, with what is not known."""
    assert EXAMPLE == "Example: agentcost what-if --price 'gpt-4o=gpt-4.1-mini' --since 30d"
    assert main(["what-if", "--price", "gpt-4o=gpt-4.1-mini", "--since", "30d"]) == 0
    streams = capsys.readouterr()
    lines = [line.split() for line in streams.out.splitlines()]
    before, after = price("gpt-4o") * 3, price("gpt-4.1-mini") * 3
    dollars = [f"${before:.6f}", f"${after:.6f}", f"-${before - after:.6f}"]
    assert lines[1] == ["gpt-4o-2024-08-06", "gpt-4.1-mini", "exact", "3", *dollars]
    assert lines[2][:4] == ["inert-2024-07-18", "-", "kept", "1"]
    assert lines[2][4:] == ["unpriced", "unpriced", "-"]
    assert lines[3] == ["total", "4", f">=${before:.6f}", f">=${after:.6f}", dollars[2]]
    assert "another model needs a test" in streams.out
    assert streams.err == ""


@pytest.mark.usefixtures("store")
def test_every_form_has_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """In billionths of a dollar."""
    change = ["what-if", "--tier", "batch"]
    assert main([*change, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    half = 3 * money.to_nano(price("gpt-4o") / 2)
    assert found["total"] == {
        "recorded_nano_usd": 2 * half,
        "low_nano_usd": half,
        "high_nano_usd": half,
        "exact": False,  # one call has no price
        "unpriced_calls": 1,
        "unknown_calls": 1,
    }
    assert main([*change, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["low_nano_usd"] for row in rows] == [str(half), ""]
    assert {row["model"]: row["sure"] for row in rows} == {
        "gpt-4o-2024-08-06": "exact",
        "inert-2024-07-18": "kept",
    }


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--price", "gpt-4o"], "is no change of models"),
        (["--price", "gpt-4p=gpt-4.1"], "No recorded call is one of 'gpt-4p'"),
        (["--price", "gpt-4o=gpt-6-astra"], "not known to be the same"),
        (["--price", "gpt-4o=gpt-4.1-nobody-has"], "no price for 'gpt-4.1-nobody-has'"),
        (["--price", "gpt-4o=GPT-4o"], "changes nothing: name another model"),
        (["--price", "gpt-4o=gpt-4.1-mini,gpt-4p=gpt-4.1"], "No recorded call is one of 'gpt-4p'"),
        (["--terms", "foo=bar"], "No price depends on 'foo'. There are service_tier, processing"),
        (["--terms", "service_teir=flex"], "No price depends on 'service_teir'; did you mean service_tier?"),
        (
            ["--terms", "service_tier=flx"],
            "Nothing can be said of gpt-4o-2024-08-06 with service_tier=flx: the price book",
        ),
        (["--at", "soon"], "is no day"),
        (["--base-url", "foo"], "'foo' is no address: write --base-url https://host/path"),
        (["--base-url", "https://"], "is no address"),
        (["--terms", "flex"], "is no condition"),
        (["--since", "2020-01-01", "--until", "2020-01-02"], "No call is recorded since 2020-01-01 until 2020-01-02"),
        (["--prices", "/nowhere/prices.json"], "cannot be read"),
        (["--source", "nowhere://host"], "is no source of spend"),
        (["--from", "prometheus://host"], "has no single calls"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and nothing on standard output."""
    assert main(["what-if", *arguments]) == 2
    streams = capsys.readouterr()
    assert said in streams.err
    assert (streams.out, streams.err.count("\n")) == ("", 1)


def test_a_term_of_an_own_price_file_is_known(store: Path, tmp_path: Path) -> None:
    """Whatever its name."""
    assert store.exists()
    own = tmp_path / "own.yaml"
    variants = "[{when: {plan: gold}, input_mtok: 1, output_mtok: 2}]"
    prices = f"{{prices: [{{input_mtok: 2, output_mtok: 8}}], variants: {variants}}}"
    own.write_text(f"models: {{gpt-4o: {prices}}}", encoding="utf-8")
    assert main(["what-if", "--prices", str(own), "--terms", "plan=gold"]) == 0


def test_rows_without_a_call_are_named(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tool has no model, and is no call."""
    writer = writer_of(store)
    writer.settled(a_call(Decimal("0.01"))._replace(names=("execute_tool", "", None, None), calls=0, tool="fetch"))
    writer.close()
    assert main(["what-if"]) == 0
    assert "kept: a tool of the application" in capsys.readouterr().out


@pytest.mark.usefixtures("store")
def test_the_page_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/what-if.md has the output of its first example."""
    assert main(["what-if", "--price", "gpt-4o=gpt-4.1-mini", "--since", "30d"]) == 0
    page = (ROOT / "docs" / "what-if.md").read_text(encoding="utf-8")
    assert "".join(f"    {line}\n" for line in capsys.readouterr().out.splitlines()) in page


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "command", re.findall(r"^ {4}agentcost what-if (.*?)(?: {2,}#.*)?$", PAGE, re.MULTILINE), ids=lambda text: text[:30]
)
def test_the_examples_of_the_page_work(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they stand there, in a folder with the file that they name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.yaml").write_text("models: {gpt-4o: {input_mtok: 2, output_mtok: 8}}", encoding="utf-8")
    assert main(["what-if", *shlex.split(command)]) == 0
    assert "total" in capsys.readouterr().out
