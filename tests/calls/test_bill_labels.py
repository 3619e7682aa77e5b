"""Labels for the provider's bill: what the real SDKs put on the wire with them and without them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import anthropic
import boto3
import httpx
import httpx2
import openai
import pytest
from google import genai
from google.oauth2.credentials import Credentials

import otel_agentcost
from otel_agentcost import runtime
from otel_agentcost.core.call import Endpoint
from otel_agentcost.diagnostics import forget_causes
from otel_agentcost.integrations.sdks import openai as openai_sdk
from otel_agentcost.wire import bill_labels
from otel_agentcost.wire.bill_labels import CHAT, CONVERSE, MESSAGES, VERTEX
from tests.integrations.sdks.bedrock import bedrock
from tests.store.recorded import rows, url_of
from tests.support.budgeted_calls import budgeted
from tests.support.every_provider import answering_all
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.replies import response_stream

WHO = {"team": "Search & Ads", "feature": "triage", "user": "u-1"}
ALL = "user,team,feature"


@pytest.fixture(autouse=True)
def anew() -> None:
    """Each cause of a warning is new."""
    forget_causes()


@pytest.fixture
def server(model_server: ModelServer) -> ModelServer:
    """A provider of everything."""
    return answering_all(model_server)


class Elsewhere(httpx2.BaseTransport):
    """Sends what is for the provider's own address to a local server."""

    def __init__(self, server: ModelServer) -> None:
        self._to = httpx2.URL(server.url)
        self._through = httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme=self._to.scheme, host=self._to.host, port=self._to.port)
        return self._through.handle_request(request)

    def close(self) -> None:
        self._through.close()


class AsyncElsewhere(httpx2.AsyncBaseTransport):
    """Does the same, asynchronously."""

    def __init__(self, server: ModelServer) -> None:
        self._to = httpx2.URL(server.url)
        self._through = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme=self._to.scheme, host=self._to.host, port=self._to.port)
        return await self._through.handle_async_request(request)

    async def aclose(self) -> None:
        await self._through.aclose()


def _openai(server: ModelServer) -> openai.OpenAI:
    return openai.OpenAI(api_key="none", max_retries=0, http_client=httpx2.Client(transport=Elsewhere(server)))


MESSAGES_IN: list[Any] = [{"role": "user", "content": "Hi"}]


def ask_chat(server: ModelServer, **more: Any) -> object:
    """A chat with OpenAI."""
    with _openai(server) as made:
        return made.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES_IN, **more)


def ask_response(server: ModelServer, **more: Any) -> object:
    """A response of OpenAI."""
    with _openai(server) as made:
        return made.responses.create(model="gpt-4o-mini", input="Hi", **more)


def ask_message(server: ModelServer, **more: Any) -> object:
    """A message of Anthropic."""
    http: Any = httpx2.Client(transport=Elsewhere(server))
    with anthropic.Anthropic(api_key="none", max_retries=0, http_client=http) as made:
        return made.messages.create(model="claude-haiku-4-5", max_tokens=50, messages=MESSAGES_IN, **more)


def ask_vertex(server: ModelServer, **more: Any) -> object:
    """Gemini on Vertex AI."""
    options: Any = {"base_url": server.url}
    credentials: Any = Credentials("token")  # type: ignore[no-untyped-call]
    made = genai.Client(
        vertexai=True, project="p", location="us-central1", credentials=credentials, http_options=options
    )
    with made:
        return made.models.generate_content(model="gemini-2.5-flash", contents="Hi", config=cast("Any", more or None))


def ask_gemini(server: ModelServer, **more: Any) -> object:
    """Gemini's own API, which has no labels."""
    options: Any = {"base_url": server.url}
    with genai.Client(api_key="none", http_options=options) as made:
        return made.models.generate_content(model="gemini-2.5-flash", contents="Hi", config=cast("Any", more or None))


def ask_converse(server: ModelServer, **more: Any) -> object:
    """Claude on Amazon Bedrock."""
    with bedrock(server) as made:
        return made.converse(
            modelId="anthropic.claude-3-haiku-20240307-v1:0",
            messages=[{"role": "user", "content": [{"text": "Hi"}]}],
            **more,
        )


