"""Mistral's conversations: a chat whose history, and whose agent, Mistral stores (https://docs.mistral.ai/agents/agents).

The usage is that of a chat, with the tokens of connectors. The request does not bound the input.
"""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core.call import Answer, Call
from otel_agentcost.wire.format import Format
from otel_agentcost.wire.input_bound import NO_BOUND
from otel_agentcost.wire.no_facets import NO_CONTENT, NO_CONVERSATION
from otel_agentcost.wire.openai_chat import FORMAT as CHAT
from otel_agentcost.wire.openai_chat import ChatReader
from otel_agentcost.wire.prompt_tokens import PromptFields
from otel_agentcost.wire.rewriting import NoRewriting

__all__ = ["FORMAT"]


PROMPT_TOKENS: Final = PromptFields(messages=("inputs",))


class Conversations(Format):
    """The format."""

    content = NO_CONTENT
    conversation = NO_CONVERSATION
    input_bound = NO_BOUND
    prompt_tokens = PROMPT_TOKENS
    rewriting = NoRewriting("its model may be that of a stored agent")

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request."""
        return CHAT.read_request(body, path)

    def read_response(self, call: Call, response: Any) -> Answer:
        """Read a whole response."""
        return CHAT.read_response(call, response)

    def open_stream(self, call: Call) -> ChatReader:
        """Return a reader for the events of the answer to `call`."""
        return ChatReader(call, PROMPT_TOKENS)


FORMAT = Conversations()
