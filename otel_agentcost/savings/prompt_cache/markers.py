"""The change that marks prompts for the provider's prompt cache, where they are seen to repeat.

Writing to the cache costs more than sending a prompt fresh. So a prompt of Anthropic's models is marked only if the
application marks nothing itself, two calls before have had the same beginning, each within the time to live, and it is
clearly longer than the model's minimum. Of the calls that a conversation makes in parallel, one is marked: the others
cannot read yet what it writes. What the marks have saved, net of the writes, is counted from the usage of the answers.
A conversation, or an agent, with which they lose money over a row of calls gets no more. OpenAI's prompts get a key by
which calls of one conversation come to the same cache, which costs nothing.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, NamedTuple, cast
from weakref import WeakKeyDictionary, WeakValueDictionary

from otel_agentcost.core import money, semconv
from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.prompt_caches import Prefix
from otel_agentcost.core.usage import Count, Kind
from otel_agentcost.diagnostics import warn_once
from otel_agentcost.guard import forks
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.savings.prompt_cache.health import PromptCacheHealth
from otel_agentcost.savings.prompt_cache.rules import Rule, rule
from otel_agentcost.savings.prompt_cache.segments import MARKS
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire.edit import Edit
from otel_agentcost.wire.fields import entries, get, text
from otel_agentcost.wire.format import ModelRequest
from otel_agentcost.wire.history import digest_of, history_of, size_of

Saved = Callable[[Decimal, Call, str, "str | None"], object]
"""Counts saved dollars of a call, with the provider and the model that served it."""

_MARGIN: Final = 1.2
"""How many times the model's minimum a prompt has to have: the tokens are those of the call before."""
_SHORT: Final = 300.0
_LONG: Final = 3600.0
_SAFE: Final = 0.9
"""The share of a time to live that gaps between calls may take."""
_CALLS: Final = 20
"""Calls after which marks that have lost money are given up."""
_REFUSALS: Final = 3
"""Marked calls in a row that have failed, after which there are no more."""
_SEEN: Final = 2
"""Calls before that have to have had the same beginning."""
_NAMES: Final = ("cache_control", "cachepoint", "cache_point", "prompt caching")
"""How a refusal names what it does not take."""
_DEEPEST: Final = 8
_MARKABLE: Final = frozenset({"text", "tool_result", "image", "document"})
_AGENTS: Final = 1_024


_Group = tuple[str, str]
"""The provider and model, and the name of the agent or conversation."""


class _Marked(NamedTuple):
    """A call that was marked."""

    groups: tuple[_Group, ...]
    """Whose marks are judged together: those of the conversation, if it has a name, and those of the agent."""
    place: tuple[str, str]
    """The provider and model, and the address."""
    conversation: int


class _Account:
    """The savings of one group's marks over the latest calls."""

    __slots__ = ("calls", "net", "refused")

    def __init__(self) -> None:
        self.calls = 0
        self.net = money.ZERO
        self.refused = 0
        """Marked calls in a row that have failed, for any reason."""


