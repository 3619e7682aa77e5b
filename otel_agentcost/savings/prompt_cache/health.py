"""The watch over the provider's prompt cache: each answer is compared with what the answer before it had cached.

As long as the provider reads what it had cached, the beginning of the prompt is unchanged: nothing but the new messages
is hashed. Only a shortfall, or the first call of a conversation, takes the hashes of all of it. Calls without cached
tokens, and prompts that are too short for any provider's cache, cost nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer
from otel_agentcost.core.prompt_caches import Miss, Prefix
from otel_agentcost.core.usage import Tokens, Usage
from otel_agentcost.guard import forks
from otel_agentcost.savings.prompt_cache import rules
from otel_agentcost.savings.prompt_cache.breaks import (
    LEAST,
    Cause,
    is_other_role,
    is_short,
    message_cause,
    role_cause,
)
from otel_agentcost.savings.prompt_cache.conversations import Asked, Conversations, History, Place, Related
from otel_agentcost.savings.prompt_cache.segments import (
    MARKS,
    Role,
    Unreadable,
    is_cleared,
    is_marked_in_messages,
    role_of,
)
from otel_agentcost.wire.fields import fields, get
from otel_agentcost.wire.format import ModelRequest
from otel_agentcost.wire.no_facets import NO_CONVERSATION

SMALLEST: Final = 512
"""No provider caches a shorter prompt, in tokens."""

_HOUR: Final = 3600.0
_NEAR_THE_END: Final = 8
"""Messages that are hashed again if a little less was read than was cached."""


class _Call(NamedTuple):
    """One answered call."""

    request: ModelRequest
    asked: Asked
    model: str
    tokens: Tokens
    usage: Usage
    answer: str | None
    at: float
    now: float

    @property
    def body(self) -> Any:
        return self.request.call.body


class _Found(NamedTuple):
    """The end of a search: the conversation that a call goes on with is known."""

    miss: Miss | None


class PromptCacheHealth:
    """Watches the prompt caches of all conversations of a process. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time, *, every: bool = False) -> None:
        """Start with no conversation.

        Args:
            clock: Returns the time in seconds since the epoch.
            every: True to know conversations without cached tokens, too, so that `prefix` knows what repeats.
        """
        self._clock = clock
        self._every = every
        self.least = SMALLEST if every else LEAST
        """The input tokens of the smallest prompt that is watched: a smaller one has too little to lose."""
        self._conversations = Conversations()
        self._lock = threading.Lock()
        forks.watch(self)

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of conversations that are known."""
        return len(self._conversations)

    # --- after the answer ---

    def answered(
        self, request: ModelRequest, who: Mapping[str, str], trace: int, answer: Answer, at: float
    ) -> Miss | None:
        """Take an answered call.

        Args:
            request: The request as it was sent.
            who: Whose call it is (the attribution of its span).
            trace: The trace id; 0 if there is none.
            answer: Its answer.
            at: When it began, in seconds since the epoch.

        Returns:
            The prefix that was cached and not read; None if all is well, or if nothing is known.
        """
        usage = answer.usage
        if usage is None or usage.estimated:
            return None
        tokens = usage.tokens()
        cached = tokens.cache_read + tokens.cache_write
        if tokens.input < self.least or not (cached or self._every or self._conversations):
            return None
        asked = _asked(request, who, trace)
        if asked is None:
            return None
        stored = asked.facet.is_stored(request.call.body)
        call = _Call(
            request, asked, _model(request), tokens, usage, answer.response_id if stored else None, at, self._clock()
        )
        with self._lock:
            try:
                return self._take(call)
            except Unreadable:
                return None

    def _take(self, call: _Call) -> Miss | None:
        conversations, read = self._conversations, call.tokens.cache_read
        place = conversations.place(call.asked)
        healthy: History | None = None
        for history in place.histories:
            if (
                history.role.model == call.model
                and not is_short(history.established, read)
                and (healthy is None or history.established > healthy.established)
            ):
                healthy = history
        if healthy is not None:
            self._go_on(healthy, call, place)
            return None
        return self._look_closer(call, place)

    def _go_on(self, history: History, call: _Call, place: Place) -> None:
        """Note a call that has read what was cached: what it repeats is unchanged, then.

        If it has read a little less, something near the end has changed. Where nothing is cached, its tools and its
        system prompt are looked at, too: what waits for a cache wants to know whether they stay.
        """
        before, read, start = history.established, call.tokens.cache_read, place.start
        if not before or before > read:
            role = role_of(call.body, call.model, afresh=not before)
            if not role.is_like(history.role):
                self._conversations.anew(history)
            history.role = role
        if not before and read + call.tokens.cache_write:
            start = 0
        elif before > read:
            start = max(0, start - _NEAR_THE_END)
        self._note(history, call, place, start)

    def _note(self, history: History, call: _Call, place: Place, start: int) -> None:
        tokens = call.tokens
        history.answer = call.answer
        self._conversations.extend(history, call.asked, place, start)
        history.established = tokens.cache_read + tokens.cache_write
        history.input = tokens.input
        self._conversations.noted(history, call.at, call.now, _lifetime(history, call))
        self._conversations.forget(call.now)

    def _look_closer(self, call: _Call, place: Place) -> Miss | None:
        """Find out which conversation a call goes on with that did not read what was cached, and what has changed."""
        candidates = self._conversations.candidates(call.asked, place)
        if not candidates and not self._is_of_use(call):
            return None
        role = role_of(call.body, call.model)
        likely = [history for history in candidates if not is_other_role(history.role, role)]
        if _is_silent(call) and any(_is_unread(history, call) for history in likely if history in place.histories):
            return Miss("unreported", "", 0)
        related = self._conversations.related(call.asked, place, likely, role)
        if related:
            role = role_of(call.body, call.model, afresh=True)
            if not role.marked and any(each.history.role.marked for each in related):
                role = role._replace(marked=is_marked_in_messages(fields(call.body)))
        found = self._missed_of(related, role, call, place)
        if found is not None:
            return found.miss
        if self._is_of_use(call):
            self._note(self._conversations.begin(call.asked, place, role), call, place, 0)
        return None

    def _missed_of(self, related: list[Related], role: Role, call: _Call, place: Place) -> _Found | None:
        """Return what was missed of the first conversation that a call goes on with; None if it goes on with none."""
        count = len(call.asked.messages)
        for each in related:  # nothing before the messages has changed
            history = each.history
            if each.relation == "continues" and history.role == role:
                return _Found(self._missed(history, None, role, call, place))
        for each in related:
            history = each.history
            longer = each.relation != "continues" or count > len(history.hashes) or call.asked.previous is not None
            if not longer or is_other_role(history.role, role):
                continue
            cause = role_cause(history.role, role)
            if cause is None and each.relation == "edited":
                cause = _edit(call, history, each.at)
            elif each.relation == "compacted":
                cause = Cause("compacted")
            return _Found(self._missed(history, cause, role, call, place))
        return None

    def _is_of_use(self, call: _Call) -> bool:
        return self._every or call.tokens.cache_read + call.tokens.cache_write > 0

    def _missed(self, history: History, cause: Cause | None, role: Role, call: _Call, place: Place) -> Miss | None:
        """Return what was missed, and go on from what is cached now.

        Args:
            history: The conversation.
            cause: The part that has changed; None if none has.
            role: The hashes of what stands before the messages of the request.
            call: The call.
            place: Its place.
        """
        if history.answered > call.now:  # the clock was ahead
            history.began, history.answered = min(history.began, call.now), call.now
        if call.at < history.answered and is_short(history.established, call.tokens.cache_read):
            return None  # it began before the answer that has cached the prefix
        miss = _miss(history, cause, call)
        if miss is not None and miss.reason == "unreported":
            return miss
        if role != history.role and not history.changed and role.model != history.role.model:
            history = self._conversations.begin(call.asked, place, role)
        elif role != history.role and not history.changed:  # both may go on: a second one is kept, once
            history = self._conversations.begin(call.asked, place, role)
            history.changed = True
        if cause is not None:
            self._conversations.anew(history)
        history.role = role
        self._note(history, call, place, 0)
        return miss

    # --- before a call ---

    def prefix(self, request: ModelRequest, who: Mapping[str, str], trace: int, at: float) -> Prefix | None:
        """Return the prefix that a request repeats, if the call before has had it. Changes nothing.

        The tools, the system prompt and the parameters that are part of it are the same, too.

        Args:
            request: The request, before it is sent.
            who: Whose call it is.
            trace: The trace id; 0 if there is none.
            at: The time, in seconds since the epoch.
        """
        if not self._conversations:
            return None
        asked = _asked(request, who, trace)
        if asked is None:
            return None
        model = _model(request)
        with self._lock:
            try:
                place = self._conversations.place(asked)
            except Unreadable:
                return None
            same = [history for history in place.histories if history.role.model == model]
            if same:
                role = role_of(request.call.body, model, afresh=True)
                same = [history for history in same if role.is_like(history.role)]
            if not same:
                return None
            last = max(same, key=lambda each: each.answered)
            since = max(0.0, at - last.began)
            seen = last.seen if since <= last.lifetime else 0
            return Prefix(last.input, last.established, seen, last.gaps, since, last.number)


def _asked(request: ModelRequest, who: Mapping[str, str], trace: int) -> Asked | None:
    """Return a request as far as it identifies its conversation; None if its format has no conversations."""
    facet, body = request.format.conversation, request.call.body
    if facet is None or facet is NO_CONVERSATION or body is None:
        return None
    owner, named = 0, False
    if who:
        find, conversation = who.get, who.get(semconv.CONVERSATION)
        owner = hash((conversation, find(semconv.AGENT), find(semconv.USER), find(semconv.TENANT)))
        named = conversation is not None
    if facet.continues(body):
        previous = get(body, "previous_response_id")
        return Asked(facet, (), owner, named, trace, previous) if isinstance(previous, str) else None
    return Asked(facet, facet.messages(body), owner, named, trace)


def _model(request: ModelRequest) -> str:
    return f"{request.endpoint.provider}/{request.call.model}"


def _lifetime(history: History, call: _Call) -> float:
    """Return the seconds for which a prefix is kept now: as long as the longest of its parts."""
    tokens = call.tokens
    if tokens.cache_write and any("_1h_" in kind for kind in call.usage.counts):
        return _HOUR
    if history.lifetime and (tokens.cache_read or not tokens.cache_write):
        return history.lifetime
    return rules.lifetime(call.request.endpoint.provider, call.request.call.model)


def _edit(call: _Call, history: History, at: int) -> Cause | None:
    """Return the cause if message `at` differs: it was changed, or the history was shortened in its place."""
    if call.tokens.input < history.input or is_cleared(call.asked.messages[at]):
        return Cause("compacted")
    body = call.body
    known = fields(body)
    if history.role.marked and MARKS.isdisjoint(known) and not is_marked_in_messages(known):
        return None  # the cached prefix ends before the messages
    return message_cause(at, instruction=call.asked.facet.is_instruction(call.asked.messages[at]))


def _is_silent(call: _Call) -> bool:
    """Return True if an answer does not say how many tokens were cached, as others of its kind do."""
    return not call.tokens.cache_read + call.tokens.cache_write and call.usage.silent


def _is_unread(history: History, call: _Call) -> bool:
    return call.at >= history.answered and is_short(history.established, call.tokens.cache_read)


def _miss(history: History, cause: Cause | None, call: _Call) -> Miss | None:
    """Return what was lost; None if too little was."""
    tokens = call.tokens
    if not is_short(history.established, tokens.cache_read):
        return None
    if _is_silent(call):
        return Miss("unreported", "", 0)
    lost = min(history.established, tokens.input) - tokens.cache_read
    if call.at - history.began > history.lifetime:
        return Miss("ttl_expired", "", lost)
    if cause is None:
        cause = Cause("compacted" if tokens.input < history.input else "provider")
    return Miss(cause.reason, cause.segment, lost) if lost >= LEAST or cause.reason == "compacted" else None
