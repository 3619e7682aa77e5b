"""`agentcost reconcile`: a real store and a provider over HTTP, in every form, and one sentence for what is wrong."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import time
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from otel_agentcost.cli import main
from otel_agentcost.cli.reconcile import EXAMPLE
from otel_agentcost.core import semconv
from otel_agentcost.core.usage import Usage
from otel_agentcost.pricebook import open_book
from tests.store.bills.servers import KEY, OpenAIServer
from tests.store.recorded import a_call, url_of, writer_of
from tests.support.model_server import ModelServer
from tests.support.otlp_receiver import OtlpReceiver, attributes
from tools.documents import ROOT

PAGE = (ROOT / "docs" / "reconcile.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^ {4}(\w+)=\S+ agentcost reconcile (.*)$", PAGE, re.MULTILINE)
MODEL = "gpt-4o-mini-2024-07-18"
TODAY = datetime.fromtimestamp(time.time(), timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
PRICES = {"input": Decimal("0.00000015"), "output": Decimal("0.0000006")}


def day(ago: int) -> str:
    """A UTC day before today."""
    return (TODAY - timedelta(days=ago)).strftime("%Y-%m-%d")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with ten calls on each of seven days, and nothing today."""
    path = tmp_path / "spend.db"
    clock = [0.0]
    writer = writer_of(path, clock=lambda: clock[0])
    for ago in range(7, 0, -1):
        for number in range(10):
            clock[0] = (TODAY - timedelta(days=ago)).timestamp() + 3600 * (number + 1)
            usd = 10_000 * PRICES["input"] + 1_000 * PRICES["output"]
            writer.settled(a_call(usd, counts={"input_tokens": 10_000, "output_tokens": 1_000}))
        writer.flush(last=True)
    writer.close()
    monkeypatch.setenv("OTEL_AGENTCOST_RECORD", url_of(path))
    return path


