"""HTTP clients beside OpenTelemetry's own instrumentations of them: their span is a child of the call's,
in any order."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from otel_agentcost.settings import Settings
from otel_agentcost.settings.hosts import to_hosts
from tests.integrations.http.providers import BY_NAME
from tests.integrations.http.senders import CLIENTS, SENDERS
from tests.support import replies
from tests.support.call_shapes import instrumented
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

THEIRS = {
    "httpx": ("opentelemetry.instrumentation.httpx", "HTTPXClientInstrumentor"),
    "requests": ("opentelemetry.instrumentation.requests", "RequestsInstrumentor"),
    "urllib3": ("opentelemetry.instrumentation.urllib3", "URLLib3Instrumentor"),
    "aiohttp": ("opentelemetry.instrumentation.aiohttp_client", "AioHttpClientInstrumentor"),
}
CASES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            find_spec(THEIRS[name.partition(" ")[0]][0].rpartition(".")[0]) is None
            or find_spec(THEIRS[name.partition(" ")[0]][0]) is None,
            reason="other instrumentations are not installed: pip install 'otel-agentcost[coexist]'",
        ),
    )
    for name in CLIENTS
    if name.partition(" ")[0] in THEIRS
]
BODY = BY_NAME["openai chat"].body


@contextmanager
def beside(name: str, telemetry: Telemetry) -> Generator[None]:
    """With the instrumentation of this client, for a block."""
    module, kind = THEIRS[name.partition(" ")[0]]
    theirs = getattr(import_module(module), kind)()
    theirs.instrument(tracer_provider=telemetry.tracer_provider)
    try:
        yield
    finally:
        theirs.uninstrument()


def ours(telemetry: Telemetry) -> Any:
    return instrumented(telemetry, settings=Settings(hosts=to_hosts("127.0.0.1=openai")))


@pytest.mark.parametrize("theirs_first", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_their_span_is_a_child_of_ours(
    name: str, theirs_first: bool, model_server: ModelServer, telemetry: Telemetry
) -> None:
    """One call, charged once. The instrumentation that is removed leaves the other as it was."""
    url = f"{model_server.url}/v1/chat/completions"
    model_server.responder = lambda _: replies.chat_reply()
    blocks: list[Callable[[], Any]] = [lambda: ours(telemetry), lambda: beside(name, telemetry)]
    with ExitStack() as outer:
        with ExitStack() as inner:
            first, second = reversed(blocks) if theirs_first else blocks
            outer.enter_context(first())
            inner.enter_context(second())
            SENDERS[name](url, BODY)
            call = next(span for span in telemetry.spans if span.name == "chat gpt-4o-mini")
            (request,) = (span for span in telemetry.spans if span is not call)
            assert request.name == "POST"
            assert (request.parent and request.parent.span_id) == (call.context and call.context.span_id)
            assert (call.attributes or {})["agentcost.cost.usd"] == replies.PLAIN_USD
            telemetry.clear()
        SENDERS[name](url, BODY)
        assert [span.name for span in telemetry.spans] == ["POST" if theirs_first else "chat gpt-4o-mini"]
        telemetry.clear()
    SENDERS[name](url, BODY)
    assert telemetry.spans == ()
