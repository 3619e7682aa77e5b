"""Writes Terraform's language, laid out as `terraform fmt` does it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Union

from typing_extensions import TypeAlias


@dataclass(frozen=True, slots=True)
class Expression:
    """Written as it stands: a reference, a type."""

    text: str


Value: TypeAlias = Union[str, bool, int, float, Expression, Sequence[str]]
Item: TypeAlias = "Block | tuple[str, Value]"


@dataclass(frozen=True, slots=True)
class Block:
    """`kind "label" { ... }`; arguments are pairs."""

    kind: str
    labels: tuple[str, ...] = ()
    items: list[Item] = field(default_factory=list["Item"])

    def lines(self) -> list[str]:
        head = " ".join([self.kind, *map(_quoted, self.labels)])
        return [f"{head} {{", *(f"  {line}" if line else "" for line in _body(self.items)), "}"]


def written(blocks: Iterable[Block]) -> str:
    """The text of a file."""
    return "\n\n".join("\n".join(block.lines()) for block in blocks) + "\n"


def _body(items: Iterable[Item]) -> list[str]:
    found: list[str] = []
    for nested, run in groupby(items, key=lambda item: isinstance(item, Block)):
        if not nested:
            pairs = [item for item in run if not isinstance(item, Block)]
            width = max(len(name) for name, _ in pairs)
            found += ["", *(f"{name:{width}} = {_value(value)}" for name, value in pairs)]
            continue
        for block in run:
            if isinstance(block, Block):
                found += ["", *block.lines()]
    return found[1:]


def _value(value: Value) -> str:
    if isinstance(value, Expression):
        return value.text
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return f"[{', '.join(map(_quoted, value))}]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
