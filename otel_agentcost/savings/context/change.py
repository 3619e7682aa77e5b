"""The change that shortens long histories as a hook of the application says.

Applications send their whole history with each request. What a hook has shortened once is therefore shortened in the
same way in the requests that follow, until it is asked again: their beginning then stays the same, for prompt caches
too. This keeps the messages that the hook returned in memory, of a limited number of conversations. A conversation is
found by the digests of all of its messages, so no other one ever gets them.
"""

from __future__ import annotations

import copy
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from importlib import import_module
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from otel_agentcost.core import semconv
from otel_agentcost.core.call import Answer
from otel_agentcost.core.cost import Cost
from otel_agentcost.core.usage import Usage
from otel_agentcost.diagnostics import reraise_foreign, warn_once
from otel_agentcost.pricebook import PriceBook
from otel_agentcost.savings.context.hook import Hook, LongContext
from otel_agentcost.savings.context.running import WITHIN, HookFailed, TooSlow, run, run_async
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire.edit import Edit
from otel_agentcost.wire.format import ModelRequest
from otel_agentcost.wire.history import History, digest_of, history_of, mistake_in, size_of
from otel_agentcost.wire.prompt_tokens import prompt_tokens_of

_MOST: Final = 64
"""Conversations that are remembered."""


class _Conversation:
    """One conversation, as far as this process has seen it."""

    __slots__ = ("asked_at", "cached", "calls", "place", "rate", "replaced", "reported", "shorter", "tokens")

    def __init__(self) -> None:
        self.calls = 0
        self.tokens = 0
        """Those of the last request, as it was sent."""
        self.asked_at = 0
        """The tokens that were left when the hook was last asked."""
        self.reported: tuple[int, int] | None = None
        """The input tokens that the last answer counts, and the characters of the messages that were sent for it."""
        self.rate = 0.0
        """Tokens for each character, by a count of the text."""
        self.cached = False
        """True if the last answer used a prompt cache."""
        self.replaced = 0
        """How many messages after the instructions are replaced."""
        self.shorter: list[Any] = []
        """What they are replaced by."""
        self.place: bytes | None = None


class _Asked(NamedTuple):
    """A request that may be changed."""

    request: ModelRequest
    record: Record
    conversation: _Conversation
    history: History
    """As the application has it."""
    sent: History
    """As it is sent, if the hook is not asked."""
    marks: list[bytes]
    """Each identifies the messages up to its place."""
    tokens: int
    """Of `sent`."""
    size: int
    """The characters of `sent`."""


