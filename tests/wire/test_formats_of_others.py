"""Wire formats that come from outside the package: everything works for them, and nothing in the package is edited."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from otel_agentcost import LoopDetected, wire
from otel_agentcost.core import semconv
from otel_agentcost.guard.estimate import input_bound, input_count
from otel_agentcost.integrations.sdks import openai as openai_sdk
from otel_agentcost.settings import from_environment
from otel_agentcost.wire import CannotRewrite, Change, Format, UnknownFormat, content, load
from otel_agentcost.wire.conversation import Reader
from tests.support.budgeted_calls import budgeted, until_refused
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply
from tests.wire import acme_format

Install = Callable[..., str]
_numbers = itertools.count(1)

BODY: dict[str, Any] = {
    "engine": "gpt-4o-mini",
    "limit": 400,
    "rules": "Be brief.",
    "abilities": ["search"],
    "turns": [{"who": "user", "words": "Find me a hotel."}],
}
USD = 1000 * 0.15e-6 + 100 * 0.6e-6

BARE = """
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.usage import Usage
from otel_agentcost.wire import Format
from otel_agentcost.wire.not_streamed import NotStreamed

class Bare(Format):
    def read_request(self, body, path):
        return Call(operation="chat", model=body["engine"], max_output_tokens=body["limit"], body=body)

    def read_response(self, call, response):
        spent = response["spent"]
        return Answer(usage=Usage(counts={"input_tokens": spent["in"], "output_tokens": spent["out"]}))

    def open_stream(self, call):
        return NotStreamed(Answer())

FORMAT = Bare()
"""

CHILD = """
from otel_agentcost.wire.fields import get
from otel_agentcost.wire.openai_chat import Chat

class Child(Chat):
    def read_response(self, call, response):
        return super().read_response(call, get(response, "result"))

FORMAT = Child()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a module in a distribution of its own, with an entry point; returns the name of the format."""

    def install(source: str, *, value: str = "") -> str:
        name = f"acme_{next(_numbers)}"
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[{wire.GROUP}]\n{name} = {value or name}\n", encoding="utf-8")
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        return name

    return install


@pytest.fixture
def drop_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a module into the folder of wire formats; returns the name of the format."""

    def drop_in(source: str) -> str:
        name = f"dropped_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        monkeypatch.setattr(wire, "__path__", [*wire.__path__, str(tmp_path)])
        return name

    return drop_in


@pytest.fixture
def acme(install: Install) -> str:
    return install(Path(acme_format.__file__).read_text(encoding="utf-8"))


@pytest.fixture
def client(model_server: ModelServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=model_server.url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def post(
    client: OpenAI, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, dict[str, Any]], Any]:
    """Sends a body in a format, to a path that the SDK module maps to it."""

    def answer(request: Request) -> Reply:
        spent = {"in": 1000, "out": min(100, request.json["limit"])}
        turn = {"who": "bot", "words": "The Ritz."}
        return json_reply({"engine": request.json["engine"], "turn": turn, "why": "end", "spent": spent})

    def post(form: str, body: dict[str, Any]) -> Any:
        monkeypatch.setitem(openai_sdk.FORMATS, f"/{form}/speak", form)
        return client.post(f"/{form}/speak", body=body, cast_to=object)

    model_server.responder = answer
    return post


