"""xai-sdk: chats (also streamed, parsed and deferred), compactions, images, videos and batches of xAI, over gRPC."""

from __future__ import annotations

from otel_agentcost.integrations.patching import Target
from otel_agentcost.integrations.sdks._base import Patchable, Sdk
from otel_agentcost.integrations.sdks._xai import SEAM, made, used

_STUBS = (("chat", "ChatStub"), ("image", "ImageStub"), ("video", "VideoStub"), ("batch", "BatchMgmtStub"))
_METHODS = {
    "chat": (
        ("Chat", ("sample", "sample_batch", "stream", "stream_batch", "parse", "_defer", "compact")),
        ("Client", ("compact_context",)),
    ),
    "image": (("Client", ("sample", "sample_batch")),),
    "video": (("Client", ("start", "generate", "extend_start", "extend")),),
    "batch": (("Client", ("add",)),),
}
"""The methods that call a stub, by module and class."""


def _made(version: str, module: str, owner: str) -> Patchable:
    """Return the patch of a stub. The SDK has its messages for several versions of protobuf, and loads one of them."""
    name = f"xai_sdk.proto.{version}.{module}_pb2_grpc"
    return Patchable(target=Target(module=name, owner=owner, method="__init__", optional=True), seam=SEAM, through=made)


def _used(package: str, module: str, owner: str, method: str) -> Patchable:
    target = Target(module=f"xai_sdk.{package}.{module}", owner=owner, method=method, optional=method != "sample")
    return Patchable(target=target, seam=SEAM, through=used)


SDK = Sdk(
    name="xai_sdk",
    distribution="xai-sdk",
    oldest="1.21",
    patches=(
        *(_made(version, module, owner) for version in ("v5", "v6") for module, owner in _STUBS),
        *(
            _used(package, module, owner, method)
            for package in ("sync", "aio")
            for module, classes in _METHODS.items()
            for owner, methods in classes
            for method in methods
        ),
    ),
)
