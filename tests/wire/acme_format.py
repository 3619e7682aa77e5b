"""A wire format of an invented provider, as another distribution would ship it: nothing here is known to the package.

`test_formats_of_others` installs a copy of this file outside the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.core.loops import Item, TextMessage, ToolResult, make_tool_call
from otel_agentcost.core.usage import Count, Kind, Usage
from otel_agentcost.wire import AnswerReader, Change, Format
from otel_agentcost.wire.content import text_part, tool_call, tool_response
from otel_agentcost.wire.conversation_items import MessageList, mark_of
from otel_agentcost.wire.fields import Malformed, count, get, items, text
from otel_agentcost.wire.format import Message, Part, Rewritten
from otel_agentcost.wire.input_bound import STORED_INPUT, BodyBound
from otel_agentcost.wire.not_streamed import NotStreamed
from otel_agentcost.wire.prompt_tokens import PromptFields
from otel_agentcost.wire.rewriting import copied, lower


class _Content:
    def system_instructions(self, body: Any) -> Iterable[Part]:
        return [text_part(words)] if (words := text(body, "rules")) else []

    def tool_definitions(self, body: Any) -> Iterable[Mapping[str, Any]]:
        return ({"type": "function", "name": name} for name in items(body, "abilities"))

    def input_messages(self, body: Any) -> Iterable[Message]:
        return map(self._message, items(body, "turns"))

    def output_messages(self, response: Any) -> Iterable[Message]:
        yield {**self._message(get(response, "turn")), "finish_reason": text(response, "why")}

    def transcript(self) -> _Transcript:
        return _Transcript()

    @staticmethod
    def _message(turn: Any) -> Message:
        parts = [text_part(words)] if (words := text(turn, "words")) else []
        if (use := get(turn, "use")) is not None:
            parts.append(tool_call(get(use, "id"), get(use, "ability"), get(use, "with")))
        if (result := get(turn, "result")) is not None:
            parts.append(tool_response(get(turn, "of"), result))
        return {"role": get(turn, "who"), "parts": parts}


class _Transcript:
    def __init__(self) -> None:
        self._words = ""

    def feed(self, event: Any) -> None:
        self._words += text(event, "more") or ""

    def response(self) -> Any:
        return {"turn": {"who": "bot", "words": self._words}, "why": "end"}


class _Conversation(MessageList):
    def read(self, message: Any, items: list[Item]) -> None:
        if words := text(message, "words"):
            items.append(TextMessage(self.by_model(message), words))
        if (use := get(message, "use")) is not None:
            items.append(make_tool_call(get(use, "id"), get(use, "ability"), get(use, "with")))
        if (result := get(message, "result")) is not None:
            items.append(ToolResult(get(message, "of"), result))

    @staticmethod
    def fingerprint(message: Any) -> int:
        return mark_of(repr(message))

    def by_model(self, message: Any) -> bool:
        return text(message, "who") == "bot"


class _Rewriting:
    def rewrite(self, call: Call, path: str, change: Change) -> Rewritten:
        body = copied(call)
        if change.model is not None:
            body["engine"] = change.model
        if change.max_output_tokens is not None:
            lower(body, ("limit",), change.max_output_tokens)
        return body, path


class Acme(Format):
    """The format."""

    content = _Content()
    conversation = _Conversation("turns")
    input_bound = BodyBound(stored=STORED_INPUT | {"memory"})
    prompt_tokens = PromptFields(messages=("turns",), instructions=("rules",))
    rewriting = _Rewriting()

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        limit = get(body, "limit")
        return Call(operation="chat", model=text(body, "engine"), max_output_tokens=limit, body=body)

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        try:
            spent: dict[Kind, Count] = {
                "input_tokens": count(get(response, "spent"), "in"),
                "output_tokens": count(get(response, "spent"), "out"),
            }
        except Malformed as problem:
            return Answer(missing=str(problem))
        return Answer(usage=Usage(counts=spent), model=text(response, "engine"))

    def open_stream(self, call: Call) -> AnswerReader:
        """Return a reader that estimates nothing: the provider does not stream usage."""
        return NotStreamed(Answer(missing="the stream has no usage"))


FORMAT = Acme()
