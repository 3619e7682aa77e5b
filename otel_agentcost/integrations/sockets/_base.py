"""The declarations of a socket client's module, and the functions in place of its methods.

A connection that is no session of a model must cost next to nothing. So the functions are plain ones: they look for a
session at the connection, and call the original. They return, raise and can be cancelled as the original does.
"""

# Objects of clients have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from otel_agentcost.diagnostics import report
from otel_agentcost.integrations.patching import FunctionPatch, Patch, Target
from otel_agentcost.integrations.self_check import SelfCheck
from otel_agentcost.integrations.sockets._places import Places
from otel_agentcost.integrations.sockets._session import Session, is_closed
from otel_agentcost.telemetry import event_loops

Method = Callable[..., Any]
"""The client's method, not bound to an object."""
_Send = Callable[[str], Coroutine[Any, Any, Any]]
_SESSION: Final = "_agentcost_session"
"""The attribute of a connection that has its session."""
_UNKNOWN: Final = "_agentcost_unknown"
"""The attribute of a connection whose address names no protocol, with the address, until it has sent something."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The functions in place of the methods of a client, each made from the method."""

    opening: Callable[[Method, Places], Method]
    sending: Callable[[Method, Places], Method]
    receiving: Callable[[Method, Places], Method]
    streaming: Callable[[Method, Places], Method]
    """For the method that yields the fragments of a message."""
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


def session_of(connection: Any) -> Session | None:
    found: Session | None = connection.__dict__.get(_SESSION)
    return found


def session_for(connection: Any, message: Any, places: Places) -> Session | None:
    """Return the session of a connection that sends `message`; its first one may say what an address does not."""
    session = session_of(connection)
    if session is not None or (place := connection.__dict__.pop(_UNKNOWN, None)) is None:
        return session
    protocol, asynchronous = place
    try:
        session = places.session_of_message(protocol, message)
    except Exception as error:  # a client of another version
        report("looking at a socket", error)
        return None
    if session is not None:
        session.asynchronous = asynchronous
        connection.__dict__[_SESSION] = session
    return session


def opened(connection: Any, protocol: Any, places: Places, *, asynchronous: bool) -> None:
    """Look at a connection that has been opened.

    Args:
        connection: The client's object.
        protocol: The object with its address.
        places: Finds the session.
        asynchronous: True if the functions in place of its methods await (`Session.asynchronous`).
    """
    try:
        session = places.session(protocol)
        if session is None:
            connection.__dict__[_UNKNOWN] = protocol, asynchronous
            return
        session.asynchronous = asynchronous
        connection.__dict__[_SESSION] = session
    except Exception as error:  # a client of another version
        report("looking at a socket", error)


def _opening(*, asynchronous: bool) -> Callable[[Method, Places], Method]:
    def opening(original: Method, places: Places) -> Method:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 (in place of a method of this name)
            original(self, *args, **kwargs)
            opened(self, getattr(self, "protocol", None), places, asynchronous=asynchronous)

        return __init__

    return opening


