"""smolagents: tools, called as its agents and their code call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from otel_agentcost.core import semconv
from tests.integrations.tools.one_tool_call import one_call, priced, repeats
from tests.support.in_memory import Telemetry

sdk: Any = pytest.importorskip("smolagents", reason="smolagents is not here: `make frameworks`")
tool: Any = sdk.tool  # the framework warns of any other decorator


@tool  # type: ignore[untyped-decorator] # the framework is no dependency
def search(query: str) -> str:
    """Find pages.

    Args:
        query: The words to look for.
    """
    if query == "nothing":
        raise KeyError(query)
    return f"pages on {query}"


WAYS: dict[str, Callable[[str], Any]] = {
    "by position": search,
    "by name": lambda query: search(query=query, sanitize_inputs_outputs=True),
    "a mapping": lambda query: search({"query": query}),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_call_is_one_span(telemetry: Telemetry, way: str) -> None:
    """It counts once, in whichever form its arguments come."""
    with priced(telemetry):
        assert WAYS[way]("bees") == "pages on bees"
    one_call(telemetry)


def test_a_failure_is_an_error(telemetry: Telemetry) -> None:
    """The application sees it as it is."""
    with priced(telemetry), pytest.raises(KeyError):
        search("nothing")
    assert one_call(telemetry)[semconv.ERROR_TYPE] == "KeyError"


def test_the_same_call_in_different_forms_is_a_loop(telemetry: Telemetry) -> None:
    """The arguments are compared by name, and results by their text."""
    with priced(telemetry, loop_max_repeats=3):
        for run in WAYS.values():
            run("bees")
        assert repeats() == ["repeat"]
