"""The receiver of settled calls: a bounded queue, and a thread that writes it to the store.

The application's call appends to a queue, and nothing more. A thread writes transactions of 200 rows, or of what came
within a second. Rows wait in memory while the file is locked or full, within a bound; what is lost is counted and said
once, never raised. A process that is killed loses what waits, which is at most the last second, and never the file.
"""

from __future__ import annotations

import _thread
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from queue import Empty, SimpleQueue
from typing import Any, Final
from weakref import WeakSet

from opentelemetry.trace import Span

from otel_agentcost.diagnostics import report, warn_once
from otel_agentcost.store import fingerprints, schema
from otel_agentcost.store.rows import Event, Row, event_of, row_of
from otel_agentcost.store.schema import StoreError
from otel_agentcost.store.store_file import StoreFile
from otel_agentcost.telemetry.receiver import EventKind, Settled

BATCH: Final = 200
"""Rows of one transaction."""

SECONDS: Final = 0.8
"""The longest time that a row waits for others. With the time that writing takes, it is on disk within a second."""

MOST: Final = 10_000
"""Rows that wait in memory, in the queue and for the file."""

_WITH_BODY: Final = 1_000
"""Rows in the queue beyond which requests get no fingerprints: their bodies would take too much memory."""

_PAUSE: Final = 5.0
"""Seconds between two attempts while the file cannot be written."""

_LAST: Final = 5.0
"""The longest time that the end of a process waits for the writer."""

_FORK: Final = 2.0
"""The longest time that a fork waits for the end of a transaction. A child that inherits an open file cannot write it:
SQLite takes the locks of its parent for its own.
"""

_NATIVE: Final = _thread.start_new_thread

_Item = tuple[float, Settled, Any]


