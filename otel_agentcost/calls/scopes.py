"""What a call brings to its budgets: an id, and the scopes that it counts in.

Pure but for the name of this process.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping

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

_NO_TRACE = "0" * 32
"""Where no OpenTelemetry SDK is set up."""


def trace_id_of(span: Span) -> str:
    return f"{span.get_span_context().trace_id:032x}"


def trace_key(trace_id: str, *, alone: bool) -> str:
    """What a trace is called here. Calls under no span are not a trace each, which no limit could ever stop: they are
    one, that of the process.
    """
    return trace_id if not alone and trace_id != _NO_TRACE else f"{_process()} (calls under no span)"


def scopes_of(trace_id: str, who: Mapping[str, str], *, alone: bool) -> dict[Scope, str]:
    """Whose call it is."""
    scopes: dict[Scope, str] = {
        "trace": trace_key(trace_id, alone=alone),
        "process": _process(),
        "total": "",
    }
    for attribute, scope in SCOPES:
        if attribute in who:
            scopes[scope] = who[attribute]
    return scopes


# --- Names that no other process uses ---

_ids = itertools.count(1)
_own: tuple[int, str] = (0, "")


def _process() -> str:
    """The name of this process: another one after a fork."""
    global _own  # noqa: PLW0603
    pid = os.getpid()
    if _own[0] != pid:
        _own = pid, f"process {pid}-{os.urandom(6).hex()}"
    return _own[1]


def new_id() -> str:
    return f"{_process()}-{next(_ids)}"


def new_value() -> str:
    """A name for a run."""
    return new_id().removeprefix("process ")
