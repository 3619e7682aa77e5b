"""The change that shortens long histories as a hook of the application says.

Applications send their whole history with each request. What a hook has shortened once is therefore shortened in the
same way in the requests that follow, until it is asked again: their beginning then stays the same, for prompt caches
too. memory.py keeps what this needs, by conversation.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
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
from otel_agentcost.savings.context.memory import Memory, State, marks_of, weight_of
from otel_agentcost.savings.context.running import WITHIN, HookFailed, TooSlow, run, run_async
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire.edit import Edit
from otel_agentcost.wire.format import ModelRequest
from otel_agentcost.wire.history import CannotReplace, History, Source, history_of, size_of, sources_of
from otel_agentcost.wire.prompt_tokens import prompt_tokens_of

_REFUSALS: Final = 3
"""Shortened requests in a row that are refused before the hook is given up."""


class _Asked(NamedTuple):
    """A request that may be changed."""

    request: ModelRequest
    record: Record
    marks: list[bytes]
    """Each identifies the messages up to its place."""
    found: tuple[bytes | None, State]
    """What was known before it."""
    history: History
    """As the application has it."""
    sent: History
    """As it is sent, if the hook is not asked."""
    sources: list[Source]
    """Where the messages of `sent` after the instructions come from: places in `history` after the instructions."""
    tokens: int
    """Of `sent`."""
    size: int
    """The characters of `sent`."""
    rate: float
    """Tokens for each character."""

    @property
    def state(self) -> State:
        return self.found[1]


class _Sent(NamedTuple):
    """A request that was sent."""

    marks: list[bytes]
    state: State
    size: int


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
        self._memory = Memory()
        self._in_flight: WeakKeyDictionary[Record, _Sent] = WeakKeyDictionary()
        self._refused = 0

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

    def settled(
        self, request: ModelRequest, record: Record, at: float, answer: Answer, cost: Cost, refused: str | None
    ) -> None:
        """Learn how many tokens the request had, whether a cache was used, and whether it was refused."""
        del request, at, cost
        sent = self._in_flight.pop(record, None)
        if sent is None:
            return
        if refused is not None:
            self._forget(sent, refused)
            return
        if answer.usage is None:
            return
        self._refused = 0 if sent.state.replaced else self._refused
        if answer.usage.estimated:
            return
        tokens, state = answer.usage.tokens(), sent.state
        after = state._replace(cached=bool(tokens.cache_read or tokens.cache_write))
        if tokens.input:
            asked_at = tokens.input if state.asked_at == state.tokens else state.asked_at
            after = after._replace(reported=(tokens.input, sent.size), tokens=tokens.input, asked_at=asked_at)
        self._memory.change(sent.marks[-1], state, after)

    def _forget(self, sent: _Sent, why: str) -> None:
        """Leave a conversation alone whose shortened history was refused: its next request is as it was written."""
        if not sent.state.replaced:
            return
        alone = State(calls=sent.state.calls, rate=sent.state.rate, refused=True)
        self._memory.change(sent.marks[-1], sent.state, alone)
        for mark in sent.marks[-2:-1]:  # the application may change its last message
            self._memory.add(mark, alone)
        self._refused += 1
        warn_once(
            "context hook: refused",
            f"otel-agentcost: a request whose history the hook has shortened was refused ({why:.200}). The "
            "conversation is not shortened any more.",
        )
        if self._refused == _REFUSALS:
            warn_once(
                "context hook: given up",
                f"otel-agentcost: {_REFUSALS} requests in a row whose history the hook has shortened were refused. It "
                "is not asked any more.",
            )

    # --- which conversation a request continues ---

    def _asked(self, hook: Hook, request: ModelRequest, record: Record) -> _Asked | None:
        """Return the state of a request; None if its history is short, or if the hook itself makes the call."""
        if self._refused >= _REFUSALS or WITHIN.get() or request.call.operation == "count_tokens":
            return None
        history = history_of(request.format, request.call.body)
        if history is None or len(history.messages) <= history.lead:
            return None
        if size_of(history.messages) < hook.least:  # a token has a character at least
            return None
        marks = marks_of(request, history, record)
        found = self._memory.find(marks)
        sent, sources = _with(history, found[1])
        size = size_of(sent.messages)
        tokens, rate = _tokens(found[1], request, sent, size)
        return _Asked(request, record, marks, found, history, sent, sources, tokens, size, rate)

    # --- the hook ---

    def _told(self, asked: _Asked, at: float) -> LongContext:
        state, request = asked.state, asked.request
        price = self._prices(request, asked.tokens, at)
        fresh = price("input_tokens")
        return LongContext(
            messages=copy.deepcopy(asked.sent.messages),
            tokens=asked.tokens,
            growth=_growth(asked),
            calls=state.calls,
            model=request.call.model,
            provider=request.endpoint.provider,
            agent=asked.record.attribution.get(semconv.AGENT),
            input_usd=fresh,
            read_usd=(price("cache_read_tokens") if state.cached else None) or fresh,
            write_usd=(price("cache_write_tokens") if state.cached else None) or fresh,
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
        sent, tokens, size = asked.sent, asked.tokens, asked.size
        due = _is_due(hook, asked)
        state = asked.state._replace(rate=asked.rate)
        new = _accepted(hook, sent, shorter) if shorter is not None else None
        if new is not None:
            kept = tuple(
                asked.sources[each - sent.lead] if isinstance(each, int) else each for each in new[sent.lead : -1]
            )
            replaced = len(asked.history.messages) - asked.history.lead - 1
            state = state._replace(replaced=replaced, shorter=kept, weight=weight_of(kept))
            sent, _ = _with(asked.history, state)
            before, size = size, size_of(sent.messages)
            tokens = max(1, tokens - round((before - size) * state.rate))
        state = state._replace(asked_at=tokens if due else state.asked_at, calls=state.calls + 1, tokens=tokens)
        _describe(asked, state, size)
        self._memory.move(asked.found, asked.marks[-1], state)
        self._in_flight[asked.record] = _Sent(asked.marks, state, size)
        if not state.replaced:
            return None

        def replaced_in(body: dict[str, Any], path: str) -> dict[str, Any] | None:
            is_compaction = path.partition("?")[0].rstrip("/").endswith("/compact")
            return None if is_compaction else {**body, sent.field: sent.messages}

        return Edit(replaced_in)


def _accepted(hook: Hook, sent: History, shorter: Any) -> list[Source] | None:
    """Return what the hook has returned; None, and one sentence in the log, if a provider could refuse it."""
    try:
        return sources_of(sent, shorter)
    except CannotReplace as mistake:
        warn_once(
            f"context hook: {mistake}",
            f"otel-agentcost: what the hook {_name_of(hook)} returned is not sent, because {mistake}.",
        )
        return None


def _is_due(hook: Hook, asked: _Asked) -> bool:
    """Return True if the history has grown enough to ask the hook."""
    asked_at = asked.state.asked_at
    grown = asked.tokens >= max(hook.least, asked_at * (1 + hook.growth) if asked_at else 0)
    return grown and not asked.state.refused


def _with(history: History, state: State) -> tuple[History, list[Source]]:
    """Return the history as it was shortened before, and where its messages after the instructions come from."""
    lead, rest = history.messages[: history.lead], history.messages[history.lead :]
    sources: list[Source] = [*state.shorter, *range(state.replaced, len(rest))]
    messages = [rest[each] if isinstance(each, int) else copy.deepcopy(each) for each in sources]
    return history._replace(messages=[*lead, *messages]), sources


def _tokens(state: State, request: ModelRequest, sent: History, size: int) -> tuple[int, float]:
    """Return the tokens of a request, by the last answer and an estimate of what is new, and those of a character."""
    if state.rate and state.reported is not None:
        counted, before = state.reported
        return max(1, counted + round((size - before) * state.rate)), state.rate
    body = {**request.call.body, sent.field: sent.messages}
    counted = prompt_tokens_of(request.format).count(body, request.call.model)
    return counted, min(1.0, counted / max(1, size))


def _growth(asked: _Asked) -> int:
    return max(0, asked.tokens - asked.state.tokens) if asked.state.calls else 0


def _describe(asked: _Asked, state: State, size: int) -> None:
    """Set the attributes of the span."""
    span = asked.record.span
    if not span.is_recording():
        return
    span.set_attribute(semconv.CONTEXT_TOKENS, state.tokens)
    if asked.state.calls:
        span.set_attribute(semconv.CONTEXT_GROWTH, _growth(asked))
    if state.replaced:
        less = size_of(asked.history.messages) - size
        span.set_attribute(semconv.CONTEXT_COMPACTED, max(0, round(less * state.rate)))


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
