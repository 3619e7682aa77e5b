"""`agentcost demo` as a user runs it: a process of its own, with the real SDKs and the real instrumentation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_agentcost.cli.demo import script
from otel_agentcost.cli.demo.server import ModelServer
from tests.conftest import FOREIGN_PREFIXES, FOREIGN_SUFFIXES
from tests.support.otlp_receiver import OtlpReceiver, attributes
from tools.documents import ROOT, block

PAGE = ROOT / "docs" / "demo.md"
MAIN = "import sys; from otel_agentcost.cli import main; sys.exit(main())"
LINE = re.compile(r"^  (?P<name>\w.*?) {2,}.*\$(?P<usd>\d+\.\d{6}) +\$(?P<total>\d+\.\d{6})$", re.MULTILINE)
SUMMARY = re.compile(
    r"^(?P<calls>\d+) model calls, (?P<input>[\d,]+) input and (?P<output>[\d,]+) output tokens:\n"
    r"  \$(?P<models>[\d.]+) for models \+ \$(?P<tools>[\d.]+) for tools = \$(?P<total>[\d.]+)$",
    re.MULTILINE,
)
MODELS = {"gpt-4o", "gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash"}


def demo(*arguments: str, main: str = MAIN, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `agentcost demo` with `arguments` to its end."""
    return subprocess.run(
        [sys.executable, "-c", main, "demo", *arguments],
        env={**clean_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def clean_environment() -> dict[str, str]:
    """The environment without a developer's own keys, settings and proxies."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(FOREIGN_PREFIXES) and not name.upper().endswith(FOREIGN_SUFFIXES)
    }


def summary(run: subprocess.CompletedProcess[str]) -> dict[str, Decimal]:
    """The numbers of the closing sentence of a demo that went well."""
    assert (run.returncode, run.stderr) == (0, "")
    match = SUMMARY.search(run.stdout)
    assert match is not None, run.stdout
    return {name: Decimal(text.replace(",", "")) for name, text in match.groupdict().items()}


@pytest.fixture(scope="module")
def replay() -> subprocess.CompletedProcess[str]:
    """The replay, run once, in an environment that names a proxy, which does not exist."""
    nowhere = "http://127.0.0.1:9"
    return demo("--replay", HTTP_PROXY=nowhere, http_proxy=nowhere, ALL_PROXY=nowhere)


def test_the_replay_costs_what_the_example_costs(replay: subprocess.CompletedProcess[str]) -> None:
    """38,800 input and 3,200 output tokens on gpt-4o, two searches and three pages: $0.142, to the last digit."""
    run = replay
    assert summary(run) == {
        "calls": 10,
        "input": 38_800,
        "output": 3_200,
        "models": Decimal("0.129"),
        "tools": Decimal("0.013"),
        "total": Decimal("0.142"),
    }
    assert re.search(r"gpt-4o\W+10\W+5\W+38,800\W+3,200\W+\$0\.129000\W+\$0\.013000\W+\$0\.142000\W", run.stdout)
    names = [line["name"] for line in LINE.finditer(run.stdout)]
    assert names.count("chat gpt-4o") == 10
    assert names.count("execute_tool web_search") == 2
    assert names.count("execute_tool read_page") == 3
    assert [line["total"] for line in LINE.finditer(run.stdout)][-1] == "0.142000"


def test_the_page_shows_what_the_replay_prints(replay: subprocess.CompletedProcess[str]) -> None:
    """`docs/demo.md` holds the replay's output, but for the port and spaces at the ends of lines."""
    printed = re.sub(
        r"(?m)127\.0\.0\.1:\d+|[ \t]+$", lambda found: "127.0.0.1:PORT" if found[0].strip() else "", replay.stdout
    )
    assert block(PAGE.read_text(encoding="utf-8"), "replay") == f"```text\n{printed}```\n"


@dataclass(frozen=True)
class Collected:
    """One demo of all SDKs, and what a collector got of it."""

    run: subprocess.CompletedProcess[str]
    receiver: OtlpReceiver


@pytest.fixture(scope="module")
def collected() -> Collected:
    """The demo of all SDKs, run once, with its telemetry sent to a collector."""
    with OtlpReceiver() as receiver:
        return Collected(demo("--otlp", receiver.url), receiver)


def test_all_sdks_come_to_the_total_of_their_spans(collected: Collected) -> None:
    """Every SDK's calls are shown as they end, and their dollars add up to the total (rounded to 6 digits each)."""
    run = collected.run
    found = summary(run)
    lines = list(LINE.finditer(run.stdout))
    assert found["calls"] == 4 * len(script.TOUR.replies) == 24
    assert len(lines) == 4 * (6 + 7)
    assert sum(Decimal(line["usd"]) for line in lines) == pytest.approx(found["total"], abs=Decimal("0.00002"))
    assert found["models"] + found["tools"] == found["total"]
    assert found["tools"] == 4 * Decimal("0.015")
    assert set(re.findall(r"(?m)^([\w.-]+)\W+(?:openai|anthropic|gcp\.gemini)\b", run.stdout)) == MODELS


def test_otlp_sends_spans_and_metrics_to_a_collector(collected: Collected) -> None:
    """A collector gets every span with its dollars, and the metrics with the same sum."""
    receiver, found = collected.receiver, summary(collected.run)
    assert f"56 spans and the metrics were sent to {receiver.url}." in collected.run.stdout
    spans = [attributes(span.attributes) for span in receiver.spans]
    chats = [span for span in spans if span["gen_ai.operation.name"] in ("chat", "generate_content")]
    tools = [span for span in spans if span["gen_ai.operation.name"] == "execute_tool"]
    agents = [span for span in spans if span["gen_ai.operation.name"] == "invoke_agent"]
    assert (len(spans), len(chats), len(tools), len(agents)) == (56, 24, 28, 4)
    assert receiver.services == {"agentcost-demo"}
    assert {span["gen_ai.request.model"] for span in chats} == MODELS
    assert {span["user.id"] for span in (*chats, *tools)} == {"ada"}
    spent = sum(Decimal(repr(span["agentcost.cost.usd"])) for span in (*chats, *tools))
    assert spent == found["total"]
    assert sum(Decimal(repr(span["agentcost.trace.cost_usd"])) for span in agents) == found["total"]
    assert len({(span.trace_id) for span in receiver.spans}) == 4
    assert {"gen_ai.client.token.usage", "gen_ai.client.operation.duration", "agentcost.cost"} <= {
        metric.name for metric in receiver.metrics
    }
    points = [
        point for metric in receiver.metrics if metric.name == "agentcost.cost" for point in metric.sum.data_points
    ]
    assert sum(point.as_double for point in points) == pytest.approx(float(found["total"]), rel=1e-9)


def test_dollars_are_those_of_the_price_list(collected: Collected) -> None:
    """Every model call of the demo costs what the genai-prices library says, cache reads and writes included."""
    prices = pytest.importorskip("genai_prices", reason="genai-prices needs Python 3.11")
    compared, cached = 0, 0
    for span in map(_attributes, collected.receiver.spans):
        if "gen_ai.request.model" not in span:
            continue
        usage = prices.Usage(
            input_tokens=span["gen_ai.usage.input_tokens"],
            output_tokens=span["gen_ai.usage.output_tokens"],
            cache_read_tokens=span.get("gen_ai.usage.cache_read.input_tokens", 0),
            cache_write_tokens=span.get("gen_ai.usage.cache_write.input_tokens", 0),
        )
        model = span["gen_ai.response.model"]
        provider = {"gcp.gemini": "google"}.get(str(span["gen_ai.provider.name"]), span["gen_ai.provider.name"])
        price = prices.calc_price(usage, model_ref=model, provider_id=provider)
        assert Decimal(repr(span["agentcost.cost.usd"])) == price.total_price
        compared += 1
        cached += usage.cache_read_tokens > 0
    assert compared == 24
    assert cached == 12


def _attributes(span: Span) -> dict[str, object]:
    return attributes(span.attributes)


@pytest.fixture(scope="module")
def real() -> subprocess.CompletedProcess[str]:
    """The demo with `--real`, run once: OpenAI's and Google's addresses answer, Anthropic's is no model provider."""
    with ModelServer(script.TOUR) as provider, OtlpReceiver() as no_provider:
        return demo(
            "--real",
            OPENAI_API_KEY="k",
            OPENAI_BASE_URL=f"{provider.url}/v1",
            ANTHROPIC_API_KEY="k",
            ANTHROPIC_BASE_URL=no_provider.url,
            GEMINI_API_KEY="k",
            GOOGLE_GEMINI_BASE_URL=provider.url,
            NO_PROXY="127.0.0.1",
        )


def test_real_asks_the_providers_that_the_environment_names(real: subprocess.CompletedProcess[str]) -> None:
    """With `--real` the SDK's own configuration decides about key and address; no local server is started."""
    assert "on the real providers" in real.stdout
    for model in ("gpt-4o", "gpt-4o-mini", "gemini-2.5-flash"):
        assert re.search(rf"(?m)^{model}\W+6\W+7\W", real.stdout), real.stdout


def test_a_provider_that_refuses_is_named(real: subprocess.CompletedProcess[str]) -> None:
    """What a real provider answers with an error is one line on stderr, after the bill of the other runs."""
    assert real.returncode == 1
    assert "18 model calls" not in real.stdout  # the refused call is one more
    assert "anthropic SDK, messages, streamed, prompt cached: NotFoundError: " in real.stderr


def test_a_collector_that_takes_nothing_is_named() -> None:
    """Where something listens that is no collector, the demo says that its telemetry did not arrive."""
    with ModelServer(script.TOUR) as no_collector:
        run = demo("--replay", "--otlp", no_collector.url)
    assert run.returncode == 1
    assert f"0 spans and the metrics were sent to {no_collector.url}" in run.stdout
    assert "does it receive OTLP over HTTP at this address?" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--real", "--sdk", "openai"), "set OPENAI_API_KEY, or remove --real."),
        (("--real", "--sdk", "google"), "set GEMINI_API_KEY or GOOGLE_API_KEY, or remove --real."),
        (("--real",), "set OPENAI_API_KEY or ANTHROPIC_API_KEY or GEMINI_API_KEY or GOOGLE_API_KEY,"),
        (("--real", "--replay"), "choose one of them."),
        (("--replay", "--sdk", "anthropic"), "it needs the openai SDK."),
        (("--otlp", "http://127.0.0.1:9"), "no collector answers at http://127.0.0.1:9"),
        (("--otlp", "localhost:4318"), "'localhost:4318' is not the address"),
    ],
)
def test_what_cannot_run_is_said_in_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    """A missing key, a missing collector or a contradiction is one line on stderr and exit code 2."""
    run = demo(*arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("agentcost demo: ")
    assert sentence in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("package", "arguments", "install"),
    [
        ("rich", (), "otel-agentcost[demo]"),
        ("openai", ("--replay",), "otel-agentcost[demo]"),
        ("google.genai", ("--sdk", "google"), "otel-agentcost[demo]"),
        ("opentelemetry.exporter", ("--otlp", "http://localhost:4318"), "otel-agentcost[demo,otlp]"),
    ],
)
def test_a_missing_extra_is_named(package: str, arguments: tuple[str, ...], install: str) -> None:
    """Without a package of an extra the demo says which command installs it."""
    main = f"import sys; sys.modules[{package!r}] = None; from otel_agentcost.cli import main; sys.exit(main())"
    run = demo(*arguments, main=main)
    assert (run.returncode, run.stdout) == (2, "")
    assert f"{package}" in run.stderr
    assert run.stderr.endswith(f"pip install '{install}'\n")


