"""One call through two instrumented services, an application and a gateway, is reserved, charged and counted once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import APIStatusError, APITimeoutError, AsyncOpenAI, OpenAI
from opentelemetry import context, propagate

from otel_agentcost import BudgetExceeded
from otel_agentcost.guard.ledger import open_ledger
from tests.services.gateway import figures, gateway
from tests.support.budgeted_calls import ASK, USD, budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, Request, json_reply
from tests.support.redis_server import Server
from tests.support.replies import PLAIN, chat, chat_stream

UNLIMITED: dict[str, Any] = {key: value for key, value in ASK.items() if key != "max_tokens"}
STREAM: dict[str, Any] = {**ASK, "stream": True, "stream_options": {"include_usage": True}}


Bill = tuple[float, float, float]
"""What both services say together: the dollars on spans, those of `agentcost.cost`, and the tokens of two metrics."""


def calls(number: int) -> Any:
    """The bill of so many calls, each counted once."""
    return pytest.approx((number * USD, number * USD, number * 2 * 150))


class App:
    """The application: its client sends the trace context with its requests, as an instrumented HTTP client does."""

    def __init__(self, telemetry: Telemetry, url: str) -> None:
        self.telemetry = telemetry
        self.url = url
        self.sent: list[dict[str, str]] = []
        """The headers of the trace context of each request."""
        self.further: httpx2.URL | None = None
        http = httpx2.Client(event_hooks={"request": [self.inject]})
        self.client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, http_client=http)

    def then(self, url: str) -> None:
        """Sends the second request, and those after it, to another process of the gateway."""
        self.further = httpx2.URL(url)

    def inject(self, request: Any) -> None:
        """Sends the trace context, as an instrumentation of the client does."""
        if self.sent and self.further is not None:
            request.url = request.url.copy_with(port=self.further.port)
            request.headers["x-status"] = "200 once"
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        self.sent.append(carrier)
        request.headers.update(carrier)

    def in_trace(self, *asked: dict[str, Any], **headers: str) -> list[BaseException | None]:
        """Makes calls in one trace; returns how each ended."""
        ended: list[BaseException | None] = []
        extra = {f"x-{name}": value for name, value in headers.items()}
        with self.telemetry.tracer_provider.get_tracer("application").start_as_current_span("root"):
            ended += [self._ask(each, extra) for each in asked]
        return ended

    def _ask(self, asked: dict[str, Any], headers: dict[str, str]) -> BaseException | None:
        try:
            answer = self.client.chat.completions.create(**asked, extra_headers=headers)
        except (BudgetExceeded, APIStatusError) as error:
            return error
        if asked.get("stream"):
            list(answer)
        return None

    def bill(self) -> Bill:
        there = figures(self.url)
        own: list[dict[str, Any]] = [dict(span.attributes or {}) for span in self.telemetry.spans]
        on_spans = sum(float(each.get("agentcost.cost.usd", 0)) for each in [*own, *there["spans"]])
        names = ("agentcost.tokens", "gen_ai.client.token.usage")
        tokens = sum(self.telemetry.total(name) + there[name] for name in names)
        return on_spans, self.telemetry.total("agentcost.cost") + there["agentcost.cost"], tokens


@pytest.fixture(autouse=True)
def provider(model_server: ModelServer) -> ModelServer:
    model_server.responder = lambda request: (
        chat_stream(usage=PLAIN) if request.json.get("stream") else json_reply(chat())
    )
    return model_server


@pytest.fixture(params=["sqlite", "redis"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A ledger that both services share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server: Server = request.getfixturevalue("redis_server")
    server.client.flushall()
    return server.url


@contextmanager
def services(
    telemetry: Telemetry, provider: ModelServer, there: dict[str, str] | None = None, /, **settings: str
) -> Generator[App]:
    """Both services, with the same settings unless the gateway has others."""
    settings = {"ledger_timeout": "5", **settings}
    with gateway(provider.url, **{**settings, **(there or {})}) as url, budgeted(telemetry, **settings):
        yield App(telemetry, url)


def spent(url: str, key: str) -> tuple[int, int, int]:
    """Nano-dollars and calls that a ledger has counted, and the calls that it holds."""
    standing = open_ledger(url, timeout=5).standing(key, now=time.time())
    return standing.spent["nano_usd"], standing.spent["calls"], standing.held["calls"]


@pytest.mark.parametrize("ask", [ASK, STREAM], ids=["whole", "stream"])
def test_a_call_through_two_services_is_not_charged_twice(
    telemetry: Telemetry, provider: ModelServer, ledger: str, ask: dict[str, Any]
) -> None:
    """A shared ledger, the same limits in both: four calls are sent, and counted as four everywhere."""
    rules = {"trace_max_llm_calls": "4", "trace_budget_usd": "1", "budgets": "total:usd=1"}
    with services(telemetry, provider, ledger=ledger, **rules) as app:
        ended = app.in_trace(*[ask] * 6)
        assert [error is None for error in ended] == [True] * 4 + [False] * 2
        assert len(provider.requests) == 4
        assert app.bill() == calls(4)
        assert spent(ledger, "total/all/") == (round(4 * USD * 1e9), 4, 0)
        for span in figures(app.url)["spans"]:
            assert (span["agentcost.charged_upstream"], span["agentcost.watched"]) == (True, True)
            assert span["gen_ai.usage.input_tokens"] == 100


def test_a_call_does_not_wait_for_money_that_its_outer_call_holds(
    telemetry: Telemetry, provider: ModelServer, ledger: str
) -> None:
    """Without an output limit, the outer call reserves all that is left; the inner one is sent at once."""
    with services(telemetry, provider, ledger=ledger, trace_budget_usd="0.001") as app:
        began = time.monotonic()
        assert app.in_trace(UNLIMITED, UNLIMITED) == [None, None]
        assert time.monotonic() - began < 5
        assert app.bill() == calls(2)


def test_a_further_call_does_not_wait_for_money_that_its_outer_call_holds(
    telemetry: Telemetry, provider: ModelServer, ledger: str
) -> None:
    """A second call of the gateway for one request is another call: there is no money left for it, and it says so."""
    with services(telemetry, provider, ledger=ledger, trace_budget_usd="0.001") as app:
        began = time.monotonic()
        (error,) = app.in_trace(UNLIMITED, calls="2")
        assert "trace:usd=0.001" in str(error)
        assert time.monotonic() - began < 5
        assert len(provider.requests) == 1


def test_separate_ledgers_count_a_call_once_each(telemetry: Telemetry, provider: ModelServer) -> None:
    """Each service keeps to its own limits; metrics and spans have each call once."""
    with services(telemetry, provider, {"trace_max_llm_calls": "2"}, trace_max_llm_calls="4") as app:
        ended = app.in_trace(*[ASK] * 6)
        assert [error is None for error in ended] == [True, True, False, False, False, False]
        assert len(provider.requests) == 2
        assert app.bill() == calls(2)


def test_budgets_of_the_gateway_alone_still_count(telemetry: Telemetry, provider: ModelServer, ledger: str) -> None:
    """The application has not reserved in them."""
    there = {"budgets": "total:calls=3"}
    with services(telemetry, provider, there, ledger=ledger, trace_max_llm_calls="9") as app:
        ended = app.in_trace(*[ASK] * 5)
        assert [error is None for error in ended] == [True] * 3 + [False] * 2
        assert spent(ledger, "total/all/") == (round(3 * USD * 1e9), 3, 0)
        assert app.bill() == calls(3)


def test_a_second_call_for_one_request_is_not_left_out(
    telemetry: Telemetry, provider: ModelServer, ledger: str
) -> None:
    """The application sees one answer and charges it; what else the gateway does, the gateway charges."""
    with services(telemetry, provider, ledger=ledger, budgets="total:usd=1") as app:
        assert app.in_trace(ASK, calls="2") == [None]
        assert app.bill() == calls(2)
        assert spent(ledger, "total/all/") == (round(2 * USD * 1e9), 2, 0)


def test_another_deployment_is_not_charged_beside_the_first(
    telemetry: Telemetry, provider: ModelServer, ledger: str
) -> None:
    """A gateway that tries again after an error still makes the application's call."""

    def fails_once(_request: Request) -> Reply:
        return json_reply({"error": {}}, status=500) if len(provider.requests) == 1 else json_reply(chat())

    provider.responder = fails_once
    with services(telemetry, provider, ledger=ledger, budgets="total:usd=1") as app:
        assert app.in_trace(ASK) == [None]
        assert len(provider.requests) == 2
        assert app.bill() == calls(1)


