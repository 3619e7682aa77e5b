"""The public API, and what plug-ins build on, documents each argument and each result."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

import otel_agentcost
from otel_agentcost import testing, wire
from otel_agentcost.core import ledger

MODULES = (otel_agentcost, testing, wire, ledger)


def documented() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public functions, and the public methods of public classes, by their full names."""
    for module in MODULES:
        for name, value in _members(module):
            if inspect.isfunction(value):
                yield f"{module.__name__}.{name}", value
            elif inspect.isclass(value):
                for attribute, method in vars(value).items():
                    function = getattr(method, "__func__", method)
                    if inspect.isfunction(function) and not attribute.startswith("_"):
                        yield f"{module.__name__}.{name}.{attribute}", function


def _members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name in getattr(module, "__all__", vars(module)):
        value = getattr(module, name)
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("otel_agentcost"):
            yield name, value


FUNCTIONS = dict(documented())


def test_functions_of_every_module_are_found() -> None:
    """A wrong list of modules would let everything pass."""
    assert {"otel_agentcost.run", "otel_agentcost.testing.recording", "otel_agentcost.core.ledger.Ledger.reserve"} <= {
        *FUNCTIONS
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_argument_is_documented(name: str) -> None:
    """`Args:` names it, with its unit or its shape."""
    text = inspect.getdoc(FUNCTIONS[name]) or ""
    arguments = [each for each in inspect.signature(FUNCTIONS[name]).parameters if each not in {"self", "cls"}]
    assert [each for each in arguments if not re.search(rf"^\s+{each}: \w|^\s+{each}: `", text, re.MULTILINE)] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_result_is_documented(name: str) -> None:
    """A section tells what is returned, or else the first sentence."""
    text = inspect.getdoc(FUNCTIONS[name]) or ""
    result = str(inspect.signature(FUNCTIONS[name]).return_annotation)
    if result.startswith(("None", "Generator[None")):  # a context manager without a value yields None
        return
    assert re.search(r"^(?:Returns|Yields):$|^(?:Return|Yield|Iterate)\b", text, re.MULTILINE)
