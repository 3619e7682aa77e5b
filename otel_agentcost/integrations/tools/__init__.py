"""The frameworks whose tools are watched: one module each, which says where a tool is called and what the call says.

A module of this folder whose name has no leading underscore is a framework; it has a constant `FRAMEWORK`. They are
found by listing the folder. None of them imports the framework that it is about.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from otel_agentcost.integrations.tools._base import Framework

__all__ = ["Framework", "discover"]


def discover() -> Iterator[Framework]:
    """Every framework of this folder."""
    for module in iter_modules(__path__):
        if not module.name.startswith("_"):
            yield import_module(f"{__name__}.{module.name}").FRAMEWORK
