"""OpenAI moderations, which are free."""

# ruff: noqa: ARG002 (every format has the same methods, and not every one needs all arguments)
from __future__ import annotations

from typing import Any

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire.fields import text
from otel_agentcost.wire.format import Change
from otel_agentcost.wire.not_streamed import Uncounted
from otel_agentcost.wire.rewriting import Rewritten, kept


class Moderations:
    """The format."""

    def read_request(self, body: Any, path: str) -> Call:
        """What the request asks for."""
        return Call(operation="moderation", model=text(body, "model"), max_output_tokens=0, body=body)

    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        """The same request with `change` made in it."""
        return kept(call, path, change)

    def read_response(self, call: Call, response: Any) -> Answer:
        """What the response says: there is nothing to pay."""
        return Answer(model=text(response, "model"), response_id=text(response, "id"), free=True)

    def open_stream(self, call: Call) -> Uncounted:
        """Moderations are not streamed."""
        return Uncounted(Answer(free=True))


FORMAT = Moderations()
