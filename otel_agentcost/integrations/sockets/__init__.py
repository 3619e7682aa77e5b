"""Sessions over WebSockets: clients, one module each, and the protocols of sessions in which models answer.

Each module of this folder without a leading underscore in its name is a client and has a constant `CLIENT`. `discover`
lists the folder. No module imports its client.

SDKs and frameworks (openai, google-genai, openai-agents, litellm ...) share the client `websockets`, so that is where
sessions are seen: `_base` has the functions in place of its methods. `_places` finds the protocol of a connection by
its address, `_session` is what the protocols share, and each of `_openai_realtime`, `_openai_responses`,
`_gemini_live` and `_gemini_interactions` reads one of them. A turn of a session is one model call.
"""

from __future__ import annotations

from collections.abc import Iterator

from otel_agentcost import plugins
from otel_agentcost.integrations.sockets._base import SocketClient, patches_of
from otel_agentcost.integrations.sockets._places import Places

__all__ = ["Places", "SocketClient", "discover", "patches_of"]


def discover() -> Iterator[SocketClient]:
    """Yield the clients of this folder."""
    yield from plugins.listed(__name__, __path__, "CLIENT")