def test_a_proxy_of_the_environment_is_left_out(replay: subprocess.CompletedProcess[str]) -> None:
    """The local server is reached although the environment names a proxy that does not exist."""
    assert summary(replay)["calls"] == 10


def test_spans_that_are_switched_off_are_missed() -> None:
    """Where the environment switches OpenTelemetry off, the demo says so instead of showing an empty bill."""
    run = demo("--replay", OTEL_SDK_DISABLED="true")
    assert run.returncode == 1
    assert "spans are missing" in run.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals in the standard library")
def test_a_terminal_gets_the_same_bill() -> None:
    """On a terminal of 80 columns, lines fit and the replay comes to the same total."""
    import pty

    leader, follower = pty.openpty()
    arguments = [sys.executable, "-c", MAIN, "demo", "--replay", "--fast"]
    environment = {**clean_environment(), "COLUMNS": "80", "TERM": "xterm-256color"}
    with subprocess.Popen(arguments, stdout=follower, stderr=follower, env=environment) as process:
        os.close(follower)
        written = b""
        try:
            while chunk := os.read(leader, 65_536):
                written += chunk
        except OSError:  # how Linux says that the other side is closed
            pass
        finally:
            os.close(leader)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    assert process.returncode == 0
    assert "38,800 input and 3,200 output tokens:" in text
    assert "  $0.129 for models + $0.013 for tools = $0.142" in text
    assert "so far" in text
