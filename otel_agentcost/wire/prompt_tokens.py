"""An estimate of a request's input tokens from the text of its JSON body: the facet `prompt_tokens`.

All text in the messages, the instructions and the tools counts; media count as the number of tokens that providers
document for one of unknown size; identifiers and encoded data count nothing. Used at the end of a stream without usage,
and before a call whose input cannot be bounded. The default field names are those of all known providers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from otel_agentcost.wire.fields import get, text
from otel_agentcost.wire.format import Format, PromptTokens, without_facet
from otel_agentcost.wire.tokenizers import count_text

__all__ = ["PROMPT_TOKENS", "PromptFields", "prompt_tokens_of"]

# Tokens around a message (its start, its role, its end) and at the start of the answer, as OpenAI documents them.
_PER_MESSAGE: Final = 3
_PER_ANSWER: Final = 3

# Anthropic documents 346 tokens of instructions for tool use; OpenAI's measure at about ten.
_PER_TOOL_USE: Final = 10
_PER_TOOL_USE_CLAUDE: Final = 346

# An image of unknown size: OpenAI's formula for 1024 x 1024 in high detail; with "low" it is always 85.
_PER_IMAGE: Final = 765
_PER_SMALL_IMAGE: Final = 85

MESSAGES: Final = ("messages", "input", "contents", "prompt", "content", "requests")
INSTRUCTIONS: Final = ("system", "instructions", "systemInstruction", "system_instruction")
MEDIA: Final = frozenset(
    {"image", "image_url", "input_image", "input_audio", "audio", "document", "file", "input_file", "inlineData"}
    | {"inline_data", "fileData", "file_data", "video"}
)
NO_TEXT: Final = frozenset(
    {"type", "id", "call_id", "tool_call_id", "tool_use_id", "cache_control", "status", "signature", "data", "url"}
    | {"encrypted_content", "thoughtSignature", "thought_signature", "detail", "index", "prompt_cache_breakpoint"}
)
_MAX_DEPTH: Final = 24


@dataclass(frozen=True, slots=True)
class PromptFields:
    """The facet `prompt_tokens` for JSON bodies: which fields hold the prompt.

    A format with other names passes them: `PromptFields(messages=("turns",))`.
    """

    messages: tuple[str, ...] = MESSAGES
    """Fields of the body that hold messages: a list, or one of them."""
    instructions: tuple[str, ...] = INSTRUCTIONS
    """Fields of the body that hold instructions outside the messages."""
    media: frozenset[str] = MEDIA
    """Fields or types of content parts that are media."""
    no_text: frozenset[str] = NO_TEXT
    """Fields within a message that the model does not read as text."""

    def count(self, body: Any, model: str | None, *, raw: bool = False) -> int:
        """Estimate the input tokens of a request.

        Args:
            body: The body of the request.
            model: The model that reads the prompt; it selects the vocabulary.
            raw: True for requests that are no conversation (embeddings, legacy completions): no markup around texts.

        Returns:
            The number of tokens; 0 if the body has no text.
        """
        raw = raw or (model is not None and "gemini" in model)  # Gemini counts no markup around a message either
        tokens = 0
        for name in (*self.messages, *self.instructions):
            value = get(body, name)
            if value is None:
                continue
            messages: list[Any] = [value]
            if name in self.messages and isinstance(value, (list, tuple)):
                messages = _list(body, name)
            tokens += sum(self._message(message, model) for message in messages)
            tokens += 0 if raw else _PER_MESSAGE * len(messages)
        claude = model is not None and "claude" in model
        tools = [*_list(body, "tools"), *_list(body, "functions")]
        if tools:
            tokens += _PER_TOOL_USE_CLAUDE if claude else _PER_TOOL_USE
            tokens += sum(_tool(tool, model, claude=claude) for tool in tools)
        for schema in _schemas(body):
            tokens += count_text(_json(schema), model)
        return tokens if raw or not tokens else tokens + _PER_ANSWER

    def _message(self, message: Any, model: str | None) -> int:
        if type(message) is int:  # a prompt that consists of token numbers
            return 1
        texts: list[str] = []
        media = self._collect(message, texts.append, 0)
        return sum(count_text(text, model) for text in texts) + media

    def _collect(self, value: Any, add: Callable[[str], object], depth: int) -> int:
        """Pass all text in `value` to `add`, and return the tokens of the media in it."""
        if isinstance(value, str):
            add(value)
            return 0
        if depth > _MAX_DEPTH:
            return 0
        if isinstance(value, (list, tuple)):
            return sum(self._collect(item, add, depth + 1) for item in cast("list[Any]", value))
        if not isinstance(value, Mapping):
            fields = getattr(value, "__dict__", None)  # an SDK object that was put into the request
            if not isinstance(fields, dict):
                return 0
            value = cast("dict[str, Any]", fields)
        fields = cast("Mapping[str, Any]", value)
        if text(fields, "type") in self.media or not self.media.isdisjoint(fields):
            small = "low" in (fields.get("detail"), get(fields.get("image_url"), "detail"))
            return _PER_SMALL_IMAGE if small else _PER_IMAGE
        media = 0
        for name, item in fields.items():
            if name not in self.no_text:
                media += self._collect(item, add, depth + 1)
        return media


PROMPT_TOKENS: Final = PromptFields()
"""The facet with the field names of all known providers."""


def prompt_tokens_of(form: Format) -> PromptTokens:
    """Return the facet of a format; without one, the default, which may miss parts of its prompts."""
    facet = form.prompt_tokens
    if facet is None:
        without_facet(form, "prompt_tokens", "estimates of its input may miss parts of the prompt")
        return PROMPT_TOKENS
    return facet


def _schemas(body: Any) -> list[Any]:
    """Return the schemas that the answer must have: the provider shows them to the model."""
    places = (
        get(get(get(body, "response_format"), "json_schema"), "schema"),
        get(get(get(body, "text"), "format"), "schema"),
        get(get(body, "output_format"), "schema"),
        get(get(get(body, "output_config"), "format"), "schema"),
    )
    return [schema for schema in places if isinstance(schema, Mapping)]


def _list(value: Any, name: str) -> list[Any]:
    elements = get(value, name)
    return list(cast("list[Any]", elements)) if isinstance(elements, (list, tuple)) else []


def _tool(tool: Any, model: str | None, *, claude: bool) -> int:
    """Count a tool's definition: OpenAI shows it to the model as a TypeScript type, Anthropic as its JSON."""
    if claude:
        return count_text(_json(tool), model)
    declared = _list(tool, "functionDeclarations") or _list(tool, "function_declarations")
    if declared:
        return sum(_tool(function, model, claude=claude) for function in declared)
    function = get(tool, "function") or tool
    name, description = get(function, "name"), get(function, "description")
    schema = get(function, "parameters") or get(function, "parametersJsonSchema")
    lines = [f"// {description}"] if isinstance(description, str) and description else []
    lines.append(f"type {name} = (_: {_type(schema, 0)}) => any;\n\n")
    return count_text("\n".join(lines), model)


_PRIMITIVES: Final = {"integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def _type(schema: Any, depth: int) -> str:
    """Return a JSON schema as a TypeScript type."""
    choices = _list(schema, "enum")
    if choices:
        return " | ".join(_json(choice) for choice in choices)
    kind = get(schema, "type")
    if kind == "array":
        return f"{_type(get(schema, 'items'), depth + 1)}[]" if depth < _MAX_DEPTH else "any[]"
    properties = get(schema, "properties")
    if isinstance(properties, Mapping) and depth < _MAX_DEPTH:
        needed = _list(schema, "required")
        lines = ["{"]
        for name, of in cast("Mapping[str, Any]", properties).items():
            description = get(of, "description")
            if isinstance(description, str) and description:
                lines.append(f"// {description}")
            lines.append(f"{name}{'' if name in needed else '?'}: {_type(of, depth + 1)},")
        return "\n".join([*lines, "}"])
    if isinstance(kind, str):
        return _PRIMITIVES.get(kind.lower(), "string" if kind.lower() == "string" else "object")
    return "any"


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):  # no JSON after all
        return ""