def until_counted(app: App, number: int) -> None:
    """Waits for what a gateway settles after its application has gone, or a thread after its event loop."""
    until = time.monotonic() + 10
    while (app.telemetry.total("agentcost.cost") + figures(app.url)["agentcost.cost"]) < (number - 0.5) * USD:
        assert time.monotonic() < until, "the call is charged nowhere"
        time.sleep(0.05)
    time.sleep(0.3)  # whatever would charge it a second time


def dollars(app: App) -> tuple[float, float]:
    """What both services say together: the dollars on spans, and those of `agentcost.cost`."""
    on_spans, on_metrics, _ = app.bill()
    return on_spans, on_metrics


@pytest.mark.parametrize("ask", [ASK, STREAM], ids=["whole", "stream"])
def test_a_call_is_not_free_because_the_gateway_fails_after_it(
    telemetry: Telemetry, provider: ModelServer, ledger: str, ask: dict[str, Any]
) -> None:
    """The model has answered, and the application gets a 500: it charges what the gateway's call has cost."""
    with services(telemetry, provider, ledger=ledger, budgets="total:usd=1") as app:
        (error,) = app.in_trace(ask, status="500")
        assert isinstance(error, APIStatusError)
        assert dollars(app) == pytest.approx((USD, USD))
        assert spent(ledger, "total/all/") == (round(USD * 1e9), 1, 0)


