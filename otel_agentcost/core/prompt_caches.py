"""Names for the state of the provider's prompt cache, which `savings` finds out and `calls` and telemetry report."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

Reason = Literal[
    "tools", "system", "model", "parameter", "messages", "compacted", "ttl_expired", "provider", "unreported"
]
"""Why the provider has read less from its cache than it had cached.

`compacted`: the history was shortened; `ttl_expired`: the pause was longer than the prefix is kept; `provider`: nothing
has changed, so that it was evicted or the call went to another machine; `unreported`: this answer does not say.
"""

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)

EXPECTED: Final[frozenset[Reason]] = frozenset({"compacted", "ttl_expired", "unreported"})
"""Reasons that are no break: the span says so, and there is neither an event nor a loss."""


class Miss(NamedTuple):
    """A prefix that was cached and not read again."""

    reason: Reason
    segment: str
    """The part of the prompt that has changed, such as `tools[3]`; empty if none has."""
    tokens: int
    """Tokens that were paid again; 0 if they are not known."""

    @property
    def broken(self) -> bool:
        """True if it is a break, which the application did not intend."""
        return self.reason not in EXPECTED


class Prefix(NamedTuple):
    """The prefix that a request repeats."""

    tokens: int
    """The input tokens of the request before, all of which this one repeats."""
    cached: int
    """Those of them that the provider had cached."""
    seen: int
    """Calls in a row that have had it, each within the time for which it is kept."""
    gaps: tuple[float, ...]
    """Seconds between the latest of them."""
    since: float
    """Seconds since the last one."""
    conversation: int = 0
    """A number of the conversation, the same for all of its requests."""
