"""The forms of `agentcost report`: each module `to_NAME` writes one of them.

A module has a function `pieces(source, wanted, repricing)`, which yields text. Another form is one more file here.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from otel_agentcost.insight.report import Wanted
from otel_agentcost.insight.repricing import Repricing
from otel_agentcost.store.questions import Source

_PREFIX = "to_"


def forms() -> tuple[str, ...]:
    """Return the names of the forms that there are."""
    return tuple(
        sorted(
            module.name.removeprefix(_PREFIX) for module in iter_modules(__path__) if module.name.startswith(_PREFIX)
        )
    )


def pieces(form: str, source: Source, wanted: Wanted, repricing: Repricing) -> Iterator[str]:
    """Yield a report in one of the forms.

    Args:
        form: One of `forms()`.
        source: Where the spend is recorded.
        wanted: What the report is about.
        repricing: The price book.

    Raises:
        AgentCostError: The source has no answer.
    """
    written: Iterator[str] = import_module(f"{__name__}.{_PREFIX}{form}").pieces(source, wanted, repricing)
    return written