def test_calls_that_fail_after_their_gateway_was_billed_do_not_pass_a_budget(
    telemetry: Telemetry, provider: ModelServer, ledger: str
) -> None:
    """Each of them has cost money: they are refused once it is spent."""
    with services(
        telemetry, provider, {"budgets": "total:calls=100"}, ledger=ledger, budgets="total:usd=0.0001"
    ) as app:
        app.in_trace(*[ASK] * 8, status="500")
        assert len(provider.requests) <= 2


def test_a_call_that_the_application_does_not_wait_for_is_charged_once(
    telemetry: Telemetry, provider: ModelServer, ledger: str
) -> None:
    """The application gives up, and the gateway's call goes on: the gateway charges it, in both services' budgets."""

    def late(_request: Request) -> Reply:
        time.sleep(1)
        return json_reply(chat())

    provider.responder = late
    with services(telemetry, provider, ledger=ledger, budgets="total:usd=1") as app:
        app.client.timeout = 0.3
        with (
            telemetry.tracer_provider.get_tracer("application").start_as_current_span("root"),
            pytest.raises(APITimeoutError),
        ):
            app.client.chat.completions.create(**ASK)
        until_counted(app, 1)
        assert dollars(app) == pytest.approx((USD, USD))
        assert spent(ledger, "total/all/") == (round(USD * 1e9), 1, 0)


def test_a_retry_after_a_billed_call_is_charged_beside_it(
    telemetry: Telemetry, provider: ModelServer, ledger: str
) -> None:
    """The SDK tries again after the 500: the model is billed twice for one call of the application."""
    with services(telemetry, provider, ledger=ledger, budgets="total:usd=1") as app:
        app.client.max_retries = 1
        assert app.in_trace(ASK, status="500 once") == [None]
        assert len(provider.requests) == 2
        assert dollars(app) == pytest.approx((2 * USD, 2 * USD))
        assert spent(ledger, "total/all/") == (round(2 * USD * 1e9), 2, 0)


def test_a_retry_at_another_process_of_the_gateway_is_charged_beside_the_first(
    telemetry: Telemetry, provider: ModelServer, ledger: str
) -> None:
    """Two workers of one gateway: only one of them makes the application's call."""
    with (
        gateway(provider.url, ledger=ledger, budgets="total:usd=1", ledger_timeout="5") as other,
        services(telemetry, provider, ledger=ledger, budgets="total:usd=1") as app,
    ):
        app.client.max_retries = 1
        app.then(other)
        assert app.in_trace(ASK, status="500 once") == [None]
        assert len(provider.requests) == 2
        there = figures(other)
        assert app.telemetry.total("agentcost.cost") + figures(app.url)["agentcost.cost"] + there[
            "agentcost.cost"
        ] == pytest.approx(2 * USD)
        assert spent(ledger, "total/all/") == (round(2 * USD * 1e9), 2, 0)


async def test_an_async_call_is_not_free_because_the_gateway_fails_after_it(
    telemetry: Telemetry, provider: ModelServer, ledger: str
) -> None:
    """The same without blocking the event loop."""
    with services(telemetry, provider, ledger=ledger, budgets="total:usd=1") as app:

        async def inject(request: Any) -> None:
            app.inject(request)

        http = httpx2.AsyncClient(event_hooks={"request": [inject]})
        made = AsyncOpenAI(base_url=f"{app.url}/v1", api_key="none", max_retries=0, http_client=http)
        root = telemetry.tracer_provider.get_tracer("application").start_as_current_span("root")
        with root, pytest.raises(APIStatusError):
            await made.chat.completions.create(**ASK, extra_headers={"x-status": "500"})
        await asyncio.to_thread(until_counted, app, 1)
        assert dollars(app) == pytest.approx((USD, USD))
        assert spent(ledger, "total/all/") == (round(USD * 1e9), 1, 0)


