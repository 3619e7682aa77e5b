"""Docstrings of the public functions: they name every argument, and their examples fit the signatures."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

import otel_agentcost

FUNCTIONS = [name for name in otel_agentcost.__all__ if inspect.isfunction(getattr(otel_agentcost, name))]
WITH_EXAMPLE = [name for name in FUNCTIONS if name != "uninstrument"]


def public(name: str) -> tuple[Callable[..., Any], str]:
    function = getattr(otel_agentcost, name)
    return function, inspect.getdoc(function) or ""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_docstring_describes_every_argument(name: str) -> None:
    """Each parameter of a public function has its line under `Args:`."""
    function, text = public(name)
    described = set(re.findall(r"^    (\w+): ", text.partition("Args:\n")[2].partition("\n\n")[0], re.MULTILINE))
    assert described == set(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_an_example_fits_the_signatures(name: str) -> None:
    """The example of a docstring is Python, calls its function, and passes arguments that the functions have."""
    _, text = public(name)
    example = ast.parse(textwrap.dedent(text.partition("Example:\n")[2]))
    called: set[str] = set()
    for node in ast.walk(example):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("otel_agentcost."):
            target = node.func
            assert isinstance(target, ast.Attribute)
            called.add(target.attr)
            keywords = {str(keyword.arg): None for keyword in node.keywords}
            inspect.signature(getattr(otel_agentcost, target.attr)).bind(*node.args, **keywords)
    assert name in called
