"""IBM watsonx's chats: those of OpenAI, with the model in `model_id` (https://cloud.ibm.com/apidocs/watsonx-ai)."""

from __future__ import annotations

from typing import Any, Final

from otel_agentcost.core.call import Call
from otel_agentcost.wire import openai_chat
from otel_agentcost.wire.fields import text
from otel_agentcost.wire.format import Format

__all__ = ["FORMAT", "WatsonxChat"]


class WatsonxChat(openai_chat.Chat):
    """The format."""

    def read_request(self, body: Any, path: str) -> Call:
        """Read a request. The path says whether the answer is streamed."""
        call = super().read_request(body, path)
        return call._replace(model=text(body, "model_id"), stream=path.partition("?")[0].endswith("_stream"))


FORMAT: Final[Format] = WatsonxChat()
