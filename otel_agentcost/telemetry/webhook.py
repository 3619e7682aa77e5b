"""Tells an address of reached limits, refused calls, opened breakers and loops: each at most once a minute.

The application's call appends to a queue. A thread that is started at the first notice sends what waits and ends; what
it needs for HTTP is imported there. The address is a secret: only its host is ever logged, and no text of an error of
others, which may quote the address.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from functools import cache
from typing import Any, Final, NamedTuple
from weakref import WeakSet

from opentelemetry import trace
from opentelemetry.trace import Span

from otel_agentcost._version import __version__
from otel_agentcost.diagnostics import report, reraise_foreign, warn_once
from otel_agentcost.telemetry.receiver import NoticeKind

APART: Final = 60.0
"""Seconds between two notices of one cause. What happens meanwhile is counted in the next one."""

MOST: Final = 100
"""Notices that wait to be sent."""

CAUSES: Final = 1_000
"""Causes that are counted apart within a minute."""

WAITS: Final = (1.0, 4.0, 15.0)
"""Seconds before each further attempt, unless the answer says how long."""

LONGEST_WAIT: Final = 60.0
"""The longest time that an answer can ask to wait, in seconds."""

TIMEOUT: Final = 5.0
"""Seconds that connecting, or each part of an answer, may take."""

LAST: Final = 3.0
"""The longest time that the end of a process waits for notices, in seconds."""

_LOOK: Final = 0.05
"""Seconds between two looks while a thread waits: no lock is held meanwhile, which green threads could wait for."""

_LONGEST_TEXT: Final = 2_000


class Webhook:
    """Sends notices to one address. Implements `Notify`."""

    def __init__(
        self, url: str, host: str, *, slack: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Create the object. Nothing is opened before the first notice.

        Args:
            url: The address, which is never shown.
            host: What may be shown of it.
            slack: True for the form that Slack takes, false for plain JSON.
            clock: Returns seconds that only grow.
        """
        self._url = url
        self._host = host
        self._slack = slack
        self._clock = clock
        self._told: dict[tuple[NoticeKind, str], tuple[float, int]] = {}
        self._begin()
        _webhooks.add(self)

    def _begin(self) -> None:
        """Start with nothing: no notice waits, and there is no thread."""
        self._queue: deque[dict[str, Any]] = deque()
        self._lock = threading.RLock()  # a signal handler may make a call that tells, too
        self._sending = threading.Lock()
        self._thread: threading.Thread | None = None
        self._until: float | None = None

    def after_fork(self) -> None:
        """Start with nothing in a child: the parent sends what waits."""
        self._begin()

    # --- within the application's call ---

    def tell(self, kind: NoticeKind, rule: str, text: str, span: Span) -> None:
        """Send a notice soon, unless one of the same kind and rule was sent within the last minute.

        Args:
            kind: What happened.
            rule: What it concerns: a budget, a breaker or a kind of loop.
            text: A sentence, without content.
            span: The span that it happened in.
        """
        try:
            with self._lock:
                more = self._due((kind, rule))
                if more is None:
                    return
                if len(self._queue) >= MOST:
                    self._lost(1, f"{MOST} notices wait already")
                    return
                self._queue.append(_notice(kind, rule, text, span, more))
            self._start()
        except Exception as error:  # the call of the application goes on
            report("telling the webhook", error)

    def _due(self, cause: tuple[NoticeKind, str]) -> int | None:
        """Return how often the cause has occurred since its last notice; None if that was a moment ago."""
        now = self._clock()
        last = self._told.get(cause)
        if last is not None and now - last[0] < APART:
            self._told[cause] = last[0], last[1] + 1
            return None
        if last is None and len(self._told) >= CAUSES:
            self._told = {each: told for each, told in self._told.items() if now - told[0] < APART}
            if len(self._told) >= CAUSES:
                self._lost(1, f"{CAUSES:,} causes occurred within a minute")
                return None
        self._told[cause] = now, 0
        return last[1] if last is not None else 0

    def _start(self) -> None:
        if not self._queue or not self._sending.acquire(blocking=False):
            return  # the thread that sends looks again before it ends
        try:
            thread = threading.Thread(target=self._run, name="agentcost-webhook", daemon=True)
            thread.start()
            self._thread = thread
        except BaseException as error:  # no thread can start while a process ends: its end sends what waits
            self._sending.release()
            reraise_foreign(error)

    # --- the thread ---

    def _run(self) -> None:
        sending = self._sending
        try:
            self._send_all()
        except Exception as error:  # the next notice starts another thread
            reraise_foreign(error)
            self._lost(1, type(error).__name__)
        finally:
            sending.release()
        if self._until is None:
            self._start()

    def _send_all(self) -> None:
        _prepare()
        from opentelemetry.instrumentation.utils import suppress_instrumentation  # noqa: PLC0415 (seldom needed)

        with suppress_instrumentation():  # as exporters do: no instrumentation makes a span of it
            while self._queue and not self._is_over():
                self._send(_encoded(self._queue.popleft(), slack=self._slack))

    def _send(self, content: bytes) -> None:
        """Send one notice, with several attempts. What fails in the end is lost, and said once."""
        waits = iter(WAITS)
        while True:
            failed = _post(self._url, content, min(TIMEOUT, max(0.1, self._left())))
            if failed is None:
                return
            wait = next(waits, None) if failed.again else None
            if wait is None or not self._pause(wait if failed.seconds is None else failed.seconds):
                self._lost(1, failed.why)
                return

    def _pause(self, seconds: float) -> bool:
        """Wait. Returns False if the process ends before that."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._until is not None and self._until < until:
                return False
            time.sleep(_LOOK)
        return True

    def _left(self) -> float:
        return float("inf") if self._until is None else self._until - time.monotonic()

    def _is_over(self) -> bool:
        return self._left() <= 0

    def _lost(self, notices: int, why: str) -> None:
        warn_once(
            f"webhook: {why}",
            f"otel-agentcost: {notices} notice{'s' if notices > 1 else ''} could not be sent to the webhook at "
            f"{self._host} ({why}). The application and its budgets go on. Check OTEL_AGENTCOST_WEBHOOK.",
        )

    # --- the end ---

    def force_flush(self) -> bool:
        """Send what waits, for a bounded time. Returns True if nothing waits any more."""
        self._until = time.monotonic() + LAST
        try:
            while (self._queue or self._sending.locked()) and not self._is_over():
                if self._sending.acquire(blocking=False):
                    self._run()  # here: no thread can start while the interpreter ends
                else:
                    time.sleep(_LOOK)
        finally:
            self._until = None
        return not self._queue and not self._sending.locked()

    def close(self) -> None:
        """Send what waits, for a bounded time. A later notice is sent, too."""
        try:
            if not self.force_flush():
                self._lost(len(self._queue) + self._sending.locked(), "there was no time left")
                self._queue.clear()
        except Exception as error:  # the program ends all the same
            report("closing the webhook", error)


def _notice(kind: NoticeKind, rule: str, text: str, span: Span, more: int) -> dict[str, Any]:
    """Return what is sent as plain JSON."""
    notice: dict[str, Any] = {
        "source": "otel-agentcost",
        "kind": kind,
        "rule": rule[:200],
        "text": text[:_LONGEST_TEXT],
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "more": more,
    }
    # A span that is not sampled has none: then it is that of the global provider, if that is set.
    resource = getattr(span, "resource", None) or getattr(trace.get_tracer_provider(), "resource", None)
    service = resource.attributes.get("service.name") if resource is not None else None
    if service and not str(service).startswith("unknown_service"):
        notice["service"] = str(service)
    if trace_id := span.get_span_context().trace_id:
        notice["trace_id"] = f"{trace_id:032x}"
    return notice


def _encoded(notice: dict[str, Any], *, slack: bool) -> bytes:
    import json  # noqa: PLC0415 (only where a notice is sent)

    if not slack:
        return json.dumps(notice).encode()
    who = f"{notice['service']}: " if "service" in notice else ""
    more = f" ({notice['more']} more since the last message)" if notice["more"] else ""
    text = f"{who}{notice['text']}{more}"
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # else a name could call a whole channel
        text = text.replace(sign, escaped)
    return json.dumps({"text": text}).encode()


class _Failed(NamedTuple):
    """An attempt that failed."""

    why: str
    """A status or the name of an error: nothing that could quote the address."""
    again: bool
    """True if another attempt may help."""
    seconds: float | None = None
    """The seconds to wait before it, if the answer says so."""


def _post(url: str, content: bytes, timeout: float) -> _Failed | None:
    """Make one attempt. Returns None if it has succeeded."""
    from urllib.error import HTTPError, URLError  # noqa: PLC0415 (only where a notice is sent)
    from urllib.request import Request  # noqa: PLC0415 (the same)

    headers = {"Content-Type": "application/json", "User-Agent": f"otel-agentcost/{__version__}"}
    try:
        request = Request(url, content, headers, method="POST")  # noqa: S310 (the setting allows http and https)
        with _opener().open(request, timeout=timeout):
            return None
    except HTTPError as error:
        error.close()
        again = error.code in (408, 425, 429) or error.code >= 500
        return _Failed(f"status {error.code}", again, _seconds(error.headers.get("Retry-After")))
    except URLError as error:
        return _Failed(type(error.reason).__name__, again=True)
    except OSError as error:
        return _Failed(type(error).__name__, again=True)
    except Exception as error:  # an address that the client refuses, an answer that is no HTTP
        reraise_foreign(error)
        return _Failed(type(error).__name__, again=False)


def _seconds(written: str | None) -> float | None:
    return min(float(written), LONGEST_WAIT) if written is not None and written.strip().isdecimal() else None


def _prepare() -> None:
    """Import what a notice needs. No fork happens meanwhile: its child could import none of it any more."""
    with _importing:
        import json  # noqa: PLC0415 (before a fork, which waits for imports)
        from urllib.request import Request  # noqa: PLC0415 (the same)

        from opentelemetry.instrumentation import utils  # noqa: PLC0415 (the same)

        del json, Request, utils
        _opener()
        "".encode("idna")  # as the lookup of a host does


@cache
def _opener() -> Any:
    """Return what sends requests: through the proxies of the environment, and without following redirects."""
    from urllib.request import HTTPRedirectHandler, build_opener  # noqa: PLC0415 (only where a notice is sent)

    class Stays(HTTPRedirectHandler):
        def redirect_request(self, *_: Any, **__: Any) -> None:
            """Return None: the notice goes nowhere else."""

    return build_opener(Stays)


_webhooks: WeakSet[Webhook] = WeakSet()
_importing = threading.Lock()
_taken: list[threading.Lock] = []

_FORK: Final = 2.0
"""The longest time that a fork waits for imports, in seconds."""


def _before() -> None:
    if _importing.acquire(timeout=_FORK):
        _taken.append(_importing)


def _in_parent() -> None:
    while _taken:
        _taken.pop().release()


def _in_child() -> None:
    global _importing  # noqa: PLW0603 (a thread of the parent may hold it)
    _taken.clear()
    _importing = threading.Lock()
    for webhook in list(_webhooks):
        webhook.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows, where nothing forks
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
