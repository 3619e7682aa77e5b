"""Hashes of the parts of a request, in the order in which providers cache prompts: tools, system prompt, messages.

A hash has 8 bytes and is valid within this process: no content can be read back from it. Marks for the cache, empty
fields and the order of keys do not matter, nor whether a text stands alone or in a list of one block: applications move
their marks from message to message, and providers cache the same prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, cast

from otel_agentcost.wire.fields import fields, get

MARKS: Final = frozenset({"cache_control", "cachePoint", "cache_point", "prompt_cache_breakpoint"})
"""The names of marks for the cache (Anthropic's, Bedrock's, OpenAI's)."""

_FLAT: Final = frozenset({str, int, float, bool})
_TEXT_BLOCK: Final = frozenset({"type", "text", *MARKS})
_DEEPEST: Final = 32

PARAMETERS: Final = (
    "additionalModelRequestFields",
    "cachedContent",
    "output_config",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "speed",
    "text",
    "thinking",
    "toolConfig",
    "tool_choice",
)
"""Fields that belong to the cached prompt although they are neither tools nor text (`platform.claude.com/docs/en/
build-with-claude/prompt-caching`, "What invalidates the cache"; `developers.openai.com/api/docs/guides/
prompt-caching`). `toolConfig` is Gemini's choice of tools here; Bedrock's tools within it are tools."""

Pairs = tuple[tuple[str, int], ...]


class Role(NamedTuple):
    """Everything before the messages: calls of one agent have the same, and share a cached prefix."""

    model: str
    tools: tuple[int, ...]
    system: tuple[int, ...]
    listed: bool
    """True if the system prompt is a list of blocks."""
    parameters: Pairs
    marked: bool
    """True if the request has a mark for the cache."""

    def is_like(self, other: Role) -> bool:
        """Return True if another one differs in nothing but marks, and the key of its cache."""
        return self._plain() == other._plain()

    def _plain(self) -> Role:
        parameters = tuple([each for each in self.parameters if each[0] != "prompt_cache_key"])
        return self._replace(parameters=parameters, marked=False)


class Unreadable(Exception):
    """A part of a request is an object whose content is not known, so that nothing can be said about the prompt."""


def digest(value: Any) -> int:
    """Return the hash of a part of a request. Raises `Unreadable`."""
    return hash(_canonical(value, 0))


def _canonical(value: Any, depth: int) -> Any:
    """Return what stands for a value: a text or a number itself, a hash for anything else."""
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is dict:
        return _of_dict(value, depth)
    if kind is list or kind is tuple:
        return _of_list(value, depth)
    if kind in _FLAT or value is None:
        return value
    return _of_another(value, depth)


_PLAIN: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (str, str.__str__),
    (int, int.__index__),
    (float, float.__float__),
    (bytes, bytes.__hash__),
    (bytearray, lambda value: hash(bytes(value))),
)
"""Types whose subclasses stand for a plain value, and how that is read: no method of the application runs."""


def _of_another(value: Any, depth: int) -> Any:
    """Return what stands for a value of another type, such as a text with methods of its own (of a template)."""
    own: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    for kind, plain in _PLAIN:
        if issubclass(own, kind):  # other than `isinstance`, this is not asked of the object
            return plain(value)
    if issubclass(own, (list, tuple)):
        return _of_list(cast("Sequence[Any]", value), depth)
    if issubclass(own, Enum):
        return _canonical(value.value, depth + 1)
    if callable(value):  # a function as a tool, a class as a response format
        name = get(value, "__qualname__")
        if type(name) is str:
            return hash((get(value, "__module__"), name))
    inside = fields(value)
    if type(inside) is not dict:
        raise Unreadable(own.__qualname__)
    return _of_dict(cast("dict[str, Any]", inside), depth)


