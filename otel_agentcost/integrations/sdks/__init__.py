"""The SDKs: one module each, which says where to patch and which wire format serves which path.

A module of this folder whose name has no leading underscore is an SDK; it has a constant `SDK`. They are found by
listing the folder. None of them imports the SDK that it is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from otel_agentcost.integrations.sdks._base import Sdk

__all__ = ["Sdk", "discover"]


def discover() -> Iterator[Sdk]:
    """Every SDK of this folder."""
    for module in iter_modules(__path__):
        if not module.name.startswith("_"):
            yield import_module(f"{__name__}.{module.name}").SDK
