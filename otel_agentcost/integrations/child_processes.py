"""Child processes that end by `os._exit`: they run no exit hooks, so what they have not exported would be lost.

`multiprocessing` (also under `ProcessPoolExecutor`) ends the children of `fork` and `forkserver` so, after its own
finalizers; Celery ends its worker processes so, after a signal. Both give the chance to flush. The children are found
by import hooks: an application without them pays nothing.

The end of `with Pool() as pool` kills workers that have nothing to do any more. Such workers end by themselves first.
"""

# Modules of others have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import wrapt

from otel_agentcost.calls.finalize import settle_open
from otel_agentcost.diagnostics import report
from otel_agentcost.integrations.patching import Patch, Target

LONGEST_FLUSH = 5.0
"""Seconds for which a child waits for its exporters. The SDK's processors do not keep to a timeout themselves."""

_LAST = -100
"""The priority among the finalizers of `multiprocessing`: after those of the application, which may make calls."""


class _Flush:
    """The last work of a child before it ends."""

    def __init__(self) -> None:
        self.providers: Callable[[], tuple[Any, ...]] | None = None
        """Returns the providers to flush; None if nothing is instrumented."""

    def __call__(self, *_args: Any, **_kwargs: Any) -> None:
        """Settle open streams, and flush the providers, for a bounded time."""
        if self.providers is None:
            return
        try:
            _join_threads()
            settle_open()
            flushes = [getattr(provider, "force_flush", None) for provider in self.providers()]
            # In threads, because an exporter that cannot send retries for longer than any child should take to end.
            threads = [threading.Thread(target=_quietly, args=(flush,), daemon=True) for flush in flushes if flush]
            for thread in threads:
                thread.start()
            until = time.monotonic() + LONGEST_FLUSH
            for thread in threads:
                thread.join(max(0.0, until - time.monotonic()))
        except Exception as error:
            report("flushing the telemetry of a child process", error)


def _join_threads() -> None:
    """Wait for the threads of the application, which `multiprocessing` lets end after its finalizers only.

    The threads of a `ThreadPoolExecutor` are not waited for: what ends them comes later, too.
    """
    executors = sys.modules.get("concurrent.futures.thread")
    idle: Any = getattr(executors, "_threads_queues", ())
    until = time.monotonic() + LONGEST_FLUSH
    for thread in threading.enumerate():
        if not thread.daemon and thread not in idle and thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))


def _quietly(flush: Callable[[], object]) -> None:
    try:
        flush()
    except Exception as error:
        report("flushing the telemetry of a child process", error)


_flush = _Flush()


def flush_at_end(providers: Callable[[], tuple[Any, ...]]) -> None:
    """Flush the telemetry of child processes when they end, from now on.

    Args:
        providers: Returns the providers in use. They are asked for when a child ends: an application may set its own
            after it was instrumented.
    """
    _flush.providers = providers
    _watch()


def stop() -> None:
    """Undo `flush_at_end`."""
    _flush.providers = None


@cache
def _watch() -> None:
    """Register the import hooks. They stay: `multiprocessing` cannot forget a hook either."""
    wrapt.register_post_import_hook(_watch_multiprocessing, "multiprocessing.util")
    wrapt.register_post_import_hook(_watch_celery, "celery.signals")


def _watch_multiprocessing(util: Any) -> None:
    """Register the finalizer in each child, which begins by forgetting all finalizers."""
    try:
        from multiprocessing.process import parent_process  # noqa: PLC0415 (the application has imported it)

        def in_child(_: object) -> None:
            util.Finalize(None, _flush, exitpriority=_LAST)

        util.register_after_fork(_flush, in_child)
        if parent_process() is not None:  # instrumented by the function that the child runs
            in_child(None)
    except Exception as error:
        report("watching child processes", error)


def _watch_celery(signals: Any) -> None:
    try:
        signals.worker_process_shutdown.connect(_flush, weak=False)
    except Exception as error:
        report("watching Celery's worker processes", error)


# --- Pools ---


def patches() -> tuple[Patch, ...]:
    """Return the patches: `Pool.terminate`, which the end of a `with` statement calls, and the end of a worker of
    `billiard` (Celery's fork of `multiprocessing`), which passes over its finalizers.
    """
    terminate = Target(module="multiprocessing.pool", owner="Pool", method="terminate", optional=True)
    worker_end = Target(module="billiard.pool", owner="Worker", method="_do_exit", optional=True)
    return Patch(terminate, _terminate), Patch(worker_end, _end_worker)


def _end_worker(wrapped: Callable[..., None], _: Any, args: Any, kwargs: Any) -> None:
    _flush()
    wrapped(*args, **kwargs)


def _terminate(wrapped: Callable[..., None], pool: Any, args: Any, kwargs: Any) -> None:
    try:
        if _is_idle(pool):
            pool.close()
            _wait_for(pool._pool, LONGEST_FLUSH)
    except Exception as error:  # the pool of another Python
        report("letting the workers of a pool end", error)
    finally:
        wrapped(*args, **kwargs)


def _is_idle(pool: Any) -> bool:
    """Return True if `pool` has worker processes of this process, and no result of them is outstanding."""
    if pool._cache or isinstance(pool, sys.modules["multiprocessing.pool"].ThreadPool):
        return False
    return bool(pool._pool) and all(worker._parent_pid == os.getpid() for worker in pool._pool)


def _wait_for(workers: list[Any], seconds: float) -> None:
    """Wait until all `workers` have ended, but no longer than `seconds`."""
    from multiprocessing.connection import wait  # noqa: PLC0415 (the application has imported it)

    until = time.monotonic() + seconds
    running = {worker.sentinel for worker in workers}
    while running and (left := until - time.monotonic()) > 0:
        running.difference_update(wait(list(running), left))