def _of_dict(value: dict[str, Any], depth: int) -> int:
    if _FLAT.issuperset(map(type, value.values())):  # as most messages are: no loop in Python
        return hash(frozenset(value.items()))
    if depth >= _DEEPEST:
        raise Unreadable("nested too deep")
    parts: list[tuple[str, Any]] = []
    for name, item in value.items():
        kind: Any = type(item)  # pyright: ignore[reportUnknownVariableType]
        if kind is str:
            parts.append((name, item))
        elif item is not None and name not in MARKS:
            if kind is dict:
                parts.append((name, _of_dict(item, depth + 1)))
            elif kind is list:
                parts.append((name, _of_list(item, depth + 1)))
            else:
                parts.append((name, _canonical(item, depth + 1)))
    return hash(frozenset(parts))


def _of_list(value: Sequence[Any], depth: int) -> Any:
    if depth >= _DEEPEST:
        raise Unreadable("nested too deep")
    if len(value) <= 2:
        value = [item for item in value if not _is_mark(item)]
        if len(value) == 1 and (text := _only_text(value[0])) is not None:
            return text
    parts: list[Any] = []
    for item in value:
        if type(item) is dict:
            if len(item) != 1 or MARKS.isdisjoint(item):  # pyright: ignore[reportUnknownArgumentType]
                parts.append(_of_dict(item, depth + 1))  # pyright: ignore[reportUnknownArgumentType]
        else:
            parts.append(_canonical(item, depth + 1))
    return hash(tuple(parts))


def _only_text(block: Any) -> str | None:
    """Return the text of a block that has nothing else, but perhaps a mark."""
    known = _fields(block)
    if known is None or not issubclass(type(words := known.get("text")), str) or known.get("type", "text") != "text":
        return None
    if known.keys() <= _TEXT_BLOCK or all(name in _TEXT_BLOCK for name, item in known.items() if item is not None):
        return str.__str__(cast("str", words))
    return None


def _is_mark(item: Any) -> bool:
    return type(item) is dict and len(item) == 1 and not MARKS.isdisjoint(item)  # pyright: ignore[reportUnknownArgumentType]


# --- tool results that were cleared ---

_RESULTS: Final = frozenset({"tool_result", "function_call_output", "custom_tool_call_output", "computer_call_output"})
_RESULT_FIELDS: Final = frozenset({"toolResult", "functionResponse", "function_response"})
_PLACEHOLDER: Final = 400
"""The most characters of a text that stands for a tool result."""


def is_cleared(message: Any) -> bool:
    """Return True if a message is a tool result so short that it may stand for one that was cleared."""
    known = _fields(message)
    if known is None:
        return False
    if known.get("role") == "tool" or known.get("type") in _RESULTS:
        return _length(known, 0) <= _PLACEHOLDER
    blocks = known.get("content") or known.get("parts")
    for block in cast("Sequence[Any]", blocks) if isinstance(blocks, (list, tuple)) else ():
        inside = _fields(block)
        if inside is None or not (inside.get("type") in _RESULTS or not _RESULT_FIELDS.isdisjoint(inside)):
            continue
        if _length(inside, 0) <= _PLACEHOLDER:
            return True
    return False


def _length(value: Any, depth: int) -> int:
    """Return the characters of all texts in a value: more than a placeholder has, if it is not known."""
    if isinstance(value, str):
        return len(value)
    if depth >= _DEEPEST:
        return _PLACEHOLDER + 1
    if isinstance(value, (list, tuple)):
        return sum(_length(each, depth + 1) for each in cast("Sequence[Any]", value))
    known = _fields(value) if value is not None else None
    return sum(_length(each, depth + 1) for each in known.values()) if known is not None else 0


# --- what stands before the messages ---