class PromptCacheMarkers:
    """Marks prompts for the provider's prompt cache."""

    name = "marks for the prompt cache"

    def __init__(self, watch: PromptCacheHealth, book: PriceBook, saved: Saved) -> None:
        """Create the change.

        Args:
            watch: Knows which prompts repeat: one that knows conversations without cached tokens, too.
            book: Prices what was saved.
            saved: Counts what was saved.
        """
        self._watch = watch
        self._book = book
        self._saved = saved
        self._accounts: dict[_Group, _Account] = {}
        self._stopped = set[_Group]()
        self._refusing = set[tuple[str, str]]()
        self._taking = set[tuple[str, str]]()
        """The places that have answered a marked call."""
        self._marked: WeakKeyDictionary[Record, _Marked] = WeakKeyDictionary()
        self._in_flight: WeakValueDictionary[object, Record] = WeakValueDictionary()
        """By conversation, and by place until it has answered one: the marked call that is not answered yet."""
        self._net = self._counted = money.ZERO
        self._lock = threading.Lock()
        forks.watch(self)

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()

    def edit(self, request: ModelRequest, record: Record, at: float, takes: Callable[[str], bool]) -> Edit | None:
        """Return the change of one request; None if its prompt is not to be marked."""
        target, call = request.endpoint, request.call
        found = rule(target.provider, call.model)
        if found is None or found.least is None or call.operation == "count_tokens":
            return None
        if "claude" in (call.model or "") and found.marked:
            return self._marks(request, record, at, takes, found)
        if target.provider in ("openai", "azure.ai.openai") and target.known and not found.marked:
            edit = _keyed(request, record, found)
            trace = record.span.get_span_context().trace_id
            goes_on = edit is not None and self._watch.prefix(request, record.attribution, trace, at) is not None
            return edit if goes_on else None
        return None

    def _marks(
        self, request: ModelRequest, record: Record, at: float, takes: Callable[[str], bool], found: Rule
    ) -> Edit | None:
        provider, known = request.endpoint.provider, request.endpoint.known
        if not (found.named if provider == "aws.bedrock" else known):  # a server of another maker may refuse them
            return None
        groups, where = _groups_of(request, record), _place_of(request)
        if not self._are_allowed(groups, where):
            return None
        trace = record.span.get_span_context().trace_id
        prefix = self._watch.prefix(request, record.attribution, trace, at)
        if prefix is None or prefix.tokens < _MARGIN * (found.least or 0):
            return None
        longer = found.long and takes(_CACHE_POINT_TTL)
        lifetime = lifetime_for(prefix, long=longer)
        if lifetime == _SHORT and prefix.seen < _SEEN:
            return None
        if lifetime is None or _has_marks(request.call.body, 0) or not self._is_alone(record, prefix, where):
            return None
        written = "5m" if lifetime == _SHORT else "1h"

        def marked(body: dict[str, Any], path: str) -> dict[str, Any] | None:
            if "/converse" in path:
                return _with_point(body, written) if takes(_CACHE_POINT) else None
            if provider == "anthropic" and path.partition("?")[0].rstrip("/").endswith("/messages"):
                return {**body, "cache_control": _control(written)}
            return _with_block(body, written)

        def applied() -> None:
            self._marked[record] = _Marked(groups, where, prefix.conversation)
            record.span.set_attribute(semconv.CACHE_MARKER, written)

        return Edit(marked, applied=applied)

    def _are_allowed(self, groups: tuple[_Group, ...], place: tuple[str, str]) -> bool:
        """Return True if nothing was stopped for these calls."""
        return place not in self._refusing and len(self._stopped) < _AGENTS and self._stopped.isdisjoint(groups)

    def _is_alone(self, record: Record, prefix: Prefix, place: tuple[str, str]) -> bool:
        """Return True if no other marked call waits for its answer: it could not read what this one writes.

        Until a place has answered one, there is one for all conversations: its refusal is to be the last.
        """
        with self._lock:
            keys = [prefix.conversation] if place in self._taking else [prefix.conversation, place]
            if any(each in self._in_flight for each in keys):
                return False
            for each in keys:
                self._in_flight[each] = record
            return True

    def settled(
        self, request: ModelRequest, record: Record, at: float, answer: Answer, cost: Cost, refused: str | None
    ) -> None:
        """Take in what a call has cost, and count what its marks have saved."""
        trace = record.span.get_span_context().trace_id
        self._watch.answered(request, record.attribution, trace, answer, at)
        marked = self._marked.pop(record, None)
        if marked is None:
            return
        with self._lock:
            self._answered(marked, record, answer, refused)
        net = self._net_of(request, answer, cost, at)
        if net is None:
            return
        record.span.set_attribute(semconv.CACHE_MARKER_NET, money.to_float(net))
        more = money.ZERO
        with self._lock:
            for group in marked.groups:
                self._judge(group, net)
            # A counter cannot go down: writes that cost more are earned back before anything counts as saved.
            self._net = money.add(self._net, net)
            if self._net > self._counted:
                more, self._counted = money.subtract(self._net, self._counted), self._net
        if more:
            self._saved(more, request.call, request.endpoint.provider, answer.model)

    def _answered(self, marked: _Marked, record: Record, answer: Answer, refused: str | None) -> None:
        for each in (marked.conversation, marked.place):
            if self._in_flight.get(each) is record:
                del self._in_flight[each]
        if refused is not None and _is_of_marks(refused):
            self._refuse(marked.place)
        elif answer.usage is not None:
            self._taking.add(marked.place)
        elif answer.missing is None:
            self._failed(marked.groups)

    def _net_of(self, request: ModelRequest, answer: Answer, cost: Cost, at: float) -> Decimal | None:
        """Return what the call would have cost more without a cache; negative if less. None if it is not known."""
        usage = answer.usage
        if usage is None or usage.estimated or usage.unsplit or cost.usd is None or cost.source != "local":
            return None
        if cost.unpriced is not None or answer.extra:
            return None
        fresh: dict[Kind, Count] = {}
        for kind, count in usage.counts.items():
            plain: Kind = "input_tokens" if kind.startswith("cache_") else kind
            fresh[plain] = fresh.get(plain, 0) + count
        target, call = request.endpoint, request.call
        models = (call.model, answer.model) if target.provider == "aws.bedrock" else (answer.model, call.model)
        without = self._book.price(
            replace(usage, counts=fresh),
            provider=target.said,
            base_url=target.base_url,
            models=models,
            at=at,
            terms=(*call.terms, *answer.terms),
        )
        if without.usd is None or without.unpriced is not None or without.price != cost.price:
            return None
        return money.subtract(without.usd, cost.usd)

    def _account(self, group: _Group) -> _Account:
        account = self._accounts.get(group)
        if account is None:
            if len(self._accounts) >= _AGENTS:
                self._accounts.pop(next(iter(self._accounts)))
            account = self._accounts[group] = _Account()
        return account

    def _stop(self, group: _Group, why: str) -> None:
        self._stopped.add(group)
        self._accounts.pop(group, None)
        warn_once(
            f"prompt cache marks stopped: {group}",
            f"otel-agentcost: prompts of {group[1] or 'calls without an agent'} to {group[0]} are no longer marked for "
            f"the prompt cache: {why}.",
        )

    def _refuse(self, place: tuple[str, str]) -> None:
        """Stop marking where a marked call was refused."""
        self._refusing.add(place)
        warn_once(
            f"prompt cache marks refused: {place}",
            f"otel-agentcost: a call to {place[0]} that was marked for the prompt cache was refused. Its prompts are "
            "no longer marked.",
        )

    def _failed(self, groups: tuple[_Group, ...]) -> None:
        """Stop marking for a group whose marked calls fail, in case it is because of the marks."""
        for group in groups:
            account = self._account(group)
            account.refused += 1
            if account.refused >= _REFUSALS:
                self._stop(group, f"{account.refused} marked calls in a row have failed")

    def _judge(self, group: _Group, net: Decimal) -> None:
        """Stop marking for a group whose last calls with marks have cost more than without."""
        account = self._account(group)
        account.refused = 0
        account.calls += 1
        account.net = money.add(account.net, net)
        if account.calls < _CALLS:
            return
        if account.net < 0:
            lost = f"it cost {-account.net:.4f} US dollars more than it saved"
            self._stop(group, f"over {account.calls} calls, {lost}")
        account.calls, account.net = 0, money.ZERO


