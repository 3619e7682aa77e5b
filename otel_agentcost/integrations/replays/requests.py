"""requests: the adapter of one request is replaced by one that records or replays.

Everything above an adapter is the client's own: hooks, authentication, cookies, redirects, and the response object.
"""

# Objects of the client have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from otel_agentcost.calls.answer_cache import Exchange
from otel_agentcost.core.recorded import Sent
from otel_agentcost.diagnostics import report
from otel_agentcost.integrations.patching import FunctionPatch, Patch, Target
from otel_agentcost.integrations.replays._base import current
from otel_agentcost.integrations.replays._urllib3 import head_of, record, response_of
from otel_agentcost.telemetry.transports import name_of


def _patches() -> tuple[Patch, ...]:
    target = Target(module="requests.sessions", owner="Session", method="get_adapter", reads=("url",), optional=True)
    return (FunctionPatch(target, _looked_up),)


def _looked_up(method: Callable[..., Any]) -> Callable[..., Any]:
    def patched(self: Any, url: Any) -> Any:
        adapter = method(self, url)
        exchange = current()
        return adapter if exchange is None else _Adapter(adapter, exchange)

    return patched


class _Adapter:
    """The adapter of one request."""

    def __init__(self, adapter: Any, exchange: Exchange) -> None:
        self._adapter = adapter
        self._exchange = exchange

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Send a request, or replay its answer."""
        sent: Sent | None = None
        try:
            sent = _sent(request)._replace(through=name_of(self._adapter))
            reply = self._exchange.reply_to(sent)
            if reply is not None:
                adapters: Any = import_module("requests.adapters")
                response: Any = adapters.HTTPAdapter.build_response(self._adapter, request, response_of(reply))
                return response
        except Exception as error:
            report("replaying an answer", error)
        response = self._adapter.send(request, *args, **kwargs)
        try:
            if sent is not None and (recording := self._exchange.recording(sent, head_of(response.raw))) is not None:
                record(response.raw, recording)
        except Exception as error:
            report("recording an answer", error)
        return response


def _sent(request: Any) -> Sent:
    body = request.body
    content = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else None
    headers = tuple((str(name), _text(value)) for name, value in request.headers.items())
    return Sent(request.method, request.url, headers, content)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


PATCHES = _patches
