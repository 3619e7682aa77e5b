"""Single calls from spans: what-if, reconcile and reports have the figures of the store, as far as spans go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost import tool_call
from otel_agentcost.cli import main
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.store import span_sql
from otel_agentcost.store.questions import Question
from otel_agentcost.store.single_calls import Recorded
from otel_agentcost.store.single_spans import LACKS
from otel_agentcost.store.sources import open_detailed
from tests.calls.test_loops import agent, in_a_trace, openai
from tests.insight.recorded_calls import book
from tests.store.recorded import url_of
from tests.support import span_backends
from tests.support.budgeted_calls import answering, ask, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, json_reply
from tests.support.replies import CACHED, chat
from tests.support.span_backends import ClickHouse, otlp_json

__all__ = ["openai"]


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    """One engine for all tests of this module."""
    yield from span_backends.running(tmp_path_factory.mktemp("clickhouse"))


@pytest.fixture
def urls(
    telemetry: Telemetry, model_server: ModelServer, clickhouse: ClickHouse, openai: Any, tmp_path: Path
) -> dict[str, str]:
    """The addresses of a store, of files and of ClickHouse, with the same calls."""
    path = tmp_path / "spend.db"
    with budgeted(telemetry, record=url_of(path), tool_prices="search=0.01"), client(model_server) as made:
        with in_a_trace(telemetry):
            agent(openai, ["Nothing found."])
        answering(model_server, lambda request: json_reply(chat(CACHED, model=request.json["model"])))
        with otel_agentcost.attribute(agent="bees", conversation="c1", user="u1", feature="f"):
            for model in ("gpt-4o", "gpt-4o", "gpt-4.1", "inert-model-of-this-test"):
                ask(made, model=model)
            with tool_call("search"), pytest.raises(ValueError), tool_call("search"):
                raise ValueError
    line = otlp_json(telemetry.spans)
    (tmp_path / "spans.json").write_text(f"{line}\n{line}\n")  # a batch that was sent again
    clickhouse.query("TRUNCATE TABLE otel_traces")
    for _ in range(2):
        clickhouse.insert(line)
    return {"store": url_of(path), "otlp": f"otlp://{tmp_path}/spans.json", "clickhouse": clickhouse.url}


def calls(url: str, **more: Any) -> list[Recorded]:
    with open_detailed(url) as source:
        return list(source.each(Question(**more)))


def known(call: Recorded) -> Recorded:
    """A call of the store, as spans have it."""
    names = call.names._replace(book="", terms="")
    tokens = call.tokens if call.tokens is not None and any(call.tokens) else None
    plain = call._replace(names=names, units=None, tokens=tokens, number=0, at=0.0)
    return plain._replace(base=None, segments=None, characters=None, offered=())


def test_single_calls_are_those_of_the_store(urls: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of time, each once, over several pages; and the price book gives their dollars as for the store."""
    monkeypatch.setattr(span_sql, "PAGE", 3)
    wanted = calls(urls["store"])
    assert len(wanted) > 9
    for name in ("otlp", "clickhouse"):
        found = calls(urls[name])
        assert sorted(map(known, found), key=repr) == sorted(map(known, wanted), key=repr), name
        assert [call.at for call in found] == sorted(call.at for call in found)
        repricing = Repricing(book())
        assert [repricing.same(call) for call in found if call.names.served == "gpt-4o"] == [True, True]


def test_a_period_is_a_part(urls: dict[str, str]) -> None:
    """Its beginning is in it, its end is not."""
    whole = calls(urls["otlp"])
    middle = whole[5].at
    for name in ("otlp", "clickhouse"):
        assert len(calls(urls[name], until=middle)) + len(calls(urls[name], since=middle)) == len(whole)


@pytest.mark.parametrize("name", ["otlp", "clickhouse"])
def test_loops_and_dear_traces(urls: dict[str, str], name: str) -> None:
    """Loops are events of spans; a trace stands for a run. There is nothing that needs fingerprints."""
    with open_detailed(urls["store"]) as source:
        loops = source.loops(Question())
        by_trace = {each.run: each.sums for each in source.dearest(Question(), 99)}
    assert loops[0]
    with open_detailed(urls[name]) as source:
        assert source.loops(Question()) == loops
        assert {each.run: each.sums for each in source.dearest(Question(), 99)} == by_trace
        assert list(source.repeated(Question())) == list(source.repeated_tools(Question())) == []
        assert source.lacks == LACKS


@pytest.mark.parametrize("name", ["otlp", "clickhouse"])
def test_the_commands_say_what_spans_lack(urls: dict[str, str], name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """what-if has the figures of the store; it and the report say what is missing, in one sentence."""
    outputs: list[str] = []
    for url in (urls["store"], urls[name]):
        command = ["what-if", "--price", "gpt-4o=gpt-4.1-mini", "--since", "1d", "--from", url]
        assert main(command) == 0
        out = capsys.readouterr()
        assert out.err == ("" if url == urls["store"] else f"{LACKS}\n")
        outputs.append(out.out)
    assert outputs[0] == outputs[1]
    assert main(["report", "--since", "1d", "--from", urls[name]]) == 0
    out = capsys.readouterr()
    assert LACKS in " ".join(out.out.split())
    assert "dearest runs" in out.out
    assert "There is no trend: it compares calls of the same price and terms" in out.out
    assert main(["cache", "advise", "--since", "1d", "--from", urls[name]]) == 2
    out = capsys.readouterr()
    assert (out.out, out.err.count("\n")) == ("", 1)
    assert "has no fingerprints of the prompts" in out.err


def test_nothing_is_left_in_the_temporary_folder(urls: dict[str, str], tmp_path: Path, monkeypatch: Any) -> None:
    """The folder is gone when the source is closed."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with open_detailed(urls["otlp"]) as source:
        assert list(source.each(Question()))
        assert list(folder.iterdir())
    assert list(folder.iterdir()) == []
