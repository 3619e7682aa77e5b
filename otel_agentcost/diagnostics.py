"""The border between this package and the application: nothing of ours that goes wrong may cross it.

Whatever touches a call of the application runs inside `guarded` or an `except Exception` that calls `report`. A
cause is logged once, at WARNING, with what it means for the application; what is lost is a figure, never a call.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable
from contextvars import copy_context

logger = logging.getLogger("otel_agentcost")

_MOST_CAUSES = 500
_seen: set[str] = set()
_lock = threading.Lock()


def warn_once(cause: str, sentence: str) -> None:
    """Logs `sentence` unless something was already logged for the same `cause`.

    The memory of causes is bounded: an application that manages to produce hundreds of different ones has been
    told enough.
    """
    if _is_news(cause):
        logger.warning("%s", sentence)


def alarm_once(cause: str, sentence: str) -> None:
    """`alarm`, once a cause."""
    if _is_news(cause):
        alarm(sentence)


def _is_news(cause: str) -> bool:
    if cause in _seen:
        return False
    with _lock:
        if cause in _seen or len(_seen) >= _MOST_CAUSES:
            return False
        _seen.add(cause)
    return True


def report(doing: str, error: BaseException) -> None:
    """Logs, once a cause, that `error` was caught while `doing` something. The application is not affected."""
    cause = f"{doing}: {type(error).__name__}"
    warn_once(
        cause,
        f"otel-agentcost: {doing} failed with {type(error).__name__}: {str(error)[:300]!r}. The application is not "
        f"affected; the call's tokens or dollars may be missing. Please report this if it persists",
    )


def forget_causes() -> None:
    """Starts anew, so that the next cause is logged again (a fresh `instrument()` deserves fresh warnings)."""
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
    """Logs `sentence` at ERROR, and writes it to standard error where no handler does.

    That no budget is enforced must not go unseen because an application's logging is set up for something else.
    """
    logger.error("%s", sentence)
    place: logging.Logger | None = logger
    handlers: list[logging.Handler] = []
    while place is not None:
        handlers += place.handlers
        place = place.parent if place.propagate else None
    shown = not handlers or any(getattr(handler, "stream", None) in (sys.stderr, sys.stdout) for handler in handlers)
    if (logger.disabled or not shown) and sys.stderr is not None:
        sys.stderr.write(f"{sentence}\n")


def apart(act: Callable[[], object]) -> None:
    """Does `act`, which may run in a finalizer, in a copy of the current context.

    Before Python 3.12 a collection can start in the middle of `ContextVar.set`; a finalizer that sets one too, in the
    same context, then frees what is being read, and the process crashes (python/cpython#148891).
    """
    copy_context().run(act)