def test_a_call_whose_mark_was_lost_on_its_way_is_charged_by_both(
    telemetry: Telemetry, provider: ModelServer, ledger: str
) -> None:
    """Without the baggage nothing tells it from another call: the documentation says so."""
    with services(telemetry, provider, ledger=ledger, budgets="total:usd=1") as app:
        assert app.in_trace(ASK, stripped="1") == [None]
        assert app.bill() == calls(2)
        assert spent(ledger, "total/all/") == (round(2 * USD * 1e9), 2, 0)


def test_a_model_that_only_the_gateway_can_price_is_not_lost(
    telemetry: Telemetry, provider: ModelServer, ledger: str
) -> None:
    """The application has no price for the gateway's alias: the gateway charges."""
    provider.responder = lambda _request: json_reply(chat(model="gpt-4o-mini"))
    with services(telemetry, provider, {"budgets": "total:usd=1"}, ledger=ledger) as app:
        app.in_trace({**ASK, "model": "our-model"}, model="gpt-4o-mini")
        assert figures(app.url)["agentcost.cost"] == pytest.approx(USD)
        assert spent(ledger, "total/all/") == (round(USD * 1e9), 1, 0)


def from_outside(app: App, baggage: str) -> Any:
    """A request to the gateway by a client that is not instrumented, and sends this baggage."""
    return httpx2.post(f"{app.url}/v1/chat/completions", json=ASK, headers={"baggage": baggage})


MADE_UP = "agentcost.call=" + "0" * 31 + "1.answer.00000000"


def stale(app: App) -> str:
    """The mark of a call that has ended."""
    app.in_trace(ASK)
    return app.sent[-1]["baggage"]


@pytest.mark.parametrize("mark", [lambda _app: MADE_UP, stale], ids=["made up", "stale"])
def test_a_mark_that_nothing_proves_opens_no_hole_in_budgets(
    telemetry: Telemetry, provider: ModelServer, ledger: str, mark: Callable[[App], str]
) -> None:
    """A client from outside that sends a mark is counted and refused like any other."""
    with services(telemetry, provider, ledger=ledger, budgets="total:calls=4") as app:
        baggage = mark(app)
        while len(provider.requests) < 4:
            assert from_outside(app, baggage).status_code == 200
        refused = from_outside(app, baggage)
        assert refused.status_code == 429
        assert "total:calls=4" in refused.text
        assert len(provider.requests) == 4
        assert spent(ledger, "total/all/")[1] == 4


def test_only_what_the_ledger_confirms_is_believed_if_so_set(
    telemetry: Telemetry, provider: ModelServer, ledger: str
) -> None:
    """With `ledger`, a made-up mark hides no dollars either; a call in flight upstream is still charged once."""
    with services(telemetry, provider, ledger=ledger, budgets="total:usd=1", upstream="ledger") as app:
        app.in_trace(ASK)
        assert app.bill() == calls(1)
        from_outside(app, MADE_UP)
        assert app.bill() == calls(2)


def test_marks_are_neither_sent_nor_read_when_turned_off(
    telemetry: Telemetry, provider: ModelServer, ledger: str
) -> None:
    """Each service then charges what it sees."""
    with services(telemetry, provider, ledger=ledger, budgets="total:usd=1", upstream="off") as app:
        app.in_trace(ASK)
        assert "baggage" not in app.sent[-1]
        assert app.bill() == calls(2)


@pytest.mark.parametrize("mark", [None, MADE_UP])
def test_no_mark_is_sent_to_a_provider(telemetry: Telemetry, mark: str | None) -> None:
    """At the provider's own address there is nothing to pass on, whether the call has brought a mark or not."""
    seen: list[dict[str, str]] = []

    def answer(request: Any) -> Any:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        seen.append(carrier)
        return httpx2.Response(200, json=chat(), request=request)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    made = OpenAI(api_key="none", base_url="https://api.openai.com/v1", max_retries=0, http_client=http)
    with budgeted(telemetry):
        token = context.attach(propagate.extract({"baggage": f"{mark},other=1" if mark else "other=1"}))
        try:
            made.chat.completions.create(**ASK)
        finally:
            context.detach(token)
    assert [carrier["baggage"] for carrier in seen] == ["other=1"]