@pytest.fixture
def server(model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> OpenAIServer:
    """A bill with twelve percent off, and five calls of two days ago that nobody has recorded."""
    server = OpenAIServer(size=3)
    for ago in range(8, -1, -1):
        calls = {8: 0, 2: 15, 0: 1}.get(ago, 10)
        if not calls:
            continue
        tokens = {"input": 10_000 * calls, "output": 1_000 * calls}
        for kind, number in tokens.items():
            usd = number * PRICES[kind] * Decimal("0.88")
            server.costs.append((day(ago), f"{MODEL}, {kind}", float(usd), float(number)))
        used = {"input_tokens": tokens["input"], "output_tokens": tokens["output"], "num_model_requests": calls}
        server.usage.append((day(ago), {"model": MODEL, "batch": False, "service_tier": "default", **used}))
    model_server.responder = server
    monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/gateway")  # where no key of an administrator may go
    monkeypatch.setenv("OPENAI_LOG", "debug")
    return server


@pytest.fixture
def base(model_server: ModelServer) -> list[str]:
    """The arguments that ask the local server."""
    return ["reconcile", "openai", "--base-url", f"{model_server.url}/v1"]


@pytest.mark.usefixtures("store", "server")
def test_the_text_says_what_differs_and_why(base: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """By cause, with what to do, the price that the bill shows, and the days that may still change."""
    assert main(base) == 0
    streams = capsys.readouterr()
    out = streams.out
    assert "openai billed $0.140448 for" in out
    assert "$0.147000 (104.7% of it) was recorded" in out
    assert f"5 requests of {MODEL} were billed and never recorded ({day(2)})" in out
    assert f"gpt-4o-mini is 12 % below its price since {day(7)}." in out
    assert f"Not over yet: {day(0)}." in out
    assert f"Provisional: the bill of {day(2)}, {day(1)} may still change." in out
    assert (streams.err, KEY in out) == ("", False)


@pytest.mark.usefixtures("store", "server")
def test_every_form_has_the_same_figures(base: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The causes are the difference, to the billionth of a dollar."""
    assert main([*base, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    difference = found["billed_nano_usd"] - found["recorded_nano_usd"]
    assert sum(found["causes_nano_usd"].values()) == found["difference_nano_usd"] == difference
    assert found["causes_nano_usd"]["coverage"] == 10_500_000
    assert found["ratio"] == found["recorded_nano_usd"] / found["billed_nano_usd"]
    assert main([*base, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert sum(int(row["difference_nano_usd"]) for row in rows) == difference
    assert {row["day"] for row in rows if row["provisional"] == "True"} == {day(0), day(1), day(2)}


@pytest.mark.usefixtures("store", "server")
def test_prices_are_written_only_when_asked_and_load_again(
    base: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With them, the bill is what the recorded calls cost; a file that exists is not changed."""
    path = tmp_path / "own.json"
    assert main([*base, "--write-prices", str(path)]) == 0
    assert main(["prices", "check", str(path)]) == 0
    assert capsys.readouterr().err == ""
    book = open_book(path)
    assert not book.problems
    for since, factor in ((day(7), Decimal("0.88")), (day(9), Decimal(1))):
        at = datetime.fromisoformat(f"{since}T12:00:00+00:00").timestamp()
        for terms in ((), (("service_tier", "default"),)):
            usage = Usage(counts={"input_tokens": 10_000, "output_tokens": 1_000})
            cost = book.price(usage, provider="openai", base_url=None, models=(MODEL,), at=at, terms=terms)
            assert cost.usd == (10_000 * PRICES["input"] + 1_000 * PRICES["output"]) * factor
    batch = (("processing", "batch"),)
    for prices in (book, open_book()):
        usage = Usage(counts={"input_tokens": 1_000_000})
        cost = prices.price(usage, provider="openai", base_url=None, models=(MODEL,), at=time.time(), terms=batch)
        assert cost.usd == Decimal("0.075")
    assert main([*base, "--write-prices", str(path)]) == 2
    assert "exists, and is not changed" in capsys.readouterr().err


@pytest.mark.usefixtures("store", "server")
def test_gauges_are_sent_by_day(base: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Of the days whose bill is settled; a collector that is not there is said."""
    with OtlpReceiver() as receiver:
        assert main([*base, "--otlp", receiver.url]) == 0
    points: dict[str, dict[str, float]] = {}
    for metric in receiver.metrics:
        for point in metric.gauge.data_points:
            labels = attributes(point.attributes)
            assert labels[semconv.PROVIDER] == "openai"
            points.setdefault(metric.name, {})[str(labels[semconv.BILL_DAY])] = point.as_double
    assert set(points) == {f"agentcost.reconcile.{name}" for name in ("billed", "captured", "ratio")}
    assert set(points["agentcost.reconcile.ratio"]) == {day(ago) for ago in range(3, 8)}
    assert points["agentcost.reconcile.ratio"][day(7)] == pytest.approx(1 / 0.88)
    assert points["agentcost.reconcile.billed"][day(3)] == pytest.approx(10 * 0.0021 * 0.88)
    capsys.readouterr()
    assert main([*base, "--otlp", "http://me:hidden@127.0.0.1:9"]) == 2
    said = capsys.readouterr().err
    assert "No collector took the gauges" in said
    assert "hidden" not in said


@pytest.mark.usefixtures("store", "server")
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--since", "soon"], "is no time"),
        (["--since", "all"], "has no beginning"),
        (["--since", "2020-01-01", "--until", "2020-01-03"], "has nothing for 2020-01-01 to 2020-01-03"),
        (["--source", "sqlite:////nowhere/spend.db"], "There is no store"),
        (["--source", "nowhere://host"], "is no source of spend"),
        (["--from", "prometheus://host"], "has no single calls"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    base: list[str], more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and nothing on standard output."""
    assert main([*base, *more]) == 2
    streams = capsys.readouterr()
    assert said in streams.err
    assert (streams.out, streams.err.count("\n")) == ("", 1)


@pytest.mark.usefixtures("server")
def test_a_store_without_the_providers_calls_is_said(
    base: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of the bill is a difference then, which is seldom meant."""
    writer = writer_of(tmp_path / "other.db")
    writer.settled(a_call()._replace(names=("chat", "anthropic", "claude-sonnet-4-5", None)))
    writer.close()
    assert main([*base, "--source", url_of(tmp_path / "other.db")]) == 0
    out = capsys.readouterr().out
    assert "(0.0% of it) was recorded" in out
    assert "NO CALL of openai is recorded for these days" in out


@pytest.mark.usefixtures("store")
def test_a_provider_without_a_bill_and_a_missing_key_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """With the providers that there are, and the name of the variable."""
    assert main(["reconcile"]) == 2
    assert "Name a provider: there are anthropic, aws," in capsys.readouterr().err
    assert main(["reconcile", "opneai"]) == 2
    assert "did you mean openai" in capsys.readouterr().err
    assert main(["reconcile", "openai"]) == 2
    assert "set OPENAI_ADMIN_KEY" in capsys.readouterr().err


def test_a_key_is_in_no_error(store: Path, server: OpenAIServer, base: list[str], capfd: Any) -> None:
    """The provider's answer quotes it, and the log of the SDK would too."""
    del store
    server.status = 401
    assert main(base) == 2
    streams = capfd.readouterr()
    assert KEY not in streams.out + streams.err
    assert "refused the key in OPENAI_ADMIN_KEY (401)" in streams.err


def test_the_example_of_the_help_names_the_key() -> None:
    """It is set for one command, before it."""
    assert EXAMPLE.startswith("Example: OPENAI_ADMIN_KEY=")
    assert "agentcost reconcile openai --since 7d" in EXAMPLE


@pytest.mark.usefixtures("store", "server")
def test_the_page_shows_what_the_command_prints(base: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """docs/reconcile.md has the output of its first example; only the days differ."""
    assert main([*base, "--since", "7d"]) == 0
    printed = re.sub(r"\d{4}-\d\d-\d\d", "DAY", capsys.readouterr().out).rstrip()
    page = re.sub(r"\d{4}-\d\d-\d\d", "DAY", PAGE)
    assert "".join(f"    {line}\n" if line else "\n" for line in printed.splitlines()) in page


@pytest.mark.usefixtures("store", "server")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example[1])
def test_the_examples_of_the_page_work(
    example: tuple[str, str], base: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the key that they name; the address is that of the local server, and of a local collector."""
    variable, command = example
    monkeypatch.chdir(tmp_path)
    provider, *more = shlex.split(command)
    with OtlpReceiver() as receiver:
        more = [receiver.url if word.startswith("http://") else word for word in more]
        assert variable == f"{provider.upper()}_ADMIN_KEY"
        assert main([*base, *more]) == 0  # the bill of Anthropic has tests of its own
