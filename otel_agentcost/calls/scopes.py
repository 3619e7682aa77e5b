"""The id of a call and the budget scopes that it counts in."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span

from otel_agentcost.core import semconv
from otel_agentcost.core.budgets import Scope

SCOPES: tuple[tuple[str, Scope], ...] = (
    (semconv.USER, "user"),
    (semconv.TENANT, "tenant"),
    (semconv.TEAM, "team"),
    (semconv.AGENT, "agent"),
    (semconv.FEATURE, "feature"),
    (semconv.CONVERSATION, "conversation"),
)

NO_TRACE = "0" * 32
"""The trace id if no OpenTelemetry SDK is configured."""


def trace_id_of(span: Span) -> str:
    """Return the trace id of `span` as 32 hexadecimal digits: zeros for a double of a span in a test."""
    trace_id: Any = span.get_span_context().trace_id
    return f"{trace_id:032x}" if isinstance(trace_id, int) else NO_TRACE


def scopes_of(trace: str, attributed: Mapping[str, str]) -> dict[Scope, str]:
    """Return the budget scopes of a call, and its value in each.

    Args:
        trace: The name of its trace in ledgers, see `work`.
        attributed: The attribution of the call by attribute name.
    """
    scopes: dict[Scope, str] = {"trace": trace, "process": process_name(), "total": ""}
    if not attributed:
        return scopes
    for attribute, scope in SCOPES:
        if attribute in attributed:
            scopes[scope] = attributed[attribute]
    return scopes


# --- Names that are unique over all processes ---

_ids = itertools.count(1)
_names: dict[int, str] = {}
"""The name of this process by its process id."""


def process_name() -> str:
    """Return the name of this process. A forked child has another name.

    Threads that ask at the same time get the same name: `setdefault` keeps the first one, without a lock that a fork
    could find taken.
    """
    pid = os.getpid()
    return _names.get(pid) or _names.setdefault(pid, f"process {pid}-{os.urandom(6).hex()}")


def _in_child() -> None:
    """Forget the names of the parents: the system may give a child the process id of one that has ended."""
    _names.clear()
    process_name()


process_name()  # before any thread can ask: the name is the key of a budget
if hasattr(os, "register_at_fork"):  # pragma: no branch - not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_in_child)


def new_id() -> str:
    """Return a new id for a call."""
    return f"{process_name()}-{next(_ids)}"


def new_value() -> str:
    """Return a new id for a run."""
    return new_id().removeprefix("process ")
