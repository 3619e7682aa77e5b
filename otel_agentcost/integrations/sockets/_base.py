"""The declarations of a socket client's module, and the functions in place of its methods.

A connection that is no session of a model must cost next to nothing. So the functions are plain ones: they look for a
session at the connection, and call the original. They return, raise and can be cancelled as the original does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from otel_agentcost.diagnostics import report
from otel_agentcost.integrations.patching import FunctionPatch, Patch, Target
from otel_agentcost.integrations.self_check import SelfCheck
from otel_agentcost.integrations.sockets._places import Places
from otel_agentcost.integrations.sockets._session import Session, is_closed

Method = Callable[..., Any]
"""The client's method, not bound to an object."""
_SESSION: Final = "_agentcost_session"
"""The attribute of a connection that has its session."""
_UNKNOWN: Final = "_agentcost_unknown"
"""The attribute of a connection whose address names no protocol, until it has sent something."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The functions in place of the methods of a client, each made from the method."""

    opening: Callable[[Method, Places], Method]
    sending: Callable[[Method, Places], Method]
    receiving: Callable[[Method, Places], Method]
    closing: Callable[[Method, Places], Method]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patched:
    """One method to patch."""

    target: Target
    function: Callable[[Method, Places], Method]
    """Makes the function in place of the method. It has the same arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketClient:
    """One client: its distribution and the methods to patch."""

    name: str
    distribution: str
    oldest: str
    """The oldest release that the tests cover."""
    patches: tuple[Patched, ...]


def patches_of(client: SocketClient, places: Places) -> tuple[Patch, ...]:
    """Return the patches of a client, whose sessions `places` finds."""
    targets = tuple(each.target for each in client.patches)
    check = SelfCheck(targets, client.distribution, client.oldest, "the model calls of sessions")
    return tuple(FunctionPatch(each.target, partial(_made, each, places), check) for each in client.patches)


def _made(patched: Patched, places: Places, method: Method) -> Method:
    return patched.function(method, places)


def _session(connection: Any) -> Session | None:
    found: Session | None = connection.__dict__.get(_SESSION)
    return found


def _session_for(connection: Any, message: Any, places: Places) -> Session | None:
    """Return the session of a connection that sends `message`; its first one may say what an address does not."""
    session = _session(connection)
    if session is not None or not connection.__dict__.pop(_UNKNOWN, False):
        return session
    try:
        session = places.session_of_message(connection.protocol, message)
    except Exception as error:  # a client of another version
        report("looking at a socket", error)
        return None
    if session is not None:
        connection.__dict__[_SESSION] = session
    return session


def _open(original: Method, places: Places) -> Method:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 (in place of a method of this name)
        original(self, *args, **kwargs)
        try:
            session = places.session(getattr(self, "protocol", None))
            if session is not None:
                self.__dict__[_SESSION] = session
            else:
                self.__dict__[_UNKNOWN] = True
        except Exception as error:  # a client of another version
            report("looking at a socket", error)

    return __init__


# --- Threads ----------------------------------------------------------------------------------------------------------


def _send(original: Method, places: Places) -> Method:
    def send(self: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        session = _session_for(self, message, places)
        if session is None or not session.leads(message):
            return original(self, message, *args, **kwargs)

        def sent(*args: Any, **kwargs: Any) -> Any:
            call = session.asked()
            try:
                return original(self, *args, **kwargs)
            except BaseException as error:  # however the sending fails, the call ends
                session.not_sent(call, error)
                raise

        return session.pipeline.call(session, sent, session, (message, *args), kwargs)

    return send


def _receive(original: Method, _places: Places) -> Method:
    def recv(self: Any, *args: Any, **kwargs: Any) -> Any:
        session = _session(self)
        if session is None:
            return original(self, *args, **kwargs)
        while True:
            try:
                message = original(self, *args, **kwargs)
            except BaseException as error:  # also a cancellation, which ends nothing
                session.failed(error)
                raise
            hidden = session.received(message)
            if session.outbox:
                _in_foreground(self, session.outbox.popleft())
            if not hidden:
                return message

    return recv


def _in_foreground(connection: Any, message: str) -> None:
    try:
        connection.send(message)
    except Exception as error:  # of the client: the application did not send this
        _not_cancelled(error)


def _close(original: Method, _places: Places) -> Method:
    def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(self, *args, **kwargs)
        finally:
            if (session := _session(self)) is not None:
                session.closed(None)

    return close


THREADS: Final = Kind(opening=_open, sending=_send, receiving=_receive, closing=_close)

# --- asyncio ----------------------------------------------------------------------------------------------------------


def _send_async(original: Method, places: Places) -> Method:
    async def send(self: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        session = _session_for(self, message, places)
        if session is None or not session.leads(message):
            return await original(self, message, *args, **kwargs)

        async def sent(*args: Any, **kwargs: Any) -> Any:
            call = session.asked()
            try:
                return await original(self, *args, **kwargs)
            except BaseException as error:  # however the sending fails, the call ends
                session.not_sent(call, error)
                raise

        return await session.pipeline.call_async(session, sent, session, (message, *args), kwargs)

    return send


def _receive_async(original: Method, _places: Places) -> Method:
    async def recv(self: Any, *args: Any, **kwargs: Any) -> Any:
        session = _session(self)
        if session is None:
            return await original(self, *args, **kwargs)
        while True:
            try:
                message = await original(self, *args, **kwargs)
            except BaseException as error:  # also a cancellation, which ends nothing
                session.failed(error)
                raise
            # Nothing is awaited from here on: a reader that is cancelled must not lose its message.
            hidden = session.received(message)
            if session.outbox:
                _in_background(self.send(session.outbox.popleft()))
            if not hidden:
                return message

    return recv


def _close_async(original: Method, _places: Places) -> Method:
    async def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, *args, **kwargs)
        finally:
            if (session := _session(self)) is not None:
                session.closed(None)

    return close


ASYNCIO: Final = Kind(opening=_open, sending=_send_async, receiving=_receive_async, closing=_close_async)

_tasks: set[asyncio.Task[Any]] = set()
"""Event loops keep weak references to their tasks only."""


def _in_background(sending: Coroutine[Any, Any, Any]) -> None:
    task = asyncio.get_running_loop().create_task(sending)
    _tasks.add(task)
    task.add_done_callback(_done)


def _done(task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _not_cancelled(error)


def _not_cancelled(error: BaseException) -> None:
    if not is_closed(error):  # nothing is left to cancel then
        report("cancelling an answer that a budget refuses", error)
