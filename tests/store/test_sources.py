"""The same questions have the same figures from the store, from files of a Collector, and from ClickHouse."""

from __future__ import annotations

import gzip
import json
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anthropic
import openai
import pytest
import zstandard
from openai import OpenAI

import otel_agentcost
from otel_agentcost import tool_call
from otel_agentcost.cli import main
from otel_agentcost.errors import AgentCostError
from otel_agentcost.store.questions import GROUPINGS, SINGLE, Question, Spend
from otel_agentcost.store.sources import open_source
from otel_agentcost.store.span_rows import ABSENT
from tests.docs.test_documented_commands import COMMANDS
from tests.integrations.sdks.test_batches import PROGRAMS
from tests.integrations.sdks.test_unfinished_answers import ASK, DONE, QUEUED, WORKING
from tests.recordings.replay import replay
from tests.store.recorded import url_of
from tests.support import span_backends
from tests.support.batch_provider import BatchProvider
from tests.support.budgeted_calls import answering, ask, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import CACHED, chat, chat_stream
from tests.support.span_backends import ClickHouse, otlp_json
from tests.wire import genai_prices_usage

KNOWN = [name for name in (*GROUPINGS, *SINGLE) if name not in ABSENT]
LINES = genai_prices_usage.recordings()


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    """One engine for all tests of this module."""
    yield from span_backends.running(tmp_path_factory.mktemp("clickhouse"))