class Writer:
    """Writes settled calls to one store. Implements `Receiver`."""

    def __init__(
        self,
        url: str,
        book: str,
        dropped: Callable[[int], None],
        *,
        days: int = 35,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Create a writer. Nothing is opened before the first row.

        Args:
            url: The store, such as `sqlite:////path/to/file`.
            book: The source and the date of the price book.
            dropped: Counts rows that are lost.
            days: The days for which rows of single calls are kept.
            clock: Returns the time in seconds since the epoch.

        Raises:
            StoreError: The URL names no file.
        """
        self._address = schema.parse_url(url)
        self._seconds = self._address.seconds if self._address.seconds is not None else SECONDS
        self._book = book
        self._count_dropped = dropped
        self._days = days
        self._clock = clock
        self._file: StoreFile | None = None
        self._begin()
        _writers.add(self)

    def _begin(self) -> None:
        """Start with nothing: no row waits, and there is no thread."""
        self._queue: deque[_Item | Event] = deque()
        self._pending: deque[Row | Event] = deque()
        self._bell: SimpleQueue[bool] = SimpleQueue()  # its `put` may be interrupted by a signal handler that puts, too
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asleep = True
        self._retry = self._due = 0.0

    # --- within the application's call ---

    def settled(self, call: Settled) -> None:
        """Take one call: append it to the queue."""
        try:
            queue = self._queue
            waiting = len(queue)
            if waiting >= MOST:
                self._drop(1)
                return
            body = call.call.body if call.call is not None and waiting < _WITH_BODY else None
            queue.append((self._clock(), call, fingerprints.snapshot(body)))
            if self._asleep or waiting + 1 == BATCH:
                self._wake()
        except Exception as error:  # the call of the application goes on
            report("recording a call in the spend store", error)

    def event(self, kind: EventKind, what: str, span: Span, *, agent: str | None, usd: Decimal | None) -> None:
        """Take one event."""
        if len(self._queue) >= MOST:
            self._drop(1)
            return
        self._queue.append(event_of(self._clock(), kind, what, agent, usd, span.get_span_context().trace_id))
        if self._asleep:
            self._wake()

    def _wake(self) -> None:
        try:
            if self._thread is None and _thread.start_new_thread is not _NATIVE:
                # gevent has replaced threads since: what would wait here is a greenlet, and holds up all others.
                if len(self._queue) >= BATCH or time.monotonic() >= self._due:
                    self._due = time.monotonic() + self._seconds
                    self.flush()
                return
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="agentcost-store", daemon=True)
                thread.start()
                self._thread = thread
            self._bell.put(True)
            self._asleep = False
        except Exception as error:  # no thread can start while a process ends: its end writes what waits
            report("starting the writer of the spend store", error)

    def _drop(self, rows: int) -> None:
        try:
            self._count_dropped(rows)
        except Exception as error:  # a meter provider of the application may raise
            report("counting rows that the spend store has dropped", error)

    # --- the thread ---

    def _run(self) -> None:
        bell = self._bell
        while bell is self._bell:  # else this is the thread of an earlier life
            if not self._queue and not self._pending:
                self._asleep = True
                if not self._queue and not bell.get():
                    return
                self._asleep = False
            if len(self._queue) < BATCH:
                try:
                    if not bell.get(timeout=self._seconds):
                        return
                except Empty:
                    pass
            self.flush()

    def flush(self, *, last: bool = False) -> bool:
        """Write what waits.

        Args:
            last: True to try even if the file could not be written a moment ago.

        Returns:
            True if nothing waits any more.
        """
        if not self._lock.acquire(timeout=_LAST):
            return False
        try:
            self._take()
            if self._pending and (last or time.monotonic() >= self._retry):
                self._write_all()
        except Exception as error:  # the thread goes on, and tries again
            report("writing the spend store", error)
        finally:
            self._lock.release()
        return not self._pending

    def force_flush(self) -> bool:
        """Write what waits, as the providers of OpenTelemetry do before a child process ends."""
        return self.flush(last=True)

    def close(self) -> None:
        """Write what waits, and close the file. A later row opens it again."""
        written = self.flush(last=True)
        if not written and self._lock.acquire(timeout=_LAST):
            try:
                self._drop_pending(len(self._pending))
                written = True
            finally:
                self._lock.release()
        self._bell.put(False)
        thread, self._thread = self._thread, None
        self._asleep = True
        if thread is not None and thread is not threading.current_thread():
            thread.join(_LAST)
        self._bell = SimpleQueue()
        if written:  # else a slow disk holds the thread in a transaction
            self._disconnect()

    def _disconnect(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.connection.close()

    # --- under the lock ---

    def _take(self) -> None:
        """Turn what is in the queue into rows: from here on, no object of the application is kept."""
        while self._queue:
            item = self._queue.popleft()
            try:
                self._pending.append(item if isinstance(item, Event) else row_of(*item, self._book))
            except Exception as error:  # one row is lost, and counted
                self._drop(1)
                report("making a row of the spend store", error)
        self._drop_pending(len(self._pending) - MOST)

    def _drop_pending(self, rows: int) -> None:
        if rows > 0:
            for _ in range(rows):
                self._pending.popleft()
            self._drop(rows)

    def _write_all(self) -> None:
        try:
            while self._pending:
                if self._file is None:
                    self._file = StoreFile(self._address, self._clock())
                rows = [self._pending[at] for at in range(min(BATCH, len(self._pending)))]
                self._file.write(rows, self._clock(), self._days)
                for _ in rows:
                    self._pending.popleft()
            self._retry = 0.0
        except (sqlite3.Error, OSError, StoreError) as error:
            self._retry = time.monotonic() + _PAUSE
            self._disconnect()
            if isinstance(error, StoreError):  # waiting will not help
                self._drop_pending(len(self._pending))
            self._say(error)
        except BaseException:  # of others: it may arrive anywhere in here
            self._disconnect()
            raise

    def _say(self, error: Exception) -> None:
        reason = str(error) if isinstance(error, StoreError) else f"{error}: {self._address.path}"
        kept = "NOTHING IS RECORDED" if isinstance(error, StoreError) else f"up to {MOST:,} rows wait in memory"
        warn_once(
            f"spend store: {type(error).__name__} {str(error)[:60]}",
            f"otel-agentcost: the spend store cannot be written ({reason}). The application, its budgets and its "
            f"telemetry go on; {kept}.",
        )

    # --- forks ---

    def before_fork(self) -> bool:
        """Close the file: a connection to SQLite must not cross a fork. Returns True if the lock was acquired."""
        if not self._lock.acquire(timeout=_FORK):
            return False
        self._disconnect()
        return True

    def after_fork_in_parent(self) -> None:
        """Go on. The next transaction opens the file again."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Start with nothing: the parent writes what waits."""
        if self._file is not None:  # the fork did not wait for a long transaction
            _inherited.append(self._file)
        self._file = None
        self._begin()


_writers: WeakSet[Writer] = WeakSet()
_taken: list[Writer] = []
_inherited: list[StoreFile] = []
"""Files of a parent process: never used and never closed."""


def _before() -> None:
    _taken.extend(writer for writer in list(_writers) if writer.before_fork())


def _in_parent() -> None:
    while _taken:
        _taken.pop().after_fork_in_parent()


def _in_child() -> None:
    _taken.clear()
    for writer in list(_writers):
        writer.after_fork_in_child()


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows, where nothing forks
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
