"""Finds the protocol of a connection by its address.

A path is enough, as a session acts on the events of its protocol alone. So sessions behind a gateway, or with a local
server, are seen too. google-genai connects to the very address that it is given, without the path of the protocol: its
first message tells.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qsl

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.core import semconv
from otel_agentcost.core.call import Endpoint
from otel_agentcost.integrations.endpoints import endpoint
from otel_agentcost.integrations.sockets._gemini_interactions import InteractionSession
from otel_agentcost.integrations.sockets._gemini_live import GeminiSession
from otel_agentcost.integrations.sockets._openai_realtime import RealtimeSession
from otel_agentcost.integrations.sockets._openai_responses import ResponsesSession
from otel_agentcost.integrations.sockets._session import Session, head_of
from otel_agentcost.settings.hosts import OwnHost
from otel_agentcost.wire.fields import get, parsed, text

_HEAD: Final = 40
_SETUP: Final = re.compile(r'\s*\{\s*"setup"\s*:')
_REALTIME: Final = frozenset({"model", "deployment", "call_id", "intent"})
"""Parameters of which OpenAI's and Azure's realtime addresses have one."""


class Places:
    """Opens the sessions of connections. One for each `instrument()`."""

    def __init__(self, pipeline: Pipeline, own: tuple[OwnHost, ...] = ()) -> None:
        """Create the object.

        Args:
            pipeline: Takes the calls.
            own: The hosts of the setting `hosts`.
        """
        self._pipeline = pipeline
        self._own = own

    def session(self, protocol: Any) -> Session | None:
        """Return a new session for a client's connection; None if no model answers there.

        Args:
            protocol: The client's object with the address.
        """
        uri = getattr(protocol, "uri", None) or getattr(protocol, "wsuri", None)  # before websockets 15
        path = getattr(uri, "path", None)
        if not isinstance(path, str):
            return None
        path, query = path.rstrip("/"), dict(parse_qsl(getattr(uri, "query", "") or ""))
        if path.endswith("/realtime") and not _REALTIME.isdisjoint(query):
            azure = "azure.ai.openai" if path.endswith(("/openai/realtime", "/openai/v1/realtime")) else "openai"
            return RealtimeSession(self._pipeline, self._endpoint(uri, path.removesuffix("/realtime"), azure), query)
        if path.endswith("/responses"):
            return ResponsesSession(self._pipeline, self._endpoint(uri, path.removesuffix("/responses"), "openai"), {})
        if path.endswith("/interactions/live"):
            return InteractionSession(self._pipeline, self._endpoint(uri, "", "gcp.gemini"), query)
        if "BidiGenerateContent" in path:
            google = "gcp.vertex_ai" if "aiplatform" in path else "gcp.gemini"
            return GeminiSession(self._pipeline, self._endpoint(uri, "", google), {})
        return None

    def session_of_message(self, protocol: Any, message: Any) -> Session | None:
        """Return a new session for a connection whose address names no protocol, by its first message.

        Args:
            protocol: The client's object with the address.
            message: The message; that of Gemini has a setup.
        """
        if not isinstance(message, (str, bytes)):
            return None
        uri = getattr(protocol, "uri", None) or getattr(protocol, "wsuri", None)
        if uri is None or not _SETUP.match(head_of(message, _HEAD)):
            return None
        model = text(get(parsed(message), "setup"), "model")
        if model is None:
            return None
        google = "gcp.vertex_ai" if model.startswith(("projects/", "publishers/")) else "gcp.gemini"
        return GeminiSession(self._pipeline, self._endpoint(uri, "", google), {})

    def _endpoint(self, uri: Any, base_path: str, default: str) -> Endpoint:
        scheme, host = "https" if uri.secure else "http", f"[{uri.host}]" if ":" in uri.host else uri.host
        usual = uri.port == (443 if uri.secure else 80)
        base = f"{scheme}://{host}{'' if usual else f':{uri.port}'}{base_path}"
        found = endpoint(base, default)
        own = next((each for each in self._own if each.covers(uri.host, uri.port, uri.path)), None)
        if own is None or found.provider == own.provider:
            return found
        attributes: Mapping[str, Any] = {**found.attributes, semconv.PROVIDER: own.provider}
        return replace(found, provider=own.provider, known=False, attributes=attributes)
