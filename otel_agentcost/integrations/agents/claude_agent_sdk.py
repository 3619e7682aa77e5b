"""claude-agent-sdk: a program in a process of its own makes the model calls, and reports what they used and cost.

`query` is one run. Each prompt of a `ClaudeSDKClient` begins a run, which ends with the program's report. Budgets are
checked before each prompt, and before each model call that follows on results of tools. The program stops by itself at
what they leave: `max_budget_usd` of its options is set, unless the application has set it.
"""

# Objects of frameworks have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Mapping
from contextlib import AbstractContextManager
from contextlib import nullcontext as unchanged
from dataclasses import replace
from typing import Any, cast

from opentelemetry import context, trace

from otel_agentcost.calls.agent_run import AgentRun
from otel_agentcost.diagnostics import report, reraise_foreign
from otel_agentcost.errors import BudgetExceeded
from otel_agentcost.integrations.agents._base import AgentFramework, OwnPatch
from otel_agentcost.integrations.agents._claude_session import SOURCE, Session
from otel_agentcost.integrations.patching import Target, optional_argument, with_argument
from otel_agentcost.telemetry import blocks
from otel_agentcost.telemetry.generators import generating_async

_CONNECTING = context.create_key("agentcost-claude-session")
"""Context key of the session whose connection is being made."""

_SESSIONS: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()
"""The session of each connection (a `Query`), and of each client."""

_SECONDS_TO_STOP = 10
"""How long a refusal in the middle of a turn waits for the program to stop, and to report what it has used."""


def _session_of(options: Any) -> Session:
    model = getattr(options, "model", None)
    conversation = getattr(options, "resume", None) or getattr(options, "session_id", None)
    return Session(model if isinstance(model, str) else None, conversation if isinstance(conversation, str) else None)


async def _limited(session: Session, options: Any, *, lasting: bool) -> Any:
    """Return options that let the program stop at what the budgets leave, or the same if they say themselves."""
    left = await session.usd_left(lasting=lasting)
    if left is None or getattr(options, "max_budget_usd", left) is not None:  # old releases have no such option
        return options
    if "max-budget-usd" in (getattr(options, "extra_args", None) or {}):
        return options
    limited: Any = replace(options, max_budget_usd=float(left))
    return limited


# --- `query` ---


