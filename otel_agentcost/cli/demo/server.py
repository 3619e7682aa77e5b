"""The demo's model server: a local HTTP server that OpenAI's, Anthropic's and Google's SDKs take for their provider.

    with ModelServer(script) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none")

Server and wire formats are those of `otel_agentcost.testing`; `model.py` says what is answered.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from otel_agentcost.cli.demo.model import Script, ScriptedModel
from otel_agentcost.testing import server
from otel_agentcost.testing.fake_model import reply_to
from otel_agentcost.testing.server import Reply, Request


class ModelServer(server.ModelServer):
    """The server, running from `__enter__` to `__exit__`."""

    def __init__(self, script: Script, *, pause: float = 0.0) -> None:
        """`pause` is how many seconds the model thinks before it answers; it writes at a matching speed."""
        super().__init__()
        self._model = ScriptedModel(script)
        self._pause = pause
        self.responder = self._respond

    def _respond(self, request: Request) -> Reply:
        reply = reply_to(request, self._model.answer)
        if reply.status != 200 or not self._pause:
            return reply
        time.sleep(self._pause)
        return replace(reply, chunks=_spaced(reply.chunks, self._pause / 50)) if reply.chunks else reply


def _spaced(chunks: Sequence[bytes | float], pause: float) -> list[bytes | float]:
    return [part for chunk in chunks for part in (chunk, pause)]