def role_of(body: Any, model: str, *, afresh: bool = False) -> Role:
    """Return the hashes of what stands before the messages.

    Args:
        body: The request.
        model: The model that it goes to.
        afresh: True to hash tools that are known by their identity, too: the application may have changed them.
    """
    known = cast("Mapping[str, Any]", inside if isinstance(inside := fields(body), Mapping) else {})
    tools, system = tools_of(known), system_of(known)
    listed = isinstance(system, (list, tuple))
    return Role(
        model,
        tuple([_tool(tool, afresh=afresh) for tool in tools if not _is_mark(tool)]),
        tuple([digest(block) for block in cast("list[Any]", system) if not _is_mark(block)])
        if listed
        else (digest(system),)
        if system is not None
        else (),
        listed,
        tuple([(name, _parameter(name, known[name])) for name in PARAMETERS if name in known]),
        is_marked(known),
    )


def tools_of(body: Mapping[str, Any]) -> Sequence[Any]:
    """Return the tools that a request offers."""
    tools = body.get("tools") or body.get("functions")
    if tools is None:
        tools = get(body.get("toolConfig"), "tools") or get(body.get("config"), "tools")
    return cast("Sequence[Any]", tools) if isinstance(tools, (list, tuple)) else ()


def system_of(body: Mapping[str, Any]) -> Any:
    """Return the system prompt that a request has outside its messages; None if it has none."""
    for name in ("system", "instructions", "systemInstruction", "system_instruction"):
        if (system := body.get(name)) is not None:
            return system
    config = body.get("config")
    return None if config is None else get(config, "systemInstruction") or get(config, "system_instruction")


def _parameter(name: str, value: Any) -> int:
    if name == "toolConfig" and type(value) is dict:
        value = {key: item for key, item in cast("dict[str, Any]", value).items() if key != "tools"}
    return digest(value)


def _tool(tool: Any, *, afresh: bool) -> int:
    """Return the hash of a tool, which applications send again and again: that of a known object is not computed."""
    if type(tool) is not dict:
        return digest(tool)
    given = cast("dict[str, Any]", tool)
    known = _TOOLS.get(id(given))
    if known is not None and known[0] is given and not afresh:
        return known[1]
    found = digest(given)
    if len(_TOOLS) >= _MOST_TOOLS:
        _TOOLS.clear()
    _TOOLS[id(given)] = (given, found)
    return found


_TOOLS: Final = dict[int, tuple[object, int]]()
"""By the identity of a tool: the tool, so that no other one takes its place in memory, and its hash."""
_MOST_TOOLS: Final = 512


# --- marks ---

_LOOKED_AT: Final = 4


def is_marked(body: Mapping[str, Any]) -> bool:
    """Return True if a request has a mark for the cache: its own, or one in its tools, system prompt or messages.

    Of many messages, the first and the last ones are looked at: marks are there.
    """
    if not MARKS.isdisjoint(body):
        return True
    if any(_has_mark(each) for each in tools_of(body)):
        return True
    system = system_of(body)
    if isinstance(system, (list, tuple)) and any(map(_has_mark, cast("list[Any]", system))):
        return True
    return is_marked_in_messages(body, most=_LOOKED_AT)


def is_marked_in_messages(body: Mapping[str, Any], most: int | None = None) -> bool:
    """Return True if one of the messages has a mark for the cache.

    Args:
        body: The request.
        most: The number of messages at each end that are looked at; None for all of them.
    """
    found: Any = body.get("messages")
    if not isinstance(found, (list, tuple)):
        return False
    messages = cast("Sequence[Any]", found)
    if most is not None and len(messages) > 2 * most:
        messages = (*messages[:most], *messages[-most:])
    for message in reversed(messages):  # marks are on the last ones
        content: Any = get(message, "content")
        if _has_mark(message) or (
            isinstance(content, (list, tuple)) and any(map(_has_mark, cast("list[Any]", content)))
        ):
            return True
    return False


def _has_mark(block: Any) -> bool:
    known = _fields(block)
    return known is not None and not MARKS.isdisjoint(known) and any(known.get(name) is not None for name in MARKS)


def _fields(value: Any) -> dict[str, Any] | None:
    """Return the fields of an object; None if it has none."""
    if type(value) is dict:
        return cast("dict[str, Any]", value)
    inside = fields(value)
    return cast("dict[str, Any]", inside) if type(inside) is dict else None
