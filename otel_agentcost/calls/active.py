"""What is in force: the runtimes that `instrument()` has put in force, for what is written long before it is called.

Tools are decorated and runs are opened by code that knows nothing of start-up; they look here when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_agentcost.runtime import Runtime

_active: list[Runtime] = []


def activate(runtime: Runtime) -> None:
    """From now on `runtime` counts."""
    _active.append(runtime)


def deactivate(runtime: Runtime) -> None:
    """Takes `activate` back."""
    if runtime in _active:
        _active.remove(runtime)


def active() -> Runtime | None:
    """The runtime that counts; None where nothing is instrumented."""
    return _active[-1] if _active else None
