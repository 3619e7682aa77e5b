"""Every statement can do something: it names what is there, and no operation passes it by.

The committed files are compared with what the generator writes, which says nothing about a generator that is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import astuple
from functools import cache
from typing import Any

import pytest
import yaml

from otel_agentcost.collector import agents_table
from otel_agentcost.collector.metrics import RESOURCE
from otel_agentcost.collector.ottl import SCRATCH
from otel_agentcost.core import aliases, semconv
from tests.collector.pricing_collector import Pricing
from tests.collector.real_collector import SHAPES

FILES = sorted(path.relative_to(SHAPES).as_posix() for path in SHAPES.rglob("*.yaml"))
ATTRIBUTE = re.compile(r'(span|log|resource|datapoint)\.(attributes|cache)\[("(?:[^"\\]|\\.)*")\]')
EQUAL = re.compile(ATTRIBUTE.pattern + r' == ("(?:[^"\\]|\\.)*")')
PUT = re.compile(r"^set\(" + ATTRIBUTE.pattern)

VALUES: Mapping[str, set[str]] = {
    semconv.OPERATION: {*aliases.CALL_OPERATIONS, semconv.EXECUTE_TOOL, *semconv.AGENT_OPERATIONS},
    aliases.REQUEST_TYPE: set(aliases.CALL_OPERATIONS),
    aliases.VERCEL_OPERATION: {*aliases.VERCEL_OPERATIONS, "ai.toolCall"},
    aliases.SPAN_KIND: {*aliases.KINDS, "TOOL", "AGENT"},
    aliases.ENTITY_KIND: {"tool", "agent", "task", "workflow"},
    semconv.COST_SOURCE: {"provider", "local"},
    semconv.COST_CURRENCY: {"USD"},
    semconv.COST_BASIS: {"collector", "unpriced", "upstream", "span"},
}
"""What the attributes that statements compare with a text can be."""


OWN = (SCRATCH, "agentcost.by_trace.")
"""What statements keep between themselves: no span leaves a Collector with it."""
CONNECTOR = ("signaltometrics", "signal_to_metrics")
OF_COLLECTORS = {"service.instance.id", *(f"{name}.service.instance.id" for name in CONNECTOR)}
"""Resource attributes that a Collector adds."""


def statements(node: Any) -> Iterator[str]:
    """All texts in a document: statements, conditions and values."""
    if isinstance(node, str):
        yield node.replace("$$", "$")
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from statements(part)


@cache
def texts(file: str) -> list[str]:
    """Those of one file."""
    return list(statements(yaml.safe_load((SHAPES / file).read_text(encoding="utf-8"))))


def blocks() -> list[list[str]]:
    """The statements of each block of pricing.yaml, with its condition: what a block keeps in its cache is its own."""
    (processor,) = yaml.safe_load((SHAPES / "pricing.yaml").read_text(encoding="utf-8"))["processors"].values()
    return [[text.replace("$$", "$") for text in (*block["conditions"], *block["statements"])]
            for block in processor["trace_statements"]]  # fmt: skip


def names() -> set[str]:
    """Every name of an attribute in the tables of names."""
    found: set[str] = {str(row["key"]) for row in RESOURCE} | OF_COLLECTORS
    for agent in agents_table.AGENTS:
        found |= {value for value in astuple(agent.tokens) if isinstance(value, str)}
    for module in (semconv, aliases, agents_table):
        for value in vars(module).values():
            found |= {value} if isinstance(value, str) else set()
            found |= {each for each in value if isinstance(each, str)} if isinstance(value, tuple) else set()
    return found


@pytest.mark.parametrize("file", FILES)
def test_no_statement_names_an_attribute_that_no_table_has(file: str) -> None:
    """A name with a spelling mistake reads an attribute that no span has, or writes one that no board reads."""
    known = names()
    used = {json.loads(key) for text in texts(file) for _, what, key in ATTRIBUTE.findall(text) if what == "attributes"}
    assert {name for name in used if name not in known and not name.startswith(OWN)} == set()


@pytest.mark.parametrize("file", FILES)
def test_no_statement_compares_with_a_value_that_no_span_has(file: str) -> None:
    """An operation that does not exist (`rerankding`) makes a statement that never does anything."""
    for text in texts(file):
        for _, what, name, value in EQUAL.findall(text):
            if what == "attributes":
                assert json.loads(value) in VALUES.get(json.loads(name), {json.loads(value)}), text


def test_no_statement_reads_a_cached_value_that_none_has_written() -> None:
    """Within each block, and in the blocks whose cache it takes over; and none is written for nothing."""
    written: set[str] = set()
    read: set[str] = set()
    for block in blocks():
        if not block[1].startswith("set(span.cache, "):  # it begins with an empty cache
            assert written <= read, written - read
            written, read = set(), set()
        for text in block:
            found = [json.loads(key) for _, what, key in ATTRIBUTE.findall(text) if what == "cache"]
            put = PUT.match(text)
            if put and put[2] == "cache":
                written.add(json.loads(put[3]))
                found.remove(json.loads(put[3]))
            read |= set(found)
        assert read <= written, read - written
    assert written <= read, written - read


OPERATIONS = [
    *((semconv.OPERATION, each, aliases.OLDER_OPERATIONS.get(each, each)) for each in aliases.CALL_OPERATIONS),
    *((aliases.REQUEST_TYPE, each, aliases.OLDER_OPERATIONS.get(each, each)) for each in aliases.CALL_OPERATIONS),
    *((aliases.VERCEL_OPERATION, each, operation) for each, operation in aliases.VERCEL_OPERATIONS.items()),
    *((aliases.SPAN_KIND, each, operation) for each, operation in aliases.KINDS.items()),
]


def test_no_operation_is_passed_over(pricing: Pricing) -> None:
    """Each name by which an instrumentation calls an operation becomes the conventions' name, in a real Collector."""
    call = {semconv.PROVIDER: "openai", semconv.REQUEST_MODEL: "gpt-4o-mini", semconv.INPUT_TOKENS: 10}
    priced = pricing.price([{**call, name: said} for name, said, _ in OPERATIONS])
    got = [(name, said, span.get(semconv.OPERATION)) for (name, said, _), span in zip(OPERATIONS, priced, strict=True)]
    assert got == OPERATIONS
    assert all(span.get(semconv.COST) for span in priced)