@pytest.fixture(autouse=True)
def _emptied(request: pytest.FixtureRequest) -> None:
    if "clickhouse" in request.fixturenames:
        request.getfixturevalue("clickhouse").query("TRUNCATE TABLE otel_traces")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store that is not there yet."""
    return tmp_path / "spend.db"


def answer(url: str, *by: str, **more: Any) -> Spend:
    """The answer of a source."""
    source = open_source(url)
    try:
        return source.spend(Question(by=by, **more))
    finally:
        source.close()


def check_same(path: Path, telemetry: Telemetry, clickhouse: ClickHouse, folder: Path) -> Spend:
    """Every grouping, alone and in pairs with the model, has the same lines and the same reasons everywhere."""
    line = otlp_json(telemetry.spans)
    (folder / "spans.json").write_text(line + "\n")
    clickhouse.insert(line)
    clickhouse.insert(line)  # a batch that was sent again
    urls = [f"otlp://{folder}/spans.json", clickhouse.url]
    for by in [(), *((name,) for name in KNOWN), *((name, "model") for name in KNOWN), ("day", "agent", "trace")]:
        wanted = answer(url_of(path), *by)
        for url in urls:
            found = answer(url, *by)
            assert found.lines == wanted.lines, (url, by)
            assert dict(found.reasons) == dict(wanted.reasons), (url, by)
    return answer(url_of(path))


def test_calls_tools_and_failures(
    telemetry: Telemetry, model_server: ModelServer, clickhouse: ClickHouse, path: Path, tmp_path: Path
) -> None:
    """Cached tokens, an unknown model, tools with and without a price, a stream, an error, and a refusal."""
    answering(model_server, lambda request: json_reply(chat(CACHED, model=request.json["model"])))
    with (
        budgeted(telemetry, record=url_of(path), tool_prices="fetch=0.01", budgets="user:usd=0.00005"),
        client(model_server) as made,
    ):
        with otel_agentcost.attribute(agent="bees", user="ü'\\1", conversation="c1", feature="f", team="t", tenant="x"):
            ask(made)
            with pytest.raises(otel_agentcost.BudgetExceeded):
                ask(made)
        with otel_agentcost.attribute(agent="ants"):
            ask(made, model="inert-model-of-this-test")
            with tool_call("fetch"):
                pass
            with tool_call("free"), pytest.raises(ValueError), tool_call("fetch"):
                raise ValueError
            answering(model_server, lambda _request: chat_stream())
            list(ask(made, stream=True))
            answering(model_server, lambda _request: json_reply({"error": {"message": "no quota"}}, status=403))
            with pytest.raises(openai.PermissionDeniedError):
                ask(made)
    total = check_same(path, telemetry, clickhouse, tmp_path).total
    assert (total.calls, total.tools, total.unpriced) == (4, 3, 1)
    assert total.nusd > 20_000_000


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_a_batch_counts_once(
    telemetry: Telemetry, model_server: ModelServer, clickhouse: ClickHouse, path: Path, tmp_path: Path, name: str
) -> None:
    """The call that creates it has no price, until the results are read; they are read twice."""
    provider = BatchProvider()
    model_server.responder = provider
    with budgeted(telemetry, record=url_of(path)):
        with otel_agentcost.attribute(user="u1"):
            PROGRAMS[name].create(model_server.url)
        provider.finish()
        PROGRAMS[name].read(model_server.url)
        PROGRAMS[name].read(model_server.url)
    total = check_same(path, telemetry, clickhouse, tmp_path).total
    assert (total.calls, total.unpriced, total.priced) == (1, 0, 1)


def test_an_answer_that_is_billed_later_counts_once(
    telemetry: Telemetry, model_server: ModelServer, clickhouse: ClickHouse, path: Path, tmp_path: Path
) -> None:
    """Polled while it goes on, when it is done, and once more; another one is never read."""
    model_server.replies(QUEUED, WORKING, DONE, DONE, json_reply({**_body(QUEUED), "id": "resp_2"}))
    with (
        budgeted(telemetry, record=url_of(path)),
        OpenAI(base_url=model_server.url + "/v1", api_key="none", max_retries=0) as made,
    ):
        with otel_agentcost.attribute(agent="thinker"):
            made.responses.create(**ASK)
        for _ in range(3):
            made.responses.retrieve("resp_1")
        made.responses.create(**ASK)
    total = check_same(path, telemetry, clickhouse, tmp_path).total
    assert (total.calls, total.unpriced, total.nusd) == (2, 1, 52_500_000)


def _body(reply: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(reply.body)
    return found


@pytest.mark.skipif(not LINES, reason="AGENTCOST_CORPORA names no folder with recordings")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_recordings(
    telemetry: Telemetry, model_server: ModelServer, clickhouse: ClickHouse, path: Path, tmp_path: Path
) -> None:
    """Through the real SDKs."""
    with budgeted(telemetry, record=url_of(path)):
        for line in LINES:
            refused = pytest.raises((openai.APIStatusError, anthropic.APIStatusError))
            with refused if line["status"] >= 400 else nullcontext():
                replay(line, model_server)
    total = check_same(path, telemetry, clickhouse, tmp_path).total
    assert total.calls == len(LINES)
    assert total.nusd > 0


def test_a_period_and_a_time_zone_cut_the_same_everywhere(
    telemetry: Telemetry, model_server: ModelServer, clickhouse: ClickHouse, path: Path, tmp_path: Path
) -> None:
    """Hours and days of another zone; a period without calls has no lines."""
    answering(model_server)
    with budgeted(telemetry, record=url_of(path)), client(model_server) as made:
        for model in ("gpt-4o-mini", "gpt-4o"):
            ask(made, model=model)
    line = otlp_json(telemetry.spans)
    (tmp_path / "spans.json").write_text(line)  # without the end of the line: it is whole all the same
    clickhouse.insert(line)
    now = time.time()
    for url in (f"otlp://{tmp_path}/spans.json", clickhouse.url):
        for by in ("hour", "day", "week", "month"):
            for zone in (ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/New_York")):
                since = now - now % 3600 - 3600
                wanted = answer(url_of(path), by, "model", since=since, zone=zone)
                assert answer(url, by, "model", since=since, zone=zone).lines == wanted.lines
        assert answer(url, since=now + 60).lines == answer(url, until=now - 3600).lines == ()


def _foreign(attributes: dict[str, Any], scope: str = "other") -> str:
    span = {
        "traceId": "ab" * 16,
        "spanId": f"{abs(hash(json.dumps(attributes))) % 10**15:016x}",
        "name": "chat",
        "startTimeUnixNano": "1790000000000000000",
        "endTimeUnixNano": "1790000001000000000",
        "attributes": [
            {"key": key, "value": {"stringValue" if isinstance(value, str) else "doubleValue": value}}
            for key, value in attributes.items()
        ],
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": {"name": scope}, "spans": [span]}]}]})


CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ({**CHAT}, (1, 1, 0)),
        ({**CHAT, "error.type": "429"}, (1, 0, 0)),
        ({**CHAT, "agentcost.watched": "true"}, (0, 0, 0)),
        ({**CHAT, "agentcost.cost.usd": 1.5e-07, "agentcost.cost.basis": "collector"}, (1, 0, 150)),
        ({**CHAT, "agentcost.cost.usd": 0.1 + 0.2}, (1, 0, 300_000_001)),
        ({**CHAT, "agentcost.cost.usd": "NaN"}, (1, 1, 0)),
        ({**CHAT, "agentcost.cost.usd": -1.0}, (1, 1, 0)),
        ({**CHAT, "agentcost.charged_upstream": "true", "agentcost.unpriced": "x"}, (0, 0, 0)),
        ({"gen_ai.operation.name": "invoke_agent", "agentcost.cost.usd": 1.0}, (0, 0, 0)),
        ({"http.request.method": "GET"}, (0, 0, 0)),
    ],
)
def test_spans_of_others(
    clickhouse: ClickHouse, tmp_path: Path, attributes: dict[str, Any], wanted: tuple[int, int, int]
) -> None:
    """A call that nobody has priced is unpriced, and dollars that are no amount are so too: nothing is silently 0."""
    line = _foreign(attributes)
    (tmp_path / "spans.json").write_text(line)
    clickhouse.insert(line)
    for url in (f"otlp://{tmp_path}/spans.json", clickhouse.url):
        found = answer(url, "model")
        assert (found.total.calls, found.total.unpriced, found.total.nusd) == wanted, url
        assert bool(found.reasons) == (wanted[1] > 0)


def _packed(text: str) -> bytes:
    return zstandard.ZstdCompressor().compress(text.encode())


FORMS: dict[str, Callable[[Sequence[str]], bytes]] = {
    "plain": lambda lines: "".join(f"{line}\n" for line in lines).encode(),
    "gzip": lambda lines: gzip.compress("".join(f"{line}\n" for line in lines).encode()),
    "zstd": lambda lines: b"".join(_packed(f"{line}\n") for line in lines),
    "exporter": lambda lines: b"".join(len(_packed(line)).to_bytes(4, "big") + _packed(line) for line in lines),
}
"""How files come: as they are, packed as a whole, and with each line packed, as `compression: zstd` does."""

LINE = [_foreign({**CHAT, "agentcost.cost.usd": number / 8}) for number in range(1, 5)]


@pytest.mark.parametrize("form", FORMS)
def test_rotated_and_compressed_files(tmp_path: Path, form: str) -> None:
    """The name of the file stands for those before its rotations too, and for no other file."""
    (tmp_path / "spans.json").write_bytes(FORMS[form](LINE[:2]))
    (tmp_path / "spans-2026-11-01T10-00-00.000.json").write_bytes(FORMS["plain"](LINE[2:3]))
    (tmp_path / "spans-2026-11-01T09-00-00.000.json.gz").write_bytes(FORMS["gzip"]([LINE[3], LINE[0]]))
    (tmp_path / "spans-of-others.json").write_text("nothing to read")
    assert answer(f"otlp://{tmp_path}/spans.json").total.nusd == 1_250_000_000
    assert answer(f"otlp://{tmp_path}/spans-2026*").total.nusd == 1_000_000_000
    assert answer(f"otlp:///{tmp_path}/spans.json").total.calls == 4


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (LINE[0].encode() + b"\n" + LINE[1].encode()[:300], "spans.json, line 2, is no line of OTLP in JSON"),
        (b"{}\n", "line 1, is no line of OTLP in JSON (it has no spans, metrics or logs)"),
        (b"\x12protobuf", "line 1, is no line of OTLP"),
        (FORMS["gzip"](LINE)[:-20], "spans.json cannot be read"),
        (FORMS["exporter"](LINE)[:-20], "it is cut off"),
        (FORMS["zstd"](LINE)[:-20], "it is cut off"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}', "has a span that is no OTLP in JSON"),
    ],
)
def test_a_file_that_is_cut_off_or_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: bytes, said: str
) -> None:
    """One sentence, and no figure."""
    (tmp_path / "spans.json").write_bytes(written)
    assert main(["spend", "--since", "all", "--from", f"otlp://{tmp_path}/spans.json"]) == 2
    out = capsys.readouterr()
    assert said in out.err
    assert out.out == ""


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("otlp:///there/is/nothing.json", [], "There is no file /there/is/nothing.json"),
        ("clickhouse://u:secret@127.0.0.1:1/otel", [], "ClickHouse at 127.0.0.1:1/otel does not answer the question"),
        ("clickhouse://u:secret@h:99999999", [], "The address of ClickHouse cannot be understood"),
        ("clickhouse://u:secret@h/otel?table=a;b", [], "The address of ClickHouse cannot be understood"),
        ("duckdb://u:secret@h", [], "'duckdb://***@h' is no source of spend"),
        (f"otlp://{__file__}", ["--by", "run"], "Spans do not say the run of a call"),
        ("clickhouse://u:secret@127.0.0.1:1/otel", ["--by", "terms,book"], "Spans do not say the terms or the book"),
        ("otlp:///dev/nul*", [], "There is no file"),
    ],
)
def test_what_cannot_be_asked(capsys: pytest.CaptureFixture[str], url: str, more: list[str], said: str) -> None:
    """One sentence, without a password, and exit code 2."""
    assert main(["spend", "--from", url, *more]) == 2
    out = capsys.readouterr()
    assert said in out.err
    assert out.out == ""
    assert "secret" not in out.err


def test_the_command_of_the_page(
    telemetry: Telemetry, model_server: ModelServer, clickhouse: ClickHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/store.md, with the address of this server."""
    (written,) = [command for command in COMMANDS if "clickhouse://" in command]
    answering(model_server)
    with budgeted(telemetry), otel_agentcost.attribute(team="red"), client(model_server) as made:
        ask(made)
    clickhouse.insert(otlp_json(telemetry.spans))
    assert main(shlex.split(written.replace("clickhouse://localhost:8123/otel", clickhouse.url))) == 0
    assert "red" in capsys.readouterr().out


def test_tables_that_are_others(clickhouse: ClickHouse, capsys: pytest.CaptureFixture[str]) -> None:
    """A table that is not there, and one with other columns."""
    clickhouse.query("CREATE TABLE IF NOT EXISTS mine (SpanAttributes String) ENGINE = Memory")
    for table, said in (("none", "does not answer the question"), ("mine", "is not that of the Collector's")):
        assert main(["spend", "--from", f"{clickhouse.url}?table={table}"]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(AgentCostError):
        otel_agentcost.spend(source=f"{clickhouse.url}?table=none")


def test_a_password_and_a_database_reach_the_server(clickhouse: ClickHouse, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was spent there yet."""
    url = clickhouse.url.replace("//", "//me:secret@")
    assert main(["spend", "--from", url]) == 2
    assert "No call is recorded since today in clickhouse://***@127.0.0.1" in capsys.readouterr().err
    assert clickhouse.logins[-1] == "me:secret"
