"""Grounding of Gemini's answers: the searches that are counted, and the names of everything else that may be billed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from otel_agentcost.core.call import Call
from otel_agentcost.wire import parameters
from otel_agentcost.wire.fields import entries, get, items
from otel_agentcost.wire.gemini.requests import either

__all__ = ["Grounding"]

_PRICES: Final = "https://ai.google.dev/gemini-api/docs/pricing"
MAPS: Final = "Google Maps grounding"
IMAGES: Final = "image search"
RETRIEVAL: Final = "retrieval grounding"
QUERIES: Final = "web searches (their number is not reported)"

_FREE_FIELDS: Final[Mapping[str, str]] = {
    "websearchqueries": "counted: " + _PRICES,
    "groundingchunks": "read below",
    "groundingsupports": "places in the answer",
    "retrievalmetadata": "a score",
    "searchentrypoint": "text to show",
    "sourceflagginguris": "links for reports",
    "confidencescores": "scores",
}
"""Fields of the grounding metadata that cost nothing or are counted, in lower case without `_`, with their source."""
_NAMED_FIELDS: Final[Mapping[str, str]] = {
    "googlemapswidgetcontexttoken": MAPS,  # https://ai.google.dev/gemini-api/docs/maps-grounding
    "imagesearchqueries": IMAGES,
    "retrievalqueries": RETRIEVAL,  # https://cloud.google.com/vertex-ai/generative-ai/pricing, "Grounding"
}
_CHUNKS: Final[Mapping[str, str]] = {"maps": MAPS, "image": IMAGES, "retrievedcontext": RETRIEVAL}
_TOOL_CALLS: Final[Mapping[str, str]] = {
    "GOOGLE_SEARCH_WEB": "",  # counted
    "URL_CONTEXT": "",  # https://ai.google.dev/gemini-api/docs/url-context: only tokens
    "FILE_SEARCH": "",  # https://ai.google.dev/gemini-api/docs/file-search: only tokens
    "GOOGLE_MAPS": MAPS,
    "GOOGLE_SEARCH_IMAGE": IMAGES,
}
"""What a tool call at Google may be billed as, by its type; "" for what is free or counted."""
_OTHER_SEARCHES: Final[Mapping[str, str]] = {
    "enterprisewebsearch": "enterprise web search",
    "parallelaisearch": "Parallel web search",
    "exaaisearch": "Exa web search",
}
"""Tools that search the web at another price than Google Search (https://cloud.google.com/vertex-ai/pricing)."""


class Grounding:
    """The grounding of the candidates in one or several chunks."""

    __slots__ = ("_names", "_queries", "_web")

    def __init__(self) -> None:
        self._queries: set[str] = set()
        self._names: set[str] = set()
        self._web = False

    def add(self, candidate: Any) -> None:
        """Read one candidate."""
        metadata = either(candidate, "groundingMetadata")
        if metadata is not None:
            for name, value in _present(metadata):
                if name == "groundingchunks":
                    self._add_chunks(items({"chunks": value}, "chunks"))
                elif name not in _FREE_FIELDS:
                    self._names.add(_NAMED_FIELDS.get(name, f"{name} (grounding)"))
            queries = parameters.strings(either(metadata, "webSearchQueries")) or ()
            self._queries.update(query for query in queries if query)
        for piece in items(get(candidate, "content"), "parts"):
            if (call := either(piece, "toolCall")) is not None:
                kind = either(call, "toolType")
                name = str(getattr(kind, "value", kind))
                self._names.add(_TOOL_CALLS.get(name, name))

    def _add_chunks(self, chunks: Any) -> None:
        for chunk in chunks:
            for name, _ in _present(chunk):
                if name == "web":
                    self._web = True
                else:
                    self._names.add(_CHUNKS.get(name, f"{name} (grounding)"))

    def billed(self, call: Call, model: str | None) -> tuple[int, set[str]]:
        """Return the number of billed web searches, and the names of what has no known price.

        Earlier models than Gemini 3 bill a prompt that uses searches, and later ones each distinct query.

        Args:
            call: The request.
            model: The model that served the call.
        """
        names = self._names - {""}
        if not (self._queries or self._web or names):
            return 0, names
        asked = {name for tool in items(call.body, "tools") for name, _ in _present(tool)}
        if "filesearch" in asked and "retrieval" not in asked:
            names.discard(RETRIEVAL)  # only tokens
        if not (self._queries or self._web):
            return 0, names
        others = {_OTHER_SEARCHES[name] for name in asked if name in _OTHER_SEARCHES}
        if others:
            return 0, names | others
        if model is not None and re.search(r"gemini-[12]\b", model) is not None:
            return 1, names
        return len(self._queries), names if self._queries else names | {QUERIES}


def _present(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of an object that are set: the names in lower case without `_`, and the values."""
    for name, entry in entries(value).items():
        if entry not in (None, "", [], ()):
            yield str(name).replace("_", "").lower(), entry
