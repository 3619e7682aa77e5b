"""Values by the name of a tool, where a name may be a pattern: the rule that selects one of several names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeVar

_T = TypeVar("_T")


class ByTool(Mapping[str, _T]):
    """Values of tools by name, immutable. In a name, `*` matches any text."""

    __slots__ = ("_patterns", "_values")

    def __init__(self, values: Mapping[str, _T] | None = None) -> None:
        self._values = dict(values or {})
        # A stable sort: of two patterns of the same length, the one that was written first counts.
        patterns = sorted((name for name in self._values if "*" in name), key=len, reverse=True)
        self._patterns = [(re.compile(_regex(name), re.DOTALL), self._values[name]) for name in patterns]

    def find(self, tool: str) -> _T | None:
        """Return the value of `tool` by its exact name, else by the longest pattern that matches; None without one."""
        value = self._values.get(tool)
        if value is not None:
            return value
        return next((value for pattern, value in self._patterns if pattern.fullmatch(tool)), None)

    def __getitem__(self, name: str) -> _T:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._values!r})"


def _regex(name: str) -> str:
    return ".*".join(map(re.escape, name.split("*")))