class HistoryHook:
    """Asks a hook at thresholds, and applies what it has returned."""

    name = "the shortened history"

    def __init__(self, hook: Callable[[], Hook | None], book: PriceBook) -> None:
        """Create the change.

        Args:
            hook: Returns the hook; None if there is none.
            book: Has the prices.
        """
        self._hook_of = hook
        self._book = book
        self._known: dict[bytes, _Conversation] = {}
        self._in_flight: WeakKeyDictionary[Record, tuple[_Conversation, int, int]] = WeakKeyDictionary()

    def edit(self, request: ModelRequest, record: Record, at: float, takes: object) -> Edit | None:
        """Return the change of one request."""
        del takes
        hook = self._hook_of()
        asked = self._asked(hook, request, record) if hook is not None else None
        if hook is None or asked is None:
            return None
        shorter = None
        if _is_due(hook, asked):
            with _named_failures(hook):
                shorter = run(hook.function, self._told(asked, at), hook.seconds)
        return self._applied(hook, asked, shorter)

    async def edit_async(self, request: ModelRequest, record: Record, at: float, takes: object) -> Edit | None:
        """Return the change of one request, without blocking the event loop."""
        del takes
        hook = self._hook_of()
        asked = self._asked(hook, request, record) if hook is not None else None
        if hook is None or asked is None:
            return None
        shorter = None
        if _is_due(hook, asked):
            with _named_failures(hook):
                shorter = await run_async(hook.function, self._told(asked, at), hook.seconds)
        return self._applied(hook, asked, shorter)

    def settled(self, request: ModelRequest, record: Record, at: float, answer: Answer, cost: Cost) -> None:
        """Learn how many tokens the request had, and whether a cache was used."""
        del request, at, cost
        found = self._in_flight.pop(record, None)
        if found is None or answer.usage is None or answer.usage.estimated:
            return
        conversation, size, estimated = found
        tokens = answer.usage.tokens()
        conversation.cached = bool(tokens.cache_read or tokens.cache_write)
        if not tokens.input:
            return
        conversation.reported = (tokens.input, size)
        if conversation.tokens == estimated:
            conversation.tokens = tokens.input
        if conversation.asked_at == estimated:
            conversation.asked_at = tokens.input

    # --- which conversation a request continues ---

    def _asked(self, hook: Hook, request: ModelRequest, record: Record) -> _Asked | None:
        """Return the state of a request; None if its history is short, or if the hook itself makes the call."""
        history = history_of(request.format, request.call.body) if not WITHIN.get() else None
        if history is None or len(history.messages) <= history.lead or request.call.operation == "count_tokens":
            return None
        if size_of(history.messages) < hook.least:  # a token has a character at least
            return None
        marks = list(_marks(history.messages[history.lead :], record))
        conversation = next((found for mark in reversed(marks) if (found := self._known.get(mark)) is not None), None)
        conversation = conversation or _Conversation()
        sent = _with(history, conversation)
        size = size_of(sent.messages)
        tokens = _tokens(conversation, request, sent, size)
        return _Asked(request, record, conversation, history, sent, marks, tokens, size)

    def _remember(self, asked: _Asked) -> None:
        """Find the conversation by the messages of this request from now on."""
        conversation, known = asked.conversation, self._known
        with suppress(RuntimeError, StopIteration):  # another thread changes it
            if conversation.place is not None:
                known.pop(conversation.place, None)
            conversation.place = asked.marks[-1]
            known[conversation.place] = conversation
            while len(known) > _MOST:
                known.pop(next(iter(known)), None)

    # --- the hook ---

    def _told(self, asked: _Asked, at: float) -> LongContext:
        conversation, request = asked.conversation, asked.request
        price = self._prices(request, asked.tokens, at)
        fresh = price("input_tokens")
        return LongContext(
            messages=copy.deepcopy(asked.sent.messages),
            tokens=asked.tokens,
            growth=_growth(asked),
            calls=conversation.calls,
            model=request.call.model,
            provider=request.endpoint.provider,
            agent=asked.record.attribution.get(semconv.AGENT),
            input_usd=fresh,
            read_usd=(price("cache_read_tokens") if conversation.cached else None) or fresh,
            write_usd=(price("cache_write_tokens") if conversation.cached else None) or fresh,
        )

    def _prices(self, request: ModelRequest, tokens: int, at: float) -> Callable[[Any], Decimal | None]:
        target, call = request.endpoint, request.call

        def price(kind: Any) -> Decimal | None:
            usage = Usage(counts={kind: tokens})
            cost = self._book.price(
                usage, provider=target.said, base_url=target.base_url, models=(call.model,), at=at, terms=call.terms
            )
            return cost.usd / tokens if cost.usd else None

        return price

    def _applied(self, hook: Hook, asked: _Asked, shorter: Any) -> Edit | None:
        """Return the change: what the hook has returned now, or else what it has returned before."""
        conversation, sent, tokens, size = asked.conversation, asked.sent, asked.tokens, asked.size
        if shorter is not None:
            mistake = mistake_in(sent, shorter)
            if mistake is not None:
                warn_once(
                    f"context hook: {mistake}",
                    f"otel-agentcost: what the hook {_name_of(hook)} returned is not sent, because {mistake}.",
                )
            else:
                kept: list[Any] = list(shorter)[sent.lead : -1]
                conversation.shorter = copy.deepcopy(kept)
                conversation.replaced = len(asked.history.messages) - asked.history.lead - 1
                sent = sent._replace(messages=[*sent.messages[: sent.lead], *kept, sent.messages[-1]])
                before, size = size, size_of(sent.messages)
                tokens = max(1, tokens - round((before - size) * conversation.rate))
        if _is_due(hook, asked):
            conversation.asked_at = tokens
        _describe(asked, tokens, size)
        conversation.calls += 1
        conversation.tokens = tokens
        self._remember(asked)
        self._in_flight[asked.record] = (conversation, size, tokens)
        if not conversation.replaced:
            return None

        def replaced(body: dict[str, Any], path: str) -> dict[str, Any] | None:
            return None if path.endswith("/compact") else {**body, sent.field: sent.messages}

        return Edit(replaced)