def _around_query(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        options = optional_argument(args, kwargs, 1, "options")
        session = _session_of(options)
        opened = AgentRun(session.agent(), SOURCE)
    except Exception as bug:  # a release of another shape
        report(f"reading an agent of {SOURCE}", bug)
        return wrapped(*args, **kwargs)

    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        session.begin(blocks.place())
        messages: Any = None
        try:
            await session.admit()
            args, kwargs = await _prepared(session, options, args, kwargs)
            context.attach(context.set_value(_CONNECTING, session))  # this generator has a context of its own
            messages = wrapped(*args, **kwargs)
            async for message in messages:
                yield message
        finally:
            if messages is not None:
                await messages.aclose()
            session.end()
        if session.refused is not None:
            raise session.refused

    return generating_async(run, lambda *_args, **_kwargs: opened)(*args, **kwargs)


async def _prepared(
    session: Session, options: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of `process_query` with what the budgets leave, and with prompts that they admit."""
    prompt = optional_argument(args, kwargs, 0, "prompt")
    several = isinstance(prompt, AsyncIterable)
    args, kwargs = with_argument(args, kwargs, 1, "options", await _limited(session, options, lasting=several))
    if several:
        args, kwargs = with_argument(args, kwargs, 0, "prompt", _admitted(session, cast("AsyncIterable[Any]", prompt)))
    return args, kwargs


async def _admitted(session: Session, prompts: AsyncIterable[Any]) -> AsyncIterator[Any]:
    """Yield the prompts that budgets admit. The first one is admitted already."""
    first = True
    async for prompt in prompts:
        try:
            if not first:
                session.begin()
                await session.admit()
        except BudgetExceeded as refused:  # the SDK drops exceptions of this iterator: it is raised after the answers
            session.refused = refused
            return
        first = False
        yield prompt


# --- `ClaudeSDKClient` ---


async def _around_connect(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        options = instance.options
        session = _SESSIONS[instance] = _session_of(options)
    except Exception as bug:  # a release of another shape
        report(f"reading an agent of {SOURCE}", bug)
        return await wrapped(*args, **kwargs)
    try:
        if optional_argument(args, kwargs, 0, "prompt") is not None:
            session.begin()
            await session.admit()
        instance.options = await _limited(session, options, lasting=True)
        outer = context.get_current()
        context.attach(context.set_value(_CONNECTING, session))
        try:
            return await wrapped(*args, **kwargs)
        finally:
            context.attach(outer)
            instance.options = options
    except BaseException as error:  # however it fails, the turn ends
        session.end(error)
        raise


async def _around_prompt(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    session = _SESSIONS.get(instance)
    if session is None:  # connected before `instrument`
        return await wrapped(*args, **kwargs)
    try:
        session.begin()
        await session.admit()
        return await wrapped(*args, **kwargs)
    except BaseException as error:  # however it fails, the turn ends
        session.end(error)
        raise


# --- a connection, of both ---


async def _around_start(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    session = context.get_value(_CONNECTING)
    if isinstance(session, Session):
        _SESSIONS[instance] = session
    return await wrapped(*args, **kwargs)


def _around_messages(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    messages, session = wrapped(*args, **kwargs), _SESSIONS.get(instance)
    return messages if session is None else _watched(session, instance, messages)


async def _watched(session: Session, connection: Any, messages: Any) -> AsyncGenerator[Any]:
    session.read_in(trace.get_current_span())
    try:
        async for message in messages:
            if _received(session, message):
                try:
                    await session.admit()
                except BudgetExceeded as refused:
                    await _stop(session, connection, messages)
                    session.end(refused)
                    raise
            yield message
    finally:
        await messages.aclose()


def _received(session: Session, message: Any) -> bool:
    try:
        return isinstance(message, Mapping) and session.received(cast("Mapping[str, Any]", message))
    except Exception as bug:  # a program of another version
        report(f"reading a message of {SOURCE}", bug)
        return False


async def _stop(session: Session, connection: Any, messages: Any) -> None:
    """Interrupt the program and take in what it reports of the turn. If it can't be interrupted, end it."""
    try:
        with sys.modules["anyio"].move_on_after(_SECONDS_TO_STOP):
            await connection.interrupt()
            async for message in messages:
                _received(session, message)
                if message.get("type") == "result":
                    return
    except Exception as error:  # of the SDK
        reraise_foreign(error)  # else: the SDK has closed the program's input, as `query` does after a single prompt
    try:
        connection.transport._process.terminate()
    except Exception as bug:  # a transport of the application, or the program has ended
        report(f"stopping {SOURCE}", bug)


async def _around_request(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _place_of(_SESSIONS.get(instance), optional_argument(args, kwargs, 0, "request")):
        return await wrapped(*args, **kwargs)


def _place_of(session: Session | None, request: Any) -> AbstractContextManager[None]:
    """Return a context manager for a request of the program: its context is the run's, or the tool call's."""
    try:
        asked = request["request"]
        tool = arguments = identity = None
        if asked["subtype"] == "mcp_message" and asked["message"].get("method") == "tools/call":
            called = asked["message"]["params"]
            tool, arguments = f"mcp__{asked['server_name']}__{called['name']}", called.get("arguments") or {}
            identity = (called.get("_meta") or {}).get("claudecode/toolUseId")
        place = session.place_for(tool, arguments, identity) if session is not None else None
    except Exception as bug:  # a program of another version
        report(f"reading a request of {SOURCE}", bug)
        place = None
    return unchanged() if place is None else blocks.moved_to(place)


async def _around_close(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    session = _SESSIONS.get(instance)
    try:
        return await cast("Awaitable[Any]", wrapped(*args, **kwargs))
    finally:
        if session is not None:
            session.end()


_QUERY = "claude_agent_sdk._internal.query"


def _patch(
    module: str, owner: str, method: str, wrapper: Any, *reads: str, asynchronous: bool | None = True
) -> OwnPatch:
    return OwnPatch(
        target=Target(module=module, owner=owner, method=method, reads=reads, asynchronous=asynchronous),
        wrapper=wrapper,
    )


FRAMEWORK = AgentFramework(
    name="claude_agent_sdk",
    title="Claude Agent SDK",
    distribution="claude-agent-sdk",
    oldest="0.1.0",
    runs="`query`, or a prompt of `ClaudeSDKClient` until its result",
    patches=(
        _patch(
            "claude_agent_sdk._internal.client",
            "InternalClient",
            "process_query",
            _around_query,
            "prompt",
            "options",
            asynchronous=None,
        ),
        _patch("claude_agent_sdk.client", "ClaudeSDKClient", "connect", _around_connect, "prompt"),
        _patch("claude_agent_sdk.client", "ClaudeSDKClient", "query", _around_prompt, "prompt"),
        _patch(_QUERY, "Query", "start", _around_start),
        _patch(_QUERY, "Query", "receive_messages", _around_messages, asynchronous=None),
        _patch(_QUERY, "Query", "_handle_control_request", _around_request, "request"),
        _patch(_QUERY, "Query", "close", _around_close),
    ),
)
