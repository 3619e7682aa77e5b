"""Report this package's own failures without affecting the application.

All code that runs within a call of the application is inside an `except Exception` that calls `report`. Each cause is
logged once, at WARNING, with its consequence for the application: a figure can be lost, a call cannot.

An exception that a signal handler raises (a time limit, an alarm) can arrive in any line of this package and is no
failure of it. `report` and `reraise_foreign` raise it again, so that it reaches the application.
"""

from __future__ import annotations

import inspect
import logging
import re
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from types import CodeType, FrameType
from typing import Any, TypeVar

_T = TypeVar("_T")


class _Log:
    """The log of this package. A log handler or filter of the application that raises does not fail a call."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, message: str, *args: object) -> None:
        self._log(logging.DEBUG, message, args)

    def info(self, message: str, *args: object) -> None:
        self._log(logging.INFO, message, args)

    def warning(self, message: str, *args: object) -> None:
        self._log(logging.WARNING, message, args)

    def error(self, message: str, *args: object) -> None:
        self._log(logging.ERROR, message, args)

    def is_shown(self) -> bool:
        """Return True if a record reaches a handler that writes to a standard stream, or Python's last resort."""
        current: logging.Logger | None = self._logger
        handlers: list[logging.Handler] = []
        while current is not None:
            handlers += current.handlers
            current = current.parent if current.propagate else None
        streams = (getattr(handler, "stream", None) for handler in handlers)
        return not self._logger.disabled and (not handlers or any(each in (sys.stderr, sys.stdout) for each in streams))

    def _log(self, level: int, message: str, args: tuple[object, ...]) -> None:
        try:
            self._logger.log(level, message, *args, stacklevel=3)  # as if the caller had called the logger
        except Exception as error:  # of a handler or a filter of the application
            reraise_foreign(error)


logger = _Log("otel_agentcost")

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

    Raises:
        BaseException: `error` is not a failure of this package (`foreign`).
    """
    reraise_foreign(error)
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
    if sys.stderr is not None and not logger.is_shown():
        with suppress(OSError, ValueError):  # it is closed
            sys.stderr.write(f"{sentence}\n")


def apart(act: Callable[[], object]) -> None:
    """Call `act`, which can run in a finalizer, in a copy of the current context.

    Before Python 3.12 a collection can start in the middle of `ContextVar.set`; a finalizer that sets one too, in the
    same context, then frees what is being read, and the process crashes (python/cpython#148891).
    """
    copy_context().run(act)


# --- exceptions of others that arrive in this package ---

_SCHEDULERS = frozenset({"gevent", "eventlet", "greenlet"})
"""Packages that raise a time limit in a waiting green thread, from their own frame."""

_OURS = __name__.partition(".")[0]
_TELEMETRY = "opentelemetry"
_NEVER_RAISES_OTHERS = sys.stdlib_module_names | {_OURS, _TELEMETRY}
"""Packages that raise no class of the application from their own frames."""


def reraise_foreign(error: BaseException) -> None:
    """Raise the exception that only happened to arrive in this package, if `error` is one, or was raised from one.

    Every `except` clause that could catch such an exception calls this function or `report` first.
    """
    cause: BaseException | None = error
    for _ in range(_CAUSES):  # `raise error from error` is a circle
        if cause is None:
            return
        if foreign(cause):
            raise cause
        cause = cause.__cause__


def foreign(error: BaseException) -> bool:
    """Return True if the application's exception arrived in this package, as opposed to a failure of the package.

    These are: everything that is no `Exception` (Ctrl-C, exit, cancellation); an exception that a signal handler
    raised, which its traceback shows; a time limit of a green thread; and one that another thread set
    (`PyThreadState_SetAsyncExc`), which appears in this package's frame though only other code raises its class.
    """
    if not isinstance(error, Exception):
        return True
    if _package(type(error).__module__) == _OURS:
        return False
    place = error.__traceback__
    caller = frame = None
    codes: set[CodeType] = set()
    while place is not None:
        caller, frame = frame, place.tb_frame
        if caller is not None:
            if _takes(frame, caller):
                return True
            codes.add(frame.f_code)
        place = place.tb_next
    if codes and not codes.isdisjoint(_handlers()):
        return True
    raised_in = _package(frame.f_globals.get("__name__")) if frame is not None else ""
    if raised_in in _SCHEDULERS:
        return not isinstance(error, OSError)  # that is a failure of the network
    return raised_in in _NEVER_RAISES_OTHERS and _is_foreign(type(error))


_SIGNALS = tuple(map(int, signal.valid_signals()))

_CAUSES = 10
"""Causes of an exception that are looked at."""

_ATTEMPTS = 10
"""An action that is interrupted this often is left to the finalizer of its owner."""


def complete(action: Callable[[], _T]) -> _T:
    """Run an action that must not stay half done: again, if an exception of others interrupts it.

    Args:
        action: Continues where it was interrupted, or has the same effect when it is run again.

    Returns:
        What the action returns, if nothing has interrupted it.

    Raises:
        BaseException: The last exception that interrupted the action, which is complete now.
    """
    try:
        return action()
    except BaseException as error:
        if not foreign(error):
            raise
        interruption = error
    for _ in range(_ATTEMPTS - 1):
        try:
            action()
            break
        except BaseException as error:
            if not foreign(error):
                raise
            interruption = error
    raise interruption


def _handlers() -> frozenset[CodeType]:
    """Return the code of the installed signal handlers."""
    codes: set[CodeType] = set()
    for number in _SIGNALS:
        handler: object = signal.getsignal(number)
        while not hasattr(handler, "__code__") and (inner := _inner(handler)) is not None:
            handler = inner
        code = getattr(handler, "__code__", None)
        if isinstance(code, CodeType):
            codes.add(code)
    return frozenset(codes)


def _inner(handler: object) -> object:
    """Return the function in a bound method, a partial or an object that can be called; None for anything else."""
    for name in ("__func__", "func"):
        if (inner := getattr(handler, name, None)) is not None:
            return inner
    if not callable(handler) or inspect.isroutine(handler):
        return None
    return type(handler).__call__


def _takes(frame: FrameType, caller: FrameType) -> bool:
    """Return True if a frame has its own caller among its arguments: only a signal handler gets what it interrupts."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)
    values = frame.f_locals
    for name in code.co_varnames[:count]:
        value: Any = values.get(name)
        items: tuple[Any, ...] = value if type(value) is tuple else (value,)  # pyright: ignore[reportUnknownVariableType]
        if any(item is caller for item in items):
            return True
    return False


def _is_foreign(kind: type[BaseException]) -> bool:
    """Return True if a class is defined in Python code of the application or of a package that it uses."""
    module = sys.modules.get(kind.__module__)
    if _package(kind.__module__) in _NEVER_RAISES_OTHERS and kind.__module__ != "__main__":
        return False
    return module is not None and str(getattr(module, "__file__", None) or ".py").endswith(".py")


def _package(module: object) -> str:
    return str(module).partition(".")[0]
