"""The SDKs, one module each: the methods to patch, and the wire formats of their requests.

Each module of this folder without a leading underscore in its name is an SDK and has a constant `SDK`. `discover` lists
the folder. Other distributions add SDKs by entry points of the group `otel_agentcost.sdks`; an entry point names an
`Sdk`, or a module with the constant `SDK`. No module imports its SDK.

`docs/extending.md` shows how to write one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import cast

from otel_agentcost import plugins
from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import Body, EventIterator, EventStream, RawResponse, Reply, Seam
from otel_agentcost.integrations.endpoints import endpoint, match_path
from otel_agentcost.integrations.patching import Target, argument, with_argument
from otel_agentcost.integrations.sdks._base import Patchable, Sdk, patches_of
from otel_agentcost.integrations.sdks._stainless import StainlessSeam
from otel_agentcost.wire import CannotRewrite, Change, ModelRequest, load

__all__ = [
    "Body",
    "CannotRewrite",
    "Change",
    "EventIterator",
    "EventStream",
    "ModelRequest",
    "Patchable",
    "Pipeline",
    "RawResponse",
    "Reply",
    "Sdk",
    "Seam",
    "StainlessSeam",
    "Target",
    "argument",
    "discover",
    "endpoint",
    "load",
    "match_path",
    "patches_of",
    "with_argument",
]


def discover() -> Iterator[Sdk]:
    """Yield the SDKs of this folder, then those of plug-ins. An unusable plug-in is logged and ignored."""
    own: list[Sdk] = list(plugins.listed(__name__, __path__, "SDK"))
    yield from own
    names = {sdk.name for sdk in own}
    yield from plugins.find("sdks", Sdk, "SDK", partial(_check, names))


def _check(names: set[str], sdk: Sdk) -> None:
    """Raise `Unusable` if patching `sdk` would fail, or would count calls twice."""
    if sdk.name in names:
        raise plugins.Unusable(f"there is an SDK with the name {sdk.name!r} already")
    if not isinstance(cast("object", sdk.patches), tuple):  # a generator would be used up here
        raise plugins.Unusable("its patches are not a tuple")
    for patch in cast("Iterable[object]", sdk.patches):  # in a plug-in they may be anything
        if not isinstance(patch, Patchable):
            raise plugins.Unusable(f"its patches include {patch!r}, which is not a Patchable")
        if not callable(cast("object", patch.through)):
            raise plugins.Unusable(f"{patch.through!r} is not a method of Pipeline")
    names.add(sdk.name)
