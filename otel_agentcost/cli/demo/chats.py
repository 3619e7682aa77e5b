"""A conversation with tools, over each provider's own SDK: what the demo's agent needs of a model.

Ordinary application code: nothing here knows of telemetry, of prices or of the demo's server. Each class keeps the
messages in its SDK's form and does three things: say something, hand in tool results, and read the answer. The
clients come from outside (`app.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

MAX_TOKENS = 2000
"""The output limit of each call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool that the model wants called."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """The definition of a tool in a request: its parameters are texts, all of them required."""

    name: str
    description: str
    parameters: dict[str, str]
    """Each parameter's name, with its description."""

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        properties = {name: {"type": "string", "description": text} for name, text in self.parameters.items()}
        return {"type": "object", "properties": properties, "required": list(self.parameters)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of the model: the agent is done when it wants no more tools."""

    text: str
    tool_calls: Sequence[ToolCall]


Results = Sequence[tuple[ToolCall, str]]


class Chat(Protocol):
    """A conversation with a model."""

    def say(self, text: str) -> Turn:
        """The model's answer to `text`."""
        ...

    def give(self, results: Results) -> Turn:
        """The model's answer to the results of the tools that it called."""
        ...


class OpenAIChat:
    """OpenAI's chat completions."""

    def __init__(self, client: Any, model: str, instructions: str, tools: Sequence[ToolSpec]) -> None:
        self.client, self.model = client, model
        self.messages: list[Any] = [{"role": "system", "content": instructions}]
        self.tools = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.schema},
            }
            for tool in tools
        ]

    def say(self, text: str) -> Turn:
        """The model's answer to `text`."""
        self.messages.append({"role": "user", "content": text})
        return self._ask()

    def give(self, results: Results) -> Turn:
        """The model's answer to tool results."""
        self.messages += [{"role": "tool", "tool_call_id": call.id, "content": text} for call, text in results]
        return self._ask()

    def _ask(self) -> Turn:
        completion = self.client.chat.completions.create(
            model=self.model, messages=self.messages, tools=self.tools, max_completion_tokens=MAX_TOKENS
        )
        message = completion.choices[0].message
        self.messages.append(message.to_dict())
        calls = [
            ToolCall(id=call.id, name=call.function.name, arguments=json.loads(call.function.arguments))
            for call in message.tool_calls or ()
        ]
        return Turn(text=message.content or "", tool_calls=calls)


class OpenAIResponses:
    """OpenAI's responses, streamed."""

    def __init__(self, client: Any, model: str, instructions: str, tools: Sequence[ToolSpec]) -> None:
        self.client, self.model, self.instructions = client, model, instructions
        self.items: list[Any] = []
        self.tools = [
            {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.schema}
            for tool in tools
        ]

    def say(self, text: str) -> Turn:
        """The model's answer to `text`."""
        self.items.append({"role": "user", "content": text})
        return self._ask()

    def give(self, results: Results) -> Turn:
        """The model's answer to tool results."""
        self.items += [{"type": "function_call_output", "call_id": call.id, "output": text} for call, text in results]
        return self._ask()

    def _ask(self) -> Turn:
        events = self.client.responses.create(
            model=self.model,
            instructions=self.instructions,
            input=self.items,
            tools=self.tools,
            max_output_tokens=MAX_TOKENS,
            store=False,
            stream=True,
        )
        response = None
        for event in events:
            if event.type == "response.completed":
                response = event.response
        if response is None:
            raise RuntimeError("the stream ended before the response was complete")
        self.items += [item.to_dict() for item in response.output]
        calls = [
            ToolCall(id=item.call_id, name=item.name, arguments=json.loads(item.arguments))
            for item in response.output
            if item.type == "function_call"
        ]
        return Turn(text=response.output_text, tool_calls=calls)


class AnthropicMessages:
    """Anthropic's messages, streamed, with the prompt cached."""

    def __init__(self, client: Any, model: str, instructions: str, tools: Sequence[ToolSpec]) -> None:
        self.client, self.model, self.instructions = client, model, instructions
        self.messages: list[Any] = []
        self.tools = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.schema} for tool in tools
        ]

    def say(self, text: str) -> Turn:
        """The model's answer to `text`."""
        self.messages.append({"role": "user", "content": text})
        return self._ask()

    def give(self, results: Results) -> Turn:
        """The model's answer to tool results."""
        blocks = [{"type": "tool_result", "tool_use_id": call.id, "content": text} for call, text in results]
        self.messages.append({"role": "user", "content": blocks})
        return self._ask()

    def _ask(self) -> Turn:
        with self.client.messages.stream(
            model=self.model,
            system=self.instructions,
            messages=self.messages,
            tools=self.tools,
            max_tokens=MAX_TOKENS,
            extra_body={"cache_control": {"type": "ephemeral"}},
        ) as stream:
            message = stream.get_final_message()
        self.messages.append({"role": "assistant", "content": [_resendable(block) for block in message.content]})
        return Turn(
            text="".join(block.text for block in message.content if block.type == "text"),
            tool_calls=[
                ToolCall(id=block.id, name=block.name, arguments=block.input)
                for block in message.content
                if block.type == "tool_use"
            ],
        )


def _resendable(block: Any) -> dict[str, Any]:
    """A content block as requests may hold it: without what only the SDK's stream helper adds to it."""
    if block.type == "tool_use":
        return {"type": "tool_use", "id": block.id, "name": block.name, "input": block.input}
    return {"type": "text", "text": block.text}


class Gemini:
    """Gemini's generateContent, streamed."""

    def __init__(self, client: Any, model: str, instructions: str, tools: Sequence[ToolSpec]) -> None:
        self.client, self.model = client, model
        self.contents: list[Any] = []
        self.config: dict[str, Any] = {
            "system_instruction": instructions,
            "max_output_tokens": MAX_TOKENS,
            "tools": [
                {
                    "function_declarations": [
                        {"name": tool.name, "description": tool.description, "parameters_json_schema": tool.schema}
                        for tool in tools
                    ]
                }
            ],
        }

    def say(self, text: str) -> Turn:
        """The model's answer to `text`."""
        self.contents.append({"role": "user", "parts": [{"text": text}]})
        return self._ask()

    def give(self, results: Results) -> Turn:
        """The model's answer to tool results."""
        parts = [{"function_response": {"name": call.name, "response": {"result": text}}} for call, text in results]
        self.contents.append({"role": "user", "parts": parts})
        return self._ask()

    def _ask(self) -> Turn:
        parts: list[Any] = []
        for chunk in self.client.models.generate_content_stream(
            model=self.model, contents=self.contents, config=self.config
        ):
            for candidate in chunk.candidates or ():
                parts += (candidate.content and candidate.content.parts) or ()
        self.contents.append({"role": "model", "parts": [part.model_dump(exclude_none=True) for part in parts]})
        calls = [part.function_call for part in parts if part.function_call]
        return Turn(
            text="".join(part.text for part in parts if part.text and not part.thought),
            tool_calls=[
                ToolCall(id=call.id or call.name, name=call.name, arguments=dict(call.args or {})) for call in calls
            ],
        )
