"""Changes of requests that a setting asks for: shorter histories, cache markers, labels for the bill.

The pipeline has one `Changes`, or None where no setting asks for any. It makes most changes before anything else looks
at the request: loop detection, caches and budgets see what is sent. Labels, which the other parts must not see, are
written last, when the SDK is about to send the request. A request that cannot be changed is sent as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from otel_agentcost.calls.call import ActiveCall
from otel_agentcost.calls.rejections import refusal_of
from otel_agentcost.calls.seam import ChecksFields, Seam, TakesHeaders
from otel_agentcost.core.call import Answer
from otel_agentcost.core.cost import Cost
from otel_agentcost.diagnostics import report, warn_once
from otel_agentcost.telemetry.spans import Record
from otel_agentcost.wire.edit import Edit, Edited, NothingToEdit
from otel_agentcost.wire.format import CannotRewrite, ModelRequest

Wrapped = Callable[..., Any]
Arguments = tuple[Any, dict[str, Any]]
Takes = Callable[[str], bool]
"""Returns True for a field that the SDK sends: some refuse those that they do not know. Inner fields have dots."""


class RequestChange(Protocol):
    """One kind of change."""

    name: str
    """What the change adds to a request, for people ("labels for the bill")."""

    def edit(self, request: ModelRequest, record: Record, at: float, takes: Takes, /) -> Edit | None:
        """Return the change of one request; None where it stays as it is.

        Args:
            request: The request, with the changes before this one.
            record: The span of the call.
            at: The time of the call, in seconds since the epoch.
            takes: Says which fields the SDK sends.
        """
        ...


@runtime_checkable
class Waits(Protocol):
    """Facet of a change that may wait for something, and does not block an event loop meanwhile."""

    async def edit_async(self, request: ModelRequest, record: Record, at: float, takes: Takes, /) -> Edit | None:
        """Do the same as `RequestChange.edit`."""
        ...


@runtime_checkable
class Learns(Protocol):
    """Facet of a change that wants to know what its calls have cost."""

    def settled(
        self, request: ModelRequest, record: Record, at: float, answer: Answer, cost: Cost, refused: str | None, /
    ) -> None:
        """Take in how a call has ended.

        Args:
            request: The request, as it was sent.
            record: The span of the call, which is still open.
            at: The time of the call, in seconds since the epoch.
            answer: What came back.
            cost: What it cost.
            refused: The status and the words with which the request was refused because of what it contains; None if
                it was not.
        """
        ...


class Changes:
    """Makes the changes of one `instrument()`."""

    def __init__(self, first: tuple[RequestChange, ...], last: RequestChange | None = None) -> None:
        """Create the object.

        Args:
            first: The changes that everything else sees, in their order.
            last: The change that nothing else sees.
        """
        self.first = first
        """The changes that everything else sees, in their order."""
        self.last = last
        """The change that nothing else sees."""
        self._learners = tuple(change for change in first if isinstance(change, Learns))

    def before(self, call: ActiveCall, seam: Seam, wrapped: Wrapped, instance: Any, args: Any, kwargs: Any) -> Any:
        """Change the request of a synchronous call.

        Returns:
            The method to call in place of `wrapped`, the positional and the keyword arguments.
        """
        for change in self.first:
            args, kwargs = _written(call, change, seam, instance, args, kwargs)
        return (wrapped if self.last is None else partial(self._send, call, seam, wrapped, instance)), args, kwargs

    async def before_async(
        self, call: ActiveCall, seam: Seam, wrapped: Wrapped, instance: Any, args: Any, kwargs: Any
    ) -> Any:
        """Change the request of an asynchronous call. Returns what `before` returns."""
        for change in self.first:
            if isinstance(change, Waits):
                args, kwargs = await _written_async(call, change, seam, instance, args, kwargs)
            else:
                args, kwargs = _written(call, change, seam, instance, args, kwargs)
        if self.last is not None:
            wrapped = partial(self._send_async, call, seam, wrapped, instance)
        return wrapped, args, kwargs

    def before_events(
        self, call: ActiveCall, seam: Seam, wrapped: Wrapped, instance: Any, args: Any, kwargs: Any
    ) -> Any:
        """Change the request of a generator method. Returns what `before` returns."""
        found = self.before(call, seam, wrapped, instance, args, kwargs)
        if self.last is None:
            return found
        return partial(self._send_events, call, seam, wrapped, instance), *found[1:]

    def settled(self, call: ActiveCall, answer: Answer, cost: Cost) -> None:
        """Let the changes learn how a call has ended."""
        if not self._learners:
            return
        try:
            refused = refusal_of(call.ending.error) if call.ending is not None else None
            for change in self._learners:
                change.settled(call.request, call.record, call.at, answer, cost, refused)
        except Exception as bug:
            report("learning what a call has cost", bug)

    # --- the change that nothing else sees ---

    def _send(self, call: ActiveCall, seam: Seam, wrapped: Wrapped, instance: Any, /, *args: Any, **kwargs: Any) -> Any:
        before = call.request
        try:
            args, kwargs = self._labelled(call, seam, instance, args, kwargs)
            return wrapped(*args, **kwargs)
        finally:
            call.request = before

    async def _send_async(
        self, call: ActiveCall, seam: Seam, wrapped: Wrapped, instance: Any, /, *args: Any, **kwargs: Any
    ) -> Any:
        before = call.request
        try:
            args, kwargs = self._labelled(call, seam, instance, args, kwargs)
            return await wrapped(*args, **kwargs)
        finally:
            call.request = before

    def _send_events(
        self, call: ActiveCall, seam: Seam, wrapped: Wrapped, instance: Any, /, *args: Any, **kwargs: Any
    ) -> Generator[Any]:
        before = call.request
        events: Iterator[Any] | None = None
        try:
            args, kwargs = self._labelled(call, seam, instance, args, kwargs)
            events = iter(wrapped(*args, **kwargs))
            first = list(islice(events, 1))  # the request is sent with the first event
        except BaseException:  # of others too: the connection must be released
            _close(events)
            raise
        finally:
            call.request = before
        try:
            yield from first
            yield from events
        finally:
            _close(events)

    def _labelled(self, call: ActiveCall, seam: Seam, instance: Any, args: Any, kwargs: Any) -> Arguments:
        # A method that is patched twice finds the request of this call by its body.
        return (
            (args, kwargs) if self.last is None else _written(call, self.last, seam, instance, args, kwargs, seen=False)
        )


def _close(events: Iterator[Any] | None) -> None:
    close = getattr(events, "close", None)
    if close is not None:
        close()


def _takes(seam: Seam, instance: Any, args: Any, kwargs: Any, field: str) -> bool:
    return not isinstance(seam, ChecksFields) or seam.takes(instance, args, kwargs, field)


def _written(
    call: ActiveCall, change: RequestChange, seam: Seam, instance: Any, args: Any, kwargs: Any, *, seen: bool = True
) -> Arguments:
    """Return the arguments of the changed request; those of the request as it is, if it cannot be changed."""
    try:
        edit = change.edit(call.request, call.record, call.at, partial(_takes, seam, instance, args, kwargs))
        return (args, kwargs) if edit is None else _changed(call, change, edit, seam, args, kwargs, seen=seen)
    except Exception as bug:
        report(f"writing {change.name}", bug)
        return args, kwargs


async def _written_async(call: ActiveCall, change: Any, seam: Seam, instance: Any, args: Any, kwargs: Any) -> Arguments:
    """Do the same for a change that waits."""
    try:
        takes = partial(_takes, seam, instance, args, kwargs)
        edit = await change.edit_async(call.request, call.record, call.at, takes)
        return (args, kwargs) if edit is None else _changed(call, change, edit, seam, args, kwargs)
    except Exception as bug:
        report(f"writing {change.name}", bug)
        return args, kwargs


def _changed(
    call: ActiveCall, change: RequestChange, edit: Edit, seam: Seam, args: Any, kwargs: Any, *, seen: bool = True
) -> Arguments:
    before = call.request
    try:
        asked = replace(before, format=Edited(before.format, edit))
        sent, *changed = seam.rewrite(
            asked, *_with_headers(seam, args, kwargs, edit), model=None, max_output_tokens=None
        )
    except NothingToEdit:
        return args, kwargs
    except CannotRewrite as reason:
        warn_once(
            f"{change.name}: {before.endpoint.provider} {reason}",
            f"otel-agentcost: a request to {before.endpoint.provider} is sent without {change.name}, because {reason}.",
        )
        return args, kwargs
    after = replace(before, call=sent.call)
    if seen:
        call.rewritten(after)
    else:
        call.request = after
    if edit.applied is not None:
        edit.applied()
    args, kwargs = changed
    return args, kwargs


def _with_headers(seam: Seam, args: Any, kwargs: Any, edit: Edit) -> Arguments:
    if not edit.headers:
        return args, kwargs
    if not isinstance(seam, TakesHeaders):
        raise CannotRewrite("its headers cannot be changed")
    return seam.with_headers(args, kwargs, edit.headers)
