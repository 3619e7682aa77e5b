"""Build statements of the OpenTelemetry Transformation Language (OTTL) as text.

The language is documented in `pkg/ottl` of the repository opentelemetry-collector-contrib. A path names a value that a
statement reads or writes (`span.attributes["x"]`); a condition is a boolean expression as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from otel_agentcost.core import semconv

SCRATCH: Final = "agentcost.tmp."
"""Attributes with this prefix carry values from one block of statements to the next; the last block deletes them."""

NIL: Final = " == nil"
SAID: Final = " != nil"
NONE: Final = ' == ""'
SOME: Final = ' != ""'
"""Comparisons, to be appended to a path."""


def text(value: str) -> str:
    """Return a string literal. Invisible characters are escaped by their code points."""
    written = json.dumps(value, ensure_ascii=False)
    return re.sub("[\x7f-\xa0\u2028\u2029\ufeff]", lambda found: f"\\u{ord(found[0]):04x}", written)


def attribute(name: str) -> str:
    """Return the path of a span attribute."""
    return f"span.attributes[{text(name)}]"


def scratch(name: str) -> str:
    """Return the path of a value that later blocks can read."""
    return attribute(SCRATCH + name)


def cache(name: str) -> str:
    """Return the path of a value that only this block can read."""
    return f"span.cache[{text(name)}]"


def put(path: str, value: str, *conditions: str) -> str:
    """Return the statement that sets `path` to `value` if all `conditions` hold.

    Setting an attribute to nil would create an empty attribute: add a condition that excludes nil.
    """
    return f"set({path}, {value})" + where(*conditions)


def drop(path: str, *conditions: str) -> str:
    """Return the statement that deletes one attribute or cached value if all `conditions` hold."""
    whole, _, key = path.rpartition("[")
    return f"delete_key({whole}, {key.removesuffix(']')})" + where(*conditions)


def where(*conditions: str) -> str:
    """Return the `where` clause of a statement; "" without conditions."""
    return f" where {' and '.join(conditions)}" if conditions else ""


CACHE: Final = "span.cache"
"""The whole cache of a block."""
BASIS: Final = attribute(semconv.COST_BASIS)
COST: Final = attribute(semconv.COST)
ASSUMED: Final = attribute(semconv.PRICE_ASSUMED)
UNPRICED: Final = attribute(semconv.UNPRICED)
MORE: Final = scratch("more")
"""Marks a call whose provider and model are not both listed by the names that the span has."""
STATE: Final = scratch("state")
"""The cache of such a call, from one block to the next."""
OURS: Final = f'{BASIS} == "collector"'
"""A condition: this Collector priced the span."""
FRAMEWORK: Final = cache("framework")
"""Set if the span is of an agent framework that is not to be priced."""
PRICED_FRAMEWORKS: Final = "@AGENTCOST_PRICED_FRAMEWORKS@"
IGNORED_SCOPES: Final = "@AGENTCOST_IGNORED_SCOPES@"
AGENTS_BY_METRICS: Final = "@AGENTCOST_AGENTS_BY_METRICS@"
"""Placeholders for environment variables that hold regular expressions for scopes, or for names of coding agents."""


def in_environment(name: str) -> str:
    """Return the condition that an environment variable matches the span's scope.

    An empty variable, and the default, match none: the Collector drops comparisons of two constants at its start.
    """
    given = f'{text(name)} != "" and {text(name)} != "none"'
    return f"({given} and {matches('instrumentation_scope.name', '(?i)' + name)})"


def joined(*parts: str) -> str:
    """Return the concatenation of texts."""
    return f'Concat([{", ".join(parts)}], "")'


def coalesce(*values: str) -> str:
    """Return the first value that is not nil."""
    return f"Coalesce([{', '.join(values)}])"


def matches(path: str, pattern: str) -> str:
    """Return the condition that a regular expression (of Go) matches a part of the text at `path`."""
    return f"IsMatch({path}, {text(pattern)})"


def cut_off(name: str) -> str:
    """Return the condition that the model's name lacks Bedrock's inference profile, which OpenLLMetry removes."""
    scope = text("opentelemetry.instrumentation.bedrock")
    return f"instrumentation_scope.name == {scope} and {matches(cache(name), 'claude')}"


def find(table: str, key: str, to: str, *conditions: str, wide: int | None = None, field: str = "") -> Iterator[str]:
    """Yield the statements that look up a line of a table.

    Args:
        table: The path of the table: a line break and a line of `key|field|...`, as often as needed.
        key: The path or literal of the key.
        to: The path to which the list of fields is written.
        conditions: The conditions of all statements.
        wide: The length of the longest line, if the table is long and padded with as many blanks at the end.
        field: Index of one field, such as `[1]`, if only that is needed.
    """
    at, newline = cache("at"), text("\n")
    yield put(at, f"Index({table}, {joined(newline, key, text('|'))})", *conditions)
    size = f"Len({table}) - {at} - 1" if wide is None else str(wide)
    line = f"Split(Substring({table}, {at} + 1, {size}), {newline})[0]"
    yield put(to, f'Split({line}, "|"){field}', *conditions, f"{at} >= 0")


def condition(rule: Any, path: str) -> str:
    """Translate a rule of the price book into a condition on the text at `path`, which is in lower case.

    Raises:
        ValueError: The rule has a regular expression that Go's syntax cannot express.
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
    """Translate a pattern with `*`, `?` and `[...]` into a regular expression."""
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
    """Translate `re.search`. Go has no look-ahead: one that excludes a prefix becomes a second condition."""
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
    """Quote a statement for YAML so that the Collector expands nothing in it but the placeholders. YAML reads a line
    break within a statement as a blank.
    """
    quoted = statement.replace("'", "''").replace("\n", "\n" + " " * 14)
    return f"'{with_environment(quoted)}'"


def with_environment(statement: str) -> str:
    """Replace placeholders by references to environment variables, and escape every other `$`."""
    escaped = statement.replace("$", "$$")
    for name in (PRICED_FRAMEWORKS, IGNORED_SCOPES, AGENTS_BY_METRICS):
        escaped = escaped.replace(name, f"${{env:{name.strip('@')}:-none}}")
    return escaped
