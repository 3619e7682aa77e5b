"""mistralai 1 to 3: Mistral's API, and its clients for Azure and Google Cloud.

`BaseSDK.do_request` sees every request of the SDK, above its retries and below its parsing.
"""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.integrations.patching import Target, argument, with_argument
from otel_agentcost.integrations.sdks._base import Patchable, Sdk
from otel_agentcost.integrations.sdks._httpx import Arguments, HttpxSeam, Sent
from otel_agentcost.wire.fields import parsed

FORMATS = {
    "/chat/completions": "openai_chat",
    "/agents/completions": "openai_chat",
    "/fim/completions": "openai_chat",
    "/embeddings": "openai_embeddings",
    "/audio/transcriptions": "openai_audio",
    "/audio/speech": "openai_audio",
    "/ocr": "mistral_ocr",
    "/conversations": "mistral_conversations",
    "/conversations/*": "mistral_conversations",
    "/conversations/*/restart": "mistral_conversations",
    "/batch/jobs": "billed_later",
    "/fine_tuning/jobs": "billed_later",
}


def _sent(_client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sent:
    request = argument(args, kwargs, 1, "request")
    is_json = "json" in request.headers.get("content-type", "")
    address = str(request.url).partition("#")[0]  # streams have a path of their own: `/v1/chat/completions#stream`
    return Sent(request.method, address, parsed(request.content) if is_json else None)


def _changed(args: tuple[Any, ...], kwargs: dict[str, Any], body: Mapping[str, Any]) -> Arguments:
    request = argument(args, kwargs, 1, "request")
    headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() != "content-length"]
    content, extensions = json.dumps(body).encode(), request.extensions
    other = type(request)(request.method, request.url, headers=headers, content=content, extensions=extensions)
    return with_argument(args, kwargs, 1, "request", other)


def _patches(module: str, provider: str) -> tuple[Patchable, ...]:
    seam = HttpxSeam(provider, FORMATS, _sent, _changed)

    def patch(method: str, through: Any) -> Patchable:
        return Patchable(
            target=Target(module=module, owner="BaseSDK", method=method, optional=True), seam=seam, through=through
        )

    return patch("do_request", Pipeline.call), patch("do_request_async", Pipeline.call_async)


SDK = Sdk(
    name="mistralai",
    distribution="mistralai",
    oldest="1.5",
    patches=(
        *_patches("mistralai.client.basesdk", "mistral_ai"),
        *_patches("mistralai.azure.client.basesdk", "azure.ai.inference"),
        *_patches("mistralai.gcp.client.basesdk", "gcp.vertex_ai"),
        *_patches("mistralai.basesdk", "mistral_ai"),  # version 1
        *_patches("mistralai_azure.basesdk", "azure.ai.inference"),
        *_patches("mistralai_gcp.basesdk", "gcp.vertex_ai"),
    ),
)
