"""The cache of answers as a pipeline sees it, and as the HTTP clients below the SDKs see it for one call.

`savings/responses` is the cache. It is imported only if the setting `cache` is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from otel_agentcost.core.call import Answer
from otel_agentcost.core.recorded import Recorded, Sent
from otel_agentcost.wire.format import ModelRequest


class Recording(Protocol):
    """A response that is being received."""

    def chunk(self, data: bytes, /) -> None:
        """Add bytes as they came."""
        ...

    def ended(self) -> None:
        """Note that all of the response has come."""
        ...


class Exchange(Protocol):
    """The part of the cache in one call."""

    served: bool
    """True if the answer of the call came from the cache."""
    age: float
    """The age of the cached answer, in seconds."""

    @property
    def has_answer(self) -> bool:
        """True if the cache has an answer, which is served if the request that is sent is its request."""
        ...

    def reply_to(self, sent: Sent) -> Recorded | None:
        """Return the recorded answer to a request; None if the request is to be sent.

        Raises:
            NotReplayed: The recorded answer is for another request. Nothing was sent.
        """
        ...

    def recording(self, sent: Sent, reply: Recorded) -> Recording | None:
        """Return what records a response; None if it is not recorded.

        Args:
            sent: The request.
            reply: The response, without its body.
        """
        ...

    def missed(self) -> None:
        """Note that the cached answer is not served, and that the call is made."""
        ...

    def waits_no_longer(self) -> None:
        """Let those go on that wait for this call: the application reads its response when it likes, or never."""
        ...

    def drop(self) -> None:
        """Keep nothing of this call."""
        ...

    def closed_early(self) -> None:
        """Note that the application has closed the stream before its end."""
        ...

    def ended(self, answer: Answer, error: BaseException | None) -> None:
        """Keep the answer of a call that was made, if it may be kept, and let others go on that wait for it."""
        ...


class AnswerCache(Protocol):
    """A cache of answers."""

    def look(self, request: ModelRequest, who: Mapping[str, str], client: Any, limit: float | None) -> Exchange | None:
        """Look for an answer, and wait for one that an identical call is fetching.

        Args:
            request: The request.
            who: The attribution of the call.
            client: The object whose method makes the call.
            limit: How long the call may wait for the provider, in seconds; None if it is not known.

        Returns:
            None if answers to this request are not kept.
        """
        ...

    async def look_async(
        self, request: ModelRequest, who: Mapping[str, str], client: Any, limit: float | None
    ) -> Exchange | None:
        """Do the same as `look`, without blocking the event loop."""
        ...

    def close(self) -> None:
        """Close the store."""
        ...
