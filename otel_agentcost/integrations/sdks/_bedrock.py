"""Reads the calls of botocore's clients for Amazon Bedrock: `_make_api_call(operation_name, api_params)`."""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any, Final
from urllib.parse import quote

from otel_agentcost.calls.seam import Body, Reply, Watched
from otel_agentcost.integrations.endpoints import endpoint
from otel_agentcost.integrations.patching import argument, with_argument
from otel_agentcost.integrations.sdks._botocore_streams import watch_body, watch_events
from otel_agentcost.wire import CannotRewrite, Change, Format, load
from otel_agentcost.wire.bedrock_models import in_path, plain_name, served_terms
from otel_agentcost.wire.fields import get, parsed, text
from otel_agentcost.wire.format import ModelRequest

PROVIDER: Final = "aws.bedrock"
_SERVICES: Final = frozenset({"bedrock-runtime", "bedrock-agent-runtime"})
_CONVERSE: Final = {"Converse": "converse", "ConverseStream": "converse-stream"}
_INVOKE: Final = {"InvokeModel": "invoke", "InvokeModelWithResponseStream": "invoke-with-response-stream"}
"""Operations, and the end of their paths."""
LATER: Final = {
    "StartAsyncInvoke": "/async-invoke",
    "InvokeAgent": "/agents/*/text",
    "InvokeInlineAgent": "/agents/*",
    "InvokeFlow": "/flows/*/aliases/*",
    "RetrieveAndGenerate": "/retrieveAndGenerate",
    "RetrieveAndGenerateStream": "/retrieveAndGenerateStream",
    "OptimizePrompt": "/optimize-prompt",
    "Rerank": "/rerank",
}
"""Operations whose responses do not say what they cost
(https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Agents_for_Amazon_Bedrock_Runtime.html)."""


class BedrockSeam:
    """The seam of the synchronous and of the asynchronous client."""

    def read(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelRequest | None:
        """Read the request; None for every other service and operation."""
        if instance._service_model.service_name not in _SERVICES:
            return None
        operation, params = argument(args, kwargs, 0, "operation_name"), argument(args, kwargs, 1, "api_params")
        target = endpoint(instance.meta.endpoint_url, PROVIDER)
        if operation in _CONVERSE:
            form, body = load("bedrock_converse"), params
            path = _path(params, _CONVERSE[operation])
        elif operation in _INVOKE:
            body = _parsed_body(params)
            form, path = _form_of(body), _path(params, _INVOKE[operation])
        elif operation in LATER:
            form, body, path = load("billed_later"), params, LATER[operation]
        else:
            return None
        call = form.read_request(body, path)
        if operation in _INVOKE:
            asked = served_terms(params.get("serviceTier"), params.get("performanceConfigLatency"))
            call = call._replace(asked_terms=(*call.asked_terms, *asked)) if asked else call
        elif operation in LATER and (name := params.get("modelId")):
            call = call._replace(model=plain_name(name))
        return ModelRequest(call=call, endpoint=target, format=form)

    def rewrite(
        self,
        request: ModelRequest,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        model: str | None,
        max_output_tokens: int | None,
    ) -> tuple[ModelRequest, tuple[Any, ...], dict[str, Any]]:
        """Return the same call with another model or a lower output limit."""
        operation, params = argument(args, kwargs, 0, "operation_name"), argument(args, kwargs, 1, "api_params")
        target = request.endpoint
        change = Change(model=model, max_output_tokens=max_output_tokens, provider=target.provider, known=target.known)
        path = _path(params, _CONVERSE.get(operation) or _INVOKE.get(operation) or "")
        body, path = request.format.rewrite(request.call, path, change)
        if operation in _CONVERSE:
            params = body
        elif operation in _INVOKE:
            params = {**params, "modelId": in_path(path), "body": json.dumps(body).encode()}
        else:
            raise CannotRewrite("what it starts has no output limit and no model to replace")
        call = request.format.read_request(body, path)._replace(asked_terms=request.call.asked_terms)
        return replace(request, call=call), *with_argument(args, kwargs, 1, "api_params", params)

    def takes(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any], field: str) -> bool:
        """Return True if this release of botocore has the field, which it checks; a body of InvokeModel may be any."""
        operation = argument(args, kwargs, 0, "operation_name")
        if operation not in _CONVERSE:
            return operation in _INVOKE
        shape = instance._service_model.operation_model(operation).input_shape
        for name in field.split("."):
            shape = shape.member if shape.type_name == "list" else shape
            if shape.type_name != "structure" or name not in shape.members:
                return False
            shape = shape.members[name]
        return True

    def unwrap(self, result: Any) -> Reply:
        """Return what came back: a response, a body that is not read yet, or a stream of events."""
        stream = get(result, "stream")
        body = get(result, "body") if stream is None else stream
        metadata = get(result, "ResponseMetadata")
        headers = get(metadata, "HTTPHeaders") or {}
        terms = served_terms(text(result, "serviceTier"), text(result, "performanceConfigLatency"))
        if hasattr(body, "_event_generator"):
            return Watched(partial(watch_events, body), headers, terms)
        if hasattr(body, "_raw_stream"):
            return Watched(partial(watch_body, body), headers, terms)
        return Body(result)


def _form_of(body: Any) -> Format:
    """Return the format of a body of InvokeModel. Its module is loaded with the first call, as those of others are."""
    form: Format = import_module("otel_agentcost.wire.bedrock_invoke").form_of(body)
    return form


def _path(params: Mapping[str, Any], operation: str) -> str:
    name = params.get("modelId")
    return f"/model/{quote(name, safe='') if isinstance(name, str) else ''}/{operation}"


def _parsed_body(params: Mapping[str, Any]) -> Any:
    """Return the JSON of a body: bytes, text, or a file, which is left at the place where it was."""
    body: Any = params.get("body")
    if isinstance(body, (bytes, bytearray, str)):
        return parsed(bytes(body) if isinstance(body, bytearray) else body)
    if not hasattr(body, "seek") or not hasattr(body, "read"):
        return None
    start = body.tell()
    try:
        return parsed(body.read())
    finally:
        body.seek(start)
