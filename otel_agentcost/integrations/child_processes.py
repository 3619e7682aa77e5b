"""Child processes that end by `os._exit`: they run no exit hooks, so what they have not exported would be lost.

`multiprocessing` (also under `ProcessPoolExecutor`) ends the children of `fork` and `forkserver` so, after its own
finalizers; Celery ends its worker processes so, after a signal. Both give the chance to flush. The children are found
by import hooks: an application without them pays nothing.
"""

# Modules of others have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import wrapt

from otel_agentcost.calls.finalize import settle_open
from otel_agentcost.diagnostics import report

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