Ask = Callable[..., object]


def sent(telemetry: Telemetry, server: ModelServer, ask: Ask, names: str | None, **more: Any) -> bytes:
    """The body of one call."""
    with budgeted(telemetry, bill_labels=names), otel_agentcost.attribute(**WHO):
        ask(server, **more)
    return server.requests[-1].body


LABELLED = {
    "chat": (ask_chat, {"store": True}, "metadata", {"user": "u-1", "team": "Search & Ads", "feature": "triage"}),
    "response": (ask_response, {}, "metadata", {"user": "u-1", "team": "Search & Ads", "feature": "triage"}),
    "message": (ask_message, {}, "metadata", {"user_id": "u-1"}),
    "vertex": (ask_vertex, {}, "labels", {"user": "u-1", "team": "search___ads", "feature": "triage"}),
    "converse": (ask_converse, {}, "requestMetadata", {"user": "u-1", "team": "Search _ Ads", "feature": "triage"}),
}


@pytest.mark.parametrize("name", LABELLED)
def test_labels_are_the_only_change_on_the_wire(telemetry: Telemetry, server: ModelServer, name: str) -> None:
    """Within each provider's rules; without the setting, the body has the same bytes as without this package."""
    ask, more, field, expected = LABELLED[name]
    ask(server, **more)
    alone = server.requests[-1].body
    assert sent(telemetry, server, ask, None, **more) == alone
    labelled = json.loads(sent(telemetry, server, ask, ALL, **more))
    assert labelled.pop(field) == expected
    assert labelled == json.loads(alone)
    assert len(telemetry.spans) == 2, "one for each call that was measured"
    assert all("agentcost.cost.usd" in (span.attributes or {}) for span in telemetry.spans)


UNLABELLED: dict[str, tuple[Ask, dict[str, Any]]] = {
    "a chat that is not stored": (ask_chat, {}),
    "a response that is not stored": (ask_response, {"store": False}),
    "Gemini's own API": (ask_gemini, {}),
    "labels of another kind": (ask_message, {"metadata": {"user_id": "own"}}),
    "null": (ask_response, {"metadata": None}),
}


@pytest.mark.parametrize("name", UNLABELLED)
def test_where_labels_are_refused_or_set_nothing_changes(telemetry: Telemetry, server: ModelServer, name: str) -> None:
    """To the byte."""
    ask, more = UNLABELLED[name]
    ask(server, **more)
    alone = server.requests[-1].body
    assert sent(telemetry, server, ask, ALL, **more) == alone


def test_a_server_that_only_looks_like_openai_gets_no_labels(telemetry: Telemetry, server: ModelServer) -> None:
    """It may refuse them."""

    def ask(server: ModelServer, **more: Any) -> object:
        with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as made:
            return made.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES_IN, store=True, **more)

    assert "metadata" not in json.loads(sent(telemetry, server, ask, ALL))


@pytest.mark.parametrize(
    ("ask", "more", "field"),
    [
        (ask_chat, {"store": True, "metadata": {"team": "own", "x": "y"}}, "metadata"),
        (ask_response, {"extra_body": {"metadata": {"team": "own", "x": "y"}}}, "metadata"),
        (ask_vertex, {"labels": {"team": "own", "x": "y"}}, "labels"),
        (ask_converse, {"requestMetadata": {"team": "own", "x": "y"}}, "requestMetadata"),
    ],
)
def test_the_labels_of_the_application_stay(
    telemetry: Telemetry, server: ModelServer, ask: Ask, more: dict[str, Any], field: str
) -> None:
    """And its objects stay as they are."""
    before = copy.deepcopy(more)
    body = json.loads(sent(telemetry, server, ask, ALL, **more))
    assert body[field] == {"team": "own", "x": "y", "user": "u-1", "feature": "triage"}
    assert more == before


async def test_an_asynchronous_call_has_them_too(telemetry: Telemetry, server: ModelServer) -> None:
    """As a synchronous one."""
    async with openai.AsyncOpenAI(
        api_key="none", max_retries=0, http_client=httpx2.AsyncClient(transport=AsyncElsewhere(server))
    ) as made:
        with budgeted(telemetry, bill_labels="team"), otel_agentcost.attribute(team="search"):
            await made.responses.create(model="gpt-4o-mini", input="Hi")
    assert server.requests[-1].json["metadata"] == {"team": "search"}
    assert len(telemetry.spans) == 1


