"""Let the current span, the attribution and the runs follow into threads.

The command `opentelemetry-instrument` enables opentelemetry's threading instrumentation, `instrument()` does not. It
knows neither `ThreadPool` nor threads whose class has its own `run`, and it follows the OpenTelemetry context only,
which frameworks detach. Both together set the same context twice.

Functions that run in a thread for an event loop (`asyncio.to_thread`, and those of anyio and trio) get a copy of the
context variables already, but blocks that they enter or leave are lost with the copy. FastAPI enters synchronous
dependencies so, and starlette takes each item of a synchronous response so: such a block is taken over from the thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any

from opentelemetry.context import Context

from otel_agentcost.integrations.patching import Patch, Target, Wrapper
from otel_agentcost.telemetry import blocks
from otel_agentcost.telemetry.blocks import Block

_POOL = "multiprocessing.pool"
_INTERPRETERS = "concurrent.futures.interpreter"


def patches() -> tuple[Patch, ...]:
    """Return the patches; none if `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS` disables `threading`."""
    if "threading" in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").replace(" ", "").split(","):
        return ()
    return (
        _patch("threading", "Thread", "start", _start),
        _patch("concurrent.futures.thread", "ThreadPoolExecutor", "submit", _submit),
        *(_patch(_POOL, "ThreadPool", method, _to_pool) for method in _POOL_METHODS),
        _patch("anyio.to_thread", "", "run_sync", _to_thread),
        _patch("asyncio.threads", "", "to_thread", _to_thread),
        _patch("trio.to_thread", "", "run_sync", _to_thread),
    )


_POOL_METHODS = ("apply_async", "_map_async", "imap", "imap_unordered")
"""The methods that all others of a pool call. The first argument of each is the function."""


def _patch(module: str, owner: str, method: str, wrapper: Wrapper) -> Patch:
    return Patch(Target(module=module, owner=owner, method=method, optional=True), wrapper)


# --- Into a thread ---


def _start(wrapped: Callable[..., None], thread: Thread, args: Any, kwargs: Any) -> None:
    ctx = blocks.here()
    if not ctx or thread.ident is not None:  # nothing to follow, or the call is about to raise
        return wrapped(*args, **kwargs)
    attributes = vars(thread)
    before = attributes.get("run")
    attributes["run"] = partial(_run, thread, before, ctx)
    try:
        wrapped(*args, **kwargs)
    except BaseException:  # the thread did not start
        _restore_run(thread, before)
        raise


def _run(thread: Thread, before: Callable[[], object] | None, ctx: Context) -> None:
    _restore_run(thread, before)
    blocks.move_to(blocks.place_of(ctx))  # for the life of the thread
    thread.run()


def _restore_run(thread: Thread, before: Callable[[], object] | None) -> None:
    attributes = vars(thread)
    if before is None:
        attributes.pop("run", None)
    else:
        attributes["run"] = before


def _submit(wrapped: Callable[..., Any], pool: Any, args: Any, kwargs: Any) -> Any:
    interpreters = sys.modules.get(_INTERPRETERS)
    if interpreters is not None and isinstance(pool, interpreters.InterpreterPoolExecutor):
        return wrapped(*args, **kwargs)  # it sends the function to another interpreter, which a context cannot follow
    return _following(wrapped, args, kwargs)


def _to_pool(wrapped: Callable[..., Any], pool: Any, args: Any, kwargs: Any) -> Any:
    if not isinstance(pool, sys.modules[_POOL].ThreadPool):
        return wrapped(*args, **kwargs)  # a pool of processes, which has the same methods
    return _following(wrapped, args, kwargs)


def _following(wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    if args:  # also where nothing is open: the thread may have been started in a run
        args = (partial(_in_thread, blocks.here(), args[0]), *args[1:])
    return wrapped(*args, **kwargs)


def _in_thread(ctx: Context, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call `function` in `ctx`. The thread serves others afterwards."""
    with blocks.moved_to(blocks.place_of(ctx)):
        return function(*args, **kwargs)


# --- And back ---


async def _to_thread(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    if not args:
        return await wrapped(*args, **kwargs)
    changed: list[Block | None] = []
    try:
        return await wrapped(partial(_noting, changed, args[0]), *args[1:], **kwargs)
    finally:
        if changed:
            blocks.take_over(changed[0])


def _noting(changed: list[Block | None], function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call `function`, and note the innermost block if the function leaves another one than it finds."""
    before = blocks.innermost()
    try:
        return function(*args, **kwargs)
    finally:
        after = blocks.innermost()
        if after is not before:
            changed.append(after)