# --- when ---


def lifetime_for(prefix: Prefix, *, long: bool) -> float | None:
    """Return the time to live that pays for a prefix, by the gaps between its calls; None if none does.

    Args:
        prefix: The prefix.
        long: True if an hour can be bought. It is written at twice the price of fresh tokens.
    """
    gaps = (*prefix.gaps, prefix.since)
    for lifetime, needed in ((_SHORT, 2), (_LONG, 3)):
        if lifetime == _LONG and not long:
            return None
        latest = gaps[-needed:]
        if len(latest) == needed and max(latest) <= _SAFE * lifetime:
            return lifetime
    return None


def _place_of(request: ModelRequest) -> tuple[str, str]:
    return f"{request.endpoint.provider}/{request.call.model}", request.endpoint.base_url


def _groups_of(request: ModelRequest, record: Record) -> tuple[_Group, ...]:
    """Return the groups of calls whose marks are judged together: those of the agent, and of the conversation."""
    model, who = _place_of(request)[0], record.attribution
    agent, conversation = who.get(semconv.AGENT, ""), who.get(semconv.CONVERSATION)
    if not conversation:
        return ((model, agent),)
    return (model, agent), (model, f"{agent} in {conversation}" if agent else conversation)


def _is_of_marks(refused: str) -> bool:
    """Return True if a call was refused in a way that marks may cause."""
    words = refused.lower()
    return words.startswith("400") or any(each in words for each in _NAMES)


