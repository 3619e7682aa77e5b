"""Words of the OpenTelemetry Transformation Language, and how statements are written into a YAML file.

Text only. The language: documentation of `pkg/ottl` of the collector's contrib repository.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from otel_agentcost.core import semconv

SCRATCH: Final = "agentcost.tmp."
"""Attributes under this prefix pass from one block of statements to the next, and are gone at the end."""

NIL: Final = " == nil"
SAID: Final = " != nil"
NONE: Final = ' == ""'
SOME: Final = ' != ""'
"""How conditions on a path end."""


def text(value: str) -> str:
    """A literal. What YAML or a reader cannot see is written as its number."""
    written = json.dumps(value, ensure_ascii=False)
    return re.sub("[\x7f-\xa0\u2028\u2029\ufeff]", lambda found: f"\\u{ord(found[0]):04x}", written)


def attribute(name: str) -> str:
    """The path of a span's attribute."""
    return f"span.attributes[{text(name)}]"


def scratch(name: str) -> str:
    """The path of a value that later blocks see."""
    return attribute(SCRATCH + name)


def cache(name: str) -> str:
    """The path of a value that this block sees."""
    return f"span.cache[{text(name)}]"


def put(path: str, value: str, *conditions: str) -> str:
    """`value` into `path`, where all `conditions` hold. A value of nil would leave an empty attribute: ask for it."""
    return f"set({path}, {value})" + where(*conditions)


def drop(path: str, *conditions: str) -> str:
    """Removes one attribute or value."""
    whole, _, key = path.rpartition("[")
    return f"delete_key({whole}, {key.removesuffix(']')})" + where(*conditions)


def where(*conditions: str) -> str:
    """The end of a statement."""
    return f" where {' and '.join(conditions)}" if conditions else ""


BASIS: Final = attribute(semconv.COST_BASIS)
COST: Final = attribute(semconv.COST)
UNPRICED: Final = attribute(semconv.UNPRICED)
AGAIN: Final = scratch("again")
"""`provider|model` under which the price may stand too."""
OURS: Final = f'{BASIS} == "collector"'
"""Whether it was this Collector that priced the span."""
FRAMEWORK: Final = cache("framework")
"""Set where a span is a framework's, and nobody has asked for its price."""
PRICED_FRAMEWORKS: Final = "@AGENTCOST_PRICED_FRAMEWORKS@"
IGNORED_SCOPES: Final = "@AGENTCOST_IGNORED_SCOPES@"
"""Stand for what the environment says: regular expressions for scopes."""


def in_environment(name: str) -> str:
    """Whether the environment names the span's scope; an empty variable names none."""
    return f"({text(name)} != {text('')} and {matches('instrumentation_scope.name', '(?i)' + name)})"


def joined(*parts: str) -> str:
    """Texts one after the other."""
    return f'Concat([{", ".join(parts)}], "")'


def matches(path: str, pattern: str) -> str:
    """Whether a regular expression of Go is found in a text."""
    return f"IsMatch({path}, {text(pattern)})"


def cut_off(name: str) -> str:
    """Whether the model's name in the cache lacks what can set its price: OpenLLMetry cuts Bedrock's profile off."""
    scope = text("opentelemetry.instrumentation.bedrock")
    return f"instrumentation_scope.name == {scope} and {matches(cache(name), 'claude')}"


def find(table: str, key: str, to: str, wide: int, *conditions: str, field: str = "") -> Iterator[str]:
    """The fields of the line of `key` in a table, which ends with `wide` blanks; or one of them, as `[1]`."""
    at, newline = cache("at"), text("\n")
    yield put(at, f"Index({table}, {joined(newline, key, text('|'))})", *conditions)
    line = f"Split(Substring({table}, {at} + 1, {wide}), {newline})[0]"
    yield put(to, f'Split({line}, "|"){field}', *conditions, f"{at} >= 0")


def condition(rule: Any, path: str) -> str:
    """A rule of the price book as a condition on the text at `path`, in lower case. Raises ValueError where a regular
    expression of Python cannot be said in Go's.
    """
    if isinstance(rule, str):
        return f"{path} == {text(rule)}"
    ((verb, wanted),) = rule.items()
    if verb in {"and", "or"}:
        return "(" + f" {verb} ".join(condition(part, path) for part in wanted) + ")"
    if verb == "wild":
        return matches(path, f"^(?s:{glob(wanted)})$")
    if verb == "regex":
        return _searched(path, wanted)
    return matches(path, _PATTERNS[verb].format(re.escape(wanted).replace(r"\-", "-").replace(r"\/", "/")))


def glob(pattern: str) -> str:
    """A pattern with `*`, `?` and `[...]` as a regular expression."""
    parts = re.split(r"(\*|\?|\[!?\]?[^\]]*\])", pattern)
    known = {"*": ".*", "?": "."}
    return "".join(
        known.get(part)
        or ("[" + part[1:].replace("!", "^", 1).replace("\\", "\\\\") if part.startswith("[!") else part)
        if number % 2
        else re.escape(part)
        for number, part in enumerate(parts)
    )


def _searched(path: str, pattern: str) -> str:
    """Python's `re.search`. Go has no look-ahead: one that excludes a beginning becomes a condition of its own."""
    pattern = pattern.replace(r"\A", "^").replace(r"\Z", r"\z")
    excluded = re.match(r"\^\(\?!((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)", pattern)
    if excluded is None:
        if re.search(r"\(\?(?:[=!<](?!\w+>))", pattern):
            raise ValueError(f"{pattern!r} cannot be written as a regular expression of Go")
        return matches(path, pattern)
    rest = pattern[excluded.end() :]
    also = f" and {matches(path, '^' + rest)}" if rest else ""
    return f"(not {matches(path, f'^(?:{excluded[1]})')}{also})"


_PATTERNS: Final = {"starts_with": "^{}", "ends_with": "{}$", "contains": "{}"}


def scalar(statement: str) -> str:
    """A statement as YAML text in which the Collector replaces nothing."""
    escaped = statement.replace("'", "''").replace("$", "$$")
    for name in (PRICED_FRAMEWORKS, IGNORED_SCOPES):
        escaped = escaped.replace(name, f"${{env:{name.strip('@')}:-none}}")
    return f"'{escaped}'"
