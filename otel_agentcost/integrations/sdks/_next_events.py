"""Streams whose objects have the methods `__next__`, `__anext__` and `close`, which are patched: they find their call.

The application keeps the object, and nothing of the SDK's is wrapped.
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import weakref
from typing import Any, Final

from otel_agentcost.calls.call import ActiveCall
from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import Seam
from otel_agentcost.errors import BudgetExceeded

__all__ = ["close", "next_event", "next_event_async", "watch_next"]

_CALL: Final = "_agentcost_call"


def watch_next(stream: Any, call: ActiveCall) -> None:
    """Let `call` see what the patched methods of a stream return."""
    stream.__dict__[_CALL] = call
    # LiteLLM's threads for logs keep copies of the context, and with it the call: it must not wait for them.
    weakref.finalize(stream, call.dropped).atexit = False


def next_event(_pipeline: Pipeline, _seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Return the next chunk of a stream, after its call has seen it."""
    call: ActiveCall | None = instance.__dict__.get(_CALL)
    if call is None or call.settled:
        return wrapped(*args, **kwargs)
    try:
        if call.record.first_chunk is None:  # some providers get their request with the first chunk
            with call.active():
                event = wrapped(*args, **kwargs)
        else:
            event = wrapped(*args, **kwargs)
    except StopIteration:
        call.end(complete=True)
        raise
    except BaseException as error:  # however the reading fails, the call ends
        call.end(error, complete=False)
        raise
    return _seen(call, event)


async def next_event_async(
    _pipeline: Pipeline, _seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any
) -> Any:
    """Do the same as `next_event`, for an asynchronous stream."""
    call: ActiveCall | None = instance.__dict__.get(_CALL)
    if call is None or call.settled:
        return await wrapped(*args, **kwargs)
    try:
        if call.record.first_chunk is None:
            with call.active():
                event = await wrapped(*args, **kwargs)
        else:
            event = await wrapped(*args, **kwargs)
    except StopAsyncIteration:
        call.end(complete=True)
        raise
    except BaseException as error:  # however the reading fails, the call ends
        call.end(error, complete=False)
        raise
    return _seen(call, event)


def close(_pipeline: Pipeline, _seam: Seam, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Close a stream early, which ends its call."""
    if (call := instance.__dict__.get(_CALL)) is not None:
        call.close()
    return wrapped(*args, **kwargs)


def _seen(call: ActiveCall, event: Any) -> Any:
    call.first_chunk()
    try:
        call.feed(event)
    except BudgetExceeded as error:
        call.end(error, complete=False)
        raise
    except Exception as bug:  # the chunk makes no sense: the application gets it all the same
        call.unreadable(bug)
    return event
