"""A format around another one, for APIs that send the bodies of another API."""

from __future__ import annotations

from otel_agentcost.wire.format import Format, Rewriting

__all__ = ["Within"]


class Within(Format):
    """A format that has the facets of another one."""

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
