"""The SDKs: one module each, which says where to patch and which wire format serves which path.

A module of this folder whose name has no leading underscore is an SDK; it has a constant `SDK`. They are found by
listing the folder. Other distributions add theirs by entry points of the group `otel_agentcost.sdks`, each of which
names an `Sdk` or a module with the constant `SDK`. None of them imports the SDK that it is about.

`docs/extending.md` shows how to write one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
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
    """Yield every SDK of this folder, then those of plug-ins. A plug-in that cannot be used is logged and ignored."""
    names: set[str] = set()
    for module in iter_modules(__path__):
        if not module.name.startswith("_"):
            sdk: Sdk = import_module(f"{__name__}.{module.name}").SDK
            names.add(sdk.name)
            yield sdk
    yield from plugins.find("sdks", Sdk, "SDK", partial(_check, names))


def _check(names: set[str], sdk: Sdk) -> None:
    """Raise where starting would fail, or calls would be counted twice, if `sdk` were patched."""
    if sdk.name in names:
        raise plugins.Unusable(f"there is an SDK with the name {sdk.name!r} already")
    for patch in cast("Iterable[object]", sdk.patches):  # in a plug-in they may be anything
        if not isinstance(patch, Patchable):
            raise plugins.Unusable(f"its patches include {patch!r}, which is no Patchable")
        if not callable(cast("object", patch.through)):
            raise plugins.Unusable(f"{patch.through!r} is no method of Pipeline")
    names.add(sdk.name)
