"""The test server itself: if it were wrong, every test on top of it would be."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest

from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer, Reply, json_reply, sse_reply


def connect(server: ModelServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)


def test_replays_replies_in_order_on_one_connection_and_records_requests(model_server: ModelServer) -> None:
    """Replies go out in order over a kept-alive connection, and each request is recorded."""
    model_server.replies(json_reply({"n": 1}), json_reply({"n": 2}, status=429, headers={"Retry-After": "1"}))
    connection = connect(model_server)
    connection.request("POST", "/v1/x", body=b'{"a": 1}', headers={"X-Test": "yes"})
    first = connection.getresponse()
    assert (first.status, first.read()) == (200, b'{"n": 1}')
    connection.request("GET", "/v1/y")
    second = connection.getresponse()
    assert (second.status, second.headers["Retry-After"], second.read()) == (429, "1", b'{"n": 2}')
    connection.close()
    assert [(request.method, request.path) for request in model_server.requests] == [
        ("POST", "/v1/x"),
        ("GET", "/v1/y"),
    ]
    assert model_server.requests[0].json == {"a": 1}
    assert model_server.requests[0].headers["x-test"] == "yes"
    assert model_server.unused == 0


def test_streams_events(model_server: ModelServer) -> None:
    """An event stream arrives event by event and ends properly."""
    model_server.replies(sse_reply([{"type": "a"}, {"type": "b"}], named=True), sse_reply([{"n": 1}], done=True))
    connection = connect(model_server)
    connection.request("POST", "/")
    assert connection.getresponse().read() == b'event: a\ndata: {"type": "a"}\n\nevent: b\ndata: {"type": "b"}\n\n'
    connection.request("POST", "/")
    assert connection.getresponse().read() == b'data: {"n": 1}\n\ndata: [DONE]\n\n'
    connection.close()


@pytest.mark.parametrize("reply", [sse_reply([{"n": 1}], drop=True), Reply(body=b"{}", drop=True)])
def test_drops_the_connection_half_way(model_server: ModelServer, reply: Reply) -> None:
    """A dropped reply ends in the error that a client sees when a provider's connection breaks."""
    model_server.replies(reply)
    connection = connect(model_server)
    connection.request("POST", "/")
    response = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()


def test_a_request_without_a_reply_fails_in_a_way_that_no_sdk_retries(model_server: ModelServer) -> None:
    """Too few replies show at once, as status 418."""
    connection = connect(model_server)
    connection.request("POST", "/v1/x")
    response = connection.getresponse()
    assert response.status == 418
    assert b"no reply left for POST /v1/x" in response.read()
    connection.close()


def test_telemetry_collects_spans_and_points(telemetry: Telemetry) -> None:
    """The in-memory telemetry gives back what was recorded, by name and attributes."""
    with telemetry.tracer_provider.get_tracer("t").start_as_current_span("work", attributes={"a": 1}):
        pass
    meter = telemetry.meter_provider.get_meter("t")
    meter.create_counter("c").add(2, {"a.b": "x"})
    meter.create_histogram("h").record(3, {"a.b": "y"})
    assert telemetry.attributes("work") == {"a": 1}
    assert telemetry.total("c", a__b="x") == 2
    assert telemetry.total("c", a__b="y") == 0
    assert telemetry.histogram("h").count == 1
    assert telemetry.points("none") == ()
