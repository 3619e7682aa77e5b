"""Flask: each request has its own allowance, with the body that a generator makes after the request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest

from otel_agentcost import BudgetExceeded
from tests.support.budgeted_calls import answering, ask, budgeted, client
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer

flask: Any = pytest.importorskip("flask", reason="flask is not here: `make frameworks`")


def application(openai: Any) -> Any:
    """Answers with the number of calls that were made, of as many as the path asks for; `stream` makes them late."""
    app = flask.Flask("application")

    def calls(most: int) -> Iterator[str]:
        made = 0
        try:
            while made < most:
                ask(openai)
                made += 1
            yield str(made)
        except BudgetExceeded as error:
            yield f"{made} {error}"

    def whole(most: int) -> str:
        return "".join(calls(most))

    def stream(most: int) -> Any:
        return flask.Response(calls(most))

    app.get("/<int:most>")(whole)
    app.get("/stream/<int:most>")(stream)
    return app


@pytest.mark.parametrize("path", ["", "stream/"])
def test_a_request_is_never_refused_for_another(telemetry: Telemetry, model_server: ModelServer, path: str) -> None:
    """A hundred requests in a few threads of a real server, and then one that calls without end."""
    from werkzeug.serving import make_server  # it is there if flask is

    with client(answering(model_server)) as openai, budgeted(telemetry, trace_max_llm_calls=3):
        server = make_server("127.0.0.1", 0, application(openai), threaded=path != "")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/{path}"
            bodies = [urlopen(f"{url}1").read().decode() for _ in range(100)]
            runaway = urlopen(f"{url}50").read().decode()
            after = urlopen(f"{url}3").read().decode()
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
    assert (set(bodies), after) == ({"1"}, "3")
    assert runaway.startswith("3 The budget ")
    assert "of web request" in runaway
    assert runaway.endswith(" The next web request has a new allowance.")


def test_what_runs_after_a_request_is_not_in_it(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Once its response is gone, the thread that served it has the allowance of the process again."""
    with client(answering(model_server)) as openai, budgeted(telemetry, trace_max_llm_calls=3):
        app = application(openai)
        for _ in range(2):
            app.test_client().get("/3")
        for _ in range(3):
            ask(openai)
        with pytest.raises(BudgetExceeded, match="of this process"):
            ask(openai)
        assert app.test_client().get("/stream/3").text == "3"
