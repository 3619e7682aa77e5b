"""The question of a request, which a semantic cache compares, and everything else of it, which must be the same.

The question is the text of the last message. What else sets the answer (system prompt, tools, model, parameters, all
earlier turns) stands in the scope, as a hash: two requests whose scopes differ are never compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple, cast

from otel_agentcost.wire import content
from otel_agentcost.wire.format import Format
from otel_agentcost.wire.transcript import Transcript

_PROMPTS: Final = ("messages", "input", "contents", "prompt")
_USERS: Final = frozenset({None, "user", "human"})
_TEXTS: Final = frozenset({None, "text", "input_text"})
LONGEST: Final = 4_000
"""Characters of a question: a longer one is a document, and no two documents are a paraphrase of each other."""


class Split(NamedTuple):
    """A request, taken apart."""

    question: str
    rest: dict[str, Any]
    """The body without its last message."""


def split(body: Any) -> Split | None:
    """Take the last message out of a body; None if that is not the plain text of a user."""
    if not isinstance(body, Mapping):
        return None
    fields = cast("Mapping[str, Any]", body)
    name = next((name for name in _PROMPTS if fields.get(name)), None)
    if name is None:
        return None
    prompt = fields[name]
    messages: list[Any] = [*prompt] if isinstance(prompt, (list, tuple)) else [prompt]
    question = _text_of(messages.pop())
    if not question or len(question) > LONGEST:
        return None
    return Split(question, {**fields, name: messages})


def scope_of(
    rest: Mapping[str, Any], said: Iterable[object], canonical: Callable[[Mapping[str, Any]], str | None]
) -> bytes | None:
    """Return what stands for everything but the question; None if it cannot be written.

    Args:
        rest: The body without the question.
        said: What is known beside the body: whose the request is, the address, the model.
        canonical: Writes a body as text that is the same for equal bodies.
    """
    text = canonical(rest)
    if text is None:
        return None
    head = json.dumps([*map(str, said)], ensure_ascii=False)
    return sha256(f"{head}\n{text}".encode("utf-8", "surrogatepass")).digest()


def answer_of(form: Format, body: bytes) -> str:
    """Return the text of an answer; empty if it has none, or has more than text.

    Args:
        form: The wire format.
        body: The response as it came: JSON, or the events of a stream.
    """
    written = content.output_messages(form, _response(form, body))
    messages: list[dict[str, Any]] = json.loads(written) if written is not None else []
    if len(messages) != 1:
        return ""
    parts: list[dict[str, Any]] = messages[0].get("parts") or []
    if any(part.get("type") not in ("text", "reasoning") for part in parts):
        return ""
    return "\n".join(str(part.get("content") or "") for part in parts if part.get("type") == "text").strip()


def _response(form: Format, body: bytes) -> Any:
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("{"):
        return json.loads(text)
    transcript = Transcript(form)
    for line in text.splitlines():
        name, _, data = line.partition(":")
        if name == "data" and data.strip().startswith("{"):
            transcript.feed(json.loads(data))
    return transcript.response()


def _text_of(message: Any) -> str:
    """Return the text of a message; empty if it has more than text, or is not the user's."""
    inner = message
    if isinstance(message, Mapping):
        fields = cast("Mapping[str, Any]", message)
        if fields.get("role") not in _USERS or fields.keys() - _MESSAGE:
            return ""
        inner = fields.get("content", fields.get("parts"))
    parts = cast("list[Any]", inner if isinstance(inner, (list, tuple)) else [inner])
    texts = [_text_of_part(part) for part in parts]
    return "\n".join(filter(None, texts)).strip() if None not in texts else ""


def _text_of_part(part: Any) -> str | None:
    """Return the text of a part; None if it is not text alone."""
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        return None
    fields = cast("Mapping[str, Any]", part)
    text = fields.get("text")
    return text if isinstance(text, str) and fields.get("type") in _TEXTS and not fields.keys() - _PLAIN else None


_MESSAGE: Final = frozenset({"role", "content", "parts", "type"})
"""Fields of a message that is plain text. Any other one can set the answer."""

_PLAIN: Final = frozenset({"type", "text", "cache_control", "prompt_cache_breakpoint", "cachePoint"})
"""Fields of a part that is plain text."""
