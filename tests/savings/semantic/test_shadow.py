"""The semantic cache in shadow behind real calls of real SDKs: it counts, serves nothing, and never touches a call."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from openai import AsyncOpenAI

import otel_agentcost
from otel_agentcost.core.call import Call, Endpoint
from otel_agentcost.savings.responses.keys import canonical
from otel_agentcost.savings.semantic import counts, shadow
from otel_agentcost.savings.semantic.counts import Counted, CountsError, Outcomes
from otel_agentcost.savings.semantic.shadow import path_beside
from otel_agentcost.wire.format import ModelRequest
from otel_agentcost.wire.openai_chat import FORMAT
from tests.savings.semantic.fow_pairs import embed
from tests.store.recorded import url_of
from tests.support.budgeted_calls import answering, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Request, json_reply
from tests.support.replies import PLAIN, chat, chat_stream, message
from tools.documents import ROOT


class Scene:
    """An application with the shadow, whose model gives each question its answer."""

    def __init__(self, server: ModelServer, path: Path) -> None:
        self.server = server
        self.path = path
        self.answers: Callable[[str], str] = lambda _question: "Yes."

        def reply(request: Request) -> Any:
            said = self.answers(str(request.json["messages"][-1]["content"]))
            if "anthropic-version" in request.headers:
                return json_reply(message(text=said))
            if request.json.get("stream"):
                return chat_stream(PLAIN, words=(said,))
            return json_reply(chat(text=said))

        answering(server, reply)

    def ask(self, question: Any, *, before: tuple[Any, ...] = (), **more: Any) -> Any:
        """Ask a question."""
        messages = [*before, {"role": "user", "content": question}]
        given: dict[str, Any] = {"model": "gpt-4o-mini", "temperature": 0, "messages": messages, **more}
        with client(self.server) as openai:
            answer = openai.chat.completions.create(**given)
            return list(answer) if given.get("stream") else answer

    def counted(self) -> Counter[Any]:
        """The calls by what came out of them, and the veto."""
        found: Counter[Any] = Counter()
        for row in counts.read(self.path.parent / counts.FILE):
            found[(row.of.what, row.of.vetoed)] += row.calls
        return found


@pytest.fixture
def scene(model_server: ModelServer, tmp_path: Path) -> Scene:
    """An application."""
    return Scene(model_server, tmp_path / "spend.db")


@contextmanager
def shadowed(scene: Scene, telemetry: Telemetry, **settings: Any) -> Generator[None]:
    """Instruments with the shadow, for a block."""
    given = {"cache": ("exact", "semantic-shadow"), "cache_embed": embed, "record": url_of(scene.path), **settings}
    with budgeted(telemetry, **given):
        yield


def test_it_counts_what_it_would_have_served(scene: Scene, telemetry: Telemetry) -> None:
    """A paraphrase with the same answer is right, a trap is vetoed, another question has no candidate."""
    with shadowed(scene, telemetry):
        scene.answers = lambda question: "Yes." if "Sunday" not in question else "No."
        scene.ask("Are you open on Saturday?")
        scene.ask("are you open on saturday")
        scene.ask("Are you open on Sunday?")
        scene.ask("Who wrote Wuthering Heights?")
    assert scene.counted() == {("none", ""): 2, ("right", ""): 1, ("unknown", "scope"): 1}
    assert len(scene.server.requests) == 4


def test_nothing_is_served(scene: Scene, telemetry: Telemetry) -> None:
    """However sure it is, each question is asked, except for the identical ones, which the exact cache has."""
    with shadowed(scene, telemetry):
        for number in range(12):
            scene.ask(f"Are you open today{'?' * number}")
        scene.ask("Are you open today???")
    assert len(scene.server.requests) == 12
    assert scene.counted() == {("none", ""): 1, ("right", ""): 11}


@pytest.mark.parametrize(
    "other",
    [
        {"before": ({"role": "system", "content": "Be brief."},)},
        {"before": ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"})},
        {"model": "gpt-4o"},
        {"max_tokens": 10},
        {"tools": [{"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}]},
    ],
    ids=["system", "earlier turns", "model", "parameter", "tools"],
)
def test_everything_else_must_be_the_same(scene: Scene, telemetry: Telemetry, other: dict[str, Any]) -> None:
    """A question within another system prompt, conversation, model, parameters or tools has no candidate."""
    with shadowed(scene, telemetry):
        scene.ask("Are you open today?")
        scene.ask("are you open today", **other)
    assert scene.counted() == {("none", ""): 2}


def test_tenants_are_never_compared(scene: Scene, telemetry: Telemetry) -> None:
    """The question of another tenant or user has no candidate."""
    with shadowed(scene, telemetry):
        for tenant in ("a", "b"):
            with otel_agentcost.attribute(tenant=tenant):
                scene.ask("Are you open today?")
        with otel_agentcost.attribute(user="u"):
            scene.ask("Are you open today?")
    assert scene.counted() == {("none", ""): 3}


@pytest.mark.parametrize(
    "question",
    [
        [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}},
        ],
        "word " * 2_000,
    ],
    ids=["picture", "document"],
)
def test_only_short_texts_are_questions(scene: Scene, telemetry: Telemetry, question: Any) -> None:
    """A picture or a document is not compared."""
    with shadowed(scene, telemetry):
        scene.ask(question)
        scene.ask(question, seed=1)
        scene.ask("Are you open today?")
    assert scene.counted() == {("none", ""): 1}


def test_streams_and_other_formats(scene: Scene, telemetry: Telemetry) -> None:
    """The answer of a stream, and one of Anthropic, are read from their bytes."""
    asked: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 50}
    with (
        shadowed(scene, telemetry, cache_sampling="any"),
        Anthropic(base_url=scene.server.url, api_key="none") as anthropic,
    ):
        for question in ("Are you open today?", "are you open today"):
            scene.ask(question, stream=True, stream_options={"include_usage": True})
            anthropic.messages.create(**asked, messages=[{"role": "user", "content": question}])
    assert scene.counted() == {("none", ""): 2, ("right", ""): 2}


def test_a_judge_says_what_is_wrong(scene: Scene, telemetry: Telemetry) -> None:
    """Answers in other words are right or wrong if the judge says so."""
    scene.answers = lambda question: question
    with shadowed(scene, telemetry, cache_judge=lambda _question, ours, real: len(ours) == len(real)):
        for question in ("Are you open now?", "Are you open now!", "Are you open now!?"):
            scene.ask(question)
    assert scene.counted() == {("none", ""): 1, ("right", ""): 1, ("wrong", ""): 1}


def test_functions_by_their_names(
    scene: Scene, telemetry: Telemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`module:function` is imported in the thread, when the first answer has come."""
    (tmp_path / "my_vectors.py").write_text("def embed(text):\n    return [1.0, float(len(text))]\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with shadowed(scene, telemetry, cache_embed="my_vectors:embed"):
        assert "my_vectors" not in sys.modules
        scene.ask("Are you open?")
        scene.ask("are you open")
    assert scene.counted() == {("none", ""): 1, ("right", ""): 1}


def _raise(_text: str) -> Any:
    raise RuntimeError("the secret text")


@pytest.mark.parametrize("broken", [_raise, lambda _text: "no vector", lambda _text: [0.0], "no_such_module:embed"])
def test_an_embed_that_fails_is_counted(
    scene: Scene, telemetry: Telemetry, broken: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The call has its answer; one log line says so, without the text of the error."""
    with shadowed(scene, telemetry, cache_embed=broken):
        assert scene.ask("Are you open?").choices[0].message.content == "Yes."
        scene.ask("are you open")
    assert scene.counted() == {("failed", ""): 2}
    assert caplog.text.count("OTEL_AGENTCOST_CACHE_EMBED") == 1
    assert "secret" not in caplog.text


def test_a_slow_embed_holds_nothing_up(scene: Scene, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls do not wait; of what they leave behind, only so much waits, and the rest is counted as dropped."""
    monkeypatch.setattr(shadow, "MOST", 5)
    go_on = threading.Event()

    def slow(text: str) -> Any:
        assert go_on.wait(30)
        return embed(text)

    with shadowed(scene, telemetry, cache_embed=slow):
        began = time.monotonic()
        for number in range(12):
            scene.ask(f"Question {number}")
        assert time.monotonic() - began < 20
        assert not go_on.is_set()
        go_on.set()
    found = scene.counted()
    assert found[("dropped", "")] in (6, 7)
    assert sum(found.values()) == 12


def test_calls_of_embed_itself_are_not_rehearsed(scene: Scene, telemetry: Telemetry) -> None:
    """A judge that asks a model is not asked about that call."""

    def judge(_question: str, ours: str, real: str) -> bool:
        scene.ask(f"Do these mean the same? {ours} {real}")
        return True

    scene.answers = lambda question: question
    with shadowed(scene, telemetry, cache_judge=judge):
        scene.ask("Are you open?")
        scene.ask("are you open!")
    assert scene.counted() == {("none", ""): 1, ("right", ""): 1}
    assert len(scene.server.requests) == 3


@pytest.mark.parametrize("state", ["folder", "another program's", "read-only folder"])
def test_a_file_that_cannot_be_written(scene: Scene, telemetry: Telemetry, state: str) -> None:
    """The calls are made as if there were no shadow."""
    path = scene.path.parent / counts.FILE
    if state == "folder":
        path.mkdir()
    elif state == "another program's":
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE theirs (x)")
    else:
        path.write_bytes(b"")
        path.chmod(0o400)
    with shadowed(scene, telemetry):
        assert scene.ask("Are you open?").choices[0].message.content == "Yes."
    if state == "another program's":
        with pytest.raises(CountsError, match="another program"):
            counts.read(path)


def test_no_content_is_in_the_file(scene: Scene, telemetry: Telemetry) -> None:
    """Neither the question nor the answer nor its embedding: numbers, and the names of feature, agent and model."""
    scene.answers = lambda _question: "A quiet answer."
    with shadowed(scene, telemetry), otel_agentcost.attribute(feature="triage", agent="bees"):
        scene.ask("A loud question?")
        scene.ask("a loud question")
    path = scene.path.parent / counts.FILE
    written = path.read_bytes()
    assert b"triage" in written
    assert b"loud" not in written.lower()
    assert b"quiet" not in written.lower()
    day = int(time.time() // 86_400)
    assert list(counts.read(path)) == [
        Counted(Outcomes(day, "triage", "bees", "gpt-4o-mini", "none", 0, "", 0), 1),
        Counted(Outcomes(day, "triage", "bees", "gpt-4o-mini", "right", 100, "", 0), 1),
    ]


def test_what_is_missing_is_said(scene: Scene, telemetry: Telemetry, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an embedding, or without a file for the counts, the exact cache works, and one line says what to set."""
    for settings, says in (
        ({"cache_embed": None}, "It needs OTEL_AGENTCOST_CACHE_EMBED=module:function."),
        ({"record": None}, "It needs a store in a file: OTEL_AGENTCOST_CACHE_STORE or OTEL_AGENTCOST_RECORD"),
    ):
        with shadowed(scene, telemetry, **settings):
            scene.ask(f"Are you open? {says}")
            scene.ask(f"Are you open? {says}")
        assert says in capsys.readouterr().err
    assert len(scene.server.requests) == 2


def test_the_file_is_beside_the_first_store_in_a_file(tmp_path: Path) -> None:
    """The store of the cache, else that of the spend; a server or the memory has no folder."""
    spend, cache = f"sqlite:///{tmp_path}/a/spend.db?session=x", f"sqlite:///{tmp_path}/b/cache.db"
    assert path_beside(cache, spend) == tmp_path / "b" / counts.FILE
    assert path_beside("memory://", spend) == tmp_path / "a" / counts.FILE
    assert path_beside("redis://host", None, "sqlite://:memory:") is None


def test_nothing_is_imported_when_it_is_off() -> None:
    """With the exact cache alone, no module of the semantic one is loaded."""
    program = (
        "import sys, otel_agentcost; from otel_agentcost import Settings\n"
        "otel_agentcost.instrument(settings=Settings(cache=('exact',)))\n"
        "print([name for name in sys.modules if 'savings.semantic' in name])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "[]"


PROGRAM = """
import os, sys
import otel_agentcost
from otel_agentcost import Settings
from openai import OpenAI
from tests.savings.semantic.fow_pairs import embed

otel_agentcost.instrument(
    settings=Settings(cache=("exact", "semantic-shadow"), cache_embed=embed, record=sys.argv[2])
)

def ask(question):
    with OpenAI(base_url=sys.argv[1], api_key="none") as openai:
        messages = [{"role": "user", "content": question}]
        openai.chat.completions.create(model="gpt-4o-mini", temperature=0, messages=messages)

ask("Are you open today?")
if len(sys.argv) > 3:
    child = os.fork()
    ask("are you open today")
    if child:
        os.waitpid(child, 0)
"""


def run(scene: Scene, *more: str) -> None:
    """Run the program to its end."""
    command = [sys.executable, "-c", PROGRAM, f"{scene.server.url}/v1", url_of(scene.path), *more]
    subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=ROOT)


def test_the_end_of_a_process_writes_what_was_counted(scene: Scene) -> None:
    """A short program that uninstruments nothing loses no count."""
    run(scene)
    assert scene.counted() == {("none", ""): 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_has_a_rehearsal_of_its_own(scene: Scene) -> None:
    """The child begins without entries, and nothing is counted two times."""
    run(scene, "fork")
    assert scene.counted() == {("none", ""): 2, ("right", ""): 1}


async def test_asynchronous_calls(scene: Scene, telemetry: Telemetry) -> None:
    """They are rehearsed too, and streams that are read slowly."""
    with shadowed(scene, telemetry):
        async with AsyncOpenAI(base_url=f"{scene.server.url}/v1", api_key="none") as openai:
            for question in ("Are you open today?", "are you open today"):
                given: dict[str, Any] = {"model": "gpt-4o-mini", "temperature": 0}
                messages: list[Any] = [{"role": "user", "content": question}]
                await openai.chat.completions.create(**given, messages=messages)
                options: Any = {"include_usage": True}
                stream = await openai.chat.completions.create(
                    **given, messages=messages, stream=True, stream_options=options
                )
                async for _ in stream:
                    await asyncio.sleep(0)
    assert scene.counted() == {("none", ""): 2, ("right", ""): 2}


def test_what_it_costs_a_call(tmp_path: Path) -> None:
    """The call's own part is a copy of its lists and a place in a queue: microseconds, however long the history is."""
    here = shadow.Shadow(tmp_path / "here.db", lambda: embed, None, canonical)
    messages = [{"role": "user", "content": f"turn {number}"} for number in range(200)]
    target = Endpoint(provider="openai", base_url="https://api.openai.com/v1", known=True, attributes={})
    call = Call(operation="chat", model="m", body={"model": "m", "messages": messages})
    request = ModelRequest(endpoint=target, call=call, format=FORMAT)
    began = time.perf_counter()
    for _ in range(1_000):
        assert here.begin(request, ("tenant",), {}) is not None
    assert (time.perf_counter() - began) / 1_000 < 100e-6  # of a busy machine; it takes 3 us
