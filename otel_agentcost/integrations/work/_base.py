"""The declarations of a module of this folder, and the wrappers that enter and leave its units of work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from otel_agentcost.calls.work import Source, Unit, enter
from otel_agentcost.diagnostics import report
from otel_agentcost.integrations.patching import Patch, Target, Wrapper

Arguments = tuple[Any, ...]


def _new(_args: Arguments, _kwargs: dict[str, Any]) -> str | None:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One function or method that runs a whole unit of work."""

    target: Target
    kind: Literal["sync", "async", "wsgi"] = "sync"
    """`wsgi`: it returns the body of the response, which the server reads afterwards."""
    identity: Callable[[Arguments, dict[str, Any]], str | None] = _new
    """Gets the arguments, and returns the id of the unit: "" for a new one, None if the call is no unit of work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOfWork:
    """The unit of work of one library: a job, a request, a cell."""

    name: str
    """The name of one unit, for people: `Celery task`."""
    distribution: str
    source: Source | None = None
    """For a library that says which unit is running."""
    entries: tuple[Entry, ...] = ()
    """For all others."""


def entry(module: str, owner: str, method: str, **more: Any) -> Entry:
    """Return an entry. Without its target, calls count in the allowance of the process: no reason for a warning."""
    return Entry(target=Target(module=module, owner=owner, method=method, optional=True), **more)


def patch(name: str, entered: Entry) -> Patch:
    """Return the patch of an entry."""
    return Patch(entered.target, {"sync": _sync, "async": _async, "wsgi": _wsgi}[entered.kind](name, entered))


def _sync(name: str, entered: Entry) -> Wrapper:
    def around(wrapped: Any, _instance: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
        unit = _enter(name, entered, args, kwargs)
        try:
            return wrapped(*args, **kwargs)
        finally:
            _leave(unit)

    return around


def _async(name: str, entered: Entry) -> Wrapper:
    async def within(wrapped: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
        unit = _enter(name, entered, args, kwargs)
        try:
            return await wrapped(*args, **kwargs)
        finally:
            _leave(unit)

    def around(wrapped: Any, _instance: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
        if not args and not kwargs:  # uvicorn tries this: unless it raises at once, the application is its own factory
            return wrapped()
        return within(wrapped, args, kwargs)

    return around


def _wsgi(name: str, entered: Entry) -> Wrapper:
    def around(wrapped: Any, _instance: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
        unit, body = _enter(name, entered, args, kwargs), None
        try:
            body = wrapped(*args, **kwargs)
            return body
        finally:
            _leave(unit, body)

    return around


def _enter(name: str, entered: Entry, args: Arguments, kwargs: dict[str, Any]) -> Unit | None:
    try:
        identity = entered.identity(args, kwargs)
        return None if identity is None else enter(name, identity or None)
    except Exception as bug:  # a library of another version
        report(f"entering a {name}", bug)
        return None


def _leave(unit: Unit | None, answer: object = None) -> None:
    try:
        if unit is not None:
            unit.leave(answer)
    except Exception as bug:  # a library of another version
        report("leaving a unit of work", bug)
