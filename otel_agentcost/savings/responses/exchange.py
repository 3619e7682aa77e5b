"""The part of the cache in one call: it gets a recorded answer, or its own answer is recorded and kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol
from urllib.parse import urlsplit

from otel_agentcost.core.call import Answer
from otel_agentcost.core.recorded import NotReplayed, Recorded, Sent
from otel_agentcost.savings.responses import keys
from otel_agentcost.savings.responses.entries import Entry
from otel_agentcost.savings.responses.flights import Runner, runner

_OF_ITS_TIME: Final = re.compile(
    r"^(?:set-cookie2?|connection|keep-alive|content-encoding|trailer|upgrade|alt-svc"
    r"|retry-after|server-timing|age|.*rate-?limit.*|.*-cost.*|.*-spend.*|.*budget.*|.*processing-ms|.*-authenticate)$"
)
"""Headers that are not kept: they say something of the connection, the time, the limits or the price of one request."""

_GUARDRAIL: Final = "x-amzn-bedrock-guardrailversion"
"""The version of a guardrail. A draft may change."""

_LAST: Final = b"[DONE]"
"""SDKs close a stream behind this mark, which comes last."""


class Keeper(Protocol):
    """Ends exchanges: `cache.ResponseCache`."""

    largest: int
    """Bytes of the largest answer that is kept."""

    def let_go(self, exchange: Exchange) -> None:
        """Let those go on that wait for an exchange, without an entry."""
        ...

    def ended(self, exchange: Exchange, entry: Entry | None) -> None:
        """Keep an entry, and let those go on that wait for it."""
        ...

    def may_keep(self, exchange: Exchange, answer: Answer, body: bytes) -> bool:
        """Return True if an answer may be kept."""
        ...


class Recording:
    """A response that is being received."""

    __slots__ = ("_chunks", "_largest", "_size", "check", "complete", "reply", "url")

    def __init__(self, sent: Sent, reply: Recorded, largest: int) -> None:
        """Begin a recording.

        Args:
            sent: The request.
            reply: The response, without its body.
            largest: The most bytes to keep.
        """
        self.url = sent.url
        self.check = sent
        self.reply = reply
        self.complete = False
        self._chunks: list[bytes] | None = []
        self._size = 0
        self._largest = largest

    def chunk(self, data: bytes, /) -> None:
        """Add bytes as they came."""
        self._size += len(data)
        if self._size > self._largest:
            self._chunks = None
        elif self._chunks is not None and data:
            self._chunks.append(data)

    def ended(self) -> None:
        """Note that all of the response has come."""
        self.complete = True

    def entry(self) -> Entry | None:
        """Return what was recorded; None if it is too large."""
        if self._chunks is None:
            return None
        named = [(name.lower(), name, value) for name, value in self.reply.headers]
        compressed = any(low == "content-encoding" for low, _, _ in named)
        headers = tuple(
            (name, value)
            for low, name, value in named
            if not _OF_ITS_TIME.match(low) and not (compressed and low == "content-length")
        )
        reply = self.reply._replace(headers=headers, chunks=tuple(self._chunks))
        return Entry(self.url, keys.check_of(self.check), reply, keys.who_of(self.check))


class Exchange:
    """One call and the cache."""

    __slots__ = (
        "_broken",
        "_closed_early",
        "_host",
        "_keeper",
        "_over",
        "_recordings",
        "age",
        "asked_by",
        "entry",
        "key",
        "land",
        "operation",
        "owner",
        "rehearse",
        "remember",
        "runner",
        "scope",
        "served",
        "streamed",
    )

    def __init__(
        self, keeper: Keeper, key: str, scope: str, operation: str, host: str, *, streamed: bool = False
    ) -> None:
        """Begin an exchange.

        Args:
            keeper: Ends it.
            key: The key of the request.
            scope: Whose it is.
            operation: `gen_ai.operation.name`.
            host: The host and port of the provider: other requests of the call are not recorded.
            streamed: True if a stream is asked for.
        """
        self._keeper = keeper
        self.key = key
        self.scope = scope
        self.operation = operation
        self.streamed = streamed
        self._host = host
        self.entry: Entry | None = None
        """The cached answer, which is served if the request that is sent is its request; None if there is none."""
        self._recordings: list[Recording] = []
        self._broken = False
        self._closed_early = False
        self._over = False
        self.owner: str | None = None
        """The name under which this process has claimed the key in a shared store; None if it has not."""
        self.land: Callable[[Entry | None], None] | None = None
        """Ends the flight that others wait for; None if no call can."""
        self.rehearse: Callable[[Entry], None] | None = None
        """Takes the answer that is kept, for the semantic cache in shadow; None without one."""
        self.remember: Callable[[str], None] | None = None
        """Takes the digest of who sends the requests of this client (`keys.who_of`); None if it is not needed."""
        self.asked_by: str | None = None
        """The digest of who has sent the last request of this client (`keys.who_of`); None if it is not known."""
        self.runner: Runner = runner()
        self.served = False
        self.age = 0.0

    def found(self, entry: Entry, age: float) -> None:
        """Serve the call from the cache, if the client has not asked as somebody else before."""
        if self.asked_by in (None, entry.who):
            self.entry, self.age = entry, max(age, 0.0)

    def arrived(self, entry: Entry | None) -> None:
        """Serve the call with the answer of an identical call, if that has got one."""
        if entry is not None:
            self.found(entry, 0)

    @property
    def has_answer(self) -> bool:
        """True if the cache has an answer."""
        return self.entry is not None

    def reply_to(self, sent: Sent) -> Recorded | None:
        """Return the recorded answer to a request; None if the request is to be sent.

        Raises:
            NotReplayed: The recorded answer is for another request. Nothing was sent.
        """
        entry = self.entry
        if entry is None:
            return None
        # Another request, to fetch a token for example, is not sent either: no budget has admitted anything yet.
        if keys.check_of(sent) != entry.check:
            self._remember(sent)
            raise NotReplayed
        self.served = True
        return entry.reply

    def recording(self, sent: Sent, reply: Recorded) -> Recording | None:
        """Return what records a response; None if it is not recorded."""
        if self._over or self.entry is not None or sent.method.upper() != "POST" or sent.body is None:
            return None
        if urlsplit(sent.url).netloc != self._host or reply.status != 200:
            return None
        self._remember(sent)
        if any(value == "DRAFT" and name.lower() == _GUARDRAIL for name, value in sent.headers):
            return None
        recording = Recording(sent, reply, self._keeper.largest)
        self._recordings.append(recording)
        return recording

    def _remember(self, sent: Sent) -> None:
        if self.remember is not None and urlsplit(sent.url).netloc == self._host:
            self.remember(keys.who_of(sent))

    def waits_no_longer(self) -> None:
        """Let those go on that wait: the application reads the response when it likes, or never."""
        if self.owner is not None or self.land is not None:
            self._keeper.let_go(self)

    def missed(self) -> None:
        """Note that the recorded answer is for another request, and that the call is made."""
        self.entry, self.served = None, False

    def drop(self) -> None:
        """Keep nothing of this call."""
        self._broken = True

    def closed_early(self) -> None:
        """Note that the application has closed the stream before its end."""
        self._closed_early = True

    def ended(self, answer: Answer, error: BaseException | None) -> None:
        """Keep the answer of a call that was made, if it may be kept, and let others go on that wait for it."""
        if self._over:
            return
        self._over = True
        entry = self._kept(answer) if error is None and not self.served else None
        self._recordings.clear()
        if self.owner is not None or self.land is not None or entry is not None:
            self._keeper.ended(self, entry)

    def _kept(self, answer: Answer) -> Entry | None:
        if self._broken or len(self._recordings) != 1:
            return None
        recording = self._recordings[0]
        entry = recording.entry()
        if entry is None or not (recording.complete or self.streamed):
            return None
        body = b"".join(entry.reply.chunks)
        if self._closed_early and not body.rstrip().endswith(_LAST):
            return None
        return entry if self._keeper.may_keep(self, answer, body) else None