def test_a_stream_has_them_too(telemetry: Telemetry, server: ModelServer) -> None:
    """And is read to its end as without them."""
    server.responder = lambda _: response_stream()
    with budgeted(telemetry, bill_labels="team"), otel_agentcost.attribute(team="search"), _openai(server) as made:
        for _ in made.responses.create(model="gpt-4o-mini", input="Hi", stream=True):
            pass
    assert server.requests[-1].json["metadata"] == {"team": "search"}
    assert "agentcost.cost.usd" in telemetry.attributes()


def test_a_request_without_an_sdk_has_them_too(telemetry: Telemetry, server: ModelServer) -> None:
    """Also one that a budget has changed before."""
    transport: Any = httpx.MockTransport(
        lambda request: httpx.post(f"{server.url}{request.url.path}", content=request.content)
    )
    body = {"model": "gpt-4o-mini", "input": "Hi", "max_output_tokens": 5000}
    settings = {"bill_labels": "team", "budgets": "total:usd=0.001,on_exceed=clamp"}
    with budgeted(telemetry, **settings), otel_agentcost.attribute(team="search"):
        httpx.Client(transport=transport).post("https://api.openai.com/v1/responses", json=body)
    found = server.requests[-1].json
    assert found["metadata"] == {"team": "search"}
    assert found["max_output_tokens"] < 5000
    assert "metadata" not in body


def test_a_method_that_is_patched_twice_labels_and_counts_once(telemetry: Telemetry, server: ModelServer) -> None:
    """The inner wrapper knows the labelled request for that of the outer one."""
    with budgeted(telemetry, bill_labels="team"), otel_agentcost.attribute(team="search"), _openai(server) as made:
        runtime_of = type(made).request  # as code that has kept the patched method calls it

        def request(*args: Any, **kwargs: Any) -> Any:
            return runtime_of(made, *args, **kwargs)

        pipeline = runtime._running[0].pipeline
        seam = openai_sdk.SDK.patches[0].seam
        made.request = lambda *args, **kwargs: pipeline.call(seam, request, made, args, kwargs)  # type: ignore[method-assign]
        made.responses.create(model="gpt-4o-mini", input="Hi")
    assert server.requests[-1].json["metadata"] == {"team": "search"}
    assert len(telemetry.spans) == 1


def test_fingerprints_and_content_are_those_without_labels(
    telemetry: Telemetry, server: ModelServer, tmp_path: Path
) -> None:
    """So that a repeated request is seen as one, whatever is labelled."""
    for number, labels in enumerate((None, ALL)):
        with (
            budgeted(telemetry, bill_labels=labels, record=url_of(tmp_path / f"{number}.db")),
            otel_agentcost.attribute(**WHO),
        ):
            ask_vertex(server)
    (without,), (labelled,) = (rows(tmp_path / f"{number}.db") for number in range(2))
    assert b"labels" not in server.requests[0].body
    assert b"labels" in server.requests[1].body
    assert without["request"] == labelled["request"] is not None
    assert without["segments"] == labelled["segments"]


# --- the rules --------------------------------------------------------------------------------------------------------

TARGETS = {
    name: Endpoint(provider=name, base_url="", known=True, attributes={})
    for name in ("openai", "anthropic", "gcp.vertex_ai", "aws.bedrock")
}


def labelled(facet: Any, value: str, name: str = "team", body: dict[str, Any] | None = None) -> Any:
    """The labels that a facet writes."""
    path = {"metadata": "/messages", "labels": "models/m:generateContent", "requestMetadata": "/model/m/converse"}
    written = "/chat/completions" if facet is CHAT else path[facet.field]
    made = facet.labelled({"store": True, **(body or {})}, written, TARGETS[facet.provider], {name: value})
    return None if made is None else made[facet.field]


