"""botocore (boto3): the session below it, which sends a signed request and returns a response."""

# Objects of the client have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from otel_agentcost.core.recorded import Recorded, Sent
from otel_agentcost.diagnostics import report
from otel_agentcost.integrations.patching import FunctionPatch, Patch, Target
from otel_agentcost.integrations.replays._base import current
from otel_agentcost.integrations.replays._urllib3 import record, response_of


def _patches() -> tuple[Patch, ...]:
    target = Target(
        module="botocore.httpsession", owner="URLLib3Session", method="send", reads=("request",), optional=True
    )
    return (FunctionPatch(target, _sending),)


def _sending(method: Callable[..., Any]) -> Callable[..., Any]:
    def patched(self: Any, request: Any) -> Any:
        exchange = current()
        if exchange is None:
            return method(self, request)
        sent: Sent | None = None
        try:
            sent = _sent(request)
            reply = exchange.reply_to(sent)
            if reply is not None:
                return _response(request, reply)
        except Exception as error:
            report("replaying an answer", error)
        response = method(self, request)
        try:
            if sent is not None and (recording := exchange.recording(sent, _head(response))) is not None:
                if request.stream_output:
                    record(response.raw, recording)
                else:
                    recording.chunk(response.content)
                    recording.ended()
        except Exception as error:
            report("recording an answer", error)
        return response

    return patched


def _sent(request: Any) -> Sent:
    body = request.body
    content = body.encode() if isinstance(body, str) else bytes(body) if isinstance(body, (bytes, bytearray)) else None
    headers = tuple((str(name), _text(value)) for name, value in request.headers.items())
    return Sent(request.method, request.url, headers, content)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _head(response: Any) -> Recorded:
    return Recorded(
        response.status_code, tuple((str(name), str(value)) for name, value in response.headers.items()), ()
    )


def _response(request: Any, reply: Recorded) -> Any:
    made = import_module("botocore.awsrequest").AWSResponse(
        request.url, reply.status, dict(reply.headers), response_of(reply)
    )
    if not request.stream_output:
        made.content  # noqa: B018 (read at once, as the session does)
    return made


PATCHES = _patches
