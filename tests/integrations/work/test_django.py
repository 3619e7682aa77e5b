"""Django: each request has its own allowance, under WSGI and ASGI, with streamed bodies."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import answering, ask, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

django: Any = pytest.importorskip("django", reason="django is not here: `make frameworks`")

Get = Callable[[str], str]


@pytest.fixture
def application(model_server: ModelServer) -> Iterator[str]:
    """Settings, and views that answer with the number of calls that were made, of as many as the path asks for."""
    settings: Any = import_module("django.conf").settings
    http: Any = import_module("django.http")
    urls: Any = import_module("django.urls")
    if not settings.configured:
        settings.configure(ROOT_URLCONF="django_views", ALLOWED_HOSTS=["*"], SECRET_KEY="x", MIDDLEWARE=[])
        django.setup()
    openai = client(answering(model_server))

    def calls(most: int) -> Iterator[str]:
        made = 0
        try:
            while made < most:
                ask(openai)
                made += 1
            yield str(made)
        except BudgetExceeded as error:
            yield f"{made} {error}"

    views: Any = ModuleType("django_views")
    views.urlpatterns = [
        urls.path("whole/<int:most>", lambda _request, most: http.HttpResponse("".join(calls(most)))),
        urls.path("stream/<int:most>", lambda _request, most: http.StreamingHttpResponse(calls(most))),
    ]
    sys.modules["django_views"] = views
    urls.clear_url_caches()
    yield "django_views"
    del sys.modules["django_views"]
    openai.close()


def wsgi(path: str) -> str:
    """The text of the answer of Django's own WSGI application."""
    application: Any = import_module("django.core.wsgi").get_wsgi_application()
    environ = import_module("django.test").RequestFactory().get(f"/{path}").environ
    body = application(environ, lambda *_: None)
    try:
        return b"".join(body).decode()
    finally:
        body.close()


def asgi(path: str) -> str:
    """The same of its ASGI application."""
    sent: list[bytes] = []
    asked = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if asked:
            return asked.pop()
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body", b""))

    scope = {"type": "http", "method": "GET", "path": f"/{path}", "headers": [], "query_string": b""}
    application: Any = import_module("django.core.asgi").get_asgi_application()
    asyncio.run(application(scope, receive, send))
    return b"".join(sent).decode()


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")
@pytest.mark.usefixtures("application")
@pytest.mark.parametrize("get", [wsgi, asgi])
@pytest.mark.parametrize("path", ["whole", "stream"])
def test_a_request_is_never_refused_for_another(telemetry: Telemetry, path: str, get: Get) -> None:
    """Thirty requests, and then one that calls without end, which is refused as it should be."""
    with budgeted(telemetry, trace_max_llm_calls=3):
        bodies = [get(f"{path}/1") for _ in range(30)]
        runaway = get(f"{path}/50")
        after = get(f"{path}/3")
    assert (set(bodies), after) == ({"1"}, "3")
    assert runaway.startswith("3 The budget ")
    assert "of web request" in runaway
    assert runaway.endswith(" The next web request has a new allowance.")
