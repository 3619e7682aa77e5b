"""Text of `agentcost doctor`: the units of work that count as a trace where no span is open."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from otel_agentcost.integrations import work

REST = (
    "the rest of this process is one trace, whose allowance is renewed an hour after its first call; "
    'an agent, `with otel_agentcost.run("job"):` or a span gives each job its own'
)


def units() -> str:
    """Return which units of work the installed packages have, and what applies to calls outside of them."""
    installed = list(dict.fromkeys(_installed()))
    each = f"a trace is: each {', each '.join(installed)}; " if installed else "no unit of work is recognised here; "
    return f"{each}{REST}"


def _installed() -> Iterator[str]:
    for unit in work.discover():
        try:
            yield f"{unit.name} ({unit.distribution} {version(unit.distribution)})"
        except PackageNotFoundError:  # noqa: PERF203 (a few packages, in a command)
            continue