def _is_due(hook: Hook, asked: _Asked) -> bool:
    """Return True if the history has grown enough to ask the hook."""
    asked_at = asked.conversation.asked_at
    return asked.tokens >= max(hook.least, asked_at * (1 + hook.growth) if asked_at else 0)


def _marks(messages: Sequence[Any], record: Record) -> Iterator[bytes]:
    """Yield what identifies the messages up to each place, and who has sent them."""
    chain = hashlib.blake2b(repr(sorted(record.attribution.items())).encode("utf-8", "replace"), digest_size=16)
    for message in messages:
        chain.update(digest_of(message))
        yield chain.copy().digest()


def _with(history: History, conversation: _Conversation) -> History:
    """Return the history with the messages that a hook has shortened."""
    if not conversation.replaced:
        return history
    lead = history.messages[: history.lead]
    rest = history.messages[history.lead + conversation.replaced :]
    return history._replace(messages=[*lead, *copy.deepcopy(conversation.shorter), *rest])


def _tokens(conversation: _Conversation, request: ModelRequest, sent: History, size: int) -> int:
    """Return the tokens of a request: those that the last answer counted, and an estimate of what is new."""
    if conversation.rate and conversation.reported is not None:
        counted, before = conversation.reported
        return max(1, counted + round((size - before) * conversation.rate))
    body = {**request.call.body, sent.field: sent.messages}
    counted = prompt_tokens_of(request.format).count(body, request.call.model)
    conversation.rate = min(1.0, counted / max(1, size))
    return counted


def _growth(asked: _Asked) -> int:
    return max(0, asked.tokens - asked.conversation.tokens) if asked.conversation.calls else 0


def _describe(asked: _Asked, tokens: int, size: int) -> None:
    """Set the attributes of the span."""
    span = asked.record.span
    if not span.is_recording():
        return
    span.set_attribute(semconv.CONTEXT_TOKENS, tokens)
    if asked.conversation.calls:
        span.set_attribute(semconv.CONTEXT_GROWTH, _growth(asked))
    if asked.conversation.replaced:
        less = size_of(asked.history.messages) - size
        span.set_attribute(semconv.CONTEXT_COMPACTED, max(0, round(less * asked.conversation.rate)))


# --- hooks that fail, and hooks that are named ---


class _named_failures:  # noqa: N801 (reads as a function)
    """Logs what goes wrong in a hook. An exception of a signal handler passes."""

    __slots__ = ("_hook",)

    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        name = _name_of(self._hook)
        if isinstance(error, TooSlow):
            why = f"has not returned within {self._hook.seconds:g} seconds"
        elif isinstance(error, HookFailed):
            why = f"failed with {type(error.error).__name__}: {error.error!s:.200}"
        else:
            return False
        cause = f"context hook {name} {why.partition(':')[0]}"
        warn_once(cause, f"otel-agentcost: the hook {name} {why}; requests are sent as they were.")
        return True


def _name_of(hook: Hook) -> str:
    function: Any = hook.function
    return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', type(function).__name__)}"


class NamedHook:
    """A hook that a setting names as `module:function`. It is imported with the first model call."""

    def __init__(self, target: str, options: Mapping[str, Any]) -> None:
        """Create the object.

        Args:
            target: The name.
            options: Arguments of `Hook`, besides the function.
        """
        self._target = target
        self._options = options
        self._found: Hook | None = None
        self._looked = False

    def __call__(self) -> Hook | None:
        """Return the hook; None if it cannot be found, which is logged once."""
        if not self._looked:
            self._looked = True
            self._found = self._find()
        return self._found

    def _find(self) -> Hook | None:
        module, _, path = self._target.partition(":")
        try:
            found: Any = sys.modules.get(module) or import_module(module)
            for name in path.split("."):
                found = getattr(found, name)
        except Exception as error:  # of the application's module
            reraise_foreign(error)
            why = f"{type(error).__name__}: {error!s:.200}"
            found = None
        else:
            why = "it cannot be called"
        if callable(found):
            return Hook(found, **self._options)
        warn_once(
            f"context hook: {self._target}",
            f"otel-agentcost: OTEL_AGENTCOST_ON_CONTEXT names {self._target}, which cannot be used ({why}). Histories "
            "are sent as they are.",
        )
        return None
