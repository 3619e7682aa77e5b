"""Sources of answers about spend: each module is one kind, named after the scheme of its URLs.

A module has a function `open_source(url)`, which returns a `Source`. Another kind of store is one more file here.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pkgutil import iter_modules

from otel_agentcost.diagnostics import without_password
from otel_agentcost.store.questions import Source, UnclearQuestion
from otel_agentcost.store.single_calls import Detailed, detailed

__all__ = ["open_detailed", "open_source", "schemes"]


def schemes() -> tuple[str, ...]:
    """Return the schemes of the sources that there are."""
    return tuple(sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_")))


def open_source(url: str) -> Source:
    """Open the source that `url` names.

    Args:
        url: `sqlite:////path/to/file`, `otlp:///path/to/spans*.json`, `clickhouse://host:8123/database`, or
            `prometheus://host:9090`.

    Raises:
        AgentCostError: The scheme is unknown, or the source cannot be opened.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in schemes():
        raise UnclearQuestion(
            f"{without_password(url)!r:.120} is no source of spend: write sqlite:////path/to/file (the schemes are "
            f"{', '.join(schemes())})."
        )
    source: Source = import_module(f"{__name__}.{scheme.lower()}").open_source(url)
    return source


@contextmanager
def open_detailed(url: str) -> Generator[Detailed]:
    """Open a source for its single calls, and close it at the end. All its answers are of one moment.

    Raises:
        NoSingleCalls: It has sums only.
        AgentCostError: The scheme is unknown, or the source cannot be opened.
    """
    source = open_source(url)
    try:
        calls = detailed(source, f"{without_password(url)!r:.120}")
        calls.hold()
        yield calls
    finally:
        source.close()