def _whole(message: Any) -> Any:
    """Return a message whose fragments are given one by one as a list, and every other one as it is."""
    if isinstance(message, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(message, Iterable):
        return message
    fragments: list[Any] = list(message)
    return fragments


def _joined(message: Any) -> Any:
    """Return the text of a message, from its fragments if it has several."""
    if isinstance(message, list):
        fragments: list[Any] = message
        for kind in (str, bytes):
            if fragments and all(isinstance(each, kind) for each in fragments):
                return kind().join(fragments)
    return message


# --- Threads ----------------------------------------------------------------------------------------------------------


def _send(original: Method, places: Places) -> Method:
    def send(self: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        message = _whole(message) if _SESSION in self.__dict__ else message
        event = _joined(message)
        session = session_for(self, event, places)
        if session is None or not session.leads(event):
            return original(self, message, *args, **kwargs)

        def sent(*args: Any, **kwargs: Any) -> Any:
            call = session.asked()
            try:
                return original(self, *args, **kwargs)
            except BaseException as error:  # however the sending fails, the call ends
                session.not_sent(call, error)
                raise

        return session.pipeline.call(session, sent, session, (event, *args), kwargs)

    return send


def _receive(original: Method, _places: Places) -> Method:
    def recv(self: Any, *args: Any, **kwargs: Any) -> Any:
        session = session_of(self)
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
            if (session := session_of(self)) is not None:
                session.closed(None)

    return close


def _stream(original: Method, _places: Places) -> Method:
    def recv_streaming(self: Any, *args: Any, **kwargs: Any) -> Any:
        session = session_of(self)
        fragments = original(self, *args, **kwargs)
        return fragments if session is None else _streamed(session, self, fragments)

    return recv_streaming


def _streamed(session: Session, connection: Any, fragments: Any) -> Iterator[Any]:
    """Yield the fragments of a message. The session reads it when all have arrived."""
    seen: list[Any] = []
    for fragment in fragments:
        seen.append(fragment)
        yield fragment
    session.received(_joined(seen))
    if session.outbox:
        _in_foreground(connection, session.outbox.popleft())


THREADS: Final = Kind(
    opening=_opening(asynchronous=False), sending=_send, receiving=_receive, streaming=_stream, closing=_close
)

# --- asyncio and trio -------------------------------------------------------------------------------------------------


def _send_async(original: Method, places: Places) -> Method:
    async def send(self: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        if _SESSION in self.__dict__ and type(message) is not str:
            message = [each async for each in message] if isinstance(message, AsyncIterable) else _whole(message)
        event = _joined(message)
        session = session_for(self, event, places)
        if session is None or not await session.leads_async(event):
            return await original(self, message, *args, **kwargs)
        return await send_turn(session, original, self, event, *args, **kwargs)

    return send


async def send_turn(session: Session, original: Method, connection: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
    """Send an event that asks for a turn, through the pipeline."""

    async def sent(*args: Any, **kwargs: Any) -> Any:
        call = session.asked()
        try:
            return await original(connection, *args, **kwargs)
        except BaseException as error:  # however the sending fails, the call ends
            session.not_sent(call, error)
            raise

    return await session.pipeline.call_async(session, sent, session, (event, *args), kwargs)


def _receive_async(original: Method, _places: Places) -> Method:
    async def recv(self: Any, *args: Any, **kwargs: Any) -> Any:
        session = session_of(self)
        if session is None:
            return await original(self, *args, **kwargs)
        while True:
            if not session.kept:
                try:
                    message = await original(self, *args, **kwargs)
                except BaseException as error:  # also a cancellation, which ends nothing
                    session.failed(error)
                    raise
                if not session.received(message):
                    session.kept.append(message)
            await seen_to(session, self.send)
            if session.kept:
                return session.kept.popleft()

    return recv


async def seen_to(session: Session, send: _Send) -> None:
    """Do what a message that has arrived asks for. It is kept: a reader that is cancelled must not lose it."""
    if session.unadmitted:
        await session.admit()
    if session.outbox:
        _in_background(send, session.outbox.popleft())


def _stream_async(original: Method, _places: Places) -> Method:
    def recv_streaming(self: Any, *args: Any, **kwargs: Any) -> Any:
        session = session_of(self)
        fragments = original(self, *args, **kwargs)
        return fragments if session is None else _streamed_async(session, self, fragments)

    return recv_streaming


async def _streamed_async(session: Session, connection: Any, fragments: Any) -> AsyncIterator[Any]:
    seen: list[Any] = []
    async for fragment in fragments:
        seen.append(fragment)
        yield fragment
    session.received(_joined(seen))
    await seen_to(session, connection.send)


def _close_async(original: Method, _places: Places) -> Method:
    async def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, *args, **kwargs)
        finally:
            if (session := session_of(self)) is not None:
                session.closed(None)

    return close


ASYNC: Final = Kind(
    opening=_opening(asynchronous=True),
    sending=_send_async,
    receiving=_receive_async,
    streaming=_stream_async,
    closing=_close_async,
)

_tasks: set[asyncio.Task[Any]] = set()
"""Event loops keep weak references to their tasks only."""


def _in_background(send: _Send, message: str) -> None:
    if event_loops.running() == "trio":
        trio: Any = sys.modules["trio"]
        trio.lowlevel.spawn_system_task(_sent, send, message)
        return
    task = asyncio.get_running_loop().create_task(_sent(send, message))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _sent(send: _Send, message: str) -> None:
    try:
        await send(message)
    except Exception as error:  # of the client: the application did not send this
        _not_cancelled(error)


def _not_cancelled(error: BaseException) -> None:
    if not is_closed(error):  # nothing is left to cancel then
        report("cancelling an answer that a budget refuses", error)
