"""Facet of formats that create batches: what a provider says of a batch, and the lines of its results.

A line is the response to one request of the batch, in the format of that request. A line that failed, expired or was
cancelled has no response, and the provider bills nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

from otel_agentcost.core.call import Call
from otel_agentcost.wire.fields import get, items, text

__all__ = ["LINE_FORMATS", "Batch", "BatchApi", "BatchLine", "BatchRequest", "JsonLines", "Reading", "format_of_line"]

Reading = Literal["state", "results", "upload"]
"""A request that reads batches, one that reads results, and one that uploads a file with the requests of a batch."""

LINE_FORMATS: Final[Mapping[str, str]] = {
    "/chat/completions": "openai_chat",
    "/fim/completions": "openai_chat",
    "/agents/completions": "openai_chat",
    "/completions": "openai_completions",
    "/responses": "openai_responses",
    "/embeddings": "openai_embeddings",
    "/moderations": "openai_moderations",
    "/chat/moderations": "openai_moderations",
    "/images/generations": "openai_images",
    "/images/edits": "openai_images",
    "/audio/transcriptions": "openai_audio",
    "/audio/translations": "openai_audio",
    "/ocr": "mistral_ocr",
    "/conversations": "mistral_conversations",
    "/messages": "anthropic_messages",
    ":generateContent": "gemini",
    ":embedContent": "gemini",
}
"""The wire format of a request in a batch, by the end of its path. The longest end that fits decides."""


def format_of_line(path: str) -> str:
    """Return the name of the wire format of a request in a batch. For an unknown path, one without a reader."""
    found = max((end for end in LINE_FORMATS if path.endswith(end)), key=len, default="")
    return LINE_FORMATS.get(found, "no_reader")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch, as far as a response describes it."""

    id: str
    over: bool
    """True if it has ended without results, or with results that its API does not read, such as those in a bucket."""
    files: tuple[str, ...] = ()
    """The ids of the files with results."""
    results: Sequence[Any] | None = None
    """The results, if the response has them."""


class BatchLine(NamedTuple):
    """One line of the results."""

    id: str
    """Unique in the batch."""
    response: Any
    """The response; None if nothing is billed for the line."""
    model: str | None = None
    """The model that the line names, beside its response."""


class BatchRequest(NamedTuple):
    """One request of a batch that is being created."""

    path: str
    body: Any


class BatchApi(Protocol):
    """The batches of one provider."""

    reads: Mapping[str, Reading]
    """The paths of requests that read batches or their results, by path ending. `*` stands for the id."""

    def states(self, response: Any, /) -> Iterable[Batch]:
        """Yield the batches that a response speaks of: of a creation, a poll, a cancellation, or a list."""
        ...

    def path(self, call: Call, /) -> str:
        """Return the path of the requests in the batch that `call` creates."""
        ...

    def line(self, item: Any, /) -> BatchLine | None:
        """Read one line of the results; None if it is no such line. An empty id stands for its number."""
        ...

    def requests(self, call: Call, /) -> Iterable[BatchRequest] | None:
        """Return the requests of the batch that `call` creates; None if they are in a file."""
        ...


class JsonLines:
    """The lines of OpenAI's batches, which others have taken over: a status and the body of each response."""

    def line(self, item: Any) -> BatchLine | None:
        """Read a line."""
        named = text(item, "custom_id")
        if named is None:
            return None
        answered = get(item, "response")
        status = get(answered, "status_code")
        fine = get(item, "error") is None and (status is None or (type(status) is int and 200 <= status < 300))
        return BatchLine(named, get(answered, "body") if fine else None)


def listed(response: Any, kind: str) -> Iterator[Any]:
    """Yield the objects in a response: the one that it is, or those of a list in the field `kind` or `data`."""
    batches = items(response, kind) or items(response, "data")
    yield from batches or (response,)