@pytest.mark.parametrize(
    ("facet", "value", "expected"),
    [
        (VERTEX, "Größe 5/day", "größe_5_day"),
        (VERTEX, "検索", "検索"),
        (VERTEX, "x" * 63, "x" * 63),
        (VERTEX, "x" * 64, None),
        (VERTEX, "aʰ", None),
        (CONVERSE, "a/b=c@d", "a/b=c@d"),
        (CONVERSE, "tab\tor (this)", "tab_or _this_"),
        (CONVERSE, "größe", None),
        (CONVERSE, "x" * 257, None),
        (CHAT, "größe (5)", "größe (5)"),
        (CHAT, "line\nbreak", "line_break"),
        (CHAT, "x" * 512, "x" * 512),
        (CHAT, "x" * 513, None),
    ],
)
def test_a_value_keeps_the_rules_of_its_provider(
    facet: Any, value: str, expected: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Signs become `_`; what would lose letters, or is too long, is left out, and said once without the value."""
    assert labelled(facet, value) == (None if expected is None else {"team": expected})
    assert labelled(facet, value) == (None if expected is None else {"team": expected})
    said = [record.message for record in caplog.records]
    assert len(said) == (expected is None)
    assert not any(value in sentence for sentence in said)


@pytest.mark.parametrize(
    ("user", "written"),
    [
        ("u1", True),
        ("4711", True),
        ("0b1c2d3e-1111-2222-3333-444455556666", True),
        ("auth0|64ac", True),
        ("x" * 256, True),
        ("x" * 257, False),
        ("ada@example.com", False),
        ("Ada Lovelace", False),
        ("+491701234567", False),
        ("(030)123-456", False),
        ("030/123456", False),
    ],
)
def test_anthropic_gets_ids_only(user: str, written: bool) -> None:
    """It refuses the requests with mail addresses, and asks for no names and telephone numbers."""
    assert labelled(MESSAGES, user, "user") == ({"user_id": user} if written else None)
    assert labelled(MESSAGES, user, "team") is None


def test_a_request_with_many_labels_gets_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of the application is pushed out."""
    own = {f"k{n}": "v" for n in range(16)}
    assert labelled(CHAT, "search", body={"metadata": own}) is None
    assert "16 labels at most" in caplog.text


def test_the_rules_are_those_of_the_sdks() -> None:
    """Of botocore's model of the service, and of the types of the others."""
    client: Any = boto3.client("bedrock-runtime", region_name="us-east-1")
    for operation in ("Converse", "ConverseStream"):
        members = client.meta.service_model.operation_model(operation).input_shape.members
        shape = members["requestMetadata"]
        assert (shape.metadata["max"], shape.value.metadata["max"]) == (CONVERSE.most, CONVERSE.longest)
        assert shape.value.metadata["pattern"] == r"[a-zA-Z0-9\s:_@$#=/+,-.]{0,256}"
    source = Path(str(openai.__file__)).parent / "types" / "chat" / "completion_create_params.py"
    text = " ".join(source.read_text(encoding="utf-8").split())
    assert "Set of 16 key-value pairs" in text
    assert "Values are strings with a maximum length of 512 characters" in text
    assert anthropic.types.MetadataParam.__annotations__.keys() == {"user_id"}
    assert "labels" in genai.types.GenerateContentConfig.model_fields
    assert VERTEX.most == 64


def test_an_older_botocore_is_left_alone(telemetry: Telemetry, server: ModelServer) -> None:
    """It refuses fields that it does not know."""
    with bedrock(server) as client:
        client.meta.service_model.operation_model("Converse").input_shape.members.pop("requestMetadata")
        with budgeted(telemetry, bill_labels=ALL), otel_agentcost.attribute(**WHO):
            client.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "Hi"}]}])
    assert "requestMetadata" not in server.requests[-1].json


def test_a_failure_in_here_sends_the_request_as_it_is(
    telemetry: Telemetry, server: ModelServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged once."""

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(bill_labels.LabelMap, "labelled", fails)
    for _ in range(2):
        assert "metadata" not in json.loads(sent(telemetry, server, ask_response, ALL))
    assert caplog.text.count("writing labels for the bill failed with ZeroDivisionError") == 2, "once an instrument()"
