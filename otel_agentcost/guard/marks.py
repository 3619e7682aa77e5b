"""Marks: with a mark, a call tells the next service on its way which budgets hold it already.

A mark is text: a random token, the kind of operation, and a digest of each budget key that the call has reserved in. In
a shared ledger, the call also reserves in a key that is named after the mark. So a mark proves itself: a service that
finds that reservation knows that a call is in flight upstream which holds exactly these budgets. A mark that is made
up, altered or stale has no reservation.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

from otel_agentcost.core import semconv
from otel_agentcost.guard.ledger import Claim

_LONGEST = 2_000
"""Characters of the longest mark that is read."""
_TOKEN = 32
_HOP = "~"
_ANSWERS = frozenset({semconv.CHAT, semconv.TEXT_COMPLETION, semconv.GENERATE_CONTENT})
"""Operations that a gateway may translate into each other."""


class Mark(NamedTuple):
    """A mark that a request has brought."""

    text: str
    token: str
    kind: str
    digests: frozenset[str]
    hop: str
    """Names the gateway's call that has passed the mark on; empty if the call that made the mark sent it."""

    def holds(self, key: str) -> bool:
        """Return True if the call upstream has reserved in the budget `key`."""
        return _digest(self.token, key) in self.digests


def new_token() -> str:
    """Return a token that cannot be guessed."""
    return os.urandom(_TOKEN // 2).hex()


def kind_of(operation: str) -> str:
    """Return the kind of an operation: two operations of one kind may be the same call."""
    return "answer" if operation in _ANSWERS else operation


def written(token: str, kind: str, claims: Iterable[Claim]) -> str:
    """Return the text of a mark.

    Args:
        token: The token of the call.
        kind: The kind of its operation.
        claims: The budgets that it has reserved in; none if no other service can see the reservation.
    """
    return ".".join((token, kind, *(_digest(token, claim.key) for claim in claims)))


def read(text: object) -> Mark | None:
    """Return the mark that `text` is; None if it is none. Anyone may have written it."""
    if not isinstance(text, str) or len(text) > _LONGEST:
        return None
    text, _, hop = text.partition(_HOP)
    token, _, rest = text.partition(".")
    kind, *digests = rest.split(".")
    if len(token) != _TOKEN or not token.isalnum() or not kind:
        return None
    return Mark(text, token, kind, frozenset(digests), hop)


def passed_on(mark: Mark) -> str:
    """Return the text of a mark that a gateway sends to the next one, for one call."""
    return f"{mark.text}{_HOP}{new_token()}"


def proof(mark: str, until: float) -> Claim:
    """Return the claim that proves `mark` while the call that sent it is in flight.

    Args:
        mark: The text of the mark.
        until: Epoch seconds at which the reservation of the call expires.
    """
    return Claim(key=proof_key(mark), limits={}, until=until, passing=True)


def proof_key(mark: str) -> str:
    """Return the key of the claim that proves `mark`."""
    return f"in flight/{mark}"


def _digest(token: str, key: str) -> str:
    return f"{crc32(f'{token}{key}'.encode('utf-8', 'surrogatepass')):08x}"
