"""Labels in the requests of SDKs that stream through a generator, which sends its request with the first event."""

from __future__ import annotations

from typing import Any

from google import genai
from google.oauth2.credentials import Credentials

import otel_agentcost
from tests.support.budgeted_calls import budgeted
from tests.support.in_memory import Telemetry
from tests.support.model_server import ModelServer
from tests.support.replies import content_stream


def test_a_stream_of_a_generator_is_labelled(telemetry: Telemetry, model_server: ModelServer) -> None:
    """Such an SDK sends its request with the first event."""
    model_server.responder = lambda _: content_stream()
    options: Any = {"base_url": model_server.url}
    credentials: Any = Credentials("token")  # type: ignore[no-untyped-call]
    made = genai.Client(
        vertexai=True, project="p", location="us-central1", credentials=credentials, http_options=options
    )
    with budgeted(telemetry, bill_labels="team"), otel_agentcost.attribute(team="search"), made:
        assert list(made.models.generate_content_stream(model="gemini-2.5-flash", contents="Hi"))
    assert model_server.requests[-1].json["labels"] == {"team": "search"}
    assert "agentcost.cost.usd" in telemetry.attributes()
