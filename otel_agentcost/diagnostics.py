"""Report this package's own failures without affecting the application.

All code that runs within a call of the application is inside an `except Exception` that calls `report`. Each cause is
logged once, at WARNING, with its consequence for the application: a figure can be lost, a call cannot.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable
from contextvars import copy_context

logger = logging.getLogger("otel_agentcost")

_MAX_CAUSES = 500
_seen: set[str] = set()
_lock = threading.Lock()


def warn_once(cause: str, sentence: str) -> None:
    """Log a warning, once for each cause.

    At most 500 causes are kept; further ones are not logged.

    Args:
        cause: Identifies the cause.
        sentence: The text to log.
    """
    if _is_new(cause):
        logger.warning("%s", sentence)


def alarm_once(cause: str, sentence: str) -> None:
    """Log an error as `alarm` does, once for each cause."""
    if _is_new(cause):
        alarm(sentence)


def _is_new(cause: str) -> bool:
    if cause in _seen:
        return False
    with _lock:
        if cause in _seen or len(_seen) >= _MAX_CAUSES:
            return False
        _seen.add(cause)
    return True


def report(doing: str, error: BaseException) -> None:
    """Log, once for each cause, that an error was caught.

    Args:
        doing: The failed activity, as a participle: "pricing a call".
        error: The error.
    """
    cause = f"{doing}: {type(error).__name__}"
    warn_once(
        cause,
        f"otel-agentcost: {doing} failed with {type(error).__name__}: {str(error)[:300]!r}. The application is not "
        f"affected; the call's tokens or dollars may be missing. Please report this if it persists",
    )


def forget_causes() -> None:
    """Forget all causes, so that they are logged again: a new `instrument()` repeats its warnings."""
    with _lock:
        _seen.clear()


def without_password(text: str) -> str:
    """Return `text` with the user and password of every URL in it replaced by `***`, and the values of parameters
    that are named like a secret.

    A password may contain any character, also unescaped ones: this hides too much rather than too little.
    """
    text = re.sub(r"(?is)((?:redis|valkey)s?:/*|//).*@", r"\1***@", text)
    return re.sub(r"(?i)([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*", r"\1***", text)


def alarm(sentence: str) -> None:
    """Log `sentence` at ERROR, and write it to standard error unless a log handler does.

    A budget that is not enforced must be visible whatever the application's logging configuration is.
    """
    logger.error("%s", sentence)
    current: logging.Logger | None = logger
    handlers: list[logging.Handler] = []
    while current is not None:
        handlers += current.handlers
        current = current.parent if current.propagate else None
    shown = not handlers or any(getattr(handler, "stream", None) in (sys.stderr, sys.stdout) for handler in handlers)
    if (logger.disabled or not shown) and sys.stderr is not None:
        sys.stderr.write(f"{sentence}\n")


def apart(act: Callable[[], object]) -> None:
    """Call `act`, which can run in a finalizer, in a copy of the current context.

    Before Python 3.12 a collection can start in the middle of `ContextVar.set`; a finalizer that sets one too, in the
    same context, then frees what is being read, and the process crashes (python/cpython#148891).
    """
    copy_context().run(act)
