"""What an SDK's module consists of, and the one way that its calls take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from otel_agentcost.calls.pipeline import Pipeline
from otel_agentcost.calls.seam import Seam
from otel_agentcost.integrations.patching import Patch, Target

Through = Callable[[Pipeline, Seam, Callable[..., Any], Any, Any, Any], Any]
"""A method of `Pipeline` that takes the calls of a patched method: `call`, `call_async`, `generate`, `attempt`,
`around` or `around_async`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patchable:
    """One method to patch, and how calls through it are read."""

    target: Target
    seam: Seam
    through: Through = Pipeline.call


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdk:
    """One SDK: its distribution and what to patch in it."""

    name: str
    distribution: str
    patches: tuple[Patchable, ...]
    oldest: str = ""
    """The oldest release that the tests cover. Patches may fit older ones, but that is not tested."""


def patches_of(sdk: Sdk, pipeline: Pipeline) -> tuple[Patch, ...]:
    """Return the patches to install, so that calls of `sdk` go through `pipeline`."""
    return tuple(_patch(patchable, pipeline) for patchable in sdk.patches)


def _patch(patchable: Patchable, pipeline: Pipeline) -> Patch:
    through, seam = patchable.through, patchable.seam

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return through(pipeline, seam, wrapped, instance, args, kwargs)

    return Patch(patchable.target, wrapper)