def test_a_format_of_another_distribution_is_priced_and_captured(
    acme: str, post: Callable[..., Any], telemetry: Telemetry
) -> None:
    """Its tokens cost what they cost, and its messages are on the span."""
    settings = from_environment({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY"})
    with instrumented(telemetry, settings=settings):
        assert post(acme, BODY)["turn"]["words"] == "The Ritz."
    span = telemetry.attributes()
    assert span[semconv.COST] == pytest.approx(USD)
    (asked,), (answer,) = (json.loads(str(span[n])) for n in (semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES))
    assert asked == {"role": "user", "parts": [{"type": "text", "content": "Find me a hotel."}]}
    assert answer["parts"] == [{"type": "text", "content": "The Ritz."}]
    assert answer["finish_reason"] == "end"
    assert json.loads(str(span[semconv.SYSTEM_INSTRUCTIONS])) == [{"type": "text", "content": "Be brief."}]
    assert json.loads(str(span[semconv.TOOL_DEFINITIONS])) == [{"type": "function", "name": "search"}]


def test_its_loops_are_detected(acme: str, post: Callable[..., Any], telemetry: Telemetry) -> None:
    """The same tool call with the same result, again and again, is refused."""
    turns = list(BODY["turns"])

    def go_on() -> None:
        for number in range(6):
            post(acme, {**BODY, "turns": turns})
            turns.append({"who": "bot", "use": {"id": f"u{number}", "ability": "search", "with": {"q": "hotel"}}})
            turns.append({"who": "tool", "of": f"u{number}", "result": "nothing found"})

    tracer = telemetry.tracer_provider.get_tracer("test")
    block, agent = budgeted(telemetry, loop_action="block"), tracer.start_as_current_span("agent")
    with block, agent, pytest.raises(LoopDetected) as caught:
        go_on()
    assert (caught.value.tool, caught.value.rule) == ("search", "repeat")


def test_its_calls_are_bounded_and_rewritten(
    acme: str, post: Callable[..., Any], telemetry: Telemetry, model_server: ModelServer
) -> None:
    """A budget lowers its output limit, refuses what does not fit, and names another model, in its own fields."""
    with budgeted(telemetry, budgets="total:tokens=2600", on_exceed="clamp"):
        until_refused(lambda: post(acme, BODY))
    limits = [request.json["limit"] for request in model_server.requests]
    assert limits[0] == 400
    assert 64 <= limits[-1] < 400
    model_server.requests.clear()
    cheap: Any = {"on_exceed": "downgrade", "downgrade": "gpt-4o=gpt-4o-mini", "budgets": "total:usd=0.001"}
    with budgeted(telemetry, **cheap):
        until_refused(lambda: post(acme, {**BODY, "engine": "gpt-4o"}))
    assert {request.json["engine"] for request in model_server.requests} == {"gpt-4o-mini"}


def test_its_own_names_bound_its_input(acme: str) -> None:
    """Input stored at the provider has no bound; text has one that is not below its count."""
    form = load(acme)
    call = form.read_request(BODY, "/speak")
    bound = input_bound(call, form)
    assert bound is not None
    assert form.prompt_tokens is not None
    assert bound >= form.prompt_tokens.count(BODY, None) > 0
    assert input_count(call, form) > 0
    assert input_bound(form.read_request({**BODY, "memory": "m1"}, "/speak"), form) is None


def test_a_subclass_in_another_module_keeps_all_facets(install: Install) -> None:
    """A subclass of a format reads, captures, watches, bounds and rewrites like its parent."""
    form, chat = load(install(CHILD)), load("openai_chat")
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}
    call = form.read_request(body, "/chat")
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    answer = form.read_response(call, {"result": {"model": "gpt-4o", "usage": usage}})
    assert answer.usage is not None
    assert answer.usage.input_tokens == 1000
    assert content.input_messages(form, body) == content.input_messages(chat, body) is not None
    assert Reader().read(form, body) == Reader().read(chat, body) is not None
    assert input_bound(call, form) == input_bound(call, chat) is not None
    assert form.rewrite(call, "/chat", Change(max_output_tokens=5))[0]["max_tokens"] == 5


def test_a_format_without_facets_is_priced_and_says_once_what_is_missing(
    drop_in: Install, post: Callable[..., Any], telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """One file in the folder is enough for tokens and dollars; each missing facet is one warning, not one a call."""
    bare = drop_in(BARE)
    settings = from_environment(
        {
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
            "OTEL_AGENTCOST_BUDGETS": "total:tokens=4000",
        }
    )
    with caplog.at_level(logging.WARNING, "otel_agentcost"), instrumented(telemetry, settings=settings):
        until_refused(lambda: post(bare, BODY), most=30)
        form = load(bare)
        for _ in range(2):
            with pytest.raises(CannotRewrite, match="requests of its wire format cannot be changed"):
                form.rewrite(form.read_request(BODY, ""), "", Change(max_output_tokens=9))
    assert telemetry.spans[0].attributes is not None
    assert telemetry.spans[0].attributes[semconv.COST] == pytest.approx(USD)
    assert semconv.INPUT_MESSAGES not in telemetry.spans[0].attributes
    warned = [text for record in caplog.records if bare in (text := record.getMessage())]
    kind = f"otel-agentcost: the wire format otel_agentcost.wire.{bare}.Bare has no"
    assert sorted(warned) == [
        f"{kind} 'content' facet: the message content of its calls is not recorded",
        f"{kind} 'conversation' facet: loops in its conversations are not detected",
        f"{kind} 'input_bound' facet: budgets reserve an estimate of its input, which may be too low",
        f"{kind} 'prompt_tokens' facet: estimates of its input may miss parts of the prompt",
        f"{kind} 'rewriting' facet: budgets cannot downgrade or clamp its calls",
    ]


@pytest.mark.parametrize(
    ("source", "value", "wanted"),
    [
        ("FORMAT = 7", "", "has no wire format '{name}': its FORMAT is no instance of otel_agentcost.wire.Format"),
        ("x = 1", "", "has no wire format '{name}'"),
        ("import nowhere_at_all", "", "could not be loaded: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        (CHILD, "{name}:Missing", "could not be loaded: AttributeError"),
    ],
)
def test_an_entry_point_without_a_format_is_one_clear_sentence(
    install: Install, source: str, value: str, wanted: str
) -> None:
    """The sentence names the entry point and the reason, and it is the same at every call."""
    number = next(_numbers) + 1
    name = install(source, value=value.format(name=f"acme_{number}"))
    for _ in range(2):
        with pytest.raises(UnknownFormat) as caught:
            load(name)
        assert str(caught.value).startswith(f"the entry point {name} = ")
        assert wanted.format(name=name) in str(caught.value)


def test_an_entry_point_may_name_the_format_itself(install: Install) -> None:
    """The value of the entry point is a module with a `FORMAT`, or the object."""
    number = next(_numbers) + 1
    form = load(install(CHILD, value=f"acme_{number}:FORMAT"))
    assert type(form).__name__ == "Child"


@pytest.mark.parametrize("name", ["no_such_format", "fields", "content", "no.such", ""])
def test_an_unknown_name_is_one_clear_sentence(name: str) -> None:
    """What is no format has no reader, also where the folder has a helper of that name."""
    sentence = f"no module of otel_agentcost.wire and no entry point of {wire.GROUP} is a wire format called {name!r}"
    with pytest.raises(UnknownFormat, match=f"^{sentence}$"):
        load(name)


def test_entry_points_are_read_once_a_name(acme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for entry points reads the metadata of every distribution: never again for the same name."""
    form = load(acme)
    monkeypatch.delattr(wire, "entry_points")
    assert load(acme) is form


def test_the_files_of_the_package_are_found_first(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry point cannot replace a format of the package."""
    name = install(CHILD)
    (entry,) = tmp_path.glob("*.dist-info")
    (entry / "entry_points.txt").write_text(f"[{wire.GROUP}]\ngemini = {name}\n", encoding="utf-8")
    monkeypatch.setattr(wire, "_loaded", {})
    assert type(load("gemini")).__module__ == "otel_agentcost.wire.gemini"


def test_acme_reads_a_stream_of_its_own() -> None:
    """The transcript of the invented format puts a stream together for content capture."""
    form: Format = acme_format.FORMAT
    assert form.content is not None
    transcript = form.content.transcript()
    for more in ("The ", "Ritz."):
        transcript.feed({"more": more})
    (message,) = json.loads(content.output_messages(form, transcript.response()) or "")
    assert message["parts"] == [{"type": "text", "content": "The Ritz."}]
    answer = form.open_stream(form.read_request(BODY, "")).answer(complete=True)
    assert answer.missing == "the stream has no usage"
