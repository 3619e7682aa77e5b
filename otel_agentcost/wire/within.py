"""A format around another one, for APIs that send the bodies of another API."""

from __future__ import annotations

from typing import Any

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire.format import AnswerReader, Format, Rewriting

__all__ = ["Within"]


class Within(Format):
    """A format that has the facets of another one, and reads as that one does where it says nothing else."""

    def __init__(self, inner: Format, rewriting: Rewriting | None = None) -> None:
        """Create the format.

        Args:
            inner: The format of the bodies.
            rewriting: The facet of that name. Default: that of `inner`.
        """
        self.inner = inner
        self.content, self.conversation = inner.content, inner.conversation
        self.input_bound, self.prompt_tokens = inner.input_bound, inner.prompt_tokens
        self.rewriting = rewriting or inner.rewriting

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        return self.inner.read_request(body, path)

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        return self.inner.read_response(call, response)

    def open_stream(self, call: Call) -> AnswerReader:
        """Return a reader for the events of the answer to `call`."""
        return self.inner.open_stream(call)