def _has_marks(value: Any, depth: int) -> bool:
    """Return True if a request has marks of the application's."""
    if isinstance(value, Mapping):
        known = cast("Mapping[str, Any]", value)
        if not MARKS.isdisjoint(known):
            return True
        return depth < _DEEPEST and any(_has_marks(item, depth + 1) for item in known.values())
    if isinstance(value, (list, tuple)):
        return depth < _DEEPEST and any(_has_marks(item, depth + 1) for item in cast("Any", value))
    return False


# --- what is written ---

_CACHE_POINT: Final = "messages.content.cachePoint"
_CACHE_POINT_TTL: Final = "messages.content.cachePoint.ttl"


def _control(lifetime: str) -> dict[str, str]:
    """Return Anthropic's mark; five minutes are its default."""
    return {"type": "ephemeral"} if lifetime == "5m" else {"type": "ephemeral", "ttl": lifetime}


def _last_of_user(body: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]] | None:
    """Return the messages, and a copy of the last one if it is one of the user."""
    messages: Any = body.get("messages")
    if not isinstance(messages, (list, tuple)) or not messages:
        return None
    listed = list(cast("Any", messages))
    last = entries(listed[-1])
    return (listed, dict(last)) if last.get("role") == "user" else None


def _with_block(body: dict[str, Any], lifetime: str) -> dict[str, Any] | None:
    """Return the body with a mark at the last block of the last message."""
    found = _last_of_user(body)
    if found is None:
        return None
    messages, last = found
    content = last.get("content")
    blocks: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())
    block = dict(entries(blocks[-1])) if blocks else {}
    if text(block, "type") not in _MARKABLE or (text(block, "type") == "text" and not get(block, "text")):
        return None
    blocks[-1] = {**block, "cache_control": _control(lifetime)}
    return {**body, "messages": [*messages[:-1], {**last, "content": blocks}]}


def _with_point(body: dict[str, Any], lifetime: str) -> dict[str, Any] | None:
    """Return the body of the Converse API with a mark at the end of the last message."""
    found = _last_of_user(body)
    if found is None:
        return None
    messages, last = found
    point = {"type": "default"} if lifetime == "5m" else {"type": "default", "ttl": lifetime}
    content = [*(last.get("content") or ()), {"cachePoint": point}]
    return {**body, "messages": [*messages[:-1], {**last, "content": content}]}


def _keyed(request: ModelRequest, record: Record, found: Rule) -> Edit | None:
    """Return the change that gives a request of OpenAI the key of its conversation."""
    body = entries(request.call.body)
    if "prompt_cache_key" in body:
        return None
    if request.endpoint.provider == "azure.ai.openai" and "/openai/v1" not in request.endpoint.base_url:
        return None  # older versions of its API may refuse the field
    history = history_of(request.format, body)
    if history is None or len(history.messages) <= history.lead or size_of(body) < (found.least or 0):
        return None
    who = record.attribution
    named = who.get(semconv.CONVERSATION)
    first = named.encode() if named else digest_of(history.messages[history.lead])
    scope = "\0".join(who.get(name, "") for name in (semconv.TENANT, semconv.USER, semconv.AGENT))
    key = hashlib.blake2b(scope.encode("utf-8", "replace") + first, digest_size=16).hexdigest()

    def applied() -> None:
        record.span.set_attribute(semconv.CACHE_MARKER, "key")

    def keyed(body: dict[str, Any], path: str) -> dict[str, Any] | None:
        is_compaction = path.partition("?")[0].rstrip("/").endswith("/compact")
        return None if is_compaction else {**body, "prompt_cache_key": key}

    return Edit(keyed, applied=applied)
