"""The SDKs of Z.ai and Zhipu: clients like those that Stainless generates, under other names, and none asynchronous."""

# Objects of SDKs have no types here:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from otel_agentcost.calls import streams
from otel_agentcost.calls.call import ActiveCall
from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import Reply, Watched
from otel_agentcost.integrations.sdks._base import Sdk
from otel_agentcost.integrations.sdks._stainless import StainlessSeam


class _Seam(StainlessSeam):
    """Reads calls of `request(cast_type, options, remaining_retries, *, stream, stream_cls)`."""

    def unwrap(self, result: Any) -> Reply:
        """Return what came back: a stream keeps its events in another place."""
        return Watched(partial(_watch, result)) if hasattr(result, "_stream_chunks") else super().unwrap(result)


def _watch(stream: Any, call: ActiveCall) -> None:
    stream._stream_chunks = streams.tap(stream._stream_chunks, call)


def zai_sdk(distribution: str, package: str, provider: str, formats: Mapping[str, str], *, oldest: str) -> Sdk:
    """Return one of these SDKs.

    Args:
        distribution: Its name on PyPI.
        package: The dotted name of its package.
        provider: The provider, as `gen_ai.provider.name`.
        formats: Names of wire formats by path ending.
        oldest: The oldest release that the tests cover.
    """
    seam = _Seam(provider, formats, {})
    module = f"{package}.core._http_client"
    return Sdk(
        name=package,
        distribution=distribution,
        oldest=oldest,
        patches=seam.patches(module, "HttpClient", "request", Pipeline.call),
    )
